"""One rank that goes through shapes of the engine with a small model: what test_same_math starts.

python -m tests.long.same_math_rank OUT SHAPE...     SHAPE as "stage=3 accumulation=2 precision=bf16 steps=20"
"""

import dataclasses
import math
import sys
from pathlib import Path

import numpy as np
import torch

from cxrpt.config import EngineConfig, OptimConfig
from cxrpt.data.batch import pack
from cxrpt.dist import engine as engine_module
from cxrpt.dist.collectives import gather_rows_of_ranks
from cxrpt.dist.deepspeed_json import deepspeed_json
from cxrpt.dist.engine import Engine
from cxrpt.dist.world import join_world, leave_world
from cxrpt.model.pretrain import PretrainModel, Shape
from cxrpt.optim import learning_rate
from cxrpt.track.losses import step_loss

from ..unit.model.examples import GRID, LONGEST, PATCH, VOCAB, make_example

STEPS, GLOBAL_BATCH, NOT_FINITE_STEP = 20, 8, 7
SCALES = (1, 2, 4)
SHAPE = Shape(32, 3, 4, 2.0, PATCH, GRID * PATCH, VOCAB, LONGEST, SCALES, False, False)
WEIGHTS = {"mlm": 1.0, "mvm1": 0.5, "mvm2": 0.3, "mvm4": 0.2, "itc": 0.5}
OPTIM = [OptimConfig(lr=lr, warmup_steps=5, clip_norm=0.5) for lr in (3e-3, 1e-3)]
"""Without the contrast, and with it: its unit vectors without their mean blow rounding up, and Adam passes that on."""


@dataclasses.dataclass(frozen=True)
class Case:
    """What a rank trains."""

    stage: int = 1
    accumulation: int = 1
    precision: str = "fp32"
    steps: int = STEPS
    contrast: int = 0
    recompute: int = 0
    rehearse: int = 0
    """1 rehearses before the first step and before the fourth, when there are moments."""
    huge: int = 0
    """fp16: the loss of this step overflows."""

    @classmethod
    def parse(cls, text: str) -> "Case":
        given = dict(word.split("=") for word in text.split())
        return cls(**{name: value if name == "precision" else int(value) for name, value in given.items()})


def examples_of_step(step, contrast):
    """Of each step others: pairs, images and texts; with the contrast only pairs, all split."""
    rng = np.random.default_rng(step)
    kinds = [(True, 9), (True, 0), (False, 12), (True, 5), (True, 7), (False, 3), (True, 0), (True, 20)]
    return [
        make_example(rng, image or bool(contrast), words or 6 * bool(contrast), split=bool(contrast)) for image, words in kinds
    ]


def packed(examples):
    return pack(examples, GRID, PATCH, SCALES, 1)


def counts_of_step(step, contrast):
    return packed(examples_of_step(step, contrast)).counts()


def new_model(contrast, gather=None):
    torch.manual_seed(0)
    model = PretrainModel(dataclasses.replace(SHAPE, contrast=bool(contrast)), 1, gather)
    # Small weights: rounding is not blown up by the net itself, and fp16's first scale overflows only where it is meant to.
    # The contrast needs those of its own: it blows rounding up by as much as its rows are alike.
    torch.manual_seed(0)
    for name, child in model.named_modules():
        if isinstance(child, torch.nn.Linear) and not contrast:
            torch.nn.init.trunc_normal_(child.weight, std=0.008 if name.endswith((".project", ".contract")) else 0.02)
    return model


def partition_everything(*arguments):
    """Our JSON, but ZeRO 3 keeps no small weight whole, and fetches each when it is needed."""
    json = deepspeed_json(*arguments)
    if json["zero_optimization"]["stage"] == 3:
        json["zero_optimization"] |= {
            "stage3_param_persistence_threshold": 0, "stage3_max_live_parameters": 0, "stage3_max_reuse_distance": 0,
        }  # fmt: skip
    return json


def whole_weights(engine, stage):
    from deepspeed.utils import safe_get_full_fp32_param

    return {
        name: (safe_get_full_fp32_param(p) if stage else p).detach().float().clone()
        for name, p in engine.model.named_parameters()
    }


def go_through(case, world):
    """Losses (this rank's part), norms and loss scales of all steps, and the weights after the last.

    In a case of all steps, one has a loss that is not finite, on the first rank alone.
    """
    model = new_model(case.contrast, gather_rows_of_ranks)
    model.transformer.recompute(case.recompute)
    micro = GLOBAL_BATCH // world.size // case.accumulation
    config = EngineConfig(zero_stage=case.stage, precision=case.precision)
    engine = Engine(model, config, OPTIM[case.contrast], micro, case.accumulation, world)
    losses, norms, scales = [], [], []
    for step in range(1, case.steps + 1):
        examples, counts = examples_of_step(step, case.contrast), counts_of_step(step, case.contrast)

        def loss_of(batch, counts=counts):
            return step_loss(engine.forward(batch), counts, WEIGHTS)

        if case.rehearse and step in (1, 4):
            largest = packed([make_example(np.random.default_rng(0), True, LONGEST) for _ in range(micro)])
            engine.rehearse(lambda batch=largest, loss_of=loss_of: loss_of(batch))
        mine = examples[world.rank * micro * case.accumulation :]
        total = 0.0
        for first in range(0, micro * case.accumulation, micro):
            loss = loss_of(packed(mine[first : first + micro]))
            total += float(loss.detach())
            if step == NOT_FINITE_STEP and world.rank == 0 and case.steps == STEPS:
                loss = loss * float("inf")
            if step == case.huge:
                loss = loss * 1e6
            engine.backward(loss)
            skipped = engine.step(learning_rate(step, STEPS, OPTIM[case.contrast]))
        losses.append(total)
        norms.append(engine.grad_norm())
        assert skipped == (not math.isfinite(norms[-1]))
        scales.append(engine.loss_scale)
    return {"losses": losses, "norms": norms, "scales": scales, "weights": whole_weights(engine, case.stage)}


def main():
    torch.set_num_threads(1)
    engine_module.deepspeed_json = partition_everything
    world = join_world("cpu", 300)
    import deepspeed

    # The kernels are there where the processor's own half precision is not.
    deepspeed.accelerator.get_accelerator().is_fp16_supported = lambda: True
    found = {case: go_through(Case.parse(case), world) for case in sys.argv[2:]}
    torch.save(found, Path(sys.argv[1]) / f"{world.size}-{world.rank}.pt")
    leave_world()


if __name__ == "__main__":
    main()
