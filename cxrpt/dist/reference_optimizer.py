"""The optimizer of ZeRO stage 0 in fp32, where DeepSpeed has none of its own around torch's."""

import math
from collections.abc import Callable
from typing import Any

import torch


class ReferenceAdamW(torch.optim.AdamW):
    """AdamW that clips, tells the gradient's norm, and leaves out a step whose gradient is not finite.

    DeepSpeed's engine reads `overflow` and `_global_grad_norm` after each step, as it does of its own optimizers.
    """

    def __init__(self, groups: list[dict[str, Any]], clip_norm: float, **options: Any):
        super().__init__(groups, **options)
        self.clip_norm, self.overflow, self._global_grad_norm = clip_norm, False, 0.0

    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update, unless a gradient is not finite; gradients are the same on all ranks here, hence the answer too."""
        assert closure is None
        parameters = [p for group in self.param_groups for p in group["params"] if p.grad is not None]
        norm = torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
        self._global_grad_norm = float(norm)
        self.overflow = not math.isfinite(self._global_grad_norm)
        if not self.overflow:
            torch.nn.utils.clip_grads_with_norm_(parameters, self.clip_norm, norm)
            super().step()
