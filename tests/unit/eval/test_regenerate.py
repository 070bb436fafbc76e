import numpy as np
import pytest
import torch
from skimage.restoration import inpaint_biharmonic

from cxrpt.data.batch import pack
from cxrpt.eval.hidden_squares import can_hide, draw_mask, num_squares
from cxrpt.eval.inpaint import fill_biharmonic, fill_mean, fill_telea
from cxrpt.eval.pixel_scores import fill, reduce_by, score_hidden
from cxrpt.eval.regenerate import plan_cells, predict, score_picture
from cxrpt.eval.regenerate_summary import Scored, flat_metrics, summarise
from cxrpt.eval.samples import plain_example
from cxrpt.model.pretrain import denormalise_pixels

PATCH = 16


@pytest.fixture
def picture():
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (8, 8)).astype(np.uint8)
    return np.clip(np.kron(coarse, np.ones((8, 8))) + rng.normal(0, 8, (64, 64)), 0, 255).astype(np.uint8)


def test_predictions_are_those_of_training_and_see_no_hidden_pixel(exported, picture):
    model, shape = exported.model, exported.model.shape
    masks = [draw_mask(4, shape.scales, "mixed", 0.75, identity) for identity in (1, 2)]
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


def test_masks_depend_on_the_sample_the_kind_and_the_ratio_only():
    for kind in ("mixed", "1x1", "2x2"):
        first, again, other = (draw_mask(8, (1, 2, 4), kind, 0.5, identity) for identity in (5, 5, 6))
        assert (first == again).all() and (first != other).any() and first.sum() == 32
    assert (draw_mask(8, (1, 2, 4), "1x1", 0.5, 5) != draw_mask(8, (1, 2, 4), "2x2", 0.5, 5)).any()


@pytest.mark.parametrize("grid", [8, 14, 5])
@pytest.mark.parametrize("side", [1, 2, 4])
@pytest.mark.parametrize("ratio", [0.01, 0.15, 0.5, 0.75, 0.99])
def test_a_mask_of_one_size_has_whole_squares_only_and_comes_nearest_to_the_ratio(grid, side, ratio):
    mask = draw_mask(grid, (1, 2, 4), f"{side}x{side}", ratio, 7)
    across = grid // side
    squares = mask[: across * side, : across * side].reshape(across, side, across, side).swapaxes(1, 2).reshape(-1, side**2)
    assert set(squares.sum(1)) <= {0, side**2}
    assert mask.sum() == squares.sum() and 0 < mask.sum() < grid**2
    possible = [count * side**2 for count in range(1, across**2 + 1) if count * side**2 < grid**2]
    assert abs(mask.sum() - ratio * grid**2) == min(abs(one - ratio * grid**2) for one in possible)
    assert num_squares(grid, side, ratio) == mask.sum() / side**2


def test_masks_that_would_hide_everything_are_left_out():
    assert not can_hide(4, "4x4", 0.5) and not can_hide(3, "4x4", 0.5) and can_hide(5, "4x4", 0.1)
    assert not can_hide(4, "mixed", 0.01) and can_hide(4, "mixed", 0.15)
    cells, left_out = plan_cells(4, ["mixed", "2x2", "4x4"], [0.75, 0.15])
    assert [(cell.kind, cell.percent, cell.figure) for cell in cells] == [
        ("mixed", "15", "regenerate-mixed-15.png"),
        ("mixed", "75", "regenerate-mixed-75.png"),
        ("2x2", "15", None),
        ("2x2", "75", "regenerate-2x2-75.png"),
    ]
    assert set(left_out) == {"4x4"}


