"""Regeneration of hidden patches, scored on hidden pixels only, beside inpainting without a model.

picture, mask ─► states ─► head of scale s ─► hidden groups, reduced s-fold ─► put into the reduced picture ─► PSNR, SSIM, MAE

A cell of the results is one kind of mask (`hidden_squares`) at one ratio; every cell hides parts of the same pictures.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cxrpt.checkpoint.export import Exported
from cxrpt.config import EvalConfig
from cxrpt.data.hashing import hash_text
from cxrpt.data.masking import hidden_groups
from cxrpt.data.shards import BadSampleError
from cxrpt.eval.features import WITH_IMAGE, batches_of, run_model
from cxrpt.eval.hidden_squares import MIXED, can_hide, draw_mask
from cxrpt.eval.inpaint import fill_biharmonic, fill_mean, fill_telea
from cxrpt.eval.item_tables import numbered, write_item_table
from cxrpt.eval.mean_interval import ABOUT
from cxrpt.eval.picture_grid import Regenerated, draw_grid
from cxrpt.eval.pixel_scores import MAX_PSNR_DB, Scores, fill, group_pixels, reduce_by, score_hidden
from cxrpt.eval.regenerate_summary import METHODS, Scored, flat_metrics, summarise
from cxrpt.eval.samples import CannotRunError, Place, SplitFolder, choose, plain_example, read, square_image, text_tokens
from cxrpt.model.pretrain import denormalise_pixels

_PICTURES = 6


@dataclass(frozen=True)
class Item:
    """One picture to regenerate."""

    image: np.ndarray
    """(S, S) uint8."""
    tokens: np.ndarray | None
    identity: int
    """Hash of the key."""
    patient: str
    """Told apart by source."""
    biharmonic: bool
    """Whether biharmonic inpainting is scored on it too."""
    drawn: bool
    """Whether it is among the pictures that are shown."""


@dataclass
class Cell:
    """One kind of mask at one ratio, and what was found so far."""

    kind: str
    ratio: float
    figure: str | None
    """File of its pictures, if it has any."""
    scored: list[Scored] = field(default_factory=list)
    pictures: list[Regenerated] = field(default_factory=list)

    @property
    def percent(self) -> str:
        """The ratio as results name it."""
        return f"{100 * self.ratio:g}"


def regenerate(
    exported: Exported,
    folders: dict[str, list[SplitFolder]],
    split: str,
    config: EvalConfig,
    figures: Path,
    tables: Path | None = None,
) -> tuple[dict[str, float], dict[str, Any]]:
    """Regenerate pictures of a split under every kind of mask at every ratio, and draw some into `figures`.

    The scores of every picture go into a table in `tables` (`item_tables`), unless that is None.

    Returns:
        Metrics by name (of scale 1), and details with every scale.

    Raises:
        CannotRunError: no images, or targets from which pixels cannot be restored.
    """
    shape = exported.model.shape
    if shape.normalize_targets:
        raise CannotRunError(
            "trained on normalised targets (objective.normalize_targets): the heads give no brightness and contrast, "
            "so pixels cannot be scored"
        )
    places = choose(folders[split], WITH_IMAGE, config.max_regenerated)
    if not places:
        raise CannotRunError(f"no images in {split}")
    grid = shape.image_size // shape.patch_size
    cells, left_out = plan_cells(grid, config.mask_kinds, config.mask_ratios)
    bad: Counter[str] = Counter()
    # The smallest hashes of keys again, so that both are among `places`, from all sources, and the same at every step.
    inpainted = set(choose(folders[split], WITH_IMAGE, min(config.max_biharmonic, len(places))))
    drawn = set(choose(folders[split], WITH_IMAGE, min(_PICTURES, len(places))))
    items = _items(exported, places, inpainted, drawn, bad)
    for batch in batches_of(items, config.batch):
        for cell in cells:
            _score_batch(exported, batch, cell)
    if not cells or not cells[0].scored:
        raise CannotRunError(f"no image of {split} can be read" if cells else "no mask hides a part of the pictures only")
    if tables is not None:
        write_item_table(tables, "regenerate", (_item_block(cell) for cell in cells))
    found: dict[str, dict[str, Any]] = {}
    metrics: dict[str, float] = {}
    for cell in cells:
        summary = summarise(cell.scored) | ({"figure": cell.figure} if cell.figure and cell.pictures else {})
        found.setdefault(cell.kind, {})[cell.percent] = summary
        metrics |= {f"regenerate/{cell.kind}/{cell.percent}/{name}": value for name, value in flat_metrics(summary).items()}
        if "figure" in summary:
            draw_grid(cell.pictures, f"{cell.kind} squares, {100 * summary['share']:.0f} % hidden", figures / summary["figure"])
    scored = cells[0].scored
    return metrics, {
        "split": split,
        "images": len(scored),
        "patients": len({one.patient for one in scored}),
        "pairs": sum("report" in one.by_scale[1] for one in scored),
        "biharmonic_images": sum("biharmonic" in one.by_scale[1] for one in scored),
        "scored": "hidden pixels only, in 0..1; SSIM with a 7 x 7 window over the picture with its hidden part filled in, "
        f"averaged over hidden pixels; PSNR by picture, at most {MAX_PSNR_DB:g} dB",
        "masks": f"of {grid} x {grid} patches of {shape.patch_size} pixels; mixed: squares of "
        f"{', '.join(map(str, shape.scales))} patches a side, as in training; others: aligned squares of one size, as many "
        "whole ones as come nearest to the ratio (share tells what is hidden)",
        "baselines": "mean of the visible pixels; Telea inpainting (OpenCV); biharmonic inpainting (scikit-image), on the "
        "first pictures by hash only, where the model is scored on the same ones; at scale s reduced s-fold like the target",
        "interval": ABOUT,
        "cells": found,
        "left_out": left_out,
        "bad_samples": dict(bad),
    }


def plan_cells(grid: int, kinds: list[str], ratios: list[float]) -> tuple[list[Cell], dict[str, str]]:
    """The cells that a grid of patches allows, and why others are left out.

    Mixed masks have pictures at every ratio, each other kind at its largest.
    """
    cells: dict[str, Cell] = {}
    left_out = {}
    for kind in dict.fromkeys(kinds):
        possible = [ratio for ratio in sorted(ratios) if can_hide(grid, kind, ratio)]
        if len(possible) < len(ratios):
            left_out[kind] = f"on {grid} x {grid} patches such squares hide nothing or everything"
        for ratio in possible:
            cell = Cell(kind, ratio, None)
            if kind == MIXED or ratio == possible[-1]:
                cell.figure = f"regenerate-{kind}-{cell.percent}.png"
            cells[f"{kind}/{cell.percent}"] = cell
    return list(cells.values()), left_out


def _item_block(cell: Cell) -> dict[str, Any]:
    """The rows of a cell: those of each method together."""
    patient_N = numbered(one.patient for one in cell.scored)
    rows = [
        (image, name, one.by_scale[1][name])
        for name in METHODS
        for image, one in enumerate(cell.scored)
        if name in one.by_scale[1]
    ]
    images = [image for image, _, _ in rows]
    same = {"image": images, "patient": patient_N[images], "kind": cell.kind, "percent": 100 * cell.ratio}
    scores = {measure: [found[measure] for _, _, found in rows] for measure in ("psnr", "ssim", "mae")}
    return same | {"method": [name for _, name, _ in rows]} | scores


def _items(
    exported: Exported, places: list[Place], inpainted: set[Place], drawn: set[Place], bad: Counter[str]
) -> Iterator[Item]:
    for place, raw in read(places, bad):
        try:
            image = square_image(raw, exported)
        except BadSampleError:
            bad[place.source] += 1
            continue
        tokens = None if raw.text is None else text_tokens(raw, exported)
        yield Item(
            image,
            tokens if tokens is not None and len(tokens) else None,
            hash_text(raw.key),
            f"{place.source}/{raw.meta.patient}",
            place in inpainted,
            place in drawn,
        )


def _score_batch(exported: Exported, batch: list[Item], cell: Cell) -> None:
    """Score every picture of a batch by every method, and keep those that are to be drawn."""
    shape = exported.model.shape
    grid, patch_size = shape.image_size // shape.patch_size, shape.patch_size
    masks = [draw_mask(grid, shape.scales, cell.kind, cell.ratio, item.identity) for item in batch]
    alone = predict(exported, [item.image for item in batch], masks, [None] * len(batch))
    with_text = [n for n, item in enumerate(batch) if item.tokens is not None]
    informed: dict[int, dict[int, np.ndarray]] = {}
    if with_text:
        found = predict(
            exported, [batch[n].image for n in with_text], [masks[n] for n in with_text], [batch[n].tokens for n in with_text]
        )
        informed = dict(zip(with_text, found, strict=True))
    for n, item in enumerate(batch):
        hidden = np.kron(masks[n], np.ones((patch_size,) * 2, bool))
        guesses = {"mean": fill_mean(item.image, hidden), "telea": fill_telea(item.image, hidden)}
        if item.biharmonic:
            guesses["biharmonic"] = fill_biharmonic(item.image, hidden)
        truth = item.image / np.float32(255)
        predicted = {"model": alone[n]} | ({"report": informed[n]} if n in informed else {})
        by_scale = score_picture(truth, masks[n], predicted, guesses, patch_size)
        cell.scored.append(Scored(item.patient, float(masks[n].mean()), by_scale))
        if item.drawn and cell.figure:
            filled = {name: fill(truth, masks[n], groups[1], 1, patch_size) for name, groups in predicted.items()}
            cell.pictures.append(Regenerated(truth, hidden, filled["model"], filled.get("report"), guesses["telea"]))


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
    found: list[dict[int, np.ndarray]] = [{} for _ in images]
    for scale in model.shape.scales:
        if scale <= len(masks[0]):
            # One call of the head for all pictures: a call a picture took as long as the transformer.
            groups = [torch.from_numpy(hidden_groups(mask, scale)).to(states.device) for mask in masks]
            rows = torch.cat([batch.image_rows_I[n] + 1 + one for n, one in enumerate(groups)])
            pixels = denormalise_pixels(model.regenerate(states, rows, scale)).cpu().numpy()
            ends = np.cumsum([len(one) for one in groups])[:-1]
            for one, part in zip(found, np.split(pixels, ends), strict=True):
                one[scale] = part
    return found


def score_picture(
    truth: np.ndarray,
    mask: np.ndarray,
    predicted: dict[str, dict[int, np.ndarray]],
    guesses: dict[str, np.ndarray],
    patch_size: int,
) -> dict[int, dict[str, Scores]]:
    """Scores of one picture at every scale.

    Args:
        truth: (S, S) float32 in 0..1.
        mask: (grid, grid) bool.
        predicted: method -> scale -> hidden groups, as `predict` gives them.
        guesses: method -> the whole picture, for methods without heads.
        patch_size: pixels.

    Returns:
        Scale -> method -> scores; a scale without a hidden group is left out.
    """
    scores: dict[int, dict[str, Scores]] = {}
    for scale in predicted["model"]:
        at = group_pixels(mask, scale, patch_size)
        if at.any():
            target = reduce_by(truth, scale, patch_size)
            filled = {name: fill(truth, mask, groups[scale], scale, patch_size) for name, groups in predicted.items()}
            filled |= {name: np.where(at, reduce_by(guess, scale, patch_size), target) for name, guess in guesses.items()}
            scores[scale] = {name: score_hidden(target, guess, at) for name, guess in filled.items()}
    return scores
