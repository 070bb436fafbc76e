"""Means and weighted sums of losses against arithmetic written here."""

import pytest
import torch

from cxrpt.config import RunConfig
from cxrpt.model.objectives import LossSum
from cxrpt.model.pretrain import Losses
from cxrpt.track import losses
from cxrpt.track.losses import LossWindow, step_loss
from cxrpt.train import loss_weights

SCALES, SOURCES = (1, 4), ["north", "south"]


def loss_sum(by_source, counts):
    """Sums whose values are as told by source."""
    total = torch.tensor(float(sum(by_source)), requires_grad=True)
    return LossSum(total, sum(counts), torch.tensor(by_source), torch.tensor(counts, dtype=torch.float32))


def batch(mlm, mvm1, mvm4, itc=None):
    """Losses of a micro-batch; each is ([sum of north, of south], [count of north, of south])."""
    contrast = None if itc is None else (torch.tensor(itc[0], requires_grad=True), itc[1])
    return Losses(loss_sum(*mlm), {1: loss_sum(*mvm1), 4: loss_sum(*mvm4)}, contrast)


@pytest.fixture
def other_rank(monkeypatch):
    """A window whose sums another rank adds to this one's."""
    other = LossWindow(SCALES, SOURCES, torch.device("cpu"))
    monkeypatch.setattr(losses, "sum_over_ranks", lambda values: values.add_(other._sums))
    return other


def test_means_over_micro_batches_and_ranks(other_rank):
    window = LossWindow(SCALES, SOURCES, torch.device("cpu"))
    window.add(batch(([6.0, 8.0], [2, 4]), ([3.0, 0.0], [1, 0]), ([5.0, 0.0], [2, 0]), (7.0, 2)))
    window.add(batch(([1.0, 4.0], [5, 2]), ([1.0, 2.0], [3, 4]), ([1.0, 0.0], [1, 0]), (5.0, 1)))
    other_rank.add(batch(([2.0, 0.0], [1, 0]), ([0.0, 4.0], [0, 4]), ([3.0, 0.0], [1, 0]), (8.0, 2)))
    assert window.means() == pytest.approx(
        {
            "loss/mlm/north": (6 + 1 + 2) / (2 + 5 + 1),
            "loss/mlm/south": (8 + 4) / (4 + 2),
            "loss/mlm": (14 + 5 + 2) / (6 + 7 + 1),
            "loss/mvm1/north": (3 + 1) / (1 + 3),
            "loss/mvm1/south": (2 + 4) / (4 + 4),
            "loss/mvm1": (3 + 3 + 4) / (1 + 7 + 4),
            "loss/mvm4/north": (5 + 1 + 3) / (2 + 1 + 1),
            "loss/mvm4": (5 + 1 + 3) / (2 + 1 + 1),
            "loss/itc": (7 + 5 + 8) / (2 + 1 + 2),
            # Over the scales that have a mean: each counts the same, whatever it sums over.
            "loss/mvm/north": (4 / 4 + 9 / 4) / 2,
            "loss/mvm/south": 6 / 8,
            "loss/mvm": (10 / 12 + 9 / 4) / 2,
        }
    )


def test_a_window_starts_anew_and_leaves_out_what_was_not_counted(other_rank):
    window = LossWindow(SCALES, SOURCES, torch.device("cpu"))
    window.add(batch(([6.0, 8.0], [2, 4]), ([3.0, 1.0], [1, 1]), ([5.0, 1.0], [2, 1]), (7.0, 2)))
    assert len(window.means()) == 13
    assert window.means() == {}
    window.add(batch(([0.0, 9.0], [0, 2]), ([0.0, 0.0], [0, 0]), ([0.0, 0.0], [0, 0])))
    assert window.means() == {"loss/mlm/south": 4.5, "loss/mlm": 4.5}


def test_the_loss_of_a_step_is_the_weighted_sum_of_means():
    parts = batch(([6.0, 8.0], [2, 4]), ([3.0, 1.0], [1, 1]), ([5.0, 1.0], [2, 1]), (7.0, 2))
    weights = {"mlm": 0.5, "mvm1": 2.0, "mvm4": 3.0, "itc": 0.25}
    # Of the whole step, not of the micro-batch; what was counted nowhere does not divide by zero.
    counts = {"mlm": 20, "mvm1": 8, "mvm4": 0, "itc": 5}
    loss = step_loss(parts, counts, weights)
    assert loss.item() == pytest.approx(0.5 * 14 / 20 + 2.0 * 4 / 8 + 3.0 * 6 / 1 + 0.25 * 7 / 5)
    loss.backward()
    assert parts.itc is not None
    gradients = [parts.mlm.total.grad, parts.mvm[1].total.grad, parts.mvm[4].total.grad, parts.itc[0].grad]
    assert [float(gradient) for gradient in gradients] == pytest.approx([0.5 / 20, 2.0 / 8, 3.0, 0.25 / 5])


def test_without_the_contrast_the_others_remain():
    parts = batch(([6.0, 8.0], [2, 4]), ([3.0, 1.0], [1, 1]), ([5.0, 1.0], [2, 1]))
    loss = step_loss(parts, {"mlm": 7, "mvm1": 4, "mvm4": 3, "itc": 0}, {"mlm": 1.0, "mvm1": 1.0, "mvm4": 0.0, "itc": 9.0})
    assert loss.item() == pytest.approx(14 / 7 + 4 / 4)


def test_weights_of_the_objectives_come_from_the_configuration():
    config = RunConfig()
    config.objective.mlm_weight, config.objective.mvm_weight, config.objective.itc_weight = 0.5, 3.0, 0.25
    config.objective.mvm_scales, config.objective.mvm_scale_weights = [1, 4], [1.0, 2.0]
    assert loss_weights(config) == pytest.approx({"mlm": 0.5, "mvm1": 3 * 1 / 3, "mvm4": 3 * 2 / 3, "itc": 0.25})
