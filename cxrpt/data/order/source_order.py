"""In which order one source is gone through: the n-th draw of a lane to (epoch, shard, sample).

A source epoch permutes the shards, lays their samples end to end, each shard permuted inside, and cuts them into lanes
whose lengths differ by one at most, so that a lane reads few shards at a time:

    epoch 0   [shard 5: 3 0 2 1 ...][shard 2: 1 7 ...][shard 9: ...    ...]
              |---- lane 0 ----|---- lane 1 ----|---- lane 2 ----| ...

A small source is dealt to the lanes in turn instead, over its epochs:

    lane:      0 1 2 3 0 1 2 3 0 1 ...
    sample:   |--- epoch 0 ---|--- epoch 1 ...
"""

from collections import OrderedDict
from typing import Any

import numpy as np

from cxrpt.data.hashing import derive, hash_text

SMALL_SOURCE_LANES = 64
"""A source with fewer samples than this many a lane is dealt to the lanes in turn instead of being cut into runs."""

_SHARD_ORDER, _SAMPLE_ORDER, _SMALL_ORDER = 1, 2, 3
_EPOCHS_KEPT = 16
"""Shard orders that are kept; lanes stand in two epochs of a source at most, but where weights changed."""


class SourceOrder:
    """The order of one source on a number of lanes."""

    def __init__(self, name: str, shard_counts: np.ndarray, lanes: int):
        """`shard_counts` (shards,) are samples of each shard; the name seeds, so that sources may join or leave."""
        self.counts, self.lanes = np.asarray(shard_counts, np.int64), lanes
        self.size = int(self.counts.sum())
        self.is_small = self.size < SMALL_SOURCE_LANES * lanes
        self._ends = np.cumsum(self.counts)
        self.key = int(derive(_SMALL_ORDER if self.is_small else _SAMPLE_ORDER, hash_text(name))[0])
        """Of the permutations inside the source, with the seed, the epoch and the shard."""
        self._shards_key = int(derive(_SHARD_ORDER, hash_text(name))[0])
        self._orders: OrderedDict[tuple[int, int], tuple[np.ndarray, np.ndarray]] = OrderedDict()

    def locate(self, seed: int, lane: np.ndarray, draw: np.ndarray, first_epoch: int) -> tuple[np.ndarray, ...]:
        """Where the draw-th draw of a lane lies, counted from the beginning of `first_epoch`.

        Returns:
            epoch, shard, place in the shard before it is permuted, and size of the range that it is permuted in; (n,) each.
            A small source is permuted as a whole, its shard is 0 until `split_place` tells.
        """
        if self.is_small:
            epoch, place = np.divmod(draw * self.lanes + lane, self.size)
            return epoch + first_epoch, np.zeros(len(draw), np.int64), place, np.full(len(draw), self.size)
        share, rest = divmod(self.size, self.lanes)
        epoch, place = np.divmod(draw, share + (lane < rest))
        epoch = epoch + first_epoch
        place = place + lane * share + np.minimum(lane, rest)
        shard, start = np.empty(len(draw), np.int64), np.empty(len(draw), np.int64)
        for one in np.unique(epoch).tolist():
            at = np.flatnonzero(epoch == one)
            order, ends = self._shard_order(seed, one)
            position = np.searchsorted(ends, place[at], side="right")
            shard[at] = order[position]
            start[at] = ends[position] - self.counts[shard[at]]
        return epoch, shard, place - start, self.counts[shard]

    def split_place(self, place: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Shard and sample of a number among all samples: what the permuted place of a small source means."""
        shard = np.searchsorted(self._ends, place, side="right")
        return shard, place - (self._ends - self.counts)[shard]

    def _shard_order(self, seed: int, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """Shards in the order of one source epoch, and where each ends in the samples laid end to end."""
        key = (seed, epoch)
        if key not in self._orders:
            order = np.argsort(derive(seed, self._shards_key, epoch, np.arange(len(self.counts))), kind="stable")
            self._orders[key] = (order, np.cumsum(self.counts[order]))
            while len(self._orders) > _EPOCHS_KEPT:
                self._orders.popitem(last=False)
        return self._orders[key]

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_orders": OrderedDict()}


def draws_of_epochs(size: int, lanes: int, lane: np.ndarray, epochs: int) -> np.ndarray:
    """Draws that a lane may make of a source of `size` samples before it comes to epoch number `epochs`: (n,) to (n,)."""
    if size < SMALL_SOURCE_LANES * lanes:
        return -((lane - size * epochs) // lanes)
    share, rest = divmod(size, lanes)
    return (share + (lane < rest)) * epochs


def epochs_begun(size: int, lanes: int, draws: np.ndarray) -> int:
    """Epochs of a source of `size` samples that any lane has begun after (lanes,) draws."""
    lane = np.arange(lanes)
    if size < SMALL_SOURCE_LANES * lanes:
        begun = np.where(draws > 0, ((draws - 1) * lanes + lane) // size + 1, 0)
    else:
        begun = -(-draws // draws_of_epochs(size, lanes, lane, 1))
    return int(begun.max())
