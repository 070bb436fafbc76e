"""A sheet of pictures before and after regeneration. Nothing is written on it that names a sample."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

DIFFERENCE = 0.5
"""The largest difference, of the range of pixels, that has a colour of its own."""

_HIDDEN_BLUE = (0.20, 0.26, 0.36)
"""Not a gray that a picture could hold."""


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
    """Write a PNG with a row a picture: input, masked, regenerated (alone, with its report), Telea, difference."""
    reports = any(one.with_report is not None for one in pictures)
    columns = ["input", "masked", "regenerated", *(["with its report"] if reports else []), "Telea", "regenerated - input"]
    figure = Figure(
        figsize=(1.75 * len(columns) + 0.7, 1.75 * len(pictures) + 0.6),
        layout=ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.02, wspace=0.01, hspace=0.01),
    )
    axes = figure.subplots(len(pictures), len(columns), squeeze=False)
    for row, one in zip(axes, pictures, strict=True):
        masked = np.where(one.hidden[..., None], _HIDDEN_BLUE, one.truth[..., None].repeat(3, 2))
        shown = [one.truth, masked, one.filled, *([one.with_report] if reports else []), one.telea]
        for axis, picture in zip(row, shown, strict=False):
            if picture is None:
                axis.text(0.5, 0.5, "no report", ha="center", va="center", fontsize=8, color="gray", transform=axis.transAxes)
                axis.set_box_aspect(1)
            else:
                axis.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        difference = row[-1].imshow(
            one.filled - one.truth, cmap="RdBu_r", vmin=-DIFFERENCE, vmax=DIFFERENCE, interpolation="nearest"
        )
        for axis in row:
            axis.set_axis_off()
    for axis, name in zip(axes[0], columns, strict=True):
        axis.set_title(name, fontsize=9)
    bar = figure.colorbar(difference, ax=axes[:, -1], fraction=0.05, shrink=min(1.0, 3 / len(pictures)), extend="both")
    bar.set_label("difference, of the range of pixels", fontsize=8)
    bar.ax.tick_params(labelsize=8)
    figure.suptitle(title, fontsize=10)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
