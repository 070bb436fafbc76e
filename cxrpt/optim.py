"""Which parameters decay, and the learning rate, a pure function of the step.

cosine      warm-up ╱ then half a cosine down to min_lr at the last step
constant    warm-up ╱ then lr, and a straight line down to min_lr over the last cooldown_steps
"""

import math
from typing import TYPE_CHECKING, Any

from cxrpt.config import OptimConfig

if TYPE_CHECKING:
    from torch import nn

_UNDECAYED = ("position", "token.weight")
"""Ends of the names of embeddings, which have two dimensions as matrices have."""


def parameter_groups(model: "nn.Module", weight_decay: float) -> list[dict[str, Any]]:
    """Matrices decay; norms, biases, embeddings, positions and single rows do not."""
    groups: dict[bool, list[nn.Parameter]] = {True: [], False: []}
    for name, parameter in model.named_parameters():
        groups[parameter.dim() >= 2 and not name.endswith(_UNDECAYED)].append(parameter)
    return [{"params": groups[True], "weight_decay": weight_decay}, {"params": groups[False], "weight_decay": 0.0}]


def learning_rate(step: int, steps: int, config: OptimConfig) -> float:
    """The learning rate of a step: linear warm-up, then by `config.schedule`.

    `cosine` falls to `min_lr` (Loshchilov and Hutter, 2017). `constant` stays, so that a run may be made longer without
    another past, and falls in a straight line over its last `cooldown_steps` (Hägele et al., 2024).

    Args:
        step: the step to come, from 1 to `steps`.
        steps: steps of the whole run.
        config: peak, floor, warm-up and schedule. A warm-up longer than the run is cut to a tenth of it; a cooldown longer
            than what the warm-up leaves begins where that ends.
    """
    warmup = config.warmup_steps if config.warmup_steps < steps else steps // 10
    if step <= warmup:
        return config.lr * step / warmup
    if config.schedule == "constant":
        cooldown = min(config.cooldown_steps, steps - warmup)
        left = min(1.0, (steps - step) / cooldown) if cooldown else 1.0
    else:
        left = (1 + math.cos(math.pi * min(1.0, (step - warmup) / (steps - warmup)))) / 2
    return config.min_lr + (config.lr - config.min_lr) * left
