"""Regeneration of hidden patches, scored on hidden pixels only, beside inpainting without a model.

picture, mask ─► states ─► head of scale s ─► hidden groups, reduced s-fold ─► put into the reduced picture ─► PSNR, SSIM, MAE

Masks are drawn as in training (squares of mixed scales) from the sample's key and the ratio, so that every step, and the
passes with and without the report, see the same ones.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from skimage.metrics import structural_similarity

from cxrpt.checkpoint.export import Exported
from cxrpt.config import EvalConfig
from cxrpt.data.batch import Batch
from cxrpt.data.hashing import generator, hash_text
from cxrpt.data.masking import hidden_groups, mask_regions
from cxrpt.data.shards import BadSampleError
from cxrpt.data.transforms import to_patches
from cxrpt.errors import InputError
from cxrpt.eval.features import WITH_IMAGE, batches_of, run_model
from cxrpt.eval.picture_grid import Regenerated, draw_grid
from cxrpt.eval.samples import CannotRunError, Place, SplitFolder, choose, plain_example, read, square_image, text_tokens
from cxrpt.model.pretrain import denormalise_pixels

MAX_PSNR_DB = 60.0
"""PSNR is cut here: less error than rounding to 8 bits makes."""

_MASK = 42
_TELEA_RADIUS = 3
_PICTURES = 6

Scores = dict[str, float]
"""psnr, ssim and mae of one picture."""


@dataclass(frozen=True)
class Item:
    """One picture to regenerate."""

    image: np.ndarray
    """(S, S) uint8."""
    tokens: np.ndarray | None
    identity: int
    """Hash of the key."""


def regenerate(
    exported: Exported, folders: dict[str, list[SplitFolder]], split: str, config: EvalConfig, figures: Path
) -> tuple[dict[str, float], dict[str, Any]]:
    """Regenerate pictures of a split at every ratio of `config.mask_ratios`, and draw some into `figures`.

    Returns:
        Metrics by name (of scale 1), and details with every scale.

    Raises:
        CannotRunError: no images, or targets from which pixels cannot be restored.
        InputError: a ratio out of its range.
    """
    shape = exported.model.shape
    for ratio in config.mask_ratios:
        if not 0 < ratio < 1:
            raise InputError(f"eval.mask_ratios={ratio}: must lie between 0 and 1")
    if shape.normalize_targets:
        raise CannotRunError(
            "trained on normalised targets (objective.normalize_targets): the heads give no brightness and contrast, "
            "so pixels cannot be scored"
        )
    places = choose(folders[split], WITH_IMAGE, config.max_regenerated)
    if not places:
        raise CannotRunError(f"no images in {split}")
    metrics: dict[str, float] = {}
    ratios: dict[str, Any] = {}
    bad: Counter[str] = Counter()
    for ratio in config.mask_ratios:
        bad.clear()
        scored, pictures = _one_ratio(exported, _items(exported, places, bad), ratio, config.batch)
        if not scored:
            raise CannotRunError(f"no image of {split} can be read")
        name = f"{round(100 * ratio)}"
        ratios[name] = summarise(scored)
        metrics |= {f"regenerate/{name}/{key}": value for key, value in _headline(ratios[name]).items()}
        draw_grid(pictures, f"{name} % hidden", figures / f"regenerate-{name}.png")
    return metrics, {
        "split": split,
        "images": len(scored),
        "pairs": sum("report" in one[1] for one in scored),
        "scored": "hidden pixels only, in 0..1; SSIM with a 7 x 7 window over the picture with its hidden part filled in, "
        f"averaged over hidden pixels; PSNR by picture, at most {MAX_PSNR_DB:g} dB",
        "masks": f"squares of {', '.join(map(str, shape.scales))} patches of {shape.patch_size} pixels, as in training",
        "baselines": "mean of the visible pixels; Telea inpainting (OpenCV); at scale s reduced s-fold like the target",
        "ratios": ratios,
        "bad_samples": dict(bad),
    }


def _items(exported: Exported, places: list[Place], bad: Counter[str]) -> Iterator[Item]:
    for place, raw in read(places, bad):
        try:
            image = square_image(raw, exported)
        except BadSampleError:
            bad[place.source] += 1
            continue
        tokens = None if raw.text is None else text_tokens(raw, exported)
        yield Item(image, tokens if tokens is not None and len(tokens) else None, hash_text(raw.key))


def _one_ratio(
    exported: Exported, items: Iterator[Item], ratio: float, batch_size: int
) -> tuple[list[dict[int, dict[str, Scores]]], list[Regenerated]]:
    """Scores of every picture, by scale and method; and the first pictures themselves."""
    shape = exported.model.shape
    grid = shape.image_size // shape.patch_size
    scored: list[dict[int, dict[str, Scores]]] = []
    pictures: list[Regenerated] = []
    for batch in batches_of(items, batch_size):
        masks = [draw_mask(grid, shape.scales, ratio, item.identity) for item in batch]
        alone = predict(exported, [item.image for item in batch], masks, [None] * len(batch))
        with_text = [n for n, item in enumerate(batch) if item.tokens is not None]
        informed: dict[int, dict[int, np.ndarray]] = {}
        if with_text:
            found = predict(
                exported, [batch[n].image for n in with_text], [masks[n] for n in with_text],
                [batch[n].tokens for n in with_text],
            )  # fmt: skip
            informed = dict(zip(with_text, found, strict=True))
        for n, item in enumerate(batch):
            truth, hidden = item.image / np.float32(255), np.kron(masks[n], np.ones((shape.patch_size,) * 2, bool))
            telea = inpaint_telea(item.image, hidden)
            scored.append(_score_picture(truth, masks[n], hidden, telea, alone[n], informed.get(n), shape.patch_size))
            if len(pictures) < _PICTURES:
                filled = fill(truth, masks[n], alone[n][1], 1, shape.patch_size)
                told = fill(truth, masks[n], informed[n][1], 1, shape.patch_size) if n in informed else None
                pictures.append(Regenerated(truth, hidden, filled, told, telea))
    return scored, pictures


def draw_mask(grid: int, scales: tuple[int, ...], ratio: float, identity: int) -> np.ndarray:
    """(grid, grid) bool: what is hidden of the picture with this hash at this ratio, always the same."""
    return mask_regions(grid, scales, ratio, generator(_MASK, identity, round(1000 * ratio)))


@torch.inference_mode()
def predict(
    exported: Exported, images: list[np.ndarray], masks: list[np.ndarray], texts: list[np.ndarray | None]
) -> list[dict[int, np.ndarray]]:
    """What each head makes of the hidden groups of its scale.

    Args:
        exported: the model.
        images: (S, S) uint8.
        masks: (grid, grid) bool.
        texts: tokens of the report that the model reads beside the picture, or None.

    Returns:
        For each image: scale -> (groups, E) float32 in 0..1, groups in the order of `hidden_groups`.
    """
    model = exported.model
    inputs = zip(images, texts, masks, strict=True)
    examples = [plain_example(image, text, model.shape.patch_size, mask) for image, text, mask in inputs]
    states, batch = run_model(exported, examples)
    return [_heads(exported, states, batch, n, mask) for n, mask in enumerate(masks)]


def _heads(exported: Exported, states: torch.Tensor, batch: Batch, number: int, mask: np.ndarray) -> dict[int, np.ndarray]:
    found = {}
    for scale in exported.model.shape.scales:
        if scale <= len(mask):
            groups = torch.from_numpy(hidden_groups(mask, scale)).to(states.device)
            rows = batch.image_rows_I[number] + 1 + groups
            found[scale] = denormalise_pixels(exported.model.regenerate(states, rows, scale)).cpu().numpy()
    return found


def inpaint_telea(image: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """(S, S) float32 in 0..1: the hidden pixels filled from their borders (Telea, 2004)."""
    return cv2.inpaint(image, hidden.astype(np.uint8), _TELEA_RADIUS, cv2.INPAINT_TELEA) / np.float32(255)


def _score_picture(
    truth: np.ndarray,
    mask: np.ndarray,
    hidden: np.ndarray,
    telea: np.ndarray,
    alone: dict[int, np.ndarray],
    informed: dict[int, np.ndarray] | None,
    patch_size: int,
) -> dict[int, dict[str, Scores]]:
    """Scale -> method -> scores; a scale without a hidden group is left out. Key 1 tells whether there is a report."""
    mean = np.where(hidden, truth[~hidden].mean(), truth)
    scores: dict[int, dict[str, Scores]] = {}
    for scale, predicted in alone.items():
        if not len(predicted):
            continue
        target, at = reduce_by(truth, scale, patch_size), group_pixels(mask, scale, patch_size)
        guesses = {"model": fill(truth, mask, predicted, scale, patch_size)}
        if informed is not None:
            guesses["report"] = fill(truth, mask, informed[scale], scale, patch_size)
        for name, guess in (("mean", mean), ("telea", telea)):
            guesses[name] = np.where(at, reduce_by(guess, scale, patch_size), target)
        scores[scale] = {name: score_hidden(target, guess, at) for name, guess in guesses.items()}
    return scores


def reduce_by(picture: np.ndarray, scale: int, patch_size: int) -> np.ndarray:
    """The picture over the whole groups of a scale, each pixel the mean of scale x scale pixels."""
    unit = scale * patch_size
    side = len(picture) // unit * unit
    blocks = picture[:side, :side].reshape(side // scale, scale, side // scale, scale)
    return blocks.mean((1, 3), dtype=np.float32)


def group_pixels(mask: np.ndarray, scale: int, patch_size: int) -> np.ndarray:
    """Where hidden groups of a scale lie in the picture that `reduce_by` gives: bool of its shape."""
    side = len(mask) // scale
    whole = mask[: side * scale, : side * scale].reshape(side, scale, side, scale).all((1, 3))
    return np.kron(whole, np.ones((patch_size, patch_size), bool))


def fill(truth: np.ndarray, mask: np.ndarray, predicted: np.ndarray, scale: int, patch_size: int) -> np.ndarray:
    """The picture reduced s-fold, with the groups that were hidden as a whole replaced by what was predicted."""
    reduced = reduce_by(truth, scale, patch_size)
    side = len(mask) // scale
    whole = mask[: side * scale, : side * scale].reshape(side, scale, side, scale).all((1, 3)).ravel()
    patches = to_patches(reduced, patch_size).copy()
    patches[whole] = predicted
    return patches.reshape(side, side, patch_size, patch_size).transpose(0, 2, 1, 3).reshape(reduced.shape)


def score_hidden(truth: np.ndarray, guess: np.ndarray, at: np.ndarray) -> Scores:
    """PSNR in dB, SSIM and mean absolute error over the pixels `at`, of pictures in 0..1 that are equal elsewhere."""
    difference = guess[at].astype(np.float64) - truth[at]
    error = max(float(np.mean(difference**2)), 10 ** (-MAX_PSNR_DB / 10))
    _, similarity = structural_similarity(truth, guess, data_range=1.0, full=True)
    return {
        "psnr": float(-10 * np.log10(error)),
        "ssim": float(similarity[at].mean()),
        "mae": float(np.abs(difference).mean()),
    }


def summarise(scored: list[dict[int, dict[str, Scores]]]) -> dict[str, Any]:
    """Scale -> method -> means over pictures, and their number; pictures with a report once more, with and without it."""
    summary: dict[str, Any] = {}
    for scale in sorted({scale for one in scored for scale in one}):
        ones = [one[scale] for one in scored if scale in one]
        paired = [one for one in ones if "report" in one]
        summary[str(scale)] = {name: _means([one[name] for one in ones]) for name in ("model", "mean", "telea")} | {
            "images": len(ones)
        }
        if paired:
            pairs = {
                "with_report": _means([one["report"] for one in paired]),
                "without": _means([one["model"] for one in paired]),
            }
            summary[str(scale)]["pairs"] = pairs | {"images": len(paired)}
    return summary


def _means(scores: list[Scores]) -> Scores:
    return {name: float(np.mean([one[name] for one in scores])) for name in scores[0]}


def _headline(by_scale: dict[str, Any]) -> dict[str, float]:
    finest = by_scale["1"]
    values = {name: finest["model"][name] for name in ("psnr", "ssim", "mae")}
    values |= {f"{name}_{base}": finest[base][name] for base in ("mean", "telea") for name in ("psnr", "ssim", "mae")}
    if "pairs" in finest:
        values["pairs/psnr_with_report"] = finest["pairs"]["with_report"]["psnr"]
        values["pairs/psnr_without_report"] = finest["pairs"]["without"]["psnr"]
    return values
