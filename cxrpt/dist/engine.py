"""DeepSpeed behind a few verbs: the only importer of deepspeed."""

import contextlib
import io
import logging
import os
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from cxrpt.checkpoint.shards import Piece, ShardReader
from cxrpt.config import EngineConfig, OptimConfig
from cxrpt.dist.deepspeed_json import Watched, deepspeed_json
from cxrpt.dist.partitions import adam_state, flat_tensors, pieces_of_buffers, pieces_of_rank, spread_weights
from cxrpt.dist.reference_optimizer import ReferenceAdamW
from cxrpt.dist.world import World
from cxrpt.errors import InputError
from cxrpt.optim import parameter_groups

log = logging.getLogger(__name__)

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
"""Of the forward pass, by `engine.precision`."""

_SCALER_STATE = ("cur_scale", "cur_iter", "last_overflow_iter", "cur_hysteresis")
"""What fp16's dynamic loss scale depends on."""


class Engine:
    """A model whose optimizer state is spread over ranks."""

    def __init__(
        self, model: nn.Module, engine: EngineConfig, optim: OptimConfig, micro_batch: int, accumulation: int, world: World
    ):
        """Hand the model over to DeepSpeed; all ranks must have built it with the same weights.

        Raises:
            InputError: the device knows no fp16.
            RuntimeError: DeepSpeed did not take a setting as it was asked to.
        """
        os.environ.setdefault("DS_ACCELERATOR", world.device.type)
        import deepspeed
        from deepspeed.utils import logger

        # Its words belong into the rank's log, not between the progress lines.
        logger.handlers.clear()
        logger.propagate = True
        # An inference kernel that training never calls; building it takes a compiler and up to a minute.
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
        if engine.precision == "fp16" and not deepspeed.accelerator.get_accelerator().is_fp16_supported():
            raise InputError(f"engine.precision='fp16': this {world.device.type} cannot: use bf16 or fp32")
        num_parameters = sum(p.numel() for p in model.parameters())
        json = Watched(deepspeed_json(engine, optim, micro_batch, accumulation, world.size, num_parameters))
        running_means = {name: buffer.clone() for name, buffer in model.named_buffers()}
        said = io.StringIO()
        with contextlib.redirect_stdout(said):  # it prints memory tables, meant for itself
            self._engine, *_ = deepspeed.initialize(
                model=model.to(world.device), optimizer=_optimizer(model, engine, optim), config=json
            )
        log.info("DeepSpeed: %s", " | ".join(said.getvalue().splitlines()))
        for name, buffer in model.named_buffers():  # it made them bf16, in which a running mean would stand still
            buffer.data = running_means[name].to(world.device)
        _check_taken(self._engine, json, engine)
        if engine.precision == "fp16":
            # Our own limit of skipped steps ends a run whose gradients never become finite.
            self._engine.optimizer.loss_scaler.raise_error_at_min_scale = False
        self._norm: Tensor | float | None = None
        # DeepSpeed divides by accumulation and averages over ranks; our losses are already means over the global batch.
        self._undo_division = float(accumulation * world.size)
        self._world, self._zero_stage, self._precision = world, engine.zero_stage, engine.precision

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
        """
        for group in self._engine.optimizer.param_groups:
            group["lr"] = lr
        if not self._engine.is_gradient_accumulation_boundary():
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

    def pieces(self) -> list[Piece]:
        """What this rank keeps of weights and optimizer, as views."""
        return pieces_of_rank(self.model, self._engine.optimizer, self._engine.basic_optimizer, self._world.rank)

    @property
    def loss_scale(self) -> float:
        """What fp16 multiplies the loss by at present; 1 in other precisions."""
        return float(getattr(self._engine.optimizer, "loss_scale", 1.0))

    def rehearse(self, loss_of: Callable[[], Tensor]) -> None:
        """Forward, backward and all communication of a step, which then is skipped: nothing remains of it but the memory taken.

        Between steps only; all ranks must call it. The gradient is made not finite, so that DeepSpeed clears up as after any
        step that it skips.

        Args:
            loss_of: calls `forward` and gives the loss of a micro-batch.
        """
        engine, optimizer = self._engine, self._engine.optimizer
        counters = ("skipped_steps", "global_steps", "global_samples", "micro_steps")
        before = {name: getattr(engine, name) for name in counters}
        scaler = getattr(optimizer, "loss_scaler", None)
        scale = dict(vars(scaler)) if scaler is not None else {}
        engine.set_gradient_accumulation_boundary(True)
        self.backward(loss_of() * float("nan"))
        engine.step()
        engine.set_gradient_accumulation_boundary(None)
        assert engine.skipped_steps == before["skipped_steps"] + 1, "a step without a finite gradient was applied"
        for name, value in before.items():
            setattr(engine, name, value)
        if scaler is not None:
            vars(scaler).update(scale)

    def moments_to_come_bytes(self) -> int:
        """What the first update will allocate on this rank: two fp32 moments of each weight that has none yet."""
        adam = self._engine.basic_optimizer
        owned = (p for group in adam.param_groups for p in group["params"] if not adam.state.get(p))
        return sum(2 * 4 * p.numel() for p in owned)

    def pieces_to_save(self) -> list[Piece]:
        """Those that this rank saves: all, but what every rank has the same is saved once."""
        pieces, shared = self.pieces(), pieces_of_buffers(self.model) if self._world.is_first else []
        return shared + (pieces[self._world.rank :: self._world.size] if self._zero_stage == 0 else pieces)

    def scalars(self) -> dict[str, Any]:
        """What a checkpoint must hold beside the pieces; the same on every rank."""
        optimizer = self._engine.optimizer
        state = self._engine.basic_optimizer.state[flat_tensors(self.model, optimizer)[0]]
        scale = {name: getattr(optimizer.loss_scaler, name) for name in _SCALER_STATE} if self._precision == "fp16" else {}
        return {"updates": int(state["step"]) if "step" in state else 0, "loss_scale": scale}

    def load(self, reader: ShardReader, scalars: dict[str, Any]) -> None:
        """Take up what `pieces_to_save` and `scalars` gave, of any number of ranks and any stage; every rank must call it.

        Raises:
            InputError: the checkpoint does not hold what this model needs.
        """
        reader.load(self.pieces() + pieces_of_buffers(self.model))
        optimizer = self._engine.optimizer
        for flat in flat_tensors(self.model, optimizer):
            adam_state(self._engine.basic_optimizer, flat)["step"].fill_(scalars["updates"])
        for name, value in scalars["loss_scale"].items():
            setattr(optimizer.loss_scaler, name, value)
        spread_weights(optimizer)


def _optimizer(model: nn.Module, engine: EngineConfig, optim: OptimConfig) -> torch.optim.Optimizer:
    groups = parameter_groups(model, optim.weight_decay)
    b1, b2 = optim.betas
    # Not fused, a step of ZeRO 1 takes three times as long on the CPU: the flat state goes through memory for every operation.
    options: dict[str, Any] = {"lr": optim.lr, "betas": (b1, b2), "eps": optim.eps, "fused": True}
    if engine.zero_stage == 0:
        return ReferenceAdamW(groups, optim.clip_norm, **options)
    return torch.optim.AdamW(groups, **options)


def _check_taken(engine: Any, json: Watched, config: EngineConfig) -> None:
    """Raise RuntimeError for what DeepSpeed did not read or took otherwise; it says nothing itself."""
    dtype = DTYPES[config.precision]
    asked_and_taken = {
        "keys that nobody reads": ([], json.unread()),
        "stage": (config.zero_stage, int(engine.zero_optimization_stage())),
        "clipping": (json["gradient_clipping"], engine.gradient_clipping()),
        "samples of a micro-batch": (json["train_micro_batch_size_per_gpu"], engine.train_micro_batch_size_per_gpu()),
        "accumulation": (json["gradient_accumulation_steps"], engine.gradient_accumulation_steps()),
        "samples of a step": (json["train_batch_size"], engine.train_batch_size()),
        "types of weights and of summed gradients": ((dtype, torch.float32), engine.get_data_types()),
        "type of the weights themselves": ({dtype}, {p.dtype for p in engine.module.parameters()}),
        "type on the wire": (torch.float32, engine.communication_data_type),
        "dynamic loss scale": (config.precision == "fp16", bool(engine.dynamic_loss_scale()) and config.precision == "fp16"),
        "wrapped optimizer": (config.zero_stage > 0, engine.optimizer is not engine.basic_optimizer),
        "clipping by the wrapper": (json["gradient_clipping"], getattr(engine.optimizer, "clip_grad", 0.0)),
    }
    for what, (asked, taken) in asked_and_taken.items():
        if asked != taken:
            raise RuntimeError(
                f"DeepSpeed: {what}: asked for {asked}, taken {taken}: install the version of docker/constraints.txt"
            )
