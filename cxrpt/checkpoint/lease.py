"""One trainer a run: a lock, a heartbeat and a number.

    RUN/lease        locked by rank 0 of the trainer as long as its process lives
    RUN/lease.json   {"number": 4, "host": "node7", "pid": 4711, "beat": 120, "released": false}

The lock tells on one machine, and on file systems that share locks. Where they do not, or a node has died, the beat tells: it
is compared with itself, so that clocks of nodes may differ. Whoever takes the lease counts the number up; a trainer that finds
another number than its own (it was frozen, and taken for dead) ends without committing anything.
"""

import fcntl
import json
import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from cxrpt.durable import read_patiently, replace_text
from cxrpt.errors import InputError

BEAT_S = 10.0
_WAIT_S = 15.0
_DEAD_AFTER_BEATS = 3

log = logging.getLogger(__name__)


class LeaseLostError(RuntimeError):
    """Another trainer has taken the run over."""


@dataclass(frozen=True)
class _Holder:
    number: int = 0
    host: str = ""
    pid: int = 0
    beat: int = 0
    released: bool = True


class Lease:
    """The right to write into a run, as long as nobody takes it away."""

    def __init__(self, run_dir: Path, holder: _Holder):
        """Begin to beat."""
        self._path, self._holder = run_dir / "lease.json", holder
        self._ended = threading.Event()
        _write(self._path, holder)
        self._thread = threading.Thread(target=self._beat, name="lease", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raise LeaseLostError if another trainer has taken the run over."""
        now = _read(self._path)
        if now.number > self._holder.number:
            raise LeaseLostError(f"another trainer (on {now.host}) has taken over the run {self._path.parent}")

    def release(self) -> None:
        """Let the next trainer begin at once."""
        self._ended.set()
        self._thread.join()
        with suppress(OSError, LeaseLostError):
            self.check()
            _write(self._path, replace(self._holder, released=True))

    def _beat(self) -> None:
        while not self._ended.wait(BEAT_S):
            try:
                self.check()
                self._holder = replace(self._holder, beat=self._holder.beat + 1)
                _write(self._path, self._holder)
            except LeaseLostError as error:
                log.error("%s", error)
                sys.stderr.write(f"cxrpt: {error}: this one ends\n")
                sys.stderr.flush()
                os._exit(1)
            except OSError as error:  # a full disk: the lock still tells
                log.warning("the lease's beat could not be written: %s", error.strerror)


@contextmanager
def hold_lease(run_dir: Path, wait_s: float = _WAIT_S) -> Iterator[Lease]:
    """Hold a run; a trainer that is just ending is waited for, one whose machine may be gone until its beat has stopped.

    Raises:
        InputError: another trainer works on the run.
    """
    handle = os.open(run_dir / "lease", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        is_locked = _lock(handle, run_dir, wait_s)
        before = _wait_for_silence(run_dir, is_locked)
        lease = Lease(run_dir, _Holder(before.number + 1, socket.gethostname(), os.getpid(), 0, released=False))
        try:
            yield lease
        finally:
            lease.release()
    finally:
        os.close(handle)


def _lock(handle: int, run_dir: Path, wait_s: float) -> bool:
    """Whether the run is locked now; False where the file system knows no locks."""
    until = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > until:
                raise _taken(run_dir, _read(run_dir / "lease.json")) from None
            time.sleep(0.2)
        except OSError as error:
            log.warning("%s cannot be locked (%s): only the beat tells of another trainer", run_dir, error.strerror)
            return False


def _wait_for_silence(run_dir: Path, is_locked: bool) -> _Holder:
    """The last holder, once it is known to be gone."""
    before = _read(run_dir / "lease.json")
    # Of processes of this machine the lock has told already.
    if before.released or (is_locked and before.host == socket.gethostname()):
        return before
    log.warning("the run was held on %s: waiting %g s for a sign of life", before.host, _DEAD_AFTER_BEATS * BEAT_S)
    until = time.monotonic() + _DEAD_AFTER_BEATS * BEAT_S
    while time.monotonic() < until:
        time.sleep(BEAT_S / 10)
        now = _read(run_dir / "lease.json")
        if now.released:
            return now
        if (now.number, now.beat) != (before.number, before.beat):
            raise _taken(run_dir, now)
    return before


def _taken(run_dir: Path, holder: _Holder) -> InputError:
    where = f" on {holder.host}" if holder.host else ""
    return InputError(f"another trainer{where} works on {run_dir}: wait for it, stop it, or choose another name")


def _read(path: Path) -> _Holder:
    """Who holds the run, or held it last; raises OSError where that cannot be known now: not knowing is not "nobody"."""
    try:
        return _Holder(**json.loads(read_patiently(path)))
    except (FileNotFoundError, ValueError, TypeError):
        return _Holder()


def _write(path: Path, holder: _Holder) -> None:
    replace_text(path, json.dumps(asdict(holder)), sync=False)


def is_held(run_dir: Path) -> bool:
    """Whether a trainer of this machine is at work on a run; of another machine its lock tells, where locks are shared."""
    try:
        handle = os.open(run_dir / "lease", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(handle)
    return False


def holder_here(run_dir: Path) -> int | None:
    """The process of this machine that trains a run."""
    holder = _read(run_dir / "lease.json")
    return holder.pid if holder.host == socket.gethostname() and is_held(run_dir) else None
