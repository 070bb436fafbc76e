"""Which tokens and patches are masked, drawn from a generator of the sample's own.

Masked language modelling hides whole words (80 % mask token, 10 % random token, 10 % left as it is, as in BERT).
Masked vision modelling hides regions of several scales. A scale s group is an aligned s x s square of patches that is
masked as a whole, so what is regenerated from it coarsely shows in no visible patch.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class MaskedText:
    """A text with hidden words."""

    tokens: np.ndarray
    """(T,) int32, what the model sees."""
    positions: np.ndarray
    """(M,) int64, ascending: the places whose token is to be told."""
    targets: np.ndarray
    """(M,) int32, the tokens that stood there."""


def mask_words(
    tokens: np.ndarray, word_start: np.ndarray, never: tuple[int, ...], mask_id: int, ratio: float, rng: np.random.Generator
) -> MaskedText:
    """Hide whole words until `ratio` of the tokens (at least one word, if there is one) is chosen.

    Args:
        tokens: (T,) int32.
        word_start: (vocabulary,) bool, true for pieces that begin a word.
        never: tokens that are never hidden, nor put in another's place.
        mask_id: the mask token; tokens from it on that are not in `never` may replace others.
        ratio: share of the tokens; 0 hides none.
        rng: the sample's generator.
    """
    starts = word_start[tokens]
    if len(tokens):
        starts[0] = True
    word = np.cumsum(starts) - 1
    fixed = np.isin(tokens, never)
    num_words = int(word[-1]) + 1 if len(tokens) else 0
    open_words = np.setdiff1d(np.arange(num_words), word[fixed])
    if ratio <= 0 or not len(open_words):
        return MaskedText(tokens, np.empty(0, np.int64), np.empty(0, np.int32))
    order = rng.permutation(open_words)
    lengths = np.bincount(word, minlength=num_words)[order]
    wanted = max(1.0, ratio * len(tokens))
    # A word is taken while it brings the count nearer to what is wanted.
    taken = order[: max(1, int(np.sum(np.cumsum(lengths) - lengths / 2 <= wanted)))]
    positions = np.flatnonzero(np.isin(word, taken))
    seen = tokens.copy()
    fate = rng.random(len(positions))
    seen[positions[fate < 0.8]] = mask_id
    swapped = positions[(fate >= 0.8) & (fate < 0.9)]
    allowed = np.setdiff1d(np.arange(len(word_start)), never)
    seen[swapped] = rng.choice(allowed, len(swapped))
    return MaskedText(seen, positions, tokens[positions])


def mask_regions(grid: int, scales: tuple[int, ...], ratio: float, rng: np.random.Generator) -> np.ndarray:
    """Hide aligned squares of random scale until exactly round(ratio * grid ** 2) patches are hidden.

    Args:
        grid: patches a side.
        scales: sides of the squares in patches, 1 among them.
        ratio: share of the patches.
        rng: the sample's generator.

    Returns:
        (grid, grid) bool, true where hidden. Squares lie on the grid of their scale; where the grid is no multiple
        of a scale (14 by 4, say), its rest is reached by the smaller scales.
    """
    hidden = np.zeros((grid, grid), bool)
    missing = round(ratio * grid * grid)
    usable = [scale for scale in sorted(set(scales), reverse=True) if scale <= grid]
    while missing > 0:
        scale = usable[rng.integers(len(usable))]
        open_squares = ~_squares(hidden, scale).any(axis=(1, 3))
        choices = np.flatnonzero(open_squares)
        if scale * scale > missing or not len(choices):
            usable.remove(scale)
            continue
        row, column = divmod(int(choices[rng.integers(len(choices))]), grid // scale)
        hidden[row * scale : (row + 1) * scale, column * scale : (column + 1) * scale] = True
        missing -= scale * scale
    return hidden


def hidden_groups(hidden: np.ndarray, scale: int) -> np.ndarray:
    """The aligned scale x scale squares that are hidden as a whole.

    Args:
        hidden: (grid, grid) bool.
        scale: side of a square in patches.

    Returns:
        (groups, scale ** 2) int64, numbers of patches row by row within each square.
    """
    grid = len(hidden)
    numbers = np.arange(grid * grid).reshape(grid, grid)
    whole = _squares(hidden, scale).all(axis=(1, 3))
    return _squares(numbers, scale).transpose(0, 2, 1, 3)[whole].reshape(-1, scale * scale)


def _squares(array: np.ndarray, scale: int) -> np.ndarray:
    """(grid, grid) to (grid // scale, scale, grid // scale, scale); what does not fit is left out."""
    side = len(array) // scale
    return array[: side * scale, : side * scale].reshape(side, scale, side, scale)