def test_baselines_leave_visible_pixels_alone(picture):
    hidden = np.zeros(picture.shape, bool)
    hidden[20:30, 20:30] = True
    for baseline in (fill_mean, fill_telea, fill_biharmonic):
        np.testing.assert_allclose(baseline(picture, hidden)[~hidden], (picture / np.float32(255))[~hidden])
        spoiled = np.where(hidden, 255 - picture, picture)
        np.testing.assert_array_equal(baseline(spoiled, hidden), baseline(picture, hidden))
    # A ramp is carried on from the borders; the mean of what is visible would be off by up to 36.
    smooth = np.tile(np.arange(64, dtype=np.uint8) * 3, (64, 1))
    np.testing.assert_allclose(fill_telea(smooth, hidden) * 255, smooth, atol=12)
    np.testing.assert_allclose(fill_biharmonic(smooth, hidden) * 255, smooth, atol=0.1)
    assert fill_mean(smooth, hidden)[25, 25] == pytest.approx(smooth[~hidden].mean() / 255)


def test_biharmonic_is_the_librarys(picture):
    hidden = np.kron(draw_mask(4, (1, 2), "mixed", 0.5, 3), np.ones((PATCH, PATCH), bool))
    np.testing.assert_allclose(fill_biharmonic(picture, hidden), inpaint_biharmonic(picture / 255, hidden), atol=1e-6)


def test_every_method_is_scored_against_the_same_target(picture):
    rng = np.random.default_rng(0)
    mask = np.zeros((4, 4), bool)
    mask[:2, :3] = True
    hidden = np.kron(mask, np.ones((PATCH, PATCH), bool))
    truth = picture / np.float32(255)
    groups = {1: rng.random((6, PATCH**2), np.float32), 2: rng.random((1, PATCH**2), np.float32)}
    telea = fill_telea(picture, hidden)
    found = score_picture(truth, mask, {"model": groups | {4: np.empty((0, PATCH**2))}}, {"telea": telea}, PATCH)
    assert set(found) == {1, 2}
    assert found[1]["telea"] == score_hidden(truth, telea, hidden)
    assert found[1]["model"] == score_hidden(truth, fill(truth, mask, groups[1], 1, PATCH), hidden)
    at = np.zeros((32, 32), bool)
    at[:16, :16] = True
    reduced = reduce_by(truth, 2, PATCH)
    assert found[2]["telea"] == score_hidden(reduced, np.where(at, reduce_by(telea, 2, PATCH), reduced), at)
    np.testing.assert_allclose(found[2]["model"]["mae"], np.abs(reduced[:16, :16].ravel() - groups[2][0]).mean(), rtol=1e-5)


def one(patient, model, telea, **others):
    methods = {"model": model, "mean": 1.0, "telea": telea} | others
    return Scored(patient, 0.5, {1: {name: {"psnr": value, "ssim": 0.5, "mae": 0.1} for name, value in methods.items()}})


def test_methods_are_compared_on_the_same_pictures():
    summary = summarise(
        [one("a", 10.0, 9.0, biharmonic=8.0), one("a", 20.0, 17.0, report=21.0), one("b", 30.0, 25.0, report=33.0)]
    )
    assert summary["methods"]["model"]["psnr"] == 20 and summary["images"] == 3 and summary["share"] == 0.5
    pairs = summary["pairs"]
    assert (pairs["with_report"]["psnr"], pairs["without"]["psnr"], pairs["images"]) == (27, 25, 2)
    assert (pairs["gain_db"]["mean"], pairs["gain_db"]["low"], pairs["gain_db"]["high"]) == (2, 1, 3)
    # Draws of patients: gains of 1 and 3 dB of one, 5 of the other.
    gain = summary["gain_db"]["telea"]
    assert (gain["mean"], gain["low"], gain["high"], gain["images"]) == (3, 2, 5, 3)
    assert summary["gain_db"]["biharmonic"]["mean"] == 2 and summary["gain_db"]["biharmonic"]["images"] == 1
    assert summary["biharmonic"]["model"]["psnr"] == 10 and summary["methods"]["biharmonic"]["images"] == 1
    flat = flat_metrics(summary)
    assert flat["psnr"] == 20 and flat["psnr_telea"] == 17 and flat["gain_db_telea"] == 3 and flat["psnr_biharmonic"] == 8
    assert flat["pairs/psnr_with_report"] == 27
    assert "biharmonic" not in summarise([one("a", 10.0, 9.0)])["gain_db"]
