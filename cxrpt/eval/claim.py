"""Who evaluates a step: a file that one process makes, and that says which.

    evals/step-00001000/claim    {"host": "node7", "pid": 4711, "started": "8812345"}

The claim of a process that has died on this host is taken over. Of another host nothing can be known from here.
"""

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cxrpt.errors import InputError

CLAIM = "claim"


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Hold the claim of an evaluation folder, which is made if need be.

    Raises:
        InputError: a process that lives, or one of another host, holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    claim = folder / CLAIM
    _take(claim)
    try:
        yield
    finally:
        claim.unlink(missing_ok=True)


def _take(claim: Path) -> None:
    own = {"host": socket.gethostname(), "pid": os.getpid(), "started": _started(os.getpid())}
    # Two processes that find a dead one's claim must not remove each other's new one.
    with claim.with_name(CLAIM + ".lock").open("w") as gate:
        fcntl.flock(gate, fcntl.LOCK_EX)
        if claim.exists():
            holder = _read(claim)
            if _lives(holder):
                raise InputError(
                    f"{claim.parent.name} is being evaluated by process {holder.get('pid')} on {holder.get('host')}: "
                    f"wait for it, or remove {claim} if it is gone"
                )
            claim.unlink()
        handle = os.open(claim, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
        with os.fdopen(handle, "w") as file:
            json.dump(own, file)


def _read(claim: Path) -> dict:
    """What a claim says; nothing for one whose writer died before it had written."""
    try:
        holder = json.loads(claim.read_text())
    except ValueError:
        return {}
    return holder if isinstance(holder, dict) else {}


def _lives(holder: dict) -> bool:
    if not holder:
        return False
    if holder.get("host") != socket.gethostname():
        return True
    # A number that was given to another process since is told by its start.
    return _started(int(holder["pid"])) == holder.get("started") is not None


def _started(pid: int) -> str | None:
    """When a process of this host started, in ticks since boot; None if there is none of this number (or a zombie)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] == "Z" else fields[19]
