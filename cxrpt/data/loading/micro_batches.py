"""Shards to packed steps: worker processes that take their rank's micro-batches in turn.

    plan ─(lane, slot)─► shard, sample ─► ShardReader ─► ExampleMaker ─► pack ─► Batch
    worker 0: micro-batches 0, n, 2n ...    worker 1: micro-batches 1, n + 1, ...    `worker_pool` joins them in turn

The state is the slot that the trainer has consumed. It is not the workers' business: what they hold ready is read again
after a resume.

torch is imported late, for the trainer only: see `batch`.
"""

import dataclasses
import itertools
from collections.abc import Generator, Iterator

from cxrpt.data.bad_samples import BadSample, substitutes
from cxrpt.data.batch import Batch, pack_arrays
from cxrpt.data.example import ExampleMaker, Unmasked
from cxrpt.data.hashing import hash_text
from cxrpt.data.loading.lengths import Lengths
from cxrpt.data.loading.step import RankShare, StepShape, share_of_rank
from cxrpt.data.order.plan import Places, Plan
from cxrpt.data.shards import BadSampleError
from cxrpt.data.storage.open_shards import OpenShards
from cxrpt.data.storage.sources import Source
from cxrpt.errors import InputError

_SUBSTITUTES = 16
_REPORTS = 4
"""Bad samples of a micro-batch that are described; all are counted."""
_STEPS_AHEAD = 64
"""How long before they are needed remote shards are asked for."""


class MicroBatches:
    """The micro-batches of one rank from a slot on."""

    def __init__(
        self,
        plan: Plan,
        sources: list[Source],
        maker: ExampleMaker,
        shape: StepShape,
        first_slot: int,
        tokens_per_word: tuple[float, ...],
    ):
        self.plan, self.sources, self.maker, self.shape, self.first_slot = plan, sources, maker, shape, first_slot
        self.shards = OpenShards(sources)
        self.lengths = Lengths(sources, maker, tokens_per_word, self.shards.index)
        self._share: tuple[int, RankShare] = (-1, RankShare([], 0))

    def every(self, first: int, workers: int) -> Iterator[Batch]:
        """Micro-batches `first`, `first` + `workers` and so on, as numpy arrays."""
        return map(self.arrays, itertools.count(first, workers))

    def micro_batch(self, number: int) -> Batch:
        """The `number`-th micro-batch after the first slot."""
        import torch

        return self.arrays(number).map(torch.from_numpy)

    def arrays(self, number: int) -> Batch:
        """As `micro_batch`, with numpy arrays in the place of tensors.

        Raises:
            InputError: a shard is missing or truncated, or nearly all that was read of it is bad.
            OSError: the file system failed, again and again.
        """
        shape = self.shape
        step, part = divmod(number, shape.accumulation)
        if self._share[0] != step:
            self._share = step, share_of_rank(self.plan, shape, self.first_slot + step * shape.slots, self.lengths)
        share = self._share[1]
        places = share.micro_batches[part]
        if self.shards.any_remote:
            self._fetch_ahead(places, step)
        num_bad, reports = [0] * len(self.sources), list[BadSample]()
        decoded = []
        for place in zip(*(a.tolist() for a in (places.source, places.epoch, places.shard, places.sample)), strict=True):
            sample, bad = self._sample(*place)
            decoded.append(sample)
            if bad:
                num_bad[bad[0].source] += 1
                reports += bad[: _REPORTS - len(reports)]
        examples = [self.maker.mask(sample) for sample in decoded]
        data, scales = self.maker.data, tuple(self.maker.objective.mvm_scales)
        grid = data.image_size // self.maker.patch_size
        batch = pack_arrays(examples, grid, self.maker.patch_size, scales, len(self.sources))
        return dataclasses.replace(batch, num_bad_by_source=tuple(num_bad), bad=tuple(reports), exchange=share.exchange)

    def _fetch_ahead(self, places: Places, step: int) -> None:
        shape = self.shape
        lane, slot = self.plan.step_slots(
            self.first_slot + (step + _STEPS_AHEAD) * shape.slots, shape.slots, shape.rank, shape.world
        )
        for soon in (places, self.plan.places(lane, slot)):
            self.shards.want(dict.fromkeys(zip(soon.source.tolist(), soon.shard.tolist(), strict=True)))

    def _sample(self, number: int, epoch: int, shard: int, sample: int) -> tuple[Unmasked, list[BadSample]]:
        """The sample, or if its content is bad its substitute, and what was bad."""
        try:
            return self._decode(number, epoch, shard, sample), []
        except BadSampleError as error:
            bad = [self._report(number, shard, error)]
        source = self.sources[number]
        count = int(source.plan.shard_counts[shard])
        for other in substitutes(self.maker.seed, hash_text(source.name), epoch, shard, sample, count, _SUBSTITUTES):
            try:
                return self._decode(number, epoch, shard, other), bad
            except BadSampleError as error:
                bad.append(self._report(number, shard, error))
        path = source.shards[shard]
        raise InputError(
            f"source {source.name!r}: all {len(bad)} samples tried of the {count} of {path.name} are bad (last: {bad[-1].key}: "
            f"{bad[-1].what}): the file is damaged or another one: run `cxrpt verify {path.parent}`, and copy or build it again"
        )

    def _decode(self, number: int, epoch: int, shard: int, sample: int) -> Unmasked:
        raw = self.shards.read(number, shard, sample)
        try:
            return self.maker.decode(raw, number, epoch)
        except BadSampleError as error:
            error.key = raw.key
            raise

    def _report(self, number: int, shard: int, error: BadSampleError) -> BadSample:
        return BadSample(number, self.sources[number].shards[shard].name, error.key, str(error)[:200])


def micro_batches(dataset: MicroBatches, workers: int, prefetch: int, pin: bool) -> Generator[Batch, None, None]:
    """Iterate a rank's micro-batches, in this process or by worker processes; the order and the content are the same.

    Close it (`contextlib.closing`) to end the workers.

    Args:
        dataset: the rank's micro-batches.
        workers: processes that read and decode; 0 does it here.
        prefetch: micro-batches that each worker holds ready.
        pin: give batches in page-locked memory, from which a GPU copies while it computes.

    Raises:
        InputError: as `MicroBatches.arrays`, in whichever process it was found.
        WorkerEndedError: a worker was killed.
    """
    from cxrpt.data.loading.worker_pool import batches_here, batches_of_workers

    return batches_of_workers(dataset, workers, prefetch, pin) if workers else batches_here(dataset, pin)
