"""Who evaluates a step: a file that one process makes, and that says which.

    evals/step-00001000/claim    {"host": "node7", "pid": 4711, "started": "8812345", "token": "...", "beat": 12}

The claim of a process that has died on this host is taken over at once; one of another host when its beat has stopped for
SILENCE_S, by the clock of whoever looks, so that clocks may differ. A worker that was frozen and taken for dead finds another
token in its claim and gives up; results are written once, by whoever is first.
"""

import fcntl
import json
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from cxrpt.durable import read_patiently, replace_text
from cxrpt.errors import InputError

CLAIM = "claim"
BEAT_S = 5.0
SILENCE_S = 30.0

log = logging.getLogger(__name__)


class ClaimedError(InputError):
    """Another process is at it, as far as can be known now."""


class Interrupted(Exception):
    """The evaluation was given up: its worker was asked to stop, or its claim is another's."""


class Claim:
    """The right to evaluate a step, as long as nobody takes it away."""

    def __init__(self, path: Path):
        self._path = path
        self._own: dict[str, Any] = {
            "host": socket.gethostname(), "pid": os.getpid(), "started": _started(os.getpid()),
            "token": uuid.uuid4().hex, "beat": 0,
        }  # fmt: skip
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="claim", daemon=True)

    def take(self) -> None:
        """Make the file.

        Raises:
            ClaimedError: a process that lives, or may live, holds it.
        """
        # Two processes that find a dead one's claim must not remove each other's new one.
        with self._path.with_name(CLAIM + ".lock").open("w") as gate:
            try:
                fcntl.flock(gate, fcntl.LOCK_EX)
            except OSError as error:
                # Then the file that only one can make, and the token in it, are all there is.
                log.warning("%s cannot be locked (%s)", self._path.parent, error.strerror)
            if self._path.exists():
                holder = _read(self._path)
                if not _is_dead(holder) and not _is_silent(self._path, holder):
                    raise ClaimedError(
                        f"{self._path.parent.name} is being evaluated by process {holder.get('pid')} on {holder.get('host')}: "
                        f"wait for it; if it is gone, its claim lapses after {SILENCE_S:.0f} s"
                    )
                self._path.unlink(missing_ok=True)
            try:
                handle = os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
            except FileExistsError:
                raise ClaimedError(f"{self._path.parent.name} was claimed by another process just now") from None
            with os.fdopen(handle, "w") as file:
                json.dump(self._own, file)
        self._thread.start()

    def is_ours(self) -> bool:
        """Whether nobody has taken it over."""
        return bool(_read(self._path).get("token") == self._own["token"])

    def release(self) -> None:
        """Remove the file, unless it is another's."""
        self._ended.set()
        self._thread.join()
        # A claim that cannot be removed lapses by its silence.
        with suppress(OSError):
            if self.is_ours():
                self._path.unlink(missing_ok=True)

    def _beat(self) -> None:
        while not self._ended.wait(BEAT_S):
            try:
                if not self.is_ours():
                    return
                self._own["beat"] += 1
                replace_text(self._path, json.dumps(self._own), sync=False)
            except OSError as error:  # a full disk: results could not be written either
                log.warning("the claim's beat could not be written: %s", error.strerror)


@contextmanager
def claimed(folder: Path) -> Iterator[Claim]:
    """Hold the claim of an evaluation folder, which is made if need be.

    Raises:
        ClaimedError: a process that lives, or may live, holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    claim = Claim(folder / CLAIM)
    claim.take()
    try:
        yield claim
    finally:
        claim.release()


_seen: dict[Path, tuple[str, float]] = {}
"""What this process last read in a claim of another host, and since when it has read it."""


def _is_silent(path: Path, holder: dict[str, Any]) -> bool:
    """Whether a claim has said the same for so long that its holder must be gone."""
    said, now = json.dumps(holder, sort_keys=True), time.monotonic()
    before, since = _seen.get(path, ("", now))
    if said != before:
        _seen[path] = (said, now)
        return False
    return now - since > SILENCE_S


def _read(claim: Path) -> dict[str, Any]:
    """What a claim says; nothing for one that is gone, or whose writer died before it had written.

    Raises:
        OSError: that cannot be known now.
    """
    try:
        holder = json.loads(read_patiently(claim))
    except (FileNotFoundError, ValueError):
        return {}
    return holder if isinstance(holder, dict) else {}


def _is_dead(holder: dict[str, Any]) -> bool:
    """Whether the holder is known to be gone; of another host nothing can be known at once."""
    if not holder:
        return True
    if holder.get("host") != socket.gethostname():
        return False
    # A number that was given to another process since is told by its start.
    started = _started(int(holder["pid"]))
    return started is None or started != holder.get("started")


def _started(pid: int) -> str | None:
    """When a process of this host started, in ticks since boot; None if there is none of this number (or a zombie)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] == "Z" else fields[19]
