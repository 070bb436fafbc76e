"""Finds a rank that hangs, says which, and ends the run.

    each rank     a thread looks at where its main thread stands (spans)
    quiet         no step ended for half of the bound: the rank keeps a note of itself fresh
                      RUN/logs/rank-N.quiet   {"step": 12, "notch": 5, "part": "backward", "left_s": 430, "waits": true}
    bound passed  the stacks of all threads go into RUN/logs/rank-N.stacks
    verdict       nobody who answers has time left: the lowest rank that answers tells who hangs, and all end with code 1

A rank whose note is not fresh is stopped, stuck in native code that holds the interpreter, or on a node that is gone. Such a
rank cannot end itself: a timer in C, which needs no interpreter lock, ends one that is stuck; the launcher, or SLURM, ends one
that is stopped. SIGQUIT makes a rank write its stacks at any time and go on.

On GPUs, a rank whose peer dies within a collective of nccl is ended by this bound at the latest; that was never tried.

Notes are written only while a run is quiet, so that they cost a shared file system nothing; they are compared by the file
system's own times, so that clocks of nodes may differ.
"""

import contextlib
import faulthandler
import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType

from cxrpt.durable import replace_text
from cxrpt.track.spans import START, Spans

STACKS_SIGNAL = signal.SIGQUIT
"""Makes a rank write its stacks; who starts a rank keeps it blocked, as without our handler it ends a process."""
SLOW_FACTOR = 4
"""Starting, the first step (which compiles) and saving may take this many times the bound."""
_SLOW_PARTS = {START, "save"}
_COLLECTIVES = "/torch/distributed/"
_TIMED_OUT = b"Timeout ("  # how the timer in C heads its stacks

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Note:
    """What a quiet rank says of itself."""

    step: int
    notch: int
    part: str
    left_s: float
    """Until its bound is passed; 0 once it has written its stacks."""
    waits: bool
    """Whether one of its threads is in a collective."""
    verdict: str = ""


def stacks_path(run_dir: Path, rank: int) -> Path:
    """Where a rank's stacks go."""
    return run_dir / "logs" / f"rank-{rank}.stacks"


def note_path(run_dir: Path, rank: int) -> Path:
    """Where a quiet rank's note is."""
    return run_dir / "logs" / f"rank-{rank}.quiet"


def verdict(notes: dict[int, Note], size: int, timeout_s: float) -> str:
    """Who hangs, in words.

    Args:
        notes: of the ranks that answer.
        size: ranks of the run.
        timeout_s: the bound.
    """
    head = f"no step ended for {timeout_s:g} s: "
    if silent := [rank for rank in range(size) if rank not in notes]:
        what = "do not answer" if len(silent) > 1 else "does not answer"
        return f"{head}{_ranks(silent)} {what} (stopped, stuck in native code, or gone with its node)"
    last = min((note.step, note.notch) for note in notes.values())
    idle = [rank for rank, note in notes.items() if not note.waits]
    behind = [rank for rank, note in notes.items() if (note.step, note.notch) == last]
    for hanging in (idle, behind):
        if 0 < len(hanging) < size or size == 1:
            note = notes[hanging[0] if hanging else 0]
            told = _ranks(hanging or [0])
            others = "" if size == 1 else f", and {size - len(hanging)} of {size} wait"
            return f"{head}{told} {'hang' if len(hanging) > 1 else 'hangs'} in {note.part!r} of step {note.step}{others}"
    note = notes[behind[0]]
    return f"{head}which of the {size} ranks hangs is not known: all are in {note.part!r} of step {note.step}"


def _ranks(ranks: list[int]) -> str:
    """`rank 3`, or `ranks 0, 2-7`."""
    if len(ranks) == 1:
        return f"rank {ranks[0]}"
    runs: list[list[int]] = []
    for rank in sorted(ranks):
        if runs and rank == runs[-1][1] + 1:
            runs[-1][1] = rank
        else:
            runs.append([rank, rank])
    return "ranks " + ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)


def stuck_in_native_code(run_dir: Path, rank: int) -> bool:
    """Whether the timer in C ended the rank when it last ran: then the rank itself could say nothing."""
    with contextlib.suppress(OSError):
        return _TIMED_OUT in stacks_path(run_dir, rank).read_bytes().rpartition(b"=== rank ")[2]
    return False


@contextlib.contextmanager
def watch(run_dir: Path, rank: int, size: int, timeout_s: float, spans: Spans) -> Iterator[None]:
    """End the process if the run hangs while the block runs; `timeout_s` 0 does nothing."""
    if not timeout_s:
        yield
        return
    watchdog = _Watchdog(run_dir, rank, size, timeout_s, spans)
    try:
        yield
    finally:
        watchdog.end()


