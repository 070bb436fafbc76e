"""Counter-based randomness: pure functions of integers, vectorised over numpy arrays.

Nothing here has state. `mix` is the finaliser of SplitMix64 (Steele, Lea, Flood 2014); `permute` is a generalised Feistel
network, walked until it lands inside the range (Black and Rogaway 2002), so that any single place of a permutation of
any size costs a few operations and no memory.
"""

import hashlib
import struct
from typing import Any

import numpy as np
from numpy.random.bit_generator import ISeedSequence

_ROUNDS = 6
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_ROUND_STEPS = np.left_shift(np.arange(1, _ROUNDS + 1, dtype=np.uint64), np.uint64(40))[:, None]


def mix(value: np.ndarray) -> np.ndarray:
    """Scramble an array of uint64 integers, one to one; arrays wrap round without a word, which is what is meant."""
    value = value + _GOLDEN
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


def derive(*parts: int | np.ndarray) -> np.ndarray:
    """A uint64 key from any number of non-negative integers or broadcastable arrays of them; the order counts."""
    key = np.zeros(1, np.uint64)
    for part in parts:
        key = mix(key ^ np.asarray(part).astype(np.uint64))
    return key


def permute(index: np.ndarray, size: np.ndarray | int, key: np.ndarray) -> np.ndarray:
    """Where `index` goes under the permutation of range(size) that `key` names.

    Args:
        index: (n,) integers, 0 <= index < size.
        size: (n,) integers or one, above 0 and below 2 ** 53.
        key: (n,) or (1,) uint64.

    Returns:
        (n,) int64, for fixed size and key a one-to-one map of range(size) to itself.
    """
    result = np.asarray(index).astype(np.uint64)
    sizes = np.broadcast_to(np.asarray(size, np.uint64), result.shape)
    # left * columns + right, the smallest near-square that holds the range: few walk, and hardly any twice.
    rows = np.sqrt(sizes.astype(np.float64)).astype(np.uint64)
    rows += rows * rows < sizes
    columns = (sizes + rows - np.uint64(1)) // rows
    keys = np.broadcast_to(mix(key + _ROUND_STEPS), (_ROUNDS, *result.shape))

    value, walking = result, np.arange(result.size)
    while walking.size:
        left = value // columns
        right = value - left * columns
        for first, second in zip(keys[::2], keys[1::2], strict=True):
            left = _add_scrambled(left, right ^ first, rows)
            right = _add_scrambled(right, left ^ second, columns)
        value = left * columns + right
        outside = value >= sizes
        inside = ~outside
        result[walking[inside]] = value[inside]
        walking, value, sizes = walking[outside], value[outside], sizes[outside]
        rows, columns, keys = rows[outside], columns[outside], keys[:, outside]
    return result.astype(np.int64)


def _add_scrambled(half: np.ndarray, other: np.ndarray, modulus: np.ndarray) -> np.ndarray:
    """(half + 32 scrambled bits of `other`, scaled to the modulus) mod modulus: one round of `permute`."""
    other = other * np.uint64(0xBF58476D1CE4E5B9)
    other ^= other >> np.uint64(32)
    other *= np.uint64(0x94D049BB133111EB)
    other >>= np.uint64(32)
    other *= modulus
    other >>= np.uint64(32)
    other += half
    other -= modulus * (other >= modulus)
    return other


def hash_text(text: str) -> int:
    """A stable 63-bit integer from a string."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


class _Words(ISeedSequence):
    """A seed that is used as it is."""

    def __init__(self, words: np.ndarray):
        self.words = words

    def generate_state(self, n_words: int, dtype: Any = np.uint32) -> np.ndarray:
        assert dtype == self.words.dtype and n_words == len(self.words)
        return self.words


def generator(*parts: int) -> np.random.Generator:
    """A numpy generator that depends on the integers only, which are below 2 ** 64 and not negative; their order counts.

    The state of PCG64 is the BLAKE2b hash of the integers, so that streams of different integers have nothing in common.
    2 us; numpy's own ways to a seeded generator take 7 to 9 (Philox with a key reads the system's entropy first).
    """
    digest = hashlib.blake2b(struct.pack(f"<{len(parts)}Q", *parts), digest_size=32).digest()
    # Anything that is an ISeedSequence will do, as numpy's documentation says and its types do not.
    return np.random.Generator(np.random.PCG64(_Words(np.frombuffer(digest, np.uint64))))  # type: ignore[arg-type]
