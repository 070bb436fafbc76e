"""A sheet of pictures before and after regeneration. Nothing is written on it that names a sample."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

GAIN = 4.0
"""Differences are drawn this many times as large."""

_HIDDEN_GRAY = 0.5


@dataclass(frozen=True)
class Regenerated:
    """One picture, (S, S) in 0..1, and what was made of it."""

    truth: np.ndarray
    hidden: np.ndarray
    """bool."""
    filled: np.ndarray
    with_report: np.ndarray | None
    telea: np.ndarray


def draw_grid(pictures: list[Regenerated], title: str, path: Path) -> None:
    """Write a PNG with a row a picture: original, masked, regenerated (alone, with the report), Telea, differences."""
    reports = any(one.with_report is not None for one in pictures)
    columns = ["original", "masked", "regenerated", *(["with the report"] if reports else []), "Telea inpainting"]
    columns += [f"regenerated - original, x {GAIN:g}"]
    figure = Figure(figsize=(2.1 * len(columns), 2.1 * len(pictures) + 0.5), layout="constrained")
    axes = figure.subplots(len(pictures), len(columns), squeeze=False)
    for row, one in zip(axes, pictures, strict=True):
        shown = [one.truth, np.where(one.hidden, _HIDDEN_GRAY, one.truth), one.filled]
        shown += [one.with_report] if reports else []  # type: ignore[list-item]
        shown += [one.telea]
        for axis, picture in zip(row, shown, strict=False):
            if picture is not None:
                axis.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        row[-1].imshow((one.filled - one.truth) * GAIN, cmap="RdBu_r", vmin=-1, vmax=1, interpolation="nearest")
        for axis in row:
            axis.set_axis_off()
    for axis, name in zip(axes[0], columns, strict=True):
        axis.set_title(name, fontsize=9)
    figure.suptitle(title, fontsize=10)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
