"""From which checkpoint a run goes on."""

import logging
from pathlib import Path

from cxrpt.checkpoint.state import RunState
from cxrpt.checkpoint.store import check_files, committed_steps, set_aside, step_folder
from cxrpt.dist.collectives import from_first_rank, gather_objects
from cxrpt.errors import InputError

log = logging.getLogger(__name__)


def choose_checkpoint(run_dir: Path, rank: int, ranks: int, last_good: bool) -> Path | None:
    """The folder of the last committed step, its files compared with their checksums; None if there is none.

    Every rank must call it: each reads its share of the files.

    Args:
        run_dir: of the run.
        rank: of this process.
        ranks: how many there are.
        last_good: set damaged checkpoints aside and take the last that is whole.

    Raises:
        InputError: the last one is damaged, and `last_good` is not set; or none is whole.
    """
    damaged: dict[int, str] = {}
    for step in reversed(from_first_rank(committed_steps(run_dir) if rank == 0 else None)):
        folder = step_folder(run_dir, step)
        problems = [problem for problem in gather_objects(_problem(folder, rank, ranks)) if problem]
        if problems and not last_good:
            raise InputError(problems[0])
        if problems:
            damaged[step] = problems[0].partition(": restore it")[0]
            continue
        for one in damaged if rank == 0 else ():
            log.warning("%s; set aside as %s", damaged[one], set_aside(run_dir, one).name)
        return folder
    if damaged:
        told = "; ".join(damaged.values())
        raise InputError(f"{run_dir} holds no checkpoint that is whole ({told}): restore one, or start anew under another name")
    return None


def _problem(folder: Path, rank: int, ranks: int) -> str | None:
    try:
        check_files(folder, rank, ranks)
    except InputError as error:
        return str(error)
    return None


def last_state(run_dir: Path, last_good: bool) -> RunState | None:
    """What the newest checkpoint remembers, for a look before ranks start; None if there is none.

    Raises:
        InputError: it cannot be read, and `last_good` is not set.
    """
    for step in reversed(committed_steps(run_dir)):
        try:
            return RunState.read(step_folder(run_dir, step))
        except InputError:
            if not last_good:
                raise
    return None
