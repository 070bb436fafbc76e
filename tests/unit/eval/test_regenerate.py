import numpy as np
import pytest
import torch
from skimage.metrics import mean_squared_error, peak_signal_noise_ratio, structural_similarity

from cxrpt.data.batch import pack
from cxrpt.data.masking import hidden_groups
from cxrpt.data.transforms import to_patches
from cxrpt.eval.regenerate import (
    MAX_PSNR_DB,
    draw_mask,
    fill,
    group_pixels,
    inpaint_telea,
    predict,
    reduce_by,
    score_hidden,
    summarise,
)
from cxrpt.eval.samples import plain_example
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
    at = np.zeros(truth.shape, bool)
    at[16:32, 16:48] = True
    part = score_hidden(truth, np.where(at, guess, truth), at)
    expected = -10 * np.log10(mean_squared_error(truth[16:32, 16:48], guess[16:32, 16:48]))
    assert part["psnr"] == pytest.approx(expected, rel=1e-5)
    similar = structural_similarity(truth, np.where(at, guess, truth), data_range=1, full=True)[1]
    assert part["ssim"] == pytest.approx(similar[16:32, 16:48].mean(), rel=1e-6)
    same = score_hidden(truth, truth, at)
    assert same == {"psnr": pytest.approx(MAX_PSNR_DB), "ssim": pytest.approx(1), "mae": 0}


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


def test_predictions_are_those_of_training_and_see_no_hidden_pixel(exported, picture):
    model, shape = exported.model, exported.model.shape
    masks = [draw_mask(4, shape.scales, 0.75, identity) for identity in (1, 2)]
    images = [picture, picture[::-1].copy()]
    texts = [None, np.array([7, 9, 11], np.int32)]
    found = predict(exported, images, masks, texts)
    examples = [plain_example(i, t, PATCH, m) for i, t, m in zip(images, texts, masks, strict=True)]
    batch = pack(examples, 4, PATCH, shape.scales, 1)
    with torch.inference_mode():
        states = model.states(batch)
        for scale in shape.scales:
            together = denormalise_pixels(model.regenerate(states, batch.mvm[scale].rows_GS, scale)).numpy()
            np.testing.assert_allclose(np.concatenate([one[scale] for one in found]), together, atol=1e-6)
    hidden = np.kron(masks[0], np.ones((PATCH, PATCH), bool))
    np.testing.assert_array_equal(
        predict(exported, [np.where(hidden, 0, picture).astype(np.uint8)], masks[:1], [None])[0][1],
        predict(exported, [picture], masks[:1], [None])[0][1],
    )


def test_masks_depend_on_the_sample_and_the_ratio_only():
    first, again, other = (draw_mask(8, (1, 2, 4), 0.5, identity) for identity in (5, 5, 6))
    assert (first == again).all() and (first != other).any() and first.sum() == 32


def test_telea_leaves_visible_pixels_alone(picture):
    hidden = np.zeros(picture.shape, bool)
    hidden[20:30, 20:30] = True
    filled = inpaint_telea(picture, hidden)
    np.testing.assert_allclose(filled[~hidden], (picture / np.float32(255))[~hidden])
    # A ramp is carried on from the borders; the mean of what is visible would be off by up to 36.
    smooth = np.tile(np.arange(64, dtype=np.uint8) * 3, (64, 1))
    np.testing.assert_allclose(inpaint_telea(smooth, hidden) * 255, smooth, atol=12)


def test_pairs_are_compared_with_themselves():
    def one(psnr, report=None):
        methods = {"model": psnr, "mean": 1.0, "telea": 2.0} | ({} if report is None else {"report": report})
        return {1: {name: {"psnr": value} for name, value in methods.items()}}

    summary = summarise([one(10.0), one(20.0, 21.0), one(30.0, 33.0)])["1"]
    assert summary["model"]["psnr"] == 20 and summary["images"] == 3
    assert summary["pairs"] == {"with_report": {"psnr": 27}, "without": {"psnr": 25}, "images": 2}
