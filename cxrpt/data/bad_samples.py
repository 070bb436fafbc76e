"""What is told of a sample whose content is bad, and what takes its place.

The substitute comes from the same shard and is a pure function of (seed, source, epoch, shard, sample), so that every rank
and worker, and a run that is resumed, puts the same one there.
"""

from dataclasses import dataclass

import numpy as np

from cxrpt.data.hashing import derive, permute

_SUBSTITUTE = 21


@dataclass(frozen=True)
class BadSample:
    """A sample whose content is bad; keys and names of shards are pseudonyms."""

    source: int
    """Number of the source."""
    shard: str
    """File name of the shard."""
    key: str
    what: str
    """What is wrong with it."""

    def __str__(self) -> str:
        return f"{self.shard}, {self.key}: {self.what}"


def substitutes(seed: int, source: int, epoch: int, shard: int, sample: int, count: int, most: int) -> list[int]:
    """The samples that are tried in place of a bad one: at most `most` others of its shard, in turn, none of them twice.

    Args:
        seed: that of the run.
        source: a hash of the source's name, so that it does not matter which others are in the mix.
        epoch: of the source.
        shard: number of the shard in its source.
        sample: number of the bad sample in the shard.
        count: samples of the shard.
        most: how many are tried.
    """
    if count < 2:
        return []
    away = permute(np.arange(min(most, count - 1)), count - 1, derive(seed, _SUBSTITUTE, source, epoch, shard, sample))
    return ((sample + 1 + away) % count).tolist()
