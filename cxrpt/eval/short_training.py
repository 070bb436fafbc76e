"""Short training of a classifier on labelled images: order and rate are pure functions of the step and a seed.

labels of train ─► steps, a warm-up and half a cosine ─► judged on val _CHECKS times ─► the weights that did best there
"""

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cxrpt.config import OptimConfig
from cxrpt.data.hashing import derive, permute
from cxrpt.eval.labelled import Labelled
from cxrpt.eval.scores import mean_auroc
from cxrpt.optim import learning_rate

_ORDER = 44
_WARMUP = 0.1
_CHECKS = 10


def num_steps(images: int, batch: int, most: int, epochs: int) -> int:
    """`epochs` passes over so many images, but at most `most` steps."""
    return max(1, min(most, epochs * math.ceil(images / batch)))


def pace(step: int, steps: int) -> float:
    """What a step's learning rate is, relative to the highest: a linear warm-up over the first tenth, then half a cosine to 0.

    The cosine ends a step after the last, which would else do nothing.
    """
    shape = OptimConfig(lr=1.0, min_lr=0.0, schedule="cosine", warmup_steps=max(1, round(_WARMUP * steps)))
    return learning_rate(step, steps + 1, shape)


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


@dataclass(frozen=True)
class Classifier:
    """What is trained."""

    weights: nn.Module
    """Holds all of them, and is in training mode."""
    log_odds: Callable[[np.ndarray], Tensor]
    """(images, ...) features to (images, classes)."""
    batch: int
    """Images at once."""


def train_classifier(
    classifier: Classifier,
    optimizer: torch.optim.Optimizer,
    train: Labelled,
    choose_on: Labelled | None,
    steps: int,
    seed: int,
    clip_norm: float = math.inf,
) -> dict[str, Any]:
    """Train, and leave the weights of the step that scored best on `choose_on`, or of the last.

    Args:
        classifier: what is trained.
        optimizer: over its weights; each group names its highest learning rate, "highest".
        train: with at least one class that can be fitted.
        choose_on: what the step to stop at is chosen on; without it, or labels of both kinds in it, the last is taken.
        steps: of the whole training.
        seed: of the order.
        clip_norm: of the gradient.

    Returns:
        What was chosen, and on what.
    """
    parameters = [weight for group in optimizer.param_groups for weight in group["params"]]
    device = parameters[0].device
    labels, fittable = (torch.from_numpy(part).to(device) for part in (train.labels_NC, train.fittable_C))
    can_choose = choose_on is not None and bool((choose_on.fittable_C & train.fittable_C).any())
    best: tuple[float, int, dict[str, Any]] | None = None
    for step, taken in enumerate(batches(len(train), classifier.batch, steps, seed), 1):
        for group in optimizer.param_groups:
            group["lr"] = group["highest"] * pace(step, steps)
        optimizer.zero_grad()
        loss = label_loss(classifier.log_odds(train.features[taken]), labels[torch.from_numpy(taken).to(device)], fittable)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, clip_norm)
        optimizer.step()
        if choose_on is not None and can_choose and is_check(step, steps):
            quality = mean_auroc(choose_on.labels_NC, scores_of(classifier, choose_on.features, train.fittable_C))
            if best is None or quality > best[0]:
                best = quality, step, copy.deepcopy(classifier.weights.state_dict())
    if best is None:
        return {"step": steps, "of": steps, "on": "nothing: the last step"}
    classifier.weights.load_state_dict(best[2])
    return {"step": best[1], "of": steps, "on": "val"}


@torch.inference_mode()
def scores_of(classifier: Classifier, features: np.ndarray, fittable_C: np.ndarray) -> np.ndarray:
    """(images, classes) float64 log-odds; NaN for classes that could not be fitted."""
    classifier.weights.eval()
    firsts = range(0, len(features), classifier.batch)
    parts = [classifier.log_odds(features[at : at + classifier.batch]).float().cpu().numpy() for at in firsts]
    classifier.weights.train()
    return np.where(fittable_C, np.concatenate(parts).astype(np.float64), np.nan)
