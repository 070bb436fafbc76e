"""Near-copies of a picture: a perceptual hash, and all pairs of hashes that lie close.

    picture (H, W) ─ every k-th pixel ─ 64 x 64 ─ signs of 16 x 16 low DCT coefficients ─► 32 bytes
    hashes (N, 32) ─ equal ones stand for one ─ pairs with two equal bands ─ counted bits ─► (i, j, distance)

Near-copies are reported, never excluded: radiographs look alike, and two visits of one patient more so.
"""

from collections.abc import Iterator
from itertools import combinations

import cv2
import numpy as np

HASH_BYTES = 32
NEAR_DISTANCE = 24
"""Bits of 256 in which two near-copies may differ; see `perceptual_hash` for what that catches."""
MAX_PAIRS = 10_000_000
"""A phantom shot thousands of times is near to itself everywhere; what lies beyond this many pairs is not looked for."""

_SIDE = 64
_FREQUENCIES = 16
# Whole numbers, so that float sums are exact and the signs the same on every machine.
_WAVES = np.rint(1024 * np.cos(np.pi * np.outer(np.arange(1, _FREQUENCIES + 1), np.arange(_SIDE) + 0.5) / _SIDE))
_CHUNK = 1 << 20


def perceptual_hash(pixels: np.ndarray) -> bytes:
    """256 bits of an 8-bit picture (height, width) that change little with size, compression and contrast; never all zero.

    The signs of the 16 x 16 lowest coefficients of the cosine transform that vary along both sides. Of the hashes tried
    (differences, local means, random projections, transforms with and without equalised histogram) it kept patients the
    furthest apart. By `benchmarks/image_checks.py`, on 289 real radiographs (139 of NIH14, 150 of covid-chestxray):

    - 41,422 pairs of different patients: 67 bits at least, half of them 124 (and 0 for two pictures filed under two patients);
      192 pairs of one patient: 83 at least, and 0 for one copy;
    - their own copies, largest distance: JPEG quality 50 7; reduced to 256 pixels 14; enlarged 1.5 times 9; grain of 6 grey
      levels 11; gamma 0.8 or 1.25 23; contrast 0.8 times 7; 1.2 times, which clips, 33 (95 % within 24);
    - mostly not caught: cut by 3 % a side, none within 24; by 1 %, 59 %. Turned, mirrored and inverted ones are not.
    """
    step = max(1, min(pixels.shape) // (4 * _SIDE))
    small = cv2.resize(np.ascontiguousarray(pixels[::step, ::step]), (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    bits = (_WAVES @ small.astype(np.float64) @ _WAVES.T).ravel() > 0
    # Zeros say "no picture"; a flat one has no positive coefficient.
    bits[0] |= not bits.any()
    return np.packbits(bits).tobytes()


def find_near(hashes: np.ndarray, max_distance: int = NEAR_DISTANCE) -> np.ndarray:
    """Pairs of rows of `hashes` (N, 32) uint8 that differ in at most `max_distance` bits: (M, 3) int64 of i < j, distance.

    Exact, with two things left out. Rows of zeros are no pictures. Of equal rows, each pairs with the first one only, and
    only the first pairs with others, so that a picture that comes 100,000 times gives 99,999 pairs. At most `MAX_PAIRS`
    pairs that are not equal. Sorted by i, then j.

    Memory is that of a few copies of `hashes` and of the answer. On one core of a 2-core machine, on real hashes with 30 % of
    the bits flipped: 100,000 in 2.3 s, a million in 70 s.
    """
    rows = np.flatnonzero(hashes.any(axis=1))
    words, first, member_of = _distinct(hashes[rows])
    copies = np.flatnonzero(np.arange(len(rows)) != first[member_of])
    equal = np.stack([rows[first[member_of[copies]]], rows[copies], np.zeros_like(copies)], axis=1)
    near = _near_words(words, max_distance)
    near[:, :2] = np.sort(rows[first[near[:, :2]]], axis=1)
    return _in_order(np.concatenate([equal, near]))


def _distinct(hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hashes (N, 32) to distinct ones as (K, 4) uint64, the first row of each (K,), and which one each row is (N,)."""
    words = np.ascontiguousarray(hashes, dtype=np.uint8).view(np.uint64).reshape(-1, HASH_BYTES // 8)
    order = np.lexsort((np.arange(len(words)), *words.T))
    ordered = words[order]
    starts = np.ones(len(order), dtype=bool)
    starts[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    member_of = np.empty(len(order), dtype=np.int64)
    member_of[order] = np.cumsum(starts) - 1
    return ordered[starts], order[starts], member_of


def _in_order(pairs: np.ndarray) -> np.ndarray:
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]


def _near_words(words: np.ndarray, max_distance: int) -> np.ndarray:
    """Pairs (M, 3) of distinct hashes (K, 4) uint64.

    The bits are dealt to max_distance + 2 bands. Of a near pair at least two bands are equal, so for each two bands the hashes
    are sorted by them and equal neighbours are compared (multi-index hashing: Norouzi, Punjani, Fleet, CVPR 2012; with two
    bands a table, since radiographs share single bands too often).
    """
    bands = _bands(max_distance + 2)
    found = [np.empty((0, 3), dtype=np.int64)]
    room = MAX_PAIRS
    for one, other in combinations(range(len(bands)), 2):
        for left, right in _equal_pairs(_mixed(words, bands[one] | bands[other])):
            differing = words[left] ^ words[right]
            distance = np.bitwise_count(differing).sum(axis=1, dtype=np.int64)
            near = np.flatnonzero(distance <= max_distance)
            near = near[_is_first_table(differing[near], bands, one, other)][:room]
            pairs = np.sort(np.stack([left[near], right[near]], axis=1), axis=1)
            found.append(np.column_stack([pairs, distance[near]]))
            room -= len(near)
            if room == 0:
                return np.concatenate(found)
    return np.concatenate(found)


def _bands(num_bands: int) -> np.ndarray:
    """The 256 bits dealt out: masks (num_bands, 4) uint64."""
    # Neighbouring coefficients go together: spread them.
    bits = np.random.default_rng(0).permutation(8 * HASH_BYTES)
    masks = np.zeros((num_bands, HASH_BYTES // 8), dtype=np.uint64)
    for place, bit in enumerate(bits):
        masks[place % num_bands, bit // 64] |= np.uint64(1) << np.uint64(bit % 64)
    return masks


def _is_first_table(differing: np.ndarray, bands: np.ndarray, one: int, other: int) -> np.ndarray:
    """Whether no earlier table brings the pairs that differ in the bits `differing` (M, 4): bool (M,)."""
    first = np.ones(len(differing), dtype=bool)
    for band in range(other + 1):
        equal = ~(differing & bands[band]).any(axis=1)
        first &= equal == (band in (one, other))
    return first


def _mixed(words: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """A uint64 (K,) that is equal where `words` (K, 4) are equal under the mask (multiply and shift)."""
    mixed = np.zeros(len(words), dtype=np.uint64)
    for column, part in enumerate(mask):
        mixed ^= words[:, column] & part
        mixed *= np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(29)
    return mixed * np.uint64(0xBF58476D1CE4E5B9)


def _equal_pairs(keys: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Indices of all pairs of equal keys (and of a few others), in pieces of about `_CHUNK` pairs."""
    if not len(keys):
        return
    place_bits = np.uint64(len(keys).bit_length())
    low = (np.uint64(1) << place_bits) - np.uint64(1)
    # Keys sort several times faster with their index in the low bits than through argsort.
    ordered = np.sort((keys & ~low) | np.arange(len(keys), dtype=np.uint64))
    places, upper = (ordered & low).astype(np.int64), ordered >> place_bits
    starts = np.flatnonzero(np.append(True, upper[1:] != upper[:-1]))
    ends = np.append(starts[1:], len(keys))
    partners = np.repeat(ends, ends - starts) - np.arange(len(keys)) - 1
    position = np.flatnonzero(partners)
    partners = partners[position]
    total = np.cumsum(partners)
    start = 0
    while start < len(position):
        done = total[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(total, done + _CHUNK, side="right")))
        counts = partners[start:stop]
        left = np.repeat(position[start:stop], counts)
        step = np.arange(len(left)) - np.repeat(np.cumsum(counts) - counts, counts)
        yield places[left], places[left + step + 1]
        start = stop
