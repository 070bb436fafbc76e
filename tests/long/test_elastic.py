"""One chain of resumes over other numbers of ranks and other ZeRO stages ends where an undisturbed run ends."""

import json

import pytest

from ..small_runs import worst_difference

pytestmark = pytest.mark.long

# The learning rate must not depend on where a leg of the chain ends.
LIKE = ("optim.schedule=constant", "optim.warmup_steps=0", "train.log_every=1")
CHAIN = ((6, 1, 1), (12, 2, 3), (18, 4, 2), (24, 1, 1))
"""Last step, ranks, ZeRO stage of each leg."""
MANY = "train.global_batch=64"
"""A source's loss at one scale is then a mean of many blocks, also where a source is small: the rounding of weights to bf16
does not average out over a handful."""


@pytest.mark.parametrize(("precision", "bound"), [("fp32", 1e-6), ("bf16", 1e-3)])
def test_ranks_and_stages_may_change_at_every_resume(runs, precision, bound):
    whole, chain = f"whole-{precision}", f"chain-{precision}"
    runs.finish(whole, *LIKE, MANY, f"engine.precision={precision}", ranks=2)
    for steps, ranks, stage in CHAIN:
        words = (f"engine.precision={precision}", f"engine.zero_stage={stage}", f"train.steps={steps}")
        runs.finish(chain, *LIKE, MANY, *words, ranks=ranks)
    assert worst_difference(runs.losses(whole), runs.losses(chain), "loss/") < bound
    seen = [
        json.loads((runs.folder(name) / "checkpoints/step-00000024/run.json").read_text())["samples_by_source"]
        for name in (whole, chain)
    ]
    assert seen[0] == seen[1]


@pytest.mark.parametrize(("precision", "stage"), [("bf16", 3), ("fp32", 2)])
def test_on_the_same_ranks_a_resume_is_bitwise(runs, precision, stage):
    words = (*LIKE, f"engine.precision={precision}", f"engine.zero_stage={stage}", "engine.micro_batch=4")
    whole, parts = f"whole-{precision}-{stage}", f"parts-{precision}-{stage}"
    runs.finish(whole, *words, "train.steps=12")
    for steps in (5, 12):
        runs.finish(parts, *words, f"train.steps={steps}")
    assert runs.losses(parts) == runs.losses(whole)
