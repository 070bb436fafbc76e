import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from cxrpt.data.masking import hidden_groups
from cxrpt.data.transforms import to_patches
from cxrpt.eval.pixel_scores import MAX_PSNR_DB, fill, group_pixels, reduce_by, score_hidden
from cxrpt.model.embed import normalise_pixels
from cxrpt.model.objectives import group_targets
from cxrpt.model.pretrain import denormalise_pixels

PATCH = 16


@pytest.fixture
def picture():
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (8, 8)).astype(np.uint8)
    return np.clip(np.kron(coarse, np.ones((8, 8))) + rng.normal(0, 8, (64, 64)), 0, 255).astype(np.uint8)


def test_scores_equal_scikit_image(picture):
    truth = picture / np.float32(255)
    guess = np.clip(truth + np.random.default_rng(1).normal(0, 0.1, truth.shape), 0, 1).astype(np.float32)
    whole = score_hidden(truth, guess, np.ones(truth.shape, bool))
    assert whole["psnr"] == pytest.approx(peak_signal_noise_ratio(truth, guess, data_range=1), rel=1e-5)
    assert whole["mae"] == pytest.approx(np.abs(truth - guess).mean(), rel=1e-5)
    assert whole["ssim"] == pytest.approx(structural_similarity(truth, guess, data_range=1, full=True)[1].mean(), rel=1e-6)
    at = np.zeros(truth.shape, bool)
    at[16:32, 16:48] = True
    part = score_hidden(truth, np.where(at, guess, truth), at)
    rectangle = truth[16:32, 16:48], guess[16:32, 16:48]
    assert part["psnr"] == pytest.approx(peak_signal_noise_ratio(*rectangle, data_range=1), rel=1e-5)
    assert part["mae"] == pytest.approx(np.abs(rectangle[0] - rectangle[1]).mean(), rel=1e-5)
    similar = structural_similarity(truth, np.where(at, guess, truth), data_range=1, full=True)[1]
    assert part["ssim"] == pytest.approx(similar[16:32, 16:48].mean(), rel=1e-6)
    same = score_hidden(truth, truth, at)
    assert same == {"psnr": pytest.approx(MAX_PSNR_DB), "ssim": pytest.approx(1), "mae": 0}


def test_pixels_of_any_shape_are_scored_as_scikit_image_scores_them_alone(picture):
    rng = np.random.default_rng(2)
    truth = picture / np.float32(255)
    at = rng.random(truth.shape) < 0.3
    guess = np.where(at, rng.random(truth.shape, np.float32), truth)
    found = score_hidden(truth, guess, at)
    assert found["psnr"] == pytest.approx(peak_signal_noise_ratio(truth[at], guess[at], data_range=1), rel=1e-5)
    assert found["mae"] == pytest.approx(np.abs(truth[at].astype(float) - guess[at]).mean(), rel=1e-6)
    small = score_hidden(truth[:4, :4], guess[:4, :4] + np.float32(0.1), np.ones((4, 4), bool))
    expected = structural_similarity(truth[:4, :4], guess[:4, :4] + np.float32(0.1), win_size=3, data_range=1, full=True)[
        1
    ].mean()
    assert small["ssim"] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_what_the_heads_are_taught_fills_in_the_reduced_picture(picture, scale):
    mask = np.zeros((4, 4), bool)
    mask[:, :2] = True
    mask[:2] = True
    mask[2:] |= scale == 4
    groups = hidden_groups(mask, scale)
    assert len(groups) == {1: 16 if scale == 4 else 12, 2: 3, 4: 1}[scale]
    pixels = normalise_pixels(torch.from_numpy(to_patches(picture, PATCH).copy()))
    taught = denormalise_pixels(group_targets(pixels, torch.from_numpy(groups), False)).numpy()
    truth = picture / np.float32(255)
    filled = fill(truth, mask, taught, scale, PATCH)
    assert filled.shape == (64 // scale, 64 // scale)
    np.testing.assert_allclose(filled, reduce_by(truth, scale, PATCH), atol=1e-6)
    at = group_pixels(mask, scale, PATCH)
    assert at.sum() == len(groups) * PATCH**2
    spoiled = fill(truth, mask, taught + 5, scale, PATCH)
    assert (np.abs(spoiled - filled) > 1)[at].all() and (spoiled == filled)[~at].all()


def test_a_grid_that_a_scale_does_not_divide():
    truth, mask = np.random.default_rng(0).random((48, 48)).astype(np.float32), np.ones((3, 3), bool)
    assert reduce_by(truth, 2, PATCH).shape == group_pixels(mask, 2, PATCH).shape == (16, 16)
    np.testing.assert_allclose(reduce_by(truth, 2, PATCH)[0, 0], truth[:2, :2].mean(), rtol=1e-6)
    assert fill(truth, mask, np.zeros((1, 256), np.float32), 2, PATCH).sum() == 0
