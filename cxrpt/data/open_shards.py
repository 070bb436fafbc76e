"""Shards that a process holds open."""

import time
from collections import OrderedDict

import numpy as np

from cxrpt.data.shards import RawSample, ShardReader
from cxrpt.data.sources import Source

_OPEN_SHARDS = 256
_READ_TRIES = 3


class OpenShards:
    """The most recently used shards, kept open; a file system that fails is tried again."""

    def __init__(self, sources: list[Source]):
        self._sources = sources
        self._open: OrderedDict[tuple[int, int], ShardReader] = OrderedDict()

    def reader(self, source: int, shard: int) -> ShardReader:
        """The reader of a shard, opened if need be."""
        key = (source, shard)
        if key not in self._open:
            self._open[key] = ShardReader(self._sources[source].shards[shard], self._sources[source].use)
            if len(self._open) > _OPEN_SHARDS:
                self._open.popitem(last=False)[1].close()
        self._open.move_to_end(key)
        return self._open[key]

    def index(self, source: int, shard: int) -> np.ndarray:
        """The index records of a shard that the source's `use` admits; the shard is not kept open for it."""
        if (source, shard) in self._open:
            return self._open[source, shard].read_index()
        reader = ShardReader(self._sources[source].shards[shard], self._sources[source].use)
        index = reader.read_index()
        reader.close()
        return index

    def read(self, source: int, shard: int, sample: int) -> RawSample:
        """Read one sample.

        Raises:
            BadSampleError: its content is bad.
            OSError: the file system failed, again and again.
        """
        for left in range(_READ_TRIES - 1, -1, -1):
            try:
                return self.reader(source, shard).read(sample)
            except OSError:
                # A file system that fails must never change the order: try again, then stop the run.
                if not left:
                    raise
                time.sleep(1.0)
        raise AssertionError("unreachable")

    def __getstate__(self) -> dict:
        return {"_sources": self._sources, "_open": OrderedDict()}
