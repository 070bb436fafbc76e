"""A sheet of pictures before and after regeneration. Nothing is written on it that names a sample."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

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
    shades = ScalarMappable(Normalize(-DIFFERENCE, DIFFERENCE), "RdBu_r")
    side = len(pictures[0].truth)
    step = side + max(2, side // 32)
    # One picture of all of them: axes of their own took several times as long to lay out.
    sheet = np.ones((step * len(pictures), step * len(columns), 3))
    figure = Figure(figsize=(1.75 * len(columns) + 0.9, 1.75 * len(pictures) + 0.6), layout="constrained")
    axis = figure.subplots()
    for row, one in enumerate(pictures):
        shown = [_gray(one.truth), np.where(one.hidden[..., None], _HIDDEN_BLUE, _gray(one.truth)), _gray(one.filled)]
        if reports:
            shown.append(np.ones((side, side, 3)) if one.with_report is None else _gray(one.with_report))
        shown += [_gray(one.telea), shades.to_rgba(one.filled - one.truth)[..., :3]]
        for column, picture in enumerate(shown):
            sheet[row * step : row * step + side, column * step : column * step + side] = picture
        if reports and one.with_report is None:
            axis.text(
                3 * step + side / 2, row * step + side / 2, "no report", ha="center", va="center", fontsize=8, color="gray"
            )
    axis.imshow(sheet[: side - step, : side - step])
    axis.set_xticks([column * step + side / 2 for column in range(len(columns))], columns, fontsize=9)
    axis.set_yticks([])
    axis.tick_params(top=True, bottom=False, labeltop=True, labelbottom=False, length=0)
    axis.spines[:].set_visible(False)
    bar = figure.colorbar(shades, ax=axis, fraction=0.02, pad=0.01, shrink=min(1.0, 3 / len(pictures)), extend="both")
    bar.set_label("difference, of the range of pixels", fontsize=8)
    bar.ax.tick_params(labelsize=8)
    figure.suptitle(title, fontsize=10)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def _gray(picture: np.ndarray) -> np.ndarray:
    return picture[..., None].repeat(3, 2)
