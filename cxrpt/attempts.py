"""How often a run was started, from where, and how each start ended.

    RUN_DIR/attempts.jsonl
        {"event": "start", "attempt": 3, "time": ..., "host": "n1", "job": "4711", "ranks": 4, "step": 200}
        {"event": "end", "attempt": 3, "time": ..., "code": 75, "why": ""}

An attempt without an end was killed, with its machine perhaps. Rank 0 writes, under the run's lease.
"""

import json
import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cxrpt.errors import InputError

ATTEMPTS = "attempts.jsonl"
STOP_FILE = "stop-requested"
"""In the run directory: a run that stops with a save is not to go on by itself. The next start takes it away."""
LOST_ANOTHER = 71
"""Code of a rank that ends because another has ended or is out of reach: whether the run goes on is not known then."""

log = logging.getLogger(__name__)


@dataclass
class Attempt:
    """One start of a run."""

    attempt: int
    time: float
    """When it began, seconds since 1970."""
    host: str
    job: str
    """Number of the SLURM job, empty for a local run."""
    ranks: int
    step: int
    """Last committed step when it began."""
    ended: float = 0.0
    code: int | None = None
    """Its exit code; None while it runs, or if it was killed."""
    why: str = ""
    """What an error said."""


def read_attempts(run_dir: Path) -> list[Attempt]:
    """All attempts of a run, first to last; lines that a kill has torn are passed over."""
    found: dict[int, Attempt] = {}
    try:
        lines = (run_dir / ATTEMPTS).read_text(errors="replace").splitlines()
    except OSError:
        return []
    for line in lines:
        try:
            fields = json.loads(line)
            event = fields.pop("event")
            if event == "start":
                found[fields["attempt"]] = Attempt(**fields)
            elif fields["attempt"] in found:
                one = found[fields["attempt"]]
                one.ended, one.code, one.why = fields["time"], fields["code"], fields["why"]
        except (ValueError, TypeError, KeyError, AttributeError):
            continue
    return list(found.values())


def starts_without_progress(run_dir: Path, job: str, step: int) -> int:
    """How many attempts in a row, the newest ones of a job, began where the run still stands."""
    count = 0
    for attempt in reversed(read_attempts(run_dir)):
        if attempt.job != job or attempt.step != step:
            break
        count += 1
    return count


class Record:
    """An attempt that is under way."""

    code = 0


@contextmanager
def recorded(run_dir: Path, job: str, ranks: int, step: int) -> Iterator[Record]:
    """Write down an attempt's start, and its end with `Record.code` or what an error says."""
    number = max((one.attempt for one in read_attempts(run_dir)), default=0) + 1
    start = {"attempt": number, "time": time.time(), "host": socket.gethostname(), "job": job, "ranks": ranks, "step": step}
    _append(run_dir, {"event": "start"} | start)
    record, why = Record(), ""
    try:
        yield record
    except BaseException as error:
        from cxrpt.dist.collectives import lost_another_rank

        record.code = 2 if isinstance(error, InputError) else LOST_ANOTHER if lost_another_rank(error) else 1
        why = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
        raise
    finally:
        _append(run_dir, {"event": "end", "attempt": number, "time": time.time(), "code": record.code, "why": why[:500]})


def _append(run_dir: Path, fields: dict[str, Any]) -> None:
    try:
        with (run_dir / ATTEMPTS).open("a") as file:
            # After a torn line, one of its own.
            file.write(("\n" if file.tell() and not _ends_whole(run_dir / ATTEMPTS) else "") + json.dumps(fields) + "\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        log.warning("%s could not be written: %s", ATTEMPTS, error.strerror)


def _ends_whole(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
