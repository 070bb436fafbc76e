"""What fits where: bytes of a training step, counted without a GPU.

Two parts, of which the sum is what a GPU must hold at once:

- what grows with the weights: DeepSpeed is run on the CPU in bf16, at stages 1 to 3, with one rank and with two, on a model
  whose activations are next to nothing; the most bytes that lived at once, over the weights, split into what ranks share and
  what each has whole;
- what grows with the samples: the forward and backward pass of the whole model on tensors without content (torch's fake
  tensors), with the kernels that a GPU takes; the most bytes that lived at once beside weights and gradients.

Left out: what libraries take for themselves (CUDA, cuBLAS, NCCL: 1 to 2 GB), holes between allocations (a tenth is kept
free in the table), inner buffers of kernels. `gpu.sh` measures peaks; this predicts them.

    python -m benchmarks.memory [--samples 32]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import weakref
from dataclasses import dataclass
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks.packing import PATCH, SCALES, VOCAB, Setting, draw_examples, loss
from cxrpt.config import EngineConfig, OptimConfig
from cxrpt.data.batch import Batch, pack
from cxrpt.dist.engine import Engine
from cxrpt.dist.world import join_world, leave_world, local_environment
from cxrpt.model import kernels
from cxrpt.model.pretrain import SIZES, PretrainModel, Shape

LONGEST = 160
CASES = (("base", 224), ("large", 224), ("base", 512), ("large", 512))
STAGES = (1, 2, 3)
"""Stage 0 is there for fp32 alone: a reference."""
GPUS = (1, 8)
CARDS = (24, 40, 80, 141)
"""Memory of a GPU, GB."""
FREE = 0.1
"""Share that is kept free."""


class Watermark(TorchDispatchMode):
    """Counts bytes of tensors that are made while it is on: those alive, and the most that were at once."""

    def __init__(self) -> None:
        super().__init__()
        self.alive = self.peak = 0
        self._known: weakref.WeakSet[Any] = weakref.WeakSet()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = function(*args, **(kwargs or {}))
        given = {tensor.untyped_storage() for tensor in tree_leaves((args, kwargs)) if isinstance(tensor, Tensor)}
        for tensor in tree_leaves(made):
            if isinstance(tensor, Tensor) and (storage := tensor.untyped_storage()) not in self._known | given:
                self._known.add(storage)
                size = storage.nbytes()
                self.alive += size
                self.peak = max(self.peak, self.alive)
                weakref.finalize(storage, self._free, size)
        return made

    def _free(self, size: int) -> None:
        self.alive -= size


# --- what grows with the samples


@dataclass(frozen=True)
class Found:
    """Of one size at one picture."""

    name: str
    num_weights: int
    bytes_a_sample: tuple[float, float]
    """Nothing recomputed, and all blocks."""


def count(size: str, image: int, samples: int) -> Found:
    num_weights = sum(p.numel() for p in new_model(size, image).parameters())
    kept, recomputed = (activation_bytes(size, image, samples, blocks) / samples for blocks in (0, -1))
    return Found(f"`{size}`, {image} px", num_weights, (kept, recomputed))


def activation_bytes(size: str, image: int, samples: int, recompute: int) -> int:
    """The most bytes beside weights and gradients, of a forward and backward pass in bf16 as on a GPU."""
    batch, model = draw(image, samples), new_model(size, image)
    as_on_gpu = mock.patch.object(kernels, "in_half_on_gpu", lambda x: x.element_size() == 2)
    with FakeTensorMode(allow_non_fake_inputs=True), as_on_gpu:
        model = without_content(model)
        model.transformer.recompute(recompute)
        for parameter in model.parameters():
            parameter.register_post_accumulate_grad_hook(lambda p: setattr(p, "grad", None))
        inputs = batch.map(torch.empty_like)
        with Watermark() as seen:
            loss(model, inputs).backward()
    return seen.peak


def without_content(model: PretrainModel) -> PretrainModel:
    """The model with fake weights in bf16."""
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            setattr(module, name, nn.Parameter(torch.empty(parameter.shape, dtype=torch.bfloat16)))
    return model


def new_model(size: str, image: int) -> PretrainModel:
    with torch.device("meta"):
        return PretrainModel(Shape(*SIZES[size], 4.0, PATCH, image, VOCAB, LONGEST, SCALES, False, False))


def draw(image: int, samples: int) -> Batch:
    examples = draw_examples(np.random.default_rng(0), Setting("", image, "", samples, 0.0))
    return pack(examples, image // PATCH, PATCH, SCALES, 1)


# --- what grows with the weights


def state_bytes(stage: int) -> tuple[float, float]:
    """Bytes a weight: what each rank has whole, and what ranks share."""
    one, two = (_in_ranks(stage, ranks) for ranks in (1, 2))
    return 2 * two - one, 2 * (one - two)


def _in_ranks(stage: int, ranks: int) -> float:
    with tempfile.TemporaryDirectory() as meeting:
        processes = [
            subprocess.Popen(
                [sys.executable, "-m", "benchmarks.memory", "--rank-of-stage", str(stage)],
                env=os.environ | local_environment(rank, ranks, f"file://{meeting}/ranks", 1),
                stdout=subprocess.PIPE,
                text=True,
            )
            for rank in range(ranks)
        ]
        told = [process.communicate()[0] for process in processes]
    assert not any(process.returncode for process in processes), "a rank failed"
    return float(told[0].splitlines()[-1])


def rank_of_stage(stage: int) -> None:
    """Bytes a weight at the peak of the third step, the first that finds all states there."""
    torch.set_num_threads(1)
    world = join_world("cpu", 300)
    torch.manual_seed(0)
    batch = draw(32, 2)
    with Watermark() as seen:
        model = PretrainModel(Shape(768, 4, 12, 4.0, PATCH, 32, VOCAB, LONGEST, SCALES, False, False))
        engine = Engine(model, EngineConfig(device="cpu", precision="bf16", zero_stage=stage), OptimConfig(), 2, 1, world)
        num_weights = sum(getattr(p, "ds_numel", p.numel()) for p in model.parameters())
        for step in range(3):
            if step == 2:
                seen.peak = seen.alive
            engine.backward(loss(engine.forward, batch))  # type: ignore[arg-type]
            engine.step(1e-4)
    if world.is_first:
        print(seen.peak / num_weights)
    leave_world()


# --- the tables


def tables(states: dict[int, tuple[float, float]], found: list[Found]) -> str:
    """What is counted, and how many samples fit at once."""
    lines = ["| stage | bytes a weight, whole on each GPU | shared by all |", "|---|---|---|"]
    lines += [f"| {stage} | {whole:.1f} | {shared:.1f} |" for stage, (whole, shared) in states.items()]
    names = " | ".join(f"stage {stage}" for stage in states)
    lines += ["", f"| | weights | activations, MiB a sample | all blocks recomputed | states on 8 GPUs, GB a GPU: {names} |"]
    lines += ["|---" * (4 + len(states)) + "|"]
    for one in found:
        cells = " | ".join(f"{one.num_weights * bytes_a_weight(states[stage], 8) / 1e9:.1f}" for stage in states)
        kept, recomputed = (value / 2**20 for value in one.bytes_a_sample)
        lines.append(f"| {one.name} | {one.num_weights / 1e6:.0f} M | {kept:.0f} | {recomputed:.0f} | {cells} |")
    lines += [
        "",
        f"| samples at once, stage 1 | {' | '.join(f'{card} GB' for card in CARDS)} |",
        "|---" * (1 + len(CARDS)) + "|",
    ]
    for one in found:
        for gpus in GPUS:
            room = [card * 1e9 * (1 - FREE) - one.num_weights * bytes_a_weight(states[1], gpus) for card in CARDS]
            cells = " | ".join(" to ".join(f"{max(0, left / each):,.0f}" for each in one.bytes_a_sample) for left in room)
            lines.append(f"| {one.name}, {gpus} GPU{'s' * (gpus > 1)} | {cells} |")
    return "\n".join(lines)


def bytes_a_weight(state: tuple[float, float], gpus: int) -> float:
    whole, shared = state
    return whole + shared / gpus


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=32, help="of the batch that is counted")
    parser.add_argument("--rank-of-stage", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.rank_of_stage is not None:
        rank_of_stage(options.rank_of_stage)
        return
    states = {stage: state_bytes(stage) for stage in STAGES}
    found = [count(size, image, options.samples) for size, image in CASES]
    print(tables(states, found))
    claims = [
        {"claim": f"activations of a sample, {one.name}, bf16: all blocks recomputed, over kept", "goal": None, "met": None,
         "value": round(one.bytes_a_sample[1] / one.bytes_a_sample[0], 3), "against": "nothing recomputed", "unit": "ratio"}
        for one in found
    ]  # fmt: skip
    print(json.dumps(claims))


if __name__ == "__main__":
    main()
