"""Which checkpoints of a run are still to be evaluated, and whether more will come."""

from pathlib import Path

from cxrpt.attempts import STOP_FILE, read_attempts
from cxrpt.checkpoint.store import committed_steps
from cxrpt.config import RunConfig
from cxrpt.run_paths import evaluation_folder


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
    return [step for step in wanted if not (evaluation_folder(run_dir, step) / "results.json").exists()]


def run_has_ended(run_dir: Path, config: RunConfig) -> bool:
    """Whether no more checkpoints will come: the last step is there, or the last attempt ended for good."""
    if config.train.steps in committed_steps(run_dir):
        return True
    attempts = read_attempts(run_dir)
    return bool(attempts) and (attempts[-1].code in (1, 2) or (attempts[-1].code == 75 and (run_dir / STOP_FILE).exists()))
