"""Shards that a process holds open, and those that it fetches ahead.

    (source, shard) ─► reader, the most recently used kept open
    want(pairs) ─► a thread ─► the node's cache, before the reader is asked for

A file system or server that fails must never change the order of samples, and a handle that went stale never heals: whatever
fails is closed, waited for, and opened again, until patience ends.
"""

import logging
import queue
import resource
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import numpy as np

from cxrpt.data.sample import KINDS_OF_USE
from cxrpt.data.shards import BadSampleError, RawSample, ShardReader
from cxrpt.data.storage.shard_cache import is_intact
from cxrpt.data.storage.shard_folder import RemoteShard, open_shard, read_index
from cxrpt.data.storage.sources import Source
from cxrpt.errors import InputError

_MOST_OPEN_SHARDS = 2048
"""A rank with many lanes stands in a shard of each lane and source; half of the files that a process may open go to them,
two to a shard."""
PAUSES_S = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0)
"""Waits between the tries to read from a file system or server that fails."""
_WORTH_TELLING_S = 4.0
"""A pause from which on the terminal tells of it; shorter ones stand in the log."""
_IDLE_S = 30.0
"""A remote shard that was not read for this long is closed, so that its file can go."""
_WANTED = 4096
T = TypeVar("T")

log = logging.getLogger(__name__)


class OpenShards:
    """The shards of a run's sources as one process reads them."""

    def __init__(self, sources: list[Source]):
        self._sources = sources
        self.any_remote = any(source.is_remote for source in sources)
        self._begin()

    def _begin(self) -> None:
        self._open: OrderedDict[tuple[int, int], ShardReader] = OrderedDict()
        self._most_open = min(_MOST_OPEN_SHARDS, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 4)
        self._last_use: dict[tuple[int, int], float] = {}
        """Of remote shards only."""
        self._proven: set[tuple[int, int]] = set()
        self._wanted: queue.SimpleQueue[tuple[int, int]] = queue.SimpleQueue()
        self._on_list: set[tuple[int, int]] = set()
        self._thread: threading.Thread | None = None

    def reader(self, source: int, shard: int) -> ShardReader:
        """The reader of a shard, opened if need be; raises as `open_shard`."""
        key = (source, shard)
        if key not in self._open:
            self._close_idle()
            self._open[key] = open_shard(self._sources[source].shards[shard], self._sources[source].use)
            if len(self._open) > self._most_open:
                self._close(next(iter(self._open)))
        self._open.move_to_end(key)
        if self._sources[source].is_remote:
            self._last_use[key] = time.monotonic()
        return self._open[key]

    def index(self, source: int, shard: int) -> np.ndarray:
        """The index records of a shard that the source's `use` admits; no tar is opened or fetched for it. Raises as `read`."""
        index = self._patiently((source, shard), lambda: read_index(self._sources[source].shards[shard]))
        return index[np.isin(index["kind"], KINDS_OF_USE[self._sources[source].use])]

    def read(self, source: int, shard: int, sample: int) -> RawSample:
        """Read one sample.

        Raises:
            BadSampleError: its content is bad.
            InputError: the shard is missing or wrong.
            OSError: the file system or the server failed, again and again; one line that names the shard.
        """
        key = (source, shard)
        return self._patiently(key, lambda: self._read(key, sample))

    def _patiently(self, key: tuple[int, int], read: Callable[[], T]) -> T:
        for pause in PAUSES_S:
            try:
                return read()
            except OSError as error:
                level = logging.WARNING if pause >= _WORTH_TELLING_S else logging.INFO
                log.log(level, "%s: %s: tried again in %g s", self._name(key), error, pause)
                self._close(key)
                # Where the cache is full, what this process has open may be what another waits for.
                self._close_remote()
                time.sleep(pause)
        try:
            return read()
        except InputError:
            raise
        except OSError as error:
            raise OSError(
                f"{self._name(key)} cannot be read ({error}), tried {len(PAUSES_S) + 1} times in {sum(PAUSES_S):.0f} s: "
                "the run stops, and goes on from its last checkpoint when it is started again"
            ) from None

    def want(self, pairs: Iterable[tuple[int, int]]) -> None:
        """Say which (source, shard) will be read soon: a thread brings those that are remote into the node's cache.

        What fails there is met again, and told, when the shard is read.
        """
        self._close_idle()
        for key in pairs:
            if self._sources[key[0]].is_remote and key not in self._open and key not in self._on_list:
                if len(self._on_list) >= _WANTED:
                    return
                self._on_list.add(key)
                self._wanted.put(key)
        if self._thread is None and self._on_list:
            self._thread = threading.Thread(target=self._fetch_wanted, name="fetch shards ahead", daemon=True)
            self._thread.start()

    def _fetch_wanted(self) -> None:
        while True:
            key = self._wanted.get()
            try:
                shard = self._sources[key[0]].shards[key[1]]
                assert isinstance(shard, RemoteShard)
                shard.prefetch()
            except (OSError, InputError) as error:
                log.info("%s was not fetched ahead: %s", self._name(key), error)
            finally:
                self._on_list.discard(key)

    def _read(self, key: tuple[int, int], sample: int) -> RawSample:
        reader = self.reader(*key)
        try:
            return reader.read(sample)
        except BadSampleError:
            shard = self._sources[key[0]].shards[key[1]]
            if not isinstance(shard, RemoteShard) or key in self._proven:
                raise
            # Is the sample bad, or the copy on this node's disk? Other nodes must come to the same answer.
            self._proven.add(key)
            shard.cache.discard(shard.index)
            if not is_intact(shard.tar, reader.fileno()):
                log.warning("%s went bad in the cache: fetched again", self._name(key))
                shard.cache.discard(shard.tar, reader.fileno())
            self._close(key)
            return self.reader(*key).read(sample)

    def _name(self, key: tuple[int, int]) -> str:
        source = self._sources[key[0]]
        return f"source {source.name!r}: {source.shards[key[1]].name}"

    def _close(self, key: tuple[int, int]) -> None:
        self._last_use.pop(key, None)
        if key in self._open:
            self._open.pop(key).close()

    def _close_idle(self) -> None:
        """Close the remote shards that are not in use any more: the lane that read them has gone on."""
        before = time.monotonic() - _IDLE_S
        for key in [key for key, last_use in self._last_use.items() if last_use < before]:
            self._close(key)

    def _close_remote(self) -> None:
        for key in list(self._last_use):
            self._close(key)

    def __getstate__(self) -> dict[str, Any]:
        return {"_sources": self._sources, "any_remote": self.any_remote}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._begin()
