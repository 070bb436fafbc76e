"""How many rows a sample will have in a pack, told from the shard indexes without reading it.

An index counts words, since it is older than any tokenizer. Tokens per word are measured once a run, on the first texts of
each source, by one rank for all: ranks that disagreed on a length would disagree on who takes which sample.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np

from cxrpt.data.example import ExampleMaker
from cxrpt.data.order.plan import Places
from cxrpt.data.sample import Kind
from cxrpt.data.shards import BadSampleError
from cxrpt.data.storage.open_shards import OpenShards
from cxrpt.data.storage.sources import Source

_MEASURED_TEXTS = 128
_CACHE_BYTES = 32 * 2**20

log = logging.getLogger(__name__)


def measure_tokens_per_word(sources: list[Source], maker: ExampleMaker) -> tuple[float, ...]:
    """Tokens that a word of a report gives, by source: those of the sections in use, over all words of the report.

    Read from the first texts of each source; 0 for a source without text. Sections, tokenizer and the longest text allowed are
    the maker's.
    """
    shards, rates = OpenShards(sources), []
    for number, source in enumerate(sources):
        tokens = words = texts = bad = 0
        entries = source.manifest.shards if source.use != "images" else ()
        for shard in (shard for shard, entry in enumerate(entries) if entry.num_pairs + entry.num_texts):
            index = shards.index(number, shard)
            for sample in np.flatnonzero(index["num_words"] > 0)[: _MEASURED_TEXTS - texts].tolist():
                try:
                    found = maker.tokens(shards.read(number, shard, sample))
                except BadSampleError:
                    bad += 1
                    continue
                texts += 1
                tokens += 0 if found is None else len(found)
                words += int(index["num_words"][sample])
            if texts >= _MEASURED_TEXTS:
                break
        if bad:
            log.warning(
                "source %r: %d of the first %d texts are bad: run `cxrpt verify %s`",
                source.name,
                bad,
                bad + texts,
                source.where,
            )
        rates.append(tokens / words if words else 0.0)
    return tuple(rates)


class Lengths:
    """Estimated rows of samples."""

    def __init__(
        self,
        sources: list[Source],
        maker: ExampleMaker,
        tokens_per_word: tuple[float, ...],
        index_of: Callable[[int, int], np.ndarray],
    ):
        """`index_of` gives the records of (source, shard) that the source's `use` admits."""
        self._uses = [source.use for source in sources]
        self._image_rows = 1 + (maker.data.image_size // maker.patch_size) ** 2
        self._max_tokens = maker.data.max_text_tokens
        self._rates = tokens_per_word
        self._index_of = index_of
        self._rows: OrderedDict[tuple[int, int], np.ndarray] = OrderedDict()
        self._bytes = 0

    def rows(self, places: Places) -> np.ndarray:
        """(n,) int64 rows of the samples at `places`."""
        rows = np.empty(len(places.source), np.int64)
        shard_number = places.source << np.int64(32) | places.shard
        for one, inverse in zip(*_groups(shard_number), strict=True):
            source, shard = one >> 32, one & 0xFFFFFFFF
            rows[inverse] = self._of_shard(source, shard)[places.sample[inverse]]
        return rows

    def _of_shard(self, source: int, shard: int) -> np.ndarray:
        key = (source, shard)
        if key not in self._rows:
            rows = self._estimate(source, self._index_of(source, shard))
            self._rows[key] = rows
            self._bytes += rows.nbytes
            while self._bytes > _CACHE_BYTES and len(self._rows) > 1:
                self._bytes -= self._rows.popitem(last=False)[1].nbytes
        self._rows.move_to_end(key)
        return self._rows[key]

    def _estimate(self, source: int, index: np.ndarray) -> np.ndarray:
        use, kind = self._uses[source], index["kind"]
        has_image = (kind != Kind.TEXT) & (use != "texts")
        has_text = (kind != Kind.IMAGE) & (use != "images")
        tokens = np.minimum(self._max_tokens, np.rint(index["num_words"] * self._rates[source]))
        return (has_image * self._image_rows + has_text * (1 + tokens)).astype(np.int32)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_rows": OrderedDict(), "_bytes": 0}


def _groups(numbers: np.ndarray) -> tuple[list[int], list[np.ndarray]]:
    """The distinct numbers, and where each stands."""
    order = np.argsort(numbers, kind="stable")
    distinct, begins = np.unique(numbers[order], return_index=True)
    return distinct.tolist(), np.split(order, begins[1:])
