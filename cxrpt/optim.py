"""The learning rate, a pure function of the step."""

import math

from cxrpt.config import OptimConfig


def learning_rate(step: int, steps: int, config: OptimConfig) -> float:
    """Linear warm-up, then a cosine down to `min_lr` (Loshchilov and Hutter, 2017).

    Args:
        step: the step to come, from 1 to `steps`.
        steps: steps of the whole run.
        config: peak, floor and warm-up; a warm-up longer than the run is cut to a tenth of it.
    """
    warmup = config.warmup_steps if config.warmup_steps < steps else steps // 10
    if step <= warmup:
        return config.lr * step / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    return config.min_lr + (config.lr - config.min_lr) * (1 + math.cos(math.pi * min(1.0, progress))) / 2
