"""Losses against what they say, written down the slow way."""

import numpy as np
import torch
import torch.nn.functional as F

from cxrpt.data.batch import pack
from cxrpt.data.masking import hidden_groups, mask_regions
from cxrpt.data.transforms import from_patches, to_patches
from cxrpt.model.flops import training_flops
from cxrpt.model.objectives import group_targets, itc_loss, mlm_loss, mvm_loss
from cxrpt.model.pretrain import PretrainModel, Shape

from .examples import make_example


def test_group_target_is_the_picture_reduced():
    rng = np.random.default_rng(0)
    image = rng.random((32, 32)).astype(np.float32)
    hidden = mask_regions(8, (1, 2, 4), 0.7, rng)
    patches = torch.from_numpy(to_patches(image, 4))
    for scale in (1, 2, 4):
        groups = hidden_groups(hidden, scale)
        targets = group_targets(patches, torch.from_numpy(groups), False)
        reduced = image.reshape(32 // scale, scale, 32 // scale, scale).mean((1, 3))
        for group, target in zip(groups, targets, strict=True):
            row, column = divmod(int(group[0]), 8)
            top, left = row * 4 // scale, column * 4 // scale
            np.testing.assert_allclose(target.view(4, 4), reduced[top : top + 4, left : left + 4], rtol=1e-5)
    np.testing.assert_array_equal(from_patches(to_patches(image, 4), 4), image)


def test_normalised_targets_have_mean_zero_and_deviation_one():
    patches = torch.rand(16, 64)
    targets = group_targets(patches, torch.arange(16).view(-1, 1), True)
    torch.testing.assert_close(targets.mean(1), torch.zeros(16), atol=1e-5, rtol=0)
    torch.testing.assert_close(targets.std(1), torch.ones(16), atol=1e-3, rtol=0)


def test_mlm_by_source_adds_up():
    logits, targets, source = torch.randn(9, 11), torch.randint(11, (9,)), torch.tensor([0, 1, 1, 0, 2, 2, 2, 0, 1])
    loss = mlm_loss(logits, targets, source, 4)
    torch.testing.assert_close(loss.total, F.cross_entropy(logits, targets, reduction="sum"))
    torch.testing.assert_close(loss.by_source.sum(), loss.total)
    assert loss.count_by_source.tolist() == [3, 3, 3, 0] and loss.count == 9


def test_mvm_is_the_mean_over_pixels_and_the_sum_over_groups():
    predicted = torch.tensor([[1.0, 2.0], [0.0, 0.0], [3.0, -1.0]])
    target = torch.tensor([[0.0, 4.0], [1.0, 1.0], [3.0, 1.0]])
    loss = mvm_loss(predicted, target, torch.tensor([1, 0, 1]), 3)
    assert loss.total.item() == (1 + 4) / 2 + (1 + 1) / 2 + (0 + 4) / 2 and loss.count == 3
    assert loss.by_source.tolist() == [1.0, 2.5 + 2.0, 0.0] and loss.count_by_source.tolist() == [1, 2, 0]


def test_contrast_leaves_false_negatives_out():
    torch.manual_seed(0)
    images, texts = (F.normalize(torch.randn(4, 8), dim=1) for _ in range(2))
    study, wording = torch.tensor([1, 1, 2, 3]), torch.tensor([7, 8, 9, 9])
    total, count = itc_loss(images, texts, study, wording, torch.tensor(5.0), lambda rows: (rows, 0))
    reference = 0.0
    negatives = {0: [2, 3], 1: [2, 3], 2: [0, 1], 3: [0, 1]}
    for a, b in ((images, texts), (texts, images)):
        for i in range(4):
            scores = torch.stack([5 * a[i] @ b[j] for j in [i, *negatives[i]]])
            reference += -F.log_softmax(scores, 0)[0] / 2
    assert count == 4
    torch.testing.assert_close(total, reference)


def test_contrast_over_ranks_equals_one_rank():
    torch.manual_seed(1)
    images, texts = (F.normalize(torch.randn(5, 8), dim=1) for _ in range(2))
    study, wording = torch.arange(5), torch.arange(5) + 10
    ids = torch.stack([study, wording], 1)
    whole, _ = itc_loss(images, texts, study, wording, torch.tensor(3.0), lambda rows: (rows, 0))
    parts = []
    for part in (slice(0, 2), slice(2, 2), slice(2, 5)):
        queue = iter([images, texts, ids])
        gather = lambda rows, queue=queue, first=part.start: (next(queue), first)  # noqa: E731
        parts.append(itc_loss(images[part], texts[part], study[part], wording[part], torch.tensor(3.0), gather)[0])
    torch.testing.assert_close(sum(parts), whole)


def test_flops_by_hand():
    shape = Shape(8, 2, 2, 4.0, 4, 24, 60, 24, (1,), False, False)
    batch = pack([make_example(np.random.default_rng(0), False, 10)], 6, 4, (1,), 1)
    rows, masked = 11, len(batch.mlm_rows_M)
    layer = 2 * rows * (3 * 8 * 8 + 8 * 8 + 2 * 8 * 32) + 2 * 2 * rows * rows * 8
    assert training_flops(batch, shape) == 3 * (2 * layer + 2 * masked * (8 * 8 + 8 * 60))


def test_positions_are_interpolated_for_other_sizes():
    model = PretrainModel(Shape(16, 1, 2, 2.0, 4, 24, 60, 24, (1,), False, False))
    small = model.image.positions(6)
    assert small is model.image.position
    large = model.image.positions(12)
    assert large.shape == (144, 16)
    mean_of_cells = large.view(6, 2, 6, 2, 16).mean((1, 3)).flatten(0, 1)
    assert F.cosine_similarity(mean_of_cells, small, dim=1).mean() > 0.9
