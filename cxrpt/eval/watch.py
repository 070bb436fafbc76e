"""A worker that evaluates a run's checkpoints as they come, any number of them at one run, on any machines that share a disk.

committed steps ─► those the run wants evaluated (eval.every, eval.order) ─► claim ─► evaluate ─► results ─► MLflow

It ends when the run has ended and nothing that is wanted is left, or when the trainer has been silent for eval.idle_min.
A step that failed again and again is left alone, and the worker then ends with a code that says so.
"""

import logging
import sys
import time
from collections.abc import Callable
from pathlib import Path

from cxrpt.checkpoint.store import committed_steps
from cxrpt.config import config_of
from cxrpt.errors import InputError
from cxrpt.eval.backlog import backlog, run_has_ended
from cxrpt.eval.claim import ClaimedError, Interrupted
from cxrpt.eval.page.page import write_page
from cxrpt.eval.worker import evaluate_step
from cxrpt.run_paths import results_files
from cxrpt.track.sink import sync_once
from cxrpt.track.trouble import TrackingError

_POLL_S = 2.0
_MAX_FAILURES = 3
"""Evaluations of a step that may fail before it is left alone."""

_TROUBLE_PAUSE_S = 30.0
"""Wait after an evaluation that failed by the machine, not by its input."""

log = logging.getLogger(__name__)


def watch_run(run_dir: Path, stopped: Callable[[], bool]) -> int:
    """Evaluate until the run has ended and its backlog is empty.

    Args:
        run_dir: the run's directory.
        stopped: whether the worker was asked to stop; an evaluation under way is given up, its claim with it.

    Returns:
        0 when all is done, 1 when steps were left alone that could not be evaluated, 75 when it was stopped before.

    Raises:
        InputError: no run directory.
    """
    config = config_of(run_dir)
    failures: dict[int, int] = {}
    sign, seen = "", time.monotonic()
    while not stopped():
        ended = run_has_ended(run_dir, config)
        undone = backlog(run_dir, config)
        left = [step for step in undone if failures.get(step, 0) < _MAX_FAILURES]
        if not any(_try(run_dir, step, stopped, failures) for step in left):
            if ended and not left:
                _renew_page(run_dir)
                return _left_alone(run_dir, undone)
            if (now := _sign_of_life(run_dir)) != sign:
                sign = now
                seen = time.monotonic()
            if not left and time.monotonic() - seen > 60 * config.eval.idle_min:
                sys.stderr.write(f"cxrpt: the trainer has been silent for {config.eval.idle_min:g} min: this worker ends\n")
                return _left_alone(run_dir, undone)
            time.sleep(_POLL_S)
    return 75


def _left_alone(run_dir: Path, steps: list[int]) -> int:
    """Tell of the steps that are wanted and were given up; the code that a worker ends with then, or without any."""
    if not steps:
        return 0
    named = ", ".join(str(step) for step in sorted(steps))
    sys.stderr.write(
        f"cxrpt: not evaluated after {_MAX_FAILURES} failures each: step {named}; "
        f"`cxrpt evaluate {run_dir} --step N` evaluates one once the cause is mended\n"
    )
    return 1


def _renew_page(run_dir: Path) -> None:
    """Write the last step's page again: its curves now have the steps that were evaluated after it."""
    found = results_files(run_dir)
    try:
        if found:
            write_page(run_dir, found[max(found)])
    except InputError as error:
        log.warning("%s", error)


def _sign_of_life(run_dir: Path) -> str:
    """What changes as long as a trainer lives, by its lease's beat; clocks need not agree."""
    try:
        return (run_dir / "lease.json").read_text()
    except OSError:
        return ""


def _pause(seconds: float, stopped: Callable[[], bool]) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until and not stopped():
        time.sleep(min(1.0, seconds))


def _try(run_dir: Path, step: int, stopped: Callable[[], bool], failures: dict[int, int]) -> bool:
    """Evaluate a step; False if another worker is at it, it is gone, or it failed."""
    if stopped():
        return True
    try:
        results = evaluate_step(run_dir, step, stopped=stopped)
    except ClaimedError:
        return False
    except Interrupted:
        return True
    except InputError as error:
        if step not in committed_steps(run_dir):
            log.info("step %d was removed before it was evaluated", step)
            return False
        failures[step] = failures.get(step, 0) + 1
        sys.stderr.write(f"cxrpt: step {step} was not evaluated: {error}\n")
        return False
    except (OSError, RuntimeError) as error:
        # A file system that is away for a while, a full disk, memory of a GPU that others use: not the end of a worker's job.
        failures[step] = failures.get(step, 0) + 1
        sys.stderr.write(f"cxrpt: step {step} was not evaluated: {type(error).__name__}: {error}\n")
        log.info("step %d", step, exc_info=True)
        _pause(_TROUBLE_PAUSE_S, stopped)
        return False
    sys.stderr.write(f"cxrpt: step {step} is evaluated: {results}\n")
    try:
        sync_once(run_dir, look=False)
    except (InputError, TrackingError) as error:
        # Not tracked, or the server is away: the trainer's sink, or the next one, sends it.
        log.info("not sent to MLflow: %s", error)
    return True
