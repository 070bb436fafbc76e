"""The contrast leaves its start, and its running means serve afterwards."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from cxrpt.data.batch import pack
from cxrpt.model.contrast_head import CentredProjection, sequence_means
from cxrpt.model.objectives import itc_loss

from .examples import GRID, PATCH, make_example


def alone(rows):
    return rows, 0


def test_the_mean_state_of_a_sequence_is_over_all_of_its_rows():
    rng = np.random.default_rng(0)
    kinds = [(True, 9, True), (False, 4, False), (True, 0, False), (True, 9, True), (True, 3, True), (True, 5, False)]
    batch = pack([make_example(rng, *kind) for kind in kinds], GRID, PATCH, (1,), 1)
    states = torch.randn(batch.num_tokens, 8)
    for rows, longest in ((batch.pair_image_rows_C, [GRID**2] * 3), (batch.pair_text_rows_C, [9, 9, 3])):
        expected = [states[row : row + 1 + length].mean(0) for row, length in zip(rows.tolist(), longest, strict=True)]
        torch.testing.assert_close(sequence_means(states, batch, rows), torch.stack(expected))
    nothing = pack([make_example(rng, True)], GRID, PATCH, (1,), 1)
    assert sequence_means(torch.randn(nothing.num_tokens, 8), nothing, nothing.pair_text_rows_C).shape == (0, 8)


def test_the_mean_is_that_of_all_ranks():
    torch.manual_seed(0)
    projection, states = CentredProjection(8), torch.randn(5, 8)
    whole = projection(states, alone)
    torch.testing.assert_close(whole, F.normalize((states - states.mean(0)) @ projection.linear.weight.T, dim=1))
    for part in (slice(0, 2), slice(2, 2), slice(2, 5)):
        torch.testing.assert_close(projection(states[part], lambda rows, first=part.start: (states, first)), whole[part])


def test_a_running_mean_begins_as_the_mean_and_follows_later():
    projection = CentredProjection(2)
    means = torch.arange(20.0)[:, None] * torch.tensor([1.0, -2.0])
    for mean in means:
        projection(mean + torch.tensor([[3.0, 0.0], [-3.0, 0.0]]), alone)
        projection.follow()
    torch.testing.assert_close(projection.centre, means.mean(0))
    projection(torch.full((4, 2), 100.0), alone)  # a step that is not applied: nobody calls `follow`
    assert projection(torch.zeros(0, 2, requires_grad=True), alone).shape == (0, 2)
    projection.follow()
    torch.testing.assert_close(projection.centre, means.mean(0))
    assert projection.num_steps == 20


@pytest.mark.parametrize("spread", [0.05, 0.01])
def test_the_contrast_leaves_its_start_where_all_summaries_are_alike(spread):
    torch.manual_seed(0)
    secret = torch.randn(64, 8)
    images, texts = (torch.randn(16) + spread * secret @ torch.randn(8, 16) for _ in range(2))
    model = torch.nn.ModuleList([CentredProjection(16), CentredProjection(16)])
    optimizer, ids = torch.optim.AdamW(model.parameters(), lr=1e-2), torch.arange(64)
    for _ in range(30):
        total, count = itc_loss(model[0](images, alone), model[1](texts, alone), ids, ids, torch.tensor(14.0), alone)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        for projection in model:
            projection.follow()
    assert total.item() / count < 0.3 * np.log(64)
    with torch.no_grad():
        similar = model[0](images) @ model[1](texts).T
    assert (similar.argmax(1) == ids).float().mean() > 0.8, "by the running means too"


def test_what_goes_back_does_not_grow_as_rows_grow_alike():
    torch.manual_seed(0)
    centre, rows, projection, found = torch.randn(16), torch.randn(32, 16), CentredProjection(16), {}
    for spread in (1.0, 0.01):
        states = (centre + spread * rows).requires_grad_()
        (projection(states, alone) * torch.arange(16)).sum().backward()
        found[spread] = states.grad
    torch.testing.assert_close(found[0.01], found[1.0], rtol=1e-2, atol=1e-3)
    assert found[1.0].abs().max() > 0.1
