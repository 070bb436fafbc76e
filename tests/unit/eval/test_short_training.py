import numpy as np
import pytest
import torch
import torch.nn.functional as F

from cxrpt.eval.short_training import batches, is_check, label_loss, num_steps, pace


def test_pace_rises_and_falls():
    values = [pace(step, 50) for step in range(1, 51)]
    assert max(values) == values[4] == 1 and 0 < values[-1] < 0.01 and values[0] == pytest.approx(0.2)
    assert values[:5] == sorted(values[:5]) and values[4:] == sorted(values[4:], reverse=True)
    assert 0 < pace(1, 1) <= 1


def test_few_images_are_seen_a_number_of_times():
    assert num_steps(10, 4, 300, 5) == 15 and num_steps(10_000, 4, 300, 5) == 300


def test_a_pass_holds_each_image_once():
    found = list(batches(33, 8, 10, 3))
    assert sorted(np.concatenate(found[:5])) == sorted(np.concatenate(found[5:])) == list(range(33))
    assert {len(one) for one in found} == {6, 7} and not (found[0] == found[5][: len(found[0])]).all()
    again = list(batches(33, 8, 10, 3))
    assert all((one == two).all() for one, two in zip(found, again, strict=True))


def test_checks_are_ten_and_the_last():
    assert sum(is_check(step, 300) for step in range(1, 301)) == 10 and is_check(300, 300)
    assert [step for step in range(1, 4) if is_check(step, 3)] == [1, 2, 3]


def test_the_loss_is_that_of_known_labels_of_fittable_classes():
    logits = torch.tensor([[2.0, -1, 3], [0.5, 1, 1]])
    labels = torch.tensor([[1, -1, 1], [0, 1, 0]], dtype=torch.int8)
    expected = F.binary_cross_entropy_with_logits(torch.tensor([2.0, 0.5, 1]), torch.tensor([1.0, 0, 1]))
    assert label_loss(logits, labels, torch.tensor([True, True, False])) == pytest.approx(expected.item())
    assert label_loss(logits, torch.full_like(labels, -1), torch.ones(3, dtype=torch.bool)) == 0
