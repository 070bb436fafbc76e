"""Shards to packed steps: worker processes that take their rank's micro-batches in turn.

    plan ─(lane, slot)─► shard, sample ─► ShardReader ─► ExampleMaker ─► pack ─► Batch
    worker 0: micro-batches 0, n, 2n ...    worker 1: micro-batches 1, n + 1, ...    torch's DataLoader joins them in turn

The state is the slot that the trainer has consumed. It is not the workers' business: what they hold ready is read again
after a resume.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from cxrpt.data.batch import Batch, pack
from cxrpt.data.example import Example, ExampleMaker
from cxrpt.data.hashing import derive
from cxrpt.data.open_shards import OpenShards
from cxrpt.data.plan import Plan
from cxrpt.data.shards import BadSampleError
from cxrpt.data.sources import Source
from cxrpt.data.step import StepShape
from cxrpt.errors import InputError

_SUBSTITUTES = 16
_STEPS_AHEAD = 64
"""How long before they are needed remote shards are asked for."""


class MicroBatches(IterableDataset):
    """The micro-batches of one rank from a slot on; each worker yields every n-th of them."""

    def __init__(self, plan: Plan, sources: list[Source], maker: ExampleMaker, shape: StepShape, first_slot: int):
        self.plan, self.sources, self.maker, self.shape, self.first_slot = plan, sources, maker, shape, first_slot
        self.shards = OpenShards(sources)

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
        if self.shards.any_remote:
            later = self.plan.places(lane[mine], slot[mine] + _STEPS_AHEAD * shape.slots)
            for soon in (places, later):
                self.shards.want(dict.fromkeys(zip(soon.source.tolist(), soon.shard.tolist(), strict=True)))
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
                return self.maker.make(self.shards.read(source, shard, sample), source, epoch)
            except BadSampleError:
                bad[source] += 1
                draw = int(derive(self.plan.seed, source, epoch, shard, sample, attempt)[0] >> np.uint64(1))
                sample = draw % int(counts[shard])
        name = self.sources[source].shards[shard].name
        raise InputError(f"{_SUBSTITUTES} samples in a row of shard {name} are bad: run `cxrpt verify` on its folder")


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
