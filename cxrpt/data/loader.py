"""Shards to packed steps: worker processes that take their rank's micro-batches in turn.

    plan ─(lane, slot)─► shard, sample ─► ShardReader ─► ExampleMaker ─► pack ─► Batch
    worker 0: micro-batches 0, n, 2n ...    worker 1: micro-batches 1, n + 1, ...    torch's DataLoader joins them in turn

The state is the slot that the trainer has consumed. It is not the workers' business: what they hold ready is read again
after a resume.
"""

import dataclasses
import time
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from cxrpt.config import DataConfig
from cxrpt.data.batch import Batch, pack
from cxrpt.data.example import Example, ExampleMaker
from cxrpt.data.hashing import derive
from cxrpt.data.manifest import read_manifest
from cxrpt.data.plan import Plan, PlanSource
from cxrpt.data.shards import BadSampleError, RawSample, ShardReader
from cxrpt.errors import InputError

_OPEN_SHARDS = 256
_SUBSTITUTES = 16
_READ_TRIES = 3


@dataclass(frozen=True)
class Source:
    """A source of the mix, resolved against its manifest."""

    name: str
    use: str
    shards: tuple[Path, ...]
    plan: PlanSource


def open_sources(config: DataConfig, split: str = "train") -> list[Source]:
    """Read the manifest of every source.

    Raises:
        InputError: a folder without a manifest, or whose shards are missing or not of the size the manifest says.
    """
    sources = []
    for name, entry in config.sources.items():
        folder = Path(entry.path) / split
        manifest = read_manifest(folder)
        for shard in manifest.shards:
            path = folder / shard.name
            size = path.stat().st_size if path.is_file() else None
            if size != shard.num_bytes:
                state = (
                    "is missing"
                    if size is None
                    else f"is {'truncated' if size < shard.num_bytes else 'changed'} ({size} bytes)"
                )
                raise InputError(
                    f"source {name!r}: {path} {state}, its manifest says {shard.num_bytes} bytes: copy or build it again"
                )
        counts = np.array([shard.count(entry.use) for shard in manifest.shards], np.int64)
        fingerprint = f"{manifest.fingerprint()} {entry.use}"
        shards = tuple(folder / shard.name for shard in manifest.shards)
        sources.append(Source(name, entry.use, shards, PlanSource(name, entry.weight, counts, fingerprint)))
    return sources


class ShardCache:
    """Open readers, the most recently used ones."""

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

    def __getstate__(self) -> dict:
        return {"_sources": self._sources, "_open": OrderedDict()}


@dataclass(frozen=True)
class StepShape:
    """How a step is cut: every rank takes `accumulation` micro-batches of `micro_batch` samples."""

    rank: int
    world: int
    slots: int
    """Slots a lane that one step takes: global batch / lanes."""
    micro_batch: int
    accumulation: int


def shape_step(global_batch: int, lanes: int, micro_batch: int, rank: int, world: int) -> StepShape:
    """Fit lanes, ranks and batch together.

    Raises:
        InputError: they do not fit; the message says what to change.
    """
    if lanes % world:
        fit = [w for w in range(1, lanes + 1) if lanes % w == 0]
        near = min(fit, key=lambda w: abs(w - world))
        raise InputError(
            f"{world} ranks do not divide data.lanes={lanes}: use {near} ranks, or lanes that are a multiple of {world}"
        )
    per_rank = global_batch // world
    micro = micro_batch or per_rank
    if per_rank % micro:
        raise InputError(
            f"engine.micro_batch={micro} does not divide the {per_rank} samples a rank of train.global_batch={global_batch} "
            f"over {world} ranks: choose a divisor of {per_rank}"
        )
    return StepShape(rank, world, global_batch // lanes, micro, per_rank // micro)


class MicroBatches(IterableDataset):
    """The micro-batches of one rank from a slot on; each worker yields every n-th of them."""

    def __init__(self, plan: Plan, sources: list[Source], maker: ExampleMaker, shape: StepShape, first_slot: int):
        self.plan, self.sources, self.maker, self.shape, self.first_slot = plan, sources, maker, shape, first_slot
        self.cache = ShardCache(sources)

    def __iter__(self) -> Iterator[Batch]:
        worker = get_worker_info()
        number, workers = (worker.id, worker.num_workers) if worker else (0, 1)
        if worker:
            torch.set_num_threads(1)
        while True:
            yield self.micro_batch(number)
            number += workers

    def micro_batch(self, number: int) -> Batch:
        """The `number`-th micro-batch after the first slot."""
        shape = self.shape
        step, part = divmod(number, shape.accumulation)
        lane, slot = self.plan.step_slots(self.first_slot + step * shape.slots, shape.slots, shape.rank, shape.world)
        # Strided, so that every micro-batch spans the rank's lanes.
        mine = slice(part, None, shape.accumulation)
        places = self.plan.places(lane[mine], slot[mine])
        bad = [0] * len(self.sources)
        examples = [
            self._example(int(source), int(epoch), int(shard), int(sample), bad)
            for source, epoch, shard, sample in zip(places.source, places.epoch, places.shard, places.sample, strict=True)
        ]
        data, scales = self.maker.data, tuple(self.maker.objective.mvm_scales)
        grid = data.image_size // self.maker.patch_size
        batch = pack(examples, grid, self.maker.patch_size, scales, len(self.sources))
        return dataclasses.replace(batch, num_bad_by_source=tuple(bad))

    def _example(self, source: int, epoch: int, shard: int, sample: int, bad: list[int]) -> Example:
        """The sample, or the substitute that (seed, sample, epoch) names if its content is bad."""
        counts = self.sources[source].plan.shard_counts
        for attempt in range(_SUBSTITUTES):
            try:
                return self.maker.make(self._read(source, shard, sample), source, epoch)
            except BadSampleError:
                bad[source] += 1
                draw = int(derive(self.plan.seed, source, epoch, shard, sample, attempt)[0] >> np.uint64(1))
                sample = draw % int(counts[shard])
        name = self.sources[source].shards[shard].name
        raise InputError(f"{_SUBSTITUTES} samples in a row of shard {name} are bad: run `cxrpt verify` on its folder")

    def _read(self, source: int, shard: int, sample: int) -> RawSample:
        for left in range(_READ_TRIES - 1, -1, -1):
            try:
                return self.cache.reader(source, shard).read(sample)
            except OSError:
                # A file system that fails must never change the order: try again, then stop the run.
                if not left:
                    raise
                time.sleep(1.0)
        raise AssertionError("unreachable")


def micro_batches(dataset: MicroBatches, workers: int, prefetch: int, pin: bool) -> Iterator[Batch]:
    """Iterate a rank's micro-batches, in this process or by workers; the order is the same."""
    if workers == 0:
        return iter(dataset)
    loader = DataLoader(
        dataset,
        batch_size=None,
        num_workers=workers,
        prefetch_factor=prefetch,
        # Spawned workers are the trainer's own children and end when it is killed; a fork server's would stay for good.
        multiprocessing_context="spawn",
        persistent_workers=True,
    )
    batches = iter(loader)
    # The batch is a dataclass: torch's own pinning would not look inside.
    return (batch.map(torch.Tensor.pin_memory) for batch in batches) if pin else batches
