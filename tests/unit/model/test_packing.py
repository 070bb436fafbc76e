"""A pack must compute what its samples compute one at a time: outputs, losses and gradients."""

import itertools

import numpy as np
import pytest
import torch

from cxrpt.data.batch import pack
from cxrpt.model.pretrain import PretrainModel, Shape

from .examples import GRID, PATCH, VOCAB, make_example, mixed_examples

SCALES = (1, 2, 4)
SHAPE = Shape(32, 2, 4, 2.0, PATCH, GRID * PATCH, VOCAB, 24, SCALES, False, True)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return PretrainModel(SHAPE, num_sources=3)


def packed(examples):
    return pack(examples, GRID, PATCH, SCALES, 3)


def loss_and_gradients(model, batches):
    """Sum of all MLM and MVM losses over the batches, and the gradient of that sum."""
    model.zero_grad()
    total, parts = 0.0, np.zeros((4, 3))
    for batch in batches:
        losses = model(batch)
        sums = [losses.mlm, *(losses.mvm[s] for s in SCALES)]
        value = sum(part.total for part in sums) + losses.itc[0] * 0
        value.backward()
        total += value.item()
        parts += np.stack([part.by_source.numpy() for part in sums])
    return total, parts, {name: p.grad.clone() for name, p in model.named_parameters()}


def test_pack_equals_one_by_one(model):
    examples = mixed_examples()
    whole, parts, gradients = loss_and_gradients(model, [packed(examples)])
    alone, parts_alone, gradients_alone = loss_and_gradients(model, [packed([e]) for e in examples])
    assert whole == pytest.approx(alone, rel=1e-5)
    np.testing.assert_allclose(parts, parts_alone, rtol=1e-5)
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, gradients_alone[name], atol=1e-5, rtol=1e-5, msg=name)


def test_states_equal_for_every_mix_of_kinds(model):
    rng = np.random.default_rng(5)
    kinds = [(True, 0, False), (False, 6, False), (True, 11, False), (True, 4, True)]
    for count in range(1, 5):
        for mix in itertools.combinations(kinds, count):
            examples = [make_example(rng, *kind) for kind in mix]
            batch = packed(examples)
            states = model.states(batch)
            images = iter(states[batch.image_rows_I])
            texts = iter(states[batch.text_rows_X])
            for example in examples:
                single = packed([example])
                reference = model.states(single)
                if example.patches is not None:
                    torch.testing.assert_close(next(images), reference[single.image_rows_I[0]], atol=1e-5, rtol=1e-5)
                if example.text is not None:
                    torch.testing.assert_close(next(texts), reference[single.text_rows_X[0]], atol=1e-5, rtol=1e-5)


def test_attention_stays_within_its_sequence(model):
    examples = mixed_examples()
    before = model.states(packed(examples))[packed(examples).image_rows_I[0]]
    other = [examples[0], *mixed_examples(seed=9)[1:]]
    after = model.states(packed(other))[packed(other).image_rows_I[0]]
    torch.testing.assert_close(before, after, atol=1e-6, rtol=1e-5)


def test_there_is_no_padding_and_nothing_is_lost():
    examples = mixed_examples()
    batch = packed(examples)
    images = sum(e.patches is not None for e in examples)
    tokens = sum(len(e.text.tokens) for e in examples if e.text is not None)
    texts = sum(e.text is not None for e in examples)
    assert batch.num_tokens == images * (GRID * GRID + 1) + texts + tokens == int(batch.cu_seqlens[-1])
    assert sorted(batch.order_N.tolist()) == list(range(batch.num_tokens))
    assert sum(count for _, count, _ in batch.runs) == len(batch.cu_seqlens) - 1
    assert batch.counts()["mlm"] == sum(len(e.text.positions) for e in examples if e.text is not None)
    assert batch.counts()["mvm1"] == sum(int(e.hidden.sum()) for e in examples if e.hidden is not None)
    assert batch.num_by_source == (4, 3, 3)


def test_a_fused_pair_sees_the_other_modality_and_a_split_one_does_not(model):
    for split in (False, True):
        rng = np.random.default_rng(3)
        pair = make_example(rng, True, 8, split)
        darker = pair.__class__(**{**pair.__dict__, "patches": pair.patches // 2})
        a, b = packed([pair]), packed([darker])
        moved = (model.states(a)[a.text_rows_X] - model.states(b)[b.text_rows_X]).abs().max().item()
        assert (moved > 1e-4) != split
        assert len(a.pair_study_C) == int(split)


def test_every_parameter_has_a_gradient_whatever_the_mix(model):
    """Ranks reduce the same buckets only if none of them lacks a gradient."""
    rng = np.random.default_rng(1)
    for kind in [(True, 0, False), (False, 6, False), (True, 5, False)]:
        model.zero_grad()
        losses = model(packed([make_example(rng, *kind)]))
        (losses.mlm.total + sum(part.total for part in losses.mvm.values()) + losses.itc[0]).backward()
        missing = [name for name, p in model.named_parameters() if p.grad is None]
        assert not missing, (kind, missing)
