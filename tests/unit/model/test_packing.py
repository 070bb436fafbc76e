"""A pack must compute what its samples compute one at a time: states of all rows, losses by source, gradients."""

import itertools

import numpy as np
import pytest
import torch

import cxrpt.model.transformer

from .examples import GRID, KINDS, LONGEST, example_of, make_example, mixed_examples
from .one_by_one import (
    all_states,
    assert_equals_one_by_one,
    distance,
    losses_and_gradients,
    make_model,
    packed,
    parts_of,
    plain_attention,
)

MIXES = [mix for count in range(1, 5) for mix in itertools.combinations(KINDS, count)]


@pytest.fixture(scope="module")
def model():
    return make_model()


@pytest.mark.parametrize("mix", MIXES, ids="-".join)
@pytest.mark.parametrize("repeats", [1, 3])
def test_every_mix_of_kinds(model, mix, repeats):
    """All 15 sets of kinds; repeated, with one length twice and another once, in an order that is not the pack's."""
    rng = np.random.default_rng(repeats)
    examples = [
        example_of(rng, kind, words, source=number % 3) for number, words in enumerate((9, 4, 9)[:repeats]) for kind in mix
    ]
    assert_equals_one_by_one(model, examples)


@pytest.mark.parametrize("kind", ["text", "fused", "split"])
def test_every_length_of_text(model, kind):
    rng = np.random.default_rng(7)
    lengths = rng.permutation(np.arange(1, LONGEST + 1))
    assert_equals_one_by_one(model, [example_of(rng, kind, int(words)) for words in lengths])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("words", [1, LONGEST])
def test_pack_of_one_equals_a_model_that_knows_no_packs(model, kind, words, monkeypatch):
    """The reference itself: with attention written down a head at a time the states are the same."""
    examples = [example_of(np.random.default_rng(2), kind, words)]
    batch = packed(examples)
    states = model.states(batch)

    def plain(q, k, v, batch):
        return plain_attention(q, k, v, batch.cu_seqlens).float()

    monkeypatch.setattr(cxrpt.model.transformer, "packed_attention", plain)
    torch.testing.assert_close(states, model.states(batch), atol=1e-5, rtol=1e-5)


def test_nothing_hidden_has_no_loss_and_changes_nobody_elses(model):
    """Texts without a hidden word and images without a hidden patch, among others and all alone."""
    rng = np.random.default_rng(4)
    seen = [example_of(rng, kind, 6, source=1, mlm_ratio=0.0, mvm_ratio=0.0) for kind in KINDS]
    assert_equals_one_by_one(model, [*seen, *mixed_examples()])
    for examples in (seen, seen[:1], seen[1:2]):
        assert_equals_one_by_one(model, examples)
        total, table, gradients = losses_and_gradients(model, [packed(examples)])
        assert total == 0 and not table.any()
        assert all(not gradient.any() for gradient in gradients.values())


@pytest.mark.parametrize("seed", range(3))
def test_bf16_differs_by_the_rounding_of_sums(seed):
    """A pack rounds a gradient once, one by one rounds each sample's: a unit of 8 bits apart, as measured (DESIGN's `tiny` and
    `small` at 224 px: states equal to the bit, gradients 2.2e-3 to 2.5e-3 and at worst 5.5e-3 for one parameter). bf16 itself
    is four times as far from fp32 (1.0e-2), and so must be what a pack adds to it.
    """
    examples = mixed_examples(seed)
    whole, alone = packed(examples), [packed([example]) for example in examples]
    narrow, wide = make_model().bfloat16(), make_model()
    wide.load_state_dict(narrow.state_dict())
    states = all_states(narrow, [whole], [examples])
    states_alone = all_states(narrow, alone, [[example] for example in examples])
    assert distance(states, states_alone) <= 2**-8 < distance(states, all_states(wide, [whole], [examples]))
    (loss, _, gradients), (loss_alone, _, gradients_alone), (_, _, exact) = (
        losses_and_gradients(*pair) for pair in ((narrow, [whole]), (narrow, alone), (wide, alone))
    )
    assert loss == pytest.approx(loss_alone, rel=1e-4)
    for name, gradient in gradients.items():
        assert distance(gradient, gradients_alone[name]) <= 2**-7, name
    joined, joined_alone, joined_exact = (
        torch.cat([g.flatten() for g in part.values()]) for part in (gradients, gradients_alone, exact)
    )
    assert distance(joined, joined_alone) <= 2**-8 < distance(joined, joined_exact) <= 2**-6


def test_losses_by_source_add_up(model):
    _, table, _ = losses_and_gradients(model, [packed(mixed_examples())])
    for row, part in zip(table, parts_of(model(packed(mixed_examples()))), strict=True):
        assert row[:, 0].sum() == pytest.approx(part.total.item(), rel=1e-6)
        assert row[:, 1].sum() == part.count > 0


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
    assert batch.counts()["mlm"] == sum(len(e.text.positions) for e in examples if e.text is not None)
    assert batch.counts()["mvm1"] == sum(int(e.hidden.sum()) for e in examples if e.hidden is not None)
    assert batch.num_by_source == (4, 3, 3)


def test_losses_look_at_the_rows_of_what_they_ask_for():
    """Rows among N lead, through the order of the pack, back to the very tokens and patches; a shift would fool every pack."""
    examples = mixed_examples()
    batch = packed(examples)
    texts = [e.text for e in examples if e.text is not None]
    num_images = len(batch.image_rows_I)
    first_text = num_images + num_images * GRID * GRID
    starts = np.cumsum([first_text + len(texts), *(len(text.tokens) for text in texts[:-1])])
    hidden = [start + place for start, text in zip(starts, texts, strict=True) for place in text.positions]
    assert batch.order_N[batch.mlm_rows_M].tolist() == hidden
    for groups in batch.mvm.values():
        assert torch.equal(batch.order_N[groups.rows_GS] - num_images, groups.patches_GS)
        assert batch.hidden_P[groups.patches_GS].all()
    assert batch.order_N[batch.image_rows_I].tolist() == list(range(num_images))
    assert batch.order_N[batch.text_rows_X].tolist() == [first_text + number for number in range(len(texts))]


def test_runs_are_the_sequences():
    """What attention on a CPU goes by is what `cu_seqlens` says, and no run could be longer."""
    batch = packed(mixed_examples())
    bounds = [0]
    for first, count, length in batch.runs:
        assert first == bounds[-1]
        bounds += [first + length * number for number in range(1, count + 1)]
    assert bounds == batch.cu_seqlens.tolist()
    assert len({length for _, _, length in batch.runs}) == len(batch.runs)


def test_only_real_rows_go_through_the_transformer(model):
    """Every matrix product of a block has as many rows as the samples have summaries, patches and tokens."""
    batch, seen = packed(mixed_examples()), []
    hooks = [
        layer.register_forward_hook(lambda _, inputs, out: seen.append(out.numel() // out.shape[-1]))
        for block in model.transformer.blocks
        for layer in (block.qkv, block.project, block.expand, block.contract)
    ]
    model.states(batch)
    for hook in hooks:
        hook.remove()
    assert set(seen) == {int(torch.diff(batch.cu_seqlens).sum())} and len(seen) == 8


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
