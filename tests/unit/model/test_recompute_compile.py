"""Blocks that are computed twice or compiled give what plain ones give."""

import copy

import pytest
import torch

from .examples import mixed_examples
from .one_by_one import losses_and_gradients, make_model, packed


@pytest.mark.parametrize(
    ("count", "depth", "blocks"), [(0, 6, []), (2, 6, [2, 5]), (3, 6, [1, 3, 5]), (4, 6, [1, 2, 4, 5]), (-1, 3, [0, 1, 2])]
)
def test_recomputed_blocks_are_spread_evenly(count, depth, blocks):
    model = make_model()
    model.transformer.blocks = torch.nn.ModuleList(copy.deepcopy(model.transformer.blocks[0]) for _ in range(depth))
    model.transformer.recompute(count)
    assert sorted(model.transformer.recomputed) == blocks


@pytest.mark.parametrize("count", [1, -1])
def test_recomputing_is_bitwise_and_runs_the_blocks_twice(count):
    model, batch, calls = make_model(), packed(mixed_examples()), []
    total, table, gradients = losses_and_gradients(model, [batch])
    for block in model.transformer.blocks:
        block.register_forward_pre_hook(lambda *_: calls.append(1))
    model.transformer.recompute(count)
    again, table_again, gradients_again = losses_and_gradients(model, [batch])
    assert len(calls) == 2 + (2 if count == -1 else 1)
    assert again == total and (table_again == table).all()
    assert all(torch.equal(gradients_again[name], gradient) for name, gradient in gradients.items())


@pytest.mark.long
def test_compiled_blocks_for_any_number_of_rows():
    """One program for all lengths, blocks and repeats: none is compiled for a second mixture."""
    model = make_model()
    plain = copy.deepcopy(model)
    model.transformer.compile_blocks()
    torch._dynamo.reset()
    batches = [packed(mixed_examples(seed)[: 10 - seed]) for seed in range(6)]
    for number, batch in enumerate(batches):
        compiled, _, gradients = losses_and_gradients(model, [batch])
        expected, _, gradients_expected = losses_and_gradients(plain, [batch])
        assert compiled == pytest.approx(expected, rel=1e-5)
        for name, gradient in gradients.items():
            torch.testing.assert_close(gradient, gradients_expected[name], rtol=1e-4, atol=1e-4)
        if number == 0:
            programs = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == programs
