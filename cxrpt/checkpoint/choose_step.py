"""Which committed step is meant."""

from pathlib import Path

from cxrpt.checkpoint.store import committed_steps
from cxrpt.errors import InputError


def choose_step(run_dir: Path, step: int | None) -> int:
    """The step that was named, or the newest one.

    Raises:
        InputError: the run has no committed step, or not this one; the message names the nearest.
    """
    steps = committed_steps(run_dir)
    if not steps:
        raise InputError(f"{run_dir} has no committed checkpoint yet: the first one comes after train.checkpoint_every steps")
    if step is None:
        return steps[-1]
    if step not in steps:
        nearest = min(steps, key=lambda one: abs(one - step))
        listed = ", ".join(map(str, steps)) if len(steps) <= 12 else f"{len(steps)} from {steps[0]} to {steps[-1]}"
        raise InputError(f"step {step} has no committed checkpoint: the nearest is {nearest}; committed are {listed}")
    return step
