"""Counter-based randomness: pure functions of integers, vectorised over numpy arrays.

Nothing here has state. `mix` is the finaliser of SplitMix64 (Steele, Lea, Flood 2014); `permute` is a Feistel network
over the next power of four, walked until it lands inside the range (Black and Rogaway 2002), so that any single place
of a permutation of any size costs a few operations and no memory.
"""

import hashlib

import numpy as np

_ROUNDS = 6
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def mix(value: np.ndarray) -> np.ndarray:
    """Scramble uint64 integers, one to one."""
    with np.errstate(over="ignore"):
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
        size: (n,) integers or one, above 0.
        key: (n,) or (1,) uint64.

    Returns:
        (n,) int64, for fixed size and key a one-to-one map of range(size) to itself.
    """
    index = np.asarray(index, np.uint64)
    sizes = np.broadcast_to(np.asarray(size, np.uint64), index.shape)
    key = np.broadcast_to(key, index.shape)
    half = np.ones(index.shape, np.uint64)
    for bits in range(1, 32):
        half[np.left_shift(np.uint64(1), np.uint64(2 * bits)) < sizes] = bits + 1
    mask = np.left_shift(np.uint64(1), half) - np.uint64(1)

    walking = np.arange(index.size)
    result = index.copy()
    while walking.size:
        value, shift, low = result[walking], half[walking], mask[walking]
        left, right = value >> shift, value & low
        for round_number in range(_ROUNDS):
            scrambled = mix(key[walking] ^ mix(right ^ np.left_shift(np.uint64(round_number + 1), np.uint64(40))))
            left, right = right, left ^ (scrambled & low)
        value = np.left_shift(left, shift) | right
        result[walking] = value
        walking = walking[value >= sizes[walking]]
    return result.astype(np.int64)


def hash_text(text: str) -> int:
    """A stable 63-bit integer from a string."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def generator(*parts: int) -> np.random.Generator:
    """A numpy generator that depends on the integers only (Philox, keyed)."""
    return np.random.Generator(np.random.Philox(key=int(derive(*parts)[0])))
