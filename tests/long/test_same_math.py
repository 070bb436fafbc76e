"""Ranks, accumulation and ZeRO stages give the losses, gradients and weights of a plain PyTorch loop."""

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from cxrpt.dist.world import local_environment
from cxrpt.optim import learning_rate, parameter_groups
from cxrpt.track.losses import step_loss

from .same_math_rank import (
    NOT_FINITE_STEP,
    OPTIM,
    STEPS,
    WEIGHTS,
    Case,
    counts_of_step,
    examples_of_step,
    new_model,
    packed,
)

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[2]
FP32 = [f"stage={stage} accumulation={accumulation}" for stage in range(4) for accumulation in (1, 2)]
CONTRAST = [f"stage={stage} contrast=1" for stage in (1, 3)]
BF16 = [f"stage={stage} precision=bf16" for stage in (1, 2, 3)]
FP16 = [f"stage={stage} precision=fp16 huge=3 steps=6" for stage in (1, 2, 3)]
# Each must be bitwise the first steps of the case before it.
REHEARSED = [(case, f"{case} steps=6 rehearse=1") for case in (*FP32[1::2], *BF16)] + [(FP16[1], f"{FP16[1]} rehearse=1")]
RECOMPUTED = [(case, f"{case} steps=6 recompute=2") for case in ("stage=1 accumulation=1", "stage=3 accumulation=1")]
CASES = {1: [*FP32, *CONTRAST], 2: [*FP32, *CONTRAST, *BF16, *FP16, *(case for _, case in REHEARSED + RECOMPUTED)]}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """By world and case: losses of the step over all ranks, and what each rank found."""
    out = tmp_path_factory.mktemp("same_math")
    processes = []
    for world, cases in CASES.items():
        for rank in range(world):
            environment = os.environ | local_environment(rank, world, f"file://{out}/meeting-{world}", 1)
            command = [sys.executable, "-m", "tests.long.same_math_rank", str(out), *cases]
            log = (out / f"log-{world}-{rank}").open("w")
            processes.append(subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT))
    try:
        for process in processes:
            assert process.wait(timeout=400) == 0, "\n".join(path.read_text()[-1500:] for path in out.glob("log-*"))
    finally:
        for process in processes:
            process.kill()
            process.wait()
    ranks = {world: [torch.load(out / f"{world}-{rank}.pt") for rank in range(world)] for world in CASES}
    return {
        (world, case): {
            **of_ranks[0][case],
            "losses": [sum(parts) for parts in zip(*(of_rank[case]["losses"] for of_rank in of_ranks), strict=True)],
            "ranks": [of_rank[case] for of_rank in of_ranks],
        }
        for world, of_ranks in ranks.items()
        for case in CASES[world]
    }


@pytest.fixture(scope="module")
def plain():
    return {contrast: plain_loop(contrast) for contrast in (0, 1)}


def plain_loop(contrast):
    """No engine, no ranks: torch alone, the whole step in one pack."""
    model, optim = new_model(contrast), OPTIM[contrast]
    betas = (optim.betas[0], optim.betas[1])
    groups = parameter_groups(model, optim.weight_decay)
    adam = torch.optim.AdamW(groups, lr=optim.lr, betas=betas, eps=optim.eps)
    losses, norms = [], []
    for step in range(1, STEPS + 1):
        loss = step_loss(model(packed(examples_of_step(step, contrast))), counts_of_step(step, contrast), WEIGHTS)
        losses.append(float(loss.detach()))
        loss.backward()
        norms.append(float(torch.nn.utils.clip_grad_norm_(model.parameters(), optim.clip_norm)))
        for group in adam.param_groups:
            group["lr"] = learning_rate(step, STEPS, optim)
        if step != NOT_FINITE_STEP:
            adam.step()
        adam.zero_grad()
    norms[NOT_FINITE_STEP - 1] = math.nan
    return {"losses": losses, "norms": norms, "weights": {name: p.detach() for name, p in model.named_parameters()}}


def worst(values, expected):
    return max(abs(value / right - 1) for value, right in zip(values, expected, strict=True) if math.isfinite(right))


def distance(weights, expected):
    """Of all weights at once, but for the biases of keys: their gradient is zero in exact numbers, and Adam moves rounding."""
    assert weights.keys() == expected.keys()
    difference = torch.cat([_moved_by_more_than_rounding(name, weights[name] - right) for name, right in expected.items()])
    return float(difference.norm() / torch.cat([right.flatten() for right in expected.values()]).norm())


def _moved_by_more_than_rounding(name, weight):
    queries, _, values = weight.flatten().tensor_split(3)
    return torch.cat([queries, values]) if name.endswith(".qkv.bias") else weight.flatten()


def skipped(norms):
    return [step for step, norm in enumerate(norms, 1) if not math.isfinite(norm)]


@pytest.mark.parametrize(
    ("world", "case"), [(world, case) for world in CASES for case in FP32 + CONTRAST if case in CASES[world]]
)
def test_fp32_is_a_plain_loop(found, plain, world, case):
    """Losses, norms of the gradient and weights; a step that is not finite on one rank is skipped by all."""
    contrast = Case.parse(case).contrast
    run, expected = found[world, case], plain[contrast]
    assert skipped(run["norms"]) == [NOT_FINITE_STEP]
    assert worst(run["losses"], expected["losses"]) < 1e-6
    # The gradient of the contrast is divided by the spread of its rows.
    assert worst(run["norms"], expected["norms"]) < (1e-5 if contrast else 2e-6)
    assert distance(run["weights"], expected["weights"]) < 1e-6
    assert len({tuple(of_rank["norms"][:6]) for of_rank in run["ranks"]}) == 1
    # A weight that no longer gets its gradient would be lost in the norm of all.
    for name in ("mlm_bias", "text.token.weight", "sharpness.log_scale"):
        if name in expected["weights"]:
            assert distance({name: run["weights"][name]}, {name: expected["weights"][name]}) < 2e-5


def test_the_plain_loop_clips_and_moves_what_stands_outside_of_modules(plain):
    assert min(n for n in plain[0]["norms"] if n > 0) > OPTIM[0].clip_norm
    fresh = {name: p.detach() for name, p in new_model(1).named_parameters()}
    for name in ("mlm_bias", "text.token.weight", "sharpness.log_scale"):
        assert distance({name: plain[1]["weights"][name]}, {name: fresh[name]}) > 1e-3 or not fresh[name].any()


def test_bf16_does_not_depend_on_the_stage(found, plain):
    runs = [found[2, case] for case in BF16]
    for run in runs:
        assert skipped(run["norms"]) == [NOT_FINITE_STEP]
        assert worst(run["losses"], runs[0]["losses"]) < 1e-3
        assert worst(run["losses"], plain[0]["losses"]) < 1e-2


@pytest.mark.parametrize("case", FP16)
def test_fp16_halves_its_scale_and_skips_what_overflows(found, plain, case):
    run = found[2, case]
    assert skipped(run["norms"]) == [3]
    assert run["scales"] == [2.0**16, 2.0**16, *[2.0**15] * 4]
    assert worst(run["losses"][:3], plain[0]["losses"][:3]) < 1e-2


@pytest.mark.parametrize(("case", "rehearsed"), REHEARSED + RECOMPUTED)
def test_rehearsing_and_recomputing_are_bitwise_nothing(found, case, rehearsed):
    for with_it, without in zip(found[2, rehearsed]["ranks"], found[2, case]["ranks"], strict=True):
        for what in ("losses", "norms", "scales"):
            # As texts: what is not a number is no other's equal.
            assert str(with_it[what]) == str(without[what][:6])
