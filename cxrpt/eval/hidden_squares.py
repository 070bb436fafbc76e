"""Which patches of a picture are hidden from an evaluation: squares of mixed sizes as in training, or of one size.

    "mixed"  squares of all scales of the model, exactly round(ratio * patches) patches
    "2x2"    aligned squares of 2 x 2 patches, as many whole ones as come nearest to the ratio

A mask depends on the picture's key, the kind and the ratio only, so that every step, every model of the same grid, and the
passes with and without the report see the same ones.
"""

import numpy as np

from cxrpt.data.hashing import generator
from cxrpt.data.masking import mask_regions

MIXED = "mixed"

_MASK = 42


def square_side(kind: str) -> int:
    """The side, in patches, of the squares of a kind of one size, "2x2" say."""
    return int(kind.split("x")[0])


def num_squares(grid: int, side: int, ratio: float) -> int:
    """How many aligned squares come nearest to a share of the patches, at least one; something must stay visible.

    Args:
        grid: patches a side of the picture; what no whole square fits into stays visible.
        side: of a square, in patches.
        ratio: share of the patches that is wanted.

    Returns:
        The number; 0 where even one square would hide everything, or does not fit.
    """
    most = (grid // side) ** 2
    if most * side**2 == grid**2:
        most -= 1
    return min(max(1, round(ratio * grid**2 / side**2)), most)


def can_hide(grid: int, kind: str, ratio: float) -> bool:
    """Whether a kind of mask hides some of the picture and leaves some."""
    hidden = round(ratio * grid**2) if kind == MIXED else num_squares(grid, square_side(kind), ratio)
    return 0 < hidden < grid**2


def draw_mask(grid: int, scales: tuple[int, ...], kind: str, ratio: float, identity: int) -> np.ndarray:
    """(grid, grid) bool: what is hidden of one picture.

    Args:
        grid: patches a side.
        scales: sides of the squares of the kind "mixed".
        kind: "mixed", or the size of all squares.
        ratio: share of the patches; what is met of it tells `mask.mean()`.
        identity: hash of the picture's key.
    """
    if kind == MIXED:
        return mask_regions(grid, scales, ratio, generator(_MASK, identity, round(1000 * ratio)))
    side = square_side(kind)
    across = grid // side
    rng = generator(_MASK, identity, round(1000 * ratio), side)
    taken = np.zeros(across**2, bool)
    taken[rng.permutation(across**2)[: num_squares(grid, side, ratio)]] = True
    mask = np.zeros((grid, grid), bool)
    mask[: across * side, : across * side] = np.kron(taken.reshape(across, across), np.ones((side, side), bool))
    return mask
