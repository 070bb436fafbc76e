"""Who takes which samples of a step, so that ranks and micro-batches have about as many rows each.

The samples of a step stay what they are: ranks only exchange a few, as many against as many.
"""

import numpy as np

_TOLERANCE = 0.005
"""Ranks stop exchanging when none is further above the mean; what the estimates of lengths are off comes on top."""
_ROUNDS = 32
_CANDIDATES = 64
"""Samples of a rank that are looked at for an exchange."""

GROUP_SAMPLES = 4096
"""Samples of a step, at least, among which ranks exchange. A rank must know the lengths of all of them; the mean length of so
many differs from that of the whole step by little (0.5 % where single lengths deviate by a third)."""


def group_ranks(world: int, samples_a_rank: int, most: int) -> int:
    """Ranks that exchange samples among themselves: the smallest divisor of the world that holds GROUP_SAMPLES.

    Args:
        world: ranks of the run.
        samples_a_rank: of each in a step.
        most: ranks that a group may have and divide; the whole world, or those of a node.
    """
    most = most if world % most == 0 else 1
    divisors = [ranks for ranks in range(1, most + 1) if most % ranks == 0]
    return next((ranks for ranks in divisors if ranks * samples_a_rank >= GROUP_SAMPLES), most)


def balance(rows_RS: np.ndarray) -> np.ndarray:
    """Exchange samples between ranks until their rows are about equal.

    The fullest rank is paired with the emptiest, the second with the second, and so on; each pair exchanges the two samples
    that bring it closest together, again and again. Few samples move, so that a rank keeps reading its own shards.

    Args:
        rows_RS: (ranks, samples a rank) rows of each sample, int64.

    Returns:
        (ranks, samples a rank) numbers in `rows_RS.ravel()`: the samples that each rank takes. Every rank computes the same.
    """
    ranks, samples = rows_RS.shape
    taken, rows = np.arange(ranks * samples).reshape(ranks, samples), rows_RS.copy()
    for _ in range(_ROUNDS if ranks > 1 else 0):
        loads = rows.sum(1)
        if loads.max() <= (1 + _TOLERANCE) * loads.mean():
            break
        order = np.argsort(loads, kind="stable")
        low, high = order[: ranks // 2], order[::-1][: ranks // 2]
        gap = loads[high] - loads[low]
        moved = rows[high, :_CANDIDATES, None] - rows[low, None, :_CANDIDATES]
        left = np.abs(gap[:, None, None] - 2 * moved).reshape(len(gap), -1)
        best = left.argmin(1)
        better = np.flatnonzero(left[np.arange(len(gap)), best] < gap)
        if not len(better):
            break
        give, take = np.divmod(best[better], moved.shape[2])
        there, here = (high[better], give), (low[better], take)
        for array in (taken, rows):
            array[there], array[here] = array[here], array[there]
    return taken


def deal(rows_S: np.ndarray, parts: int) -> np.ndarray:
    """Deal a rank's samples to its micro-batches, the longest first, forth and back.

    Returns:
        (parts, samples / parts) numbers in `rows_S`.
    """
    dealt = np.argsort(-rows_S, kind="stable").reshape(-1, parts)
    dealt[1::2] = dealt[1::2, ::-1]
    return dealt.T
