"""The journal: the truth about a run's metrics, one JSON line a logged step, flushed before anything leaves the machine.

    {"attempt": 2, "step": 120, "time": 1764000000.0, "kind": "train", "metrics": {"loss/mlm": 3.2, ...}}

Every start of a run is an attempt. Steps after the last checkpoint run again after a kill: readers leave out what an earlier
attempt wrote of steps from which on a later one went its own way.

    file    ... line line | line line li          | what a sync has put on the disk for sure ends here
    memory                | line line line line   what follows it, until the next sync: nothing of it can be lost by the disk

A write that failed is made again from the bar on, the same bytes at the same place: a torn line is completed, nothing is
there twice, and whoever follows the file by offset cannot tell it from a write that succeeded at once.
"""

import json
import logging
import math
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from cxrpt.errors import InputError

_SYNC_EVERY_S = 5.0  # a kill loses nothing; only the machine's own death can cost this much
_MOST_BYTES = 64 << 20
"""What is kept of a journal that cannot be written: about a day at a line every few seconds."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Entry:
    """One logged step."""

    attempt: int
    step: int
    time: float
    kind: str
    metrics: dict[str, float]


class Journal:
    """Appends to a run's journal as a new attempt. Once it is open, no error of its disk reaches the caller.

    While the file cannot be written, lines are kept in memory and follow when it can; above _MOST_BYTES every other one is
    dropped, so that the curve stays whole at half its resolution. Told when it begins, when it is over, and at the end if
    it is not.
    """

    def __init__(self, path: Path):
        """Open the file; a last line that a kill tore is ended, so that it cannot swallow the next one.

        Raises:
            InputError: the file cannot be read, or not be written.
        """
        self._path = path
        try:
            lines = path.read_bytes() if path.exists() else b""
            _try_to_write(path.parent)
            self._file: FileIO | None = _open(path)
        except OSError as error:
            raise InputError(
                f"{path} cannot be written ({_reason(error)}): free disk space, or mend the rights of {path.parent}"
            ) from None
        self.attempt = 1 + max((entry.attempt for entry in parse_lines(lines)), default=0)
        self._lines = [b"\n"] if lines and not lines.endswith(b"\n") else []
        self._put = self._begun = 0  # how many of them are written; how many were ever begun
        self._safe = self._at = self._reach = len(lines)  # where they begin; where the next one goes; how far any may reach
        self._synced = 0.0
        self._end_trouble()
        self._push()

    def write(self, step: int, metrics: dict[str, float], kind: str = "train") -> None:
        """Append one line and hand it to the operating system; to the disk at most every _SYNC_EVERY_S seconds."""
        numbers = {name: float(value) for name, value in metrics.items()}
        # JSON knows no NaN and no infinities: they are kept as strings that `float` reads.
        strict = {name: value if math.isfinite(value) else str(value) for name, value in numbers.items()}
        line = {"attempt": self.attempt, "step": step, "time": time.time(), "kind": kind, "metrics": strict}
        self._lines.append(json.dumps(line, allow_nan=False).encode() + b"\n")
        self._push(sync=time.monotonic() - self._synced > _SYNC_EVERY_S)
        if self._trouble:
            self._thin()

    def close(self) -> None:
        """Put everything on the disk; what cannot be put there is lost, and told."""
        self._push(sync=True)
        if self._trouble:
            log.warning(
                "the journal could not be written to the end (%s): %d logged lines are lost; training does not depend on them",
                self._trouble,
                self._dropped + self._missing(),
            )
            self._lines, self._put = [], 0
            self._end_trouble()
        self._let_go()

    def _push(self, sync: bool = False) -> None:
        if not self._lines:
            return
        try:
            self._write_lines()
            # Of an error of the disk only a sync can say that it is over.
            if sync or self._trouble:
                self._sync()
        except OSError as error:
            self._keep(_reason(error))

    def _write_lines(self) -> None:
        if self._file is None:
            self._file = _open(self._path)
        self._find_place(os.fstat(self._file.fileno()).st_size)
        for line in self._lines[self._put :]:
            rest = memoryview(line)
            while rest:
                self._reach = max(self._reach, self._at + len(rest))
                done = os.pwrite(self._file.fileno(), rest, self._at)
                self._at += done
                rest = rest[done:]
            self._put += 1

    def _find_place(self, size: int) -> None:
        """Look whether the file is as it was left: a server that restarts can lose its end, and others can write to it."""
        if size < self._at:
            self._rewind()
        if not self._safe <= size <= self._reach:
            self._lines = [b"\n", *self._lines[self._put :]]
            self._put = self._begun = 0
            self._safe = self._at = self._reach = size

    def _sync(self) -> None:
        assert self._file is not None
        self._synced = time.monotonic()
        os.fsync(self._file.fileno())
        if self._trouble:
            dropped = f"; {self._dropped} were dropped for want of memory" if self._dropped else ""
            log.warning("the journal is written again, with the %d lines that had to wait%s", _count(self._lines), dropped)
        self._lines, self._put, self._begun = [], 0, 0
        self._safe = self._reach = self._at
        self._end_trouble()

    def _end_trouble(self) -> None:
        self._trouble = ""
        self._late, self._stride, self._dropped = 0, 1, 0  # lines since it began; which of them are kept; how many were not

    def _keep(self, reason: str) -> None:
        if not self._trouble:
            log.warning("the journal cannot be written (%s): training goes on, its lines wait in memory", reason)
        self._trouble = reason
        self._rewind()
        self._let_go()  # of a file server that restarted only a new handle is good

    def _thin(self) -> None:
        """Keep every `_stride`-th line of those that wait, and only every other of these once they are too many."""
        waiting = self._lines[self._begun :]
        self._late += 1
        if self._late % self._stride:
            kept = waiting[:-1]
        elif sum(map(len, self._lines)) > _MOST_BYTES:
            kept = waiting[1 - len(waiting) % 2 :: 2]
            self._stride *= 2
        else:
            return
        self._lines[self._begun :] = kept
        self._dropped += len(waiting) - len(kept)

    def _rewind(self) -> None:
        # The file may hold the beginning of the next line too: it must stay the next line.
        self._begun = max(self._begun, min(self._put + 1, len(self._lines)))
        self._put, self._at = 0, self._safe

    def _missing(self) -> int:
        """How many lines no reader finds."""
        try:
            there = self._path.read_bytes()[self._safe :].count(b"\n")
        except OSError:
            there = 0
        return _count(self._lines[there:])

    def _let_go(self) -> None:
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
            self._file = None


def read_journal(path: Path) -> list[Entry]:
    """The entries of the run as it stands, one of every (kind, step), by step; torn lines are passed over.

    An attempt's entries count up to the first step that a later attempt has logged.

    Raises:
        InputError: the file is there and cannot be read.
    """
    try:
        lines = path.read_bytes() if path.exists() else b""
    except OSError as error:
        raise InputError(f"{path} cannot be read ({_reason(error)}): mend its rights or its disk") from None
    entries = parse_lines(lines)
    begins: dict[int, int] = {}
    for entry in entries:
        begins[entry.attempt] = min(entry.step, begins.get(entry.attempt, entry.step))
    # Of all later attempts the earliest begin counts.
    ends, end = {}, math.inf
    for attempt in sorted(begins, reverse=True):
        ends[attempt] = end
        end = min(end, begins[attempt])
    latest = {(entry.kind, entry.step): entry for entry in entries if entry.step < ends[entry.attempt]}
    return sorted(latest.values(), key=lambda entry: (entry.step, entry.kind))


def parse_lines(lines: bytes) -> list[Entry]:
    """The entries of some lines, as they stand; what does not parse (torn by a kill) is passed over."""
    entries = []
    for line in lines.splitlines():
        try:
            fields = json.loads(line)
            fields["metrics"] = {name: float(value) for name, value in fields["metrics"].items()}
            entries.append(Entry(**fields))
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
    return entries


def _open(path: Path) -> FileIO:
    return FileIO(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644), "r+")


def _try_to_write(folder: Path) -> None:
    """A file that opens may still have no room; the journal itself must not be touched to find out."""
    probe = folder / ".journal.probe"
    try:
        with probe.open("wb") as file:
            file.write(bytes(4096))
            file.flush()
            os.fsync(file.fileno())
    finally:
        with suppress(OSError):
            probe.unlink()


def _count(lines: list[bytes]) -> int:
    return sum(line != b"\n" for line in lines)


def _reason(error: OSError) -> str:
    return error.strerror or type(error).__name__
