"""How far a build is: a bar where somebody looks, a line a minute where the output is a file.

converting  ━━━━━━━━━━━━ 12800/40000  96/s  kept 11200 excluded 1500 failed 100  0:04:43
"""

import time
from collections import Counter
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

SECONDS_BETWEEN_LINES = 60.0
_OUTCOMES = ("kept", "excluded", "failed")


class BuildProgress:
    """A context in which `advance` tells what became of inputs; `done` are those of an earlier run."""

    def __init__(self, console: Console, what: str, total: int, done: Counter[str] | None = None):
        self._console, self._what, self._total = console, what, total
        self._counts = Counter(done or {})
        self._began, self._at_start = time.monotonic(), self._counts.total()
        self._last_line = self._began
        columns = (
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[told]}"),
            TimeRemainingColumn(),
        )  # fmt: skip
        # A long build changes its speed with the files it meets: the time left is told from the last minutes.
        self._bar = Progress(*columns, console=console, transient=True, speed_estimate_period=180)

    def __enter__(self) -> "BuildProgress":
        self._bar.start()
        self._task = self._bar.add_task(self._what, total=self._total, completed=self._at_start, told=self._told())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bar.stop()

    def advance(self, counts: Counter[str]) -> None:
        """Add inputs by outcome."""
        self._counts.update(counts)
        self._bar.update(self._task, completed=self._counts.total(), told=self._told())
        now = time.monotonic()
        if not self._console.is_terminal and now - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = now
            self._console.print(f"{self._what} {self._counts.total()}/{self._total} {self._told()}", highlight=False)

    def _told(self) -> str:
        rate = (self._counts.total() - self._at_start) / max(time.monotonic() - self._began, 1e-3)
        outcomes = " ".join(f"{name} {self._counts[name]}" for name in _OUTCOMES if name in self._counts)
        return f"{rate:.0f}/s {outcomes}".rstrip()
