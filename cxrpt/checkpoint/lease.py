"""One trainer a run: a lock that ends with the process that holds it."""

import fcntl
import os
import time
from pathlib import Path

from cxrpt.errors import InputError

_WAIT_S = 15.0


def take_lease(run_dir: Path, wait_s: float = _WAIT_S) -> int:
    """Lock the run directory for this process; a trainer that is just ending is waited for.

    Returns:
        The file descriptor that holds the lock: keep it open.

    Raises:
        InputError: another trainer works on the run.
    """
    handle = os.open(run_dir / "lease", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    until = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return handle
        except BlockingIOError:
            if time.monotonic() > until:
                os.close(handle)
                raise InputError(f"another trainer works on {run_dir}: wait for it, stop it, or choose another name") from None
            time.sleep(0.2)
