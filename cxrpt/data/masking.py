"""Which tokens and patches are masked, drawn from a generator of the sample's own.

Masked language modelling hides whole words (80 % mask token, 10 % random token, 10 % left as it is, as in BERT).
Masked vision modelling hides regions of several scales. A scale s group is an aligned s x s square of patches that is
masked as a whole, so what is regenerated from it coarsely shows in no visible patch.
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, count

import numpy as np

_DRAWS = 64


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
        mask_id: the mask token.
        ratio: share of the tokens; 0 hides none.
        rng: the sample's generator.
    """
    fixed, others = _split_vocabulary(len(word_start), never)
    starts = word_start[tokens]
    starts[:1] = True
    word = np.cumsum(starts) - 1
    lengths = np.bincount(word)
    lengths_open = lengths.copy()
    lengths_open[word[fixed[tokens]]] = 0
    open_words = np.flatnonzero(lengths_open)
    if ratio <= 0 or not len(open_words):
        return MaskedText(tokens, np.empty(0, np.int64), np.empty(0, np.int32))
    order = rng.permutation(open_words)
    lengths = lengths[order]
    wanted = max(1.0, ratio * len(tokens))
    # A word is taken while it brings the count nearer to what is wanted.
    num_taken = max(1, int(np.count_nonzero(lengths.cumsum() - lengths / 2 <= wanted)))
    taken = np.zeros(len(lengths_open), bool)
    taken[order[:num_taken]] = True
    positions = np.flatnonzero(taken[word])
    seen = tokens.copy()
    fate = rng.random(len(positions))
    seen[positions[fate < 0.8]] = mask_id
    swapped = positions[(fate >= 0.8) & (fate < 0.9)]
    seen[swapped] = others[rng.integers(len(others), size=len(swapped))]
    return MaskedText(seen, positions, tokens[positions])


@lru_cache(maxsize=8)
def _split_vocabulary(size: int, never: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Of each token whether it is in `never`, and the tokens that are not: (size,) bool and (others,) int32."""
    fixed = np.zeros(size, bool)
    fixed[list(never)] = True
    return fixed, np.flatnonzero(~fixed).astype(np.int32)


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
    missing = round(ratio * grid * grid)
    # What is drawn and found closed never opens again, so a pile keeps what may be open, and the draw is even among that.
    piles = [(scale * scale, list(squares)) for scale, squares in _squares_as_bits(grid, tuple(sorted(set(scales))))]
    draws = chain.from_iterable(rng.random(_DRAWS).tolist() for _ in count())
    hidden = 0
    while missing > 0:
        chosen = int(next(draws) * len(piles))
        size, pile = piles[chosen]
        while size <= missing and pile:
            at = int(next(draws) * len(pile))
            square, pile[at] = pile[at], pile[-1]
            pile.pop()
            if not hidden & square:
                hidden |= square
                missing -= size
                break
        else:
            del piles[chosen]
    packed = np.frombuffer(hidden.to_bytes((grid * grid + 7) // 8, "little"), np.uint8)
    return np.unpackbits(packed, count=grid * grid, bitorder="little").view(bool).reshape(grid, grid)


@lru_cache(maxsize=32)
def _squares_as_bits(grid: int, scales: tuple[int, ...]) -> tuple[tuple[int, tuple[int, ...]], ...]:
    """The aligned squares of each scale that fits: (scale, one integer a square, whose bit n is patch n)."""
    table = []
    for scale in [scale for scale in scales if scale <= grid]:
        corners = range(0, grid - grid % scale, scale)
        first = [sum(((1 << scale) - 1) << grid * row + column for row in range(scale)) for column in corners]
        table.append((scale, tuple(square << grid * row for row in corners for square in first)))
    return tuple(table)


def hidden_groups(hidden: np.ndarray, scale: int) -> np.ndarray:
    """The aligned scale x scale squares that are hidden as a whole.

    Args:
        hidden: (grid, grid) bool.
        scale: side of a square in patches.

    Returns:
        (groups, scale ** 2) int64, numbers of patches row by row within each square.
    """
    return hidden_groups_of_all(hidden[None], scale)[1]


def hidden_groups_of_all(hidden: np.ndarray, scale: int) -> tuple[np.ndarray, np.ndarray]:
    """`hidden_groups` of many pictures at once: (images, grid, grid) bool to the picture and the patches of each group.

    Returns:
        (groups,) and (groups, scale ** 2) int64, picture by picture; patches are numbered within their picture.
    """
    images, grid, _ = hidden.shape
    side = grid // scale
    # What does not fit a square is left out.
    squares = hidden[:, : side * scale, : side * scale].reshape(images, side, scale, side, scale)
    image, row, column = np.nonzero(squares.all(axis=(2, 4)))
    within = np.arange(scale)[:, None] * grid + np.arange(scale)
    return image, ((row * grid + column) * scale)[:, None] + within.ravel()
