"""DeepSpeed behind five verbs: the only importer of deepspeed, whose JSON is generated here from the typed config."""

import contextlib
import io
import logging
import math
import os
from typing import Any

import torch
from torch import Tensor, nn

from cxrpt.checkpoint.shards import Piece, ShardReader
from cxrpt.config import EngineConfig, OptimConfig
from cxrpt.dist.partitions import adam_state, flat_tensors, pieces_of_rank, spread_weights
from cxrpt.dist.world import World

log = logging.getLogger(__name__)

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
"""Of the forward pass, by `engine.precision`."""

_SCALER_STATE = ("cur_scale", "cur_iter", "last_overflow_iter", "cur_hysteresis")
"""What fp16's dynamic loss scale depends on."""


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
        self._world, self._zero_stage = world, engine.zero_stage
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

    def step(self, lr: float) -> float:
        """Clip and update, at the end of a step's last micro-batch, or do nothing before it.

        Returns:
            The gradient's norm before clipping; not finite if the update was skipped.

        Raises:
            RuntimeError: a gradient that is not finite where DeepSpeed would apply it (ZeRO 0 in fp32).
        """
        for group in self._engine.optimizer.param_groups:
            group["lr"] = lr
        if not self._engine.is_gradient_accumulation_boundary():
            self._engine.step()
            return 0.0
        if self._plain:
            gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
            norm = float(torch.nn.utils.get_total_norm(gradients))
            if not math.isfinite(norm):
                raise RuntimeError("a gradient is not finite; ZeRO stage 0 in fp32 cannot skip the step: use stage 1")
            self._engine.step()
            return norm
        skipped = self._engine.skipped_steps
        self._engine.step()
        return float("nan") if self._engine.skipped_steps > skipped else float(self._engine.get_global_grad_norm() or 0.0)

    def pieces(self) -> list[Piece]:
        """What this rank keeps of weights and optimizer, as views."""
        return pieces_of_rank(self.model, self._engine.optimizer, self._world.rank)

    def pieces_to_save(self) -> list[Piece]:
        """Those that this rank saves: all, but where every rank has the same (ZeRO 0) every so many-th."""
        pieces = self.pieces()
        return pieces[self._world.rank :: self._world.size] if self._zero_stage == 0 else pieces

    def scalars(self) -> dict[str, Any]:
        """What a checkpoint must hold beside the pieces; the same on every rank."""
        optimizer = self._engine.optimizer
        adam = getattr(optimizer, "optimizer", optimizer)
        state = adam.state[flat_tensors(self.model, optimizer)[0]]
        scaler = getattr(optimizer, "loss_scaler", None)
        scale = {name: getattr(scaler, name) for name in _SCALER_STATE if hasattr(scaler, name)}
        return {"updates": int(state["step"]) if "step" in state else 0, "loss_scale": scale}

    def load(self, reader: ShardReader, scalars: dict[str, Any]) -> None:
        """Take up what `pieces_to_save` and `scalars` gave, of any number of ranks and any stage; every rank must call it.

        Raises:
            InputError: the checkpoint does not hold what this model needs.
        """
        reader.load(self.pieces())
        optimizer = self._engine.optimizer
        adam = getattr(optimizer, "optimizer", optimizer)
        for flat in flat_tensors(self.model, optimizer):
            adam_state(adam, flat)["step"].fill_(scalars["updates"])
        for name, value in scalars["loss_scale"].items():
            setattr(optimizer.loss_scaler, name, value)
        spread_weights(optimizer)
