"""Short training of classifiers: how many steps, how fast, in which order; pure functions of the step and a seed."""

import math
from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cxrpt.data.hashing import derive, permute

_ORDER = 44
_WARMUP = 0.1
_CHECKS = 10


def num_steps(images: int, batch: int, most: int, epochs: int) -> int:
    """`epochs` passes over so many images, but at most `most` steps."""
    return max(1, min(most, epochs * math.ceil(images / batch)))


def pace(step: int, steps: int) -> float:
    """What a step's learning rate is, relative to the highest: a linear warm-up over the first tenth, then half a cosine to 0.

    Args:
        step: from 1 to `steps`.
        steps: of the whole training.
    """
    warmup = max(1, round(_WARMUP * steps))
    if step <= warmup:
        return step / warmup
    return (1 + math.cos(math.pi * (step - warmup) / (steps - warmup + 1))) / 2


def batches(images: int, batch: int, steps: int, seed: int) -> Iterator[np.ndarray]:
    """Numbers of the images of each step: pass after pass over all of them, each in an order of its own.

    A pass is cut into batches of nearly one size, `batch` at most: a last one of a single image would weigh as much as any.
    """
    per_pass = math.ceil(images / batch)
    for step in range(steps):
        epoch, number = divmod(step, per_pass)
        places = np.arange(images * number // per_pass, images * (number + 1) // per_pass)
        yield permute(places, images, derive(_ORDER, seed, epoch))


def is_check(step: int, steps: int) -> bool:
    """Whether the weights are judged after a step: _CHECKS times, evenly, and after the last."""
    return step == steps or step * _CHECKS // steps > (step - 1) * _CHECKS // steps


def label_loss(logits_NC: Tensor, labels_NC: Tensor, fittable_C: Tensor) -> Tensor:
    """Binary cross-entropy, the mean over the labels that are known (0 or 1) of the classes that can be fitted."""
    known = (labels_NC >= 0) & fittable_C
    losses = F.binary_cross_entropy_with_logits(logits_NC.float(), labels_NC.clamp(min=0).float(), reduction="none")
    return torch.where(known, losses, 0).sum() / known.sum().clamp(min=1)
