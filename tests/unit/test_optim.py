"""Exact learning rates, and which weights decay."""

import pytest

from cxrpt.config import OptimConfig
from cxrpt.model.pretrain import PretrainModel
from cxrpt.optim import learning_rate, parameter_groups

from .model.one_by_one import SHAPE


def rates(steps, at, **options):
    config = OptimConfig(lr=1.0, min_lr=0.2, **options)
    return [learning_rate(step, steps, config) for step in at]


def test_cosine():
    expected = [0.25, 0.5, 1.0, 0.2 + 0.8 * (1 + 0.5**0.5) / 2, 0.6, 0.2 + 0.8 * (1 - 0.5**0.5) / 2, 0.2]
    assert rates(20, [1, 2, 4, 8, 12, 16, 20], warmup_steps=4) == pytest.approx(expected, rel=1e-15)


def test_constant_with_cooldown():
    found = rates(20, [1, 4, 5, 16, 17, 18, 19, 20], schedule="constant", warmup_steps=4, cooldown_steps=4)
    assert found == pytest.approx([0.25, 1, 1, 1, 0.8, 0.6, 0.4, 0.2], rel=1e-15)


def test_constant_to_the_end_whatever_the_run_is_made_longer_to():
    assert rates(20, [5, 20], schedule="constant", warmup_steps=4) == [1.0, 1.0]
    short, long = (rates(steps, range(1, 17), schedule="constant", warmup_steps=4, cooldown_steps=4) for steps in (20, 50))
    assert short == long


def test_edges():
    assert rates(20, [1, 2, 3, 20], warmup_steps=20) == pytest.approx([0.5, 1.0, rates(20, [3], warmup_steps=2)[0], 0.2])
    assert rates(5, [1, 5], warmup_steps=100) == [pytest.approx(0.2 + 0.8 * (1 + 0.8090169943749475) / 2), pytest.approx(0.2)]
    # A cooldown that does not fit begins where the warm-up ends.
    found = rates(10, [2, 3, 6, 10], schedule="constant", warmup_steps=2, cooldown_steps=50)
    assert found == pytest.approx([1.0, 0.9, 0.6, 0.2])


def test_norms_biases_embeddings_and_single_rows_do_not_decay():
    model = PretrainModel(SHAPE)
    decayed, kept = ({id(p) for p in group["params"]} for group in parameter_groups(model, 0.1))
    assert [group["weight_decay"] for group in parameter_groups(model, 0.1)] == [0.1, 0.0]
    names = {name: id(p) in decayed for name, p in model.named_parameters()}
    assert len(decayed) + len(kept) == len(names)
    assert {name for name, decays in names.items() if decays} == {
        "image.patch.weight", "mlm_head.0.weight", "image_projection.linear.weight", "text_projection.linear.weight",
        *(f"transformer.blocks.{n}.{part}.weight" for n in range(2) for part in ("qkv", "project", "expand", "contract")),
        *(f"mvm_heads.{scale}.{n}.weight" for scale in (1, 2, 4) for n in (0, 3)),
    }  # fmt: skip
