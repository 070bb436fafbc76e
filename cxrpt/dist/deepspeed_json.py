"""DeepSpeed's JSON, made from our configuration and never written by hand.

DeepSpeed ignores what it does not know on most levels of its JSON (of a misspelt key, of a key that another stage reads),
and silently takes another optimizer for some combinations. So the JSON holds only what its stage and precision read, it
remembers what was read of it (`Watched`), and `engine` asks afterwards what was taken.
"""

from collections.abc import Iterator
from typing import Any

from cxrpt.config import EngineConfig, OptimConfig

_LARGEST_BUCKET = 500_000_000
"""Numbers that are reduced at once; DeepSpeed's own default."""


def deepspeed_json(
    engine: EngineConfig, optim: OptimConfig, micro_batch: int, accumulation: int, world: int, num_parameters: int
) -> dict[str, Any]:
    """DeepSpeed's configuration.

    Args:
        engine: stage and precision.
        optim: the clipping.
        micro_batch: samples of a rank in one forward.
        accumulation: micro-batches of a step.
        world: ranks.
        num_parameters: of the model.
    """
    zero: dict[str, Any] = {"stage": engine.zero_stage}
    if engine.zero_stage > 0:
        # A buffer of this size is allocated in every backward pass, however small the model.
        zero["reduce_bucket_size"] = min(num_parameters, _LARGEST_BUCKET)
    if engine.zero_stage == 3:
        zero["overlap_comm"] = False  # the other stages' default
    json = {
        "train_micro_batch_size_per_gpu": micro_batch,
        "gradient_accumulation_steps": accumulation,
        "train_batch_size": micro_batch * accumulation * world,
        # The fp32 reference clips by itself: see reference_optimizer.
        "gradient_clipping": optim.clip_norm if engine.zero_stage else 0.0,
        "communication_data_type": "fp32",
        "data_types": {"grad_accum_dtype": "fp32"},
        "zero_optimization": zero,
        "steps_per_print": 2**31 - 1,
    }
    if engine.precision == "bf16":
        json["bf16"] = {"enabled": True}
    if engine.precision == "fp16":
        json["fp16"] = {
            "enabled": True,
            "loss_scale": 0,  # dynamic
            "initial_scale_power": engine.initial_loss_scale_power,
            "loss_scale_window": engine.loss_scale_window,
            "hysteresis": 1,  # every overflow halves it
        }
    return json


class Watched(dict[str, Any]):
    """A dictionary, also one within it, that remembers which keys were asked for."""

    def __init__(self, values: dict[str, Any]):
        super().__init__({key: Watched(value) if isinstance(value, dict) else value for key, value in values.items()})
        self.asked: set[str] = set()

    def __copy__(self) -> "Watched":
        # Who asks a copy asks the original.
        twin = Watched({})
        twin.update(self.items())  # pairs: a mapping's keys would be asked for
        twin.asked = self.asked
        return twin

    def __getitem__(self, key: str) -> Any:
        self.asked.add(key)
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        self.asked.add(key)
        return super().get(key, default)

    def __iter__(self) -> Iterator[str]:  # without it, `**` unpacks a dictionary past `__getitem__`
        return super().__iter__()

    def unread(self, prefix: str = "") -> list[str]:
        """Dotted keys that nobody asked for."""
        items = list(self.items())
        found = [prefix + key for key, _ in items if key not in self.asked]
        for key, value in items:
            if key in self.asked and isinstance(value, Watched):
                found += value.unread(f"{prefix}{key}.")
        return sorted(found)
