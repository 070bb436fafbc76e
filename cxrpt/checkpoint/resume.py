"""From which checkpoint a run goes on, and with which weights a new one begins."""

import json
import logging
from pathlib import Path

import torch
from safetensors.torch import load_file

from cxrpt.checkpoint.export import MODEL, WEIGHTS
from cxrpt.checkpoint.shards import INDEX, SHARDS, ShardReader
from cxrpt.checkpoint.state import RunState
from cxrpt.checkpoint.store import check_files, committed_steps, set_aside, step_folder
from cxrpt.data.text import Tokenizer
from cxrpt.dist.collectives import from_first_rank, gather_objects
from cxrpt.errors import InputError
from cxrpt.model.embed import resize_positions
from cxrpt.model.pretrain import PretrainModel, Shape

log = logging.getLogger(__name__)

_MAY_DIFFER = ("image_size", "scales", "normalize_targets", "contrast")
"""Of the shape of two models, one of which begins with the other's weights: positions are interpolated, heads start anew."""


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


def check_init(where: str, shape: Shape, tokenizer: Tokenizer) -> Path:
    """The folder whose weights a new run may begin with.

    Args:
        where: a run directory (its last committed step), a checkpoint's folder, or a folder that `cxrpt export` made.
        shape: of the new run's model.
        tokenizer: of the new run.

    Raises:
        InputError: there are no weights, or they do not fit the new model.
    """
    path = Path(where)
    steps = committed_steps(path)
    folder = step_folder(path, steps[-1]) if steps else path
    for name in (WEIGHTS, MODEL):
        if not (folder / name).is_file():
            raise InputError(
                f"train.init_from={where!r}: {folder} holds no {name}: name a run with a committed step, a checkpoint, "
                "or a folder that `cxrpt export` made"
            )
    about = json.loads((folder / MODEL).read_text())
    if about["tokenizer"] != tokenizer.fingerprint:
        raise InputError(
            f"train.init_from={where!r}: its weights were learnt with tokenizer {about['tokenizer']}, data.tokenizer is "
            f"{tokenizer.fingerprint}: name the tokenizer.model that lies beside the weights"
        )
    for name, now in vars(shape).items():
        before = about["shape"][name]
        if before != now and name not in _MAY_DIFFER:
            raise InputError(
                f"train.init_from={where!r}: its model has {name}={before!r}, the configuration {now!r}: set it back"
            )
    return folder


def init_model(model: PretrainModel, folder: Path) -> list[str]:
    """Give a new model the weights of another run.

    Positions of patches are interpolated where the pictures have another size.

    Returns:
        Names of weights that start anew, since the other model lacks them.

    Raises:
        InputError: the weights are of an earlier version, in which words came in otherwise.
    """
    sharded = (folder / SHARDS / INDEX).is_file()
    given = ShardReader(folder).weights() if sharded else {n: t.float() for n, t in load_file(folder / WEIGHTS).items()}
    if "text.position" not in given:
        raise InputError(
            f"train.init_from: the weights in {folder} are of an earlier version, which scaled words otherwise: train anew"
        )
    given["image.position"] = resize_positions(given["image.position"], model.image.grid)
    fresh = []
    with torch.no_grad():
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
            if name in given:
                tensor.copy_(given[name])
            else:
                fresh.append(name)
    return fresh
