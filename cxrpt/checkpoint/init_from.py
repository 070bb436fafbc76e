"""A new run that begins with the weights of another (`train.init_from`); optimizer and data begin anew."""

from pathlib import Path

import torch

from cxrpt.checkpoint.export import MODEL, WEIGHTS, read_model_facts, read_weights
from cxrpt.checkpoint.shards import INDEX, SHARDS, ShardReader
from cxrpt.checkpoint.store import committed_steps, step_folder
from cxrpt.data.text import Tokenizer
from cxrpt.errors import InputError
from cxrpt.model.embed import resize_positions
from cxrpt.model.pretrain import PretrainModel, Shape

_MAY_DIFFER = ("image_size", "scales", "normalize_targets", "contrast")
"""Of the shape of two models, one of which begins with the other's weights: positions are interpolated, heads start anew."""


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
    shape_before, about = read_model_facts(folder)
    if about["tokenizer"] != tokenizer.fingerprint:
        raise InputError(
            f"train.init_from={where!r}: its weights were learnt with tokenizer {about['tokenizer']}, data.tokenizer is "
            f"{tokenizer.fingerprint}: name the tokenizer.model that lies beside the weights"
        )
    for name, now in vars(shape).items():
        before = getattr(shape_before, name)
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
        InputError: the weights are damaged, or of an earlier version, in which words came in otherwise.
    """
    sharded = (folder / SHARDS / INDEX).is_file()
    given = ShardReader(folder).weights() if sharded else {n: t.float() for n, t in read_weights(folder).items()}
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
