"""DeepSpeed behind five verbs: the only importer of deepspeed, whose JSON is generated here from the typed config."""

import contextlib
import io
import logging
import math
import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cxrpt.config import EngineConfig, OptimConfig
from cxrpt.dist.world import World
from cxrpt.errors import InputError

log = logging.getLogger(__name__)

SHARDS_TAG = "deepspeed"
"""Folder of the shards within a checkpoint's folder."""


def deepspeed_json(engine: EngineConfig, optim: OptimConfig, micro_batch: int, accumulation: int, world: int) -> dict[str, Any]:
    """DeepSpeed's configuration."""
    return {
        "train_micro_batch_size_per_gpu": micro_batch,
        "gradient_accumulation_steps": accumulation,
        "train_batch_size": micro_batch * accumulation * world,
        "gradient_clipping": optim.clip_norm,
        "bf16": {"enabled": engine.precision == "bf16"},
        "communication_data_type": "fp32",
        "data_types": {"grad_accum_dtype": "fp32"},
        "zero_optimization": {"stage": engine.zero_stage, "overlap_comm": False, "contiguous_gradients": True},
        "steps_per_print": 2**31 - 1,
        "wall_clock_breakdown": False,
        "torch_autocast": {"enabled": False},
    }


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Matrices decay; norms, biases, embeddings, positions and single rows do not."""
    groups: dict[bool, list[nn.Parameter]] = {True: [], False: []}
    for name, parameter in model.named_parameters():
        decays = parameter.dim() >= 2 and not name.endswith(("position", "position.weight", "token.weight"))
        groups[decays].append(parameter)
    return [
        {"params": groups[True], "weight_decay": weight_decay},
        {"params": groups[False], "weight_decay": 0.0},
    ]


class Engine:
    """A model whose optimizer state is spread over ranks."""

    def __init__(
        self, model: nn.Module, engine: EngineConfig, optim: OptimConfig, micro_batch: int, accumulation: int, world: World
    ):
        """Hand the model over to DeepSpeed; all ranks must have built it with the same weights."""
        os.environ.setdefault("DS_ACCELERATOR", world.device.type)
        import deepspeed
        from deepspeed.utils import logger

        # Its words belong into the rank's log, not between the progress lines.
        logger.handlers.clear()
        logger.propagate = True
        # An inference kernel that training never calls; building it takes a compiler and up to a minute.
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
        b1, b2 = optim.betas
        groups = parameter_groups(model, optim.weight_decay)
        fused = world.device.type == "cuda"
        optimizer = torch.optim.AdamW(groups, lr=optim.lr, betas=(b1, b2), eps=optim.eps, fused=fused)
        # Without an optimizer of DeepSpeed's own nobody tells the norm or looks for values that are not finite.
        self._plain = engine.zero_stage == 0 and engine.precision == "fp32"
        said = io.StringIO()
        with contextlib.redirect_stdout(said):  # it prints memory tables, meant for itself
            self._engine, *_ = deepspeed.initialize(
                model=model.to(world.device),
                optimizer=optimizer,
                config=deepspeed_json(engine, optim, micro_batch, accumulation, world.size),
            )
        log.info("DeepSpeed: %s", " | ".join(said.getvalue().splitlines()))
        self._norm: Tensor | float | None = None
        # DeepSpeed divides by accumulation and averages over ranks; our losses are already means over the global batch.
        self._undo_division = float(accumulation * world.size)

    @property
    def model(self) -> nn.Module:
        return self._engine.module

    def forward(self, *inputs: Any) -> Any:
        """The model's outputs."""
        return self._engine(*inputs)

    def backward(self, loss: Tensor) -> None:
        """Add the gradient of `loss`: over ranks and micro-batches of a step they sum, nothing is divided."""
        self._engine.backward(loss * self._undo_division)

    def step(self, lr: float) -> bool:
        """Clip and update, at the end of a step's last micro-batch, or do nothing before it.

        On a GPU, DeepSpeed itself waits here for the gradient, before it launches the update: ZeRO 1 and 2 in bf16 fetch
        whether a gradient overflowed and whether the norm is finite, other settings the latter. Skipping needs it; we add
        nothing, so that the update and the next forward are launched without a wait.

        Returns:
            Whether the update was skipped, as the gradient is not finite.

        Raises:
            RuntimeError: a gradient that is not finite where DeepSpeed would apply it (ZeRO 0 in fp32).
        """
        for group in self._engine.optimizer.param_groups:
            group["lr"] = lr
        if not self._engine.is_gradient_accumulation_boundary():
            self._engine.step()
            return False
        if self._plain:
            gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
            self._norm = float(torch.nn.utils.get_total_norm(gradients))
            if not math.isfinite(self._norm):
                raise RuntimeError("a gradient is not finite; ZeRO stage 0 in fp32 cannot skip the step: use stage 1")
            self._engine.step()
            return False
        skipped_before = self._engine.skipped_steps
        self._engine.step()
        self._norm = self._engine.get_global_grad_norm()
        skipped = self._engine.skipped_steps > skipped_before
        if skipped:
            self._norm = float("nan")
        return skipped

    def grad_norm(self) -> float:
        """The norm of the last update's gradient before clipping; not finite if it was skipped. Waits for the GPU."""
        return float(self._norm or 0.0)

    def weights(self) -> dict[str, Tensor]:
        """The model's weights by name, as the forward pass uses them, on the CPU."""
        return {name: tensor.detach().cpu().contiguous() for name, tensor in self.model.state_dict().items()}

    def save(self, folder: Path) -> None:
        """Write this rank's shards below `folder`; every rank must call it."""
        self._engine.save_checkpoint(str(folder), tag=SHARDS_TAG, save_latest=False, exclude_frozen_parameters=False)

    def load(self, folder: Path) -> None:
        """Read this rank's shards; every rank must call it, in a world like the one that saved.

        Raises:
            InputError: DeepSpeed finds no shards for this rank there.
        """
        path, _ = self._engine.load_checkpoint(str(folder), tag=SHARDS_TAG)
        if path is None:
            raise InputError(
                f"{folder} holds no DeepSpeed shards for this rank: remove its COMMITTED file to resume from the step before"
            )
