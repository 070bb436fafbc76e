"""The line that says how a run goes."""

import sys
import time


class ProgressLine:
    """Rewrites one line on a terminal; elsewhere prints a line now and then."""

    _QUIET_S = 10.0

    def __init__(self, steps: int, first: int = 0):
        """For a run of so many steps, that goes on after the first so many."""
        self._steps, self._first, self._began = steps, first, time.monotonic()
        self._live = sys.stdout.isatty()
        self._last = 0.0

    def show(self, step: int, metrics: dict[str, float]) -> None:
        """Losses by objective, speed and time left."""
        done = step >= self._steps
        now = time.monotonic()
        if not (self._live or done) and now - self._last < self._QUIET_S:
            return
        self._last = now
        losses = "  ".join(f"{name} {metrics[key]:.3f}" for name in ("mlm", "mvm", "itc") if (key := f"loss/{name}") in metrics)
        left_s = (now - self._began) / (step - self._first) * (self._steps - step)
        minutes, seconds = divmod(round(left_s), 60)
        hours, minutes = divmod(minutes, 60)
        speed = metrics.get("speed/samples_per_s", 0.0)
        line = f"step {step}/{self._steps}  {losses}  {speed:.1f} samples/s  {hours}:{minutes:02d}:{seconds:02d} left"
        end = "\n" if done or not self._live else ""
        sys.stdout.write(("\r\x1b[K" if self._live else "") + line + end)
        sys.stdout.flush()

    def say(self, line: str) -> None:
        """A line of its own, on stderr; the one that is rewritten follows below it."""
        if self._live:
            sys.stdout.write("\r\x1b[K")
            sys.stdout.flush()
        sys.stderr.write(f"cxrpt: {line}\n")
        sys.stderr.flush()
