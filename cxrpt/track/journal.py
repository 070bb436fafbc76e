"""The journal: the truth about a run's metrics, one JSON line a logged step, flushed before anything leaves the machine.

    {"attempt": 2, "step": 120, "time": 1764000000.0, "kind": "train", "metrics": {"loss/mlm": 3.2, ...}}

Every start of a run is an attempt. Steps after the last checkpoint run again after a kill; readers take, for each kind
and step, the last attempt.
"""

import json
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path

_SYNC_EVERY_S = 5.0  # a kill loses nothing; only the machine's own death can cost this much


@dataclass(frozen=True)
class Entry:
    """One logged step."""

    attempt: int
    step: int
    time: float
    kind: str
    metrics: dict[str, float]


class Journal:
    """Appends to a run's journal as a new attempt."""

    def __init__(self, path: Path):
        """Open the file; a last line that a kill tore is ended, so that it cannot swallow the next one."""
        lines = path.read_bytes() if path.exists() else b""
        self.attempt = 1 + max((entry.attempt for entry in parse_lines(lines)), default=0)
        self._file = path.open("ab")
        self._synced = 0.0
        if lines and not lines.endswith(b"\n"):
            self._file.write(b"\n")

    def write(self, step: int, metrics: dict[str, float], kind: str = "train") -> None:
        """Append one line and hand it to the operating system; to the disk at most every _SYNC_EVERY_S seconds."""
        numbers = {name: float(value) for name, value in metrics.items()}
        # JSON knows no NaN and no infinities: they are kept as strings that `float` reads.
        strict = {name: value if math.isfinite(value) else str(value) for name, value in numbers.items()}
        line = {"attempt": self.attempt, "step": step, "time": time.time(), "kind": kind, "metrics": strict}
        self._file.write(json.dumps(line, allow_nan=False).encode() + b"\n")
        self._file.flush()
        if time.monotonic() - self._synced > _SYNC_EVERY_S:
            os.fsync(self._file.fileno())
            self._synced = time.monotonic()

    def close(self) -> None:
        """Put everything on the disk; nothing can be written afterwards."""
        if not self._file.closed:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()


def read_journal(path: Path) -> list[Entry]:
    """The last attempt's entry of every (kind, step), by step; torn lines are passed over."""
    latest: dict[tuple[str, int], Entry] = {}
    for entry in parse_lines(path.read_bytes() if path.exists() else b""):
        key = (entry.kind, entry.step)
        if key not in latest or entry.attempt >= latest[key].attempt:
            latest[key] = entry
    return sorted(latest.values(), key=lambda entry: (entry.step, entry.kind))


def parse_lines(lines: bytes) -> list[Entry]:
    """The entries of some lines, as they stand; what does not parse (torn by a kill) is passed over."""
    entries = []
    for line in lines.splitlines():
        try:
            fields = json.loads(line)
            fields["metrics"] = {name: float(value) for name, value in fields["metrics"].items()}
            entries.append(Entry(**fields))
        except (ValueError, KeyError, TypeError):
            continue
    return entries