class _Watchdog:
    def __init__(self, run_dir: Path, rank: int, size: int, timeout_s: float, spans: Spans):
        self._run_dir, self._rank, self._size, self._timeout_s, self._spans = run_dir, rank, size, timeout_s, spans
        self._tick_s = min(10.0, max(0.2, timeout_s / 20))
        self._fresh_s = max(3.0, 4 * self._tick_s)
        self._expired: float | None = None
        self._excused = 0.0
        self._ended = threading.Event()
        stacks_path(run_dir, rank).parent.mkdir(parents=True, exist_ok=True)
        note_path(run_dir, rank).unlink(missing_ok=True)
        self._stacks = stacks_path(run_dir, rank).open("a")
        self._stacks.write(f"=== rank {rank}, pid {os.getpid()}, started {time.strftime('%Y-%m-%d %H:%M:%S')}\n")
        self._stacks.flush()
        faulthandler.register(STACKS_SIGNAL, file=self._stacks, all_threads=True)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [STACKS_SIGNAL])
        self._ear = _Ear(self)
        logging.getLogger("cxrpt.data.storage.open_shards").addHandler(self._ear)
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Look no more; a rank that was found hanging, and fails because the others end, is still ended without a word."""
        logging.getLogger("cxrpt.data.storage.open_shards").removeHandler(self._ear)
        if self._expired is None:
            self._ended.set()
            self._thread.join()
            with contextlib.suppress(OSError):
                note_path(self._run_dir, self._rank).unlink(missing_ok=True)

    def excuse(self) -> None:
        """The rank is alive, and waits for what it has told."""
        self._excused = time.monotonic()

    def _run(self) -> None:
        while not self._ended.wait(self._tick_s if self._expired is None else min(1.0, self._tick_s)):
            # Should this thread not come here again, it is for want of the interpreter's lock.
            patience_s = self._bound_s() + self._fresh_s + 6 * self._tick_s
            faulthandler.dump_traceback_later(patience_s, exit=True, file=self._stacks)
            try:
                self._look()
            except Exception:
                log.exception("the watchdog could not look")
        faulthandler.cancel_dump_traceback_later()

    def _bound_s(self) -> float:
        slow = self._spans.place.part in _SLOW_PARTS or self._spans.steps_ended == 0
        return self._timeout_s * (SLOW_FACTOR if slow else 1)

    def _look(self) -> None:
        now, place = time.monotonic(), self._spans.place
        left_s = self._bound_s() - (now - max(place.since, self._excused))
        if now - self._spans.boundary < self._timeout_s / 2 or (self._size == 1 and left_s > 0):
            self._expired = None
            return
        if left_s <= 0 and self._expired is None:
            self._expired = now
            with contextlib.suppress(OSError):
                self._dump()
        elif left_s > 0:
            self._expired = None
        note = Note(place.step, place.notch, place.part, max(0.0, left_s), _waits_for_others())
        # A run directory that takes no note must not keep a run that hangs from being ended.
        with contextlib.suppress(OSError):
            self._write(note)
        if self._expired is not None and now - self._expired >= self._fresh_s:
            self._judge(note)

    def _judge(self, mine: Note) -> None:
        """Tell and end, unless a rank below answers, which will, or somebody has time left."""
        try:
            own_time = note_path(self._run_dir, self._rank).stat().st_mtime
            for rank in range(self._rank):
                note, written = self._read(rank)
                if note is not None and note.verdict:
                    self._end_process(f"another rank tells: {note.verdict}", "")
                if note is not None and own_time - written < self._fresh_s:
                    return
            notes = {self._rank: mine}
            for rank in range(self._size):
                note, written = self._read(rank)
                if rank != self._rank and note is not None and own_time - written < self._fresh_s:
                    if note.left_s > 0:
                        return
                    notes[rank] = note
            told = verdict(notes, self._size, self._timeout_s)
        except OSError as error:
            told = f"no step ended for {self._timeout_s:g} s: which rank hangs is not known, as {self._run_dir} fails ({error})"
        told += f"; stacks are in {self._run_dir}/logs/rank-*.stacks; the same command resumes from the last checkpoint"
        sys.stderr.write(f"cxrpt: {told}\n")
        sys.stderr.flush()
        self._end_process(told, told)

    def _end_process(self, logged: str, told: str) -> None:
        log.error("%s", logged)
        place = self._spans.place
        with contextlib.suppress(OSError):
            self._write(Note(place.step, place.notch, place.part, 0.0, False, told or logged))
        os._exit(1)

    def _dump(self) -> None:
        log.warning(
            "no sign of life for %g s in %r: stacks are in %s", self._bound_s(), self._spans.place.part, self._stacks.name
        )
        self._stacks.write(f"no step ended, {time.strftime('%Y-%m-%d %H:%M:%S')}\n")
        self._stacks.flush()
        faulthandler.dump_traceback(file=self._stacks, all_threads=True)
        with contextlib.suppress(OSError):
            os.fsync(self._stacks.fileno())

    def _write(self, note: Note) -> None:
        replace_text(note_path(self._run_dir, self._rank), json.dumps(asdict(note)))

    def _read(self, rank: int) -> tuple[Note | None, float]:
        """A rank's note and when it was written; None if there is none."""
        try:
            # Opened, not only looked at: a network file system then asks its server.
            with note_path(self._run_dir, rank).open() as file:
                return Note(**json.load(file)), os.fstat(file.fileno()).st_mtime
        except (FileNotFoundError, ValueError, TypeError):
            return None, 0.0


class _Ear(logging.Handler):
    """Hears that shards cannot be read for a while and are waited for, which has a bound of its own."""

    def __init__(self, watchdog: _Watchdog):
        super().__init__()
        self._watchdog = watchdog

    def emit(self, record: logging.LogRecord) -> None:
        self._watchdog.excuse()


def _waits_for_others() -> bool:
    """Whether any thread is in a collective of torch, by its Python frames; what a GPU waits for is not seen."""
    for top in sys._current_frames().values():
        frame: FrameType | None = top
        while frame is not None:
            if _COLLECTIVES in frame.f_code.co_filename:
                return True
            frame = frame.f_back
    return False
