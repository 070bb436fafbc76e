"""A worker that evaluates a run's checkpoints as they come, any number of them at one run, on any machines that share a disk.

committed steps ─► those the run wants evaluated (eval.every, eval.order) ─► claim ─► evaluate ─► results ─► MLflow

It ends when the run has ended and nothing that is wanted is left, or when the trainer has been silent for eval.idle_min.
"""

import logging
import sys
import time
from collections.abc import Callable
from pathlib import Path

from cxrpt.attempts import STOP_FILE, read_attempts
from cxrpt.checkpoint.store import committed_steps
from cxrpt.config import RunConfig, config_of
from cxrpt.errors import InputError
from cxrpt.eval.claim import ClaimedError, Interrupted
from cxrpt.eval.page.page import write_page
from cxrpt.eval.worker import evaluate_step
from cxrpt.track.sink import sync_once
from cxrpt.track.trouble import TrackingError

_POLL_S = 2.0
_MAX_FAILURES = 3
"""Evaluations of a step that may fail before it is left alone."""

log = logging.getLogger(__name__)


def wanted_steps(config: RunConfig, committed: list[int]) -> list[int]:
    """The steps of a run that are to be evaluated, in the order to take them.

    As `eval.every` and `eval.order` say; the run's last step is always among them.
    """
    apart = config.eval.every * config.train.checkpoint_every
    chosen = [step for step in committed if config.eval.every == 1 or step % apart == 0 or step >= config.train.steps]
    return sorted(chosen, reverse=config.eval.order == "newest")


def backlog(run_dir: Path, config: RunConfig) -> list[int]:
    """The wanted steps that have no results yet, in the order to take them."""
    wanted = wanted_steps(config, committed_steps(run_dir))
    return [step for step in wanted if not (run_dir / "evals" / f"step-{step:08d}" / "results.json").exists()]


def run_has_ended(run_dir: Path, config: RunConfig) -> bool:
    """Whether no more checkpoints will come: the last step is there, or the last attempt ended for good."""
    if config.train.steps in committed_steps(run_dir):
        return True
    attempts = read_attempts(run_dir)
    return bool(attempts) and (attempts[-1].code in (1, 2) or (attempts[-1].code == 75 and (run_dir / STOP_FILE).exists()))


def watch_run(run_dir: Path, stopped: Callable[[], bool]) -> int:
    """Evaluate until the run has ended and its backlog is empty.

    Args:
        run_dir: the run's directory.
        stopped: whether the worker was asked to stop; an evaluation under way is given up, its claim with it.

    Returns:
        0 when all is done, 75 when it was stopped before.

    Raises:
        InputError: no run directory.
    """
    config = config_of(run_dir)
    failures: dict[int, int] = {}
    sign, seen = "", time.monotonic()
    while not stopped():
        ended = run_has_ended(run_dir, config)
        left = [step for step in backlog(run_dir, config) if failures.get(step, 0) < _MAX_FAILURES]
        if not any(_try(run_dir, step, stopped, failures) for step in left):
            if ended and not left:
                _renew_page(run_dir)
                return 0
            if (now := _sign_of_life(run_dir)) != sign:
                sign = now
                seen = time.monotonic()
            if not left and time.monotonic() - seen > 60 * config.eval.idle_min:
                sys.stderr.write(f"cxrpt: the trainer has been silent for {config.eval.idle_min:g} min: this worker ends\n")
                return 0
            time.sleep(_POLL_S)
    return 75


def _renew_page(run_dir: Path) -> None:
    """Write the last step's page again: its curves now have the steps that were evaluated after it."""
    found = sorted(run_dir.glob("evals/*/results.json"))
    try:
        if found:
            write_page(run_dir, found[-1])
    except InputError as error:
        log.warning("%s", error)


def _sign_of_life(run_dir: Path) -> str:
    """What changes as long as a trainer lives, by its lease's beat; clocks need not agree."""
    try:
        return (run_dir / "lease.json").read_text()
    except OSError:
        return ""


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
    sys.stderr.write(f"cxrpt: step {step} is evaluated: {results}\n")
    try:
        sync_once(run_dir, look=False)
    except (InputError, TrackingError) as error:
        # Not tracked, or the server is away: the trainer's sink, or the next one, sends it.
        log.info("not sent to MLflow: %s", error)
    return True
