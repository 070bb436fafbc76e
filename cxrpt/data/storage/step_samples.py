"""Which samples a step has, by name: the plan says where they stand, the shards' indexes what they are called."""

from dataclasses import dataclass

import numpy as np

from cxrpt.data.order.plan import Plan
from cxrpt.data.storage.open_shards import OpenShards
from cxrpt.data.storage.sources import Source


@dataclass(frozen=True)
class StepSample:
    """One sample of a step; keys and names of shards are pseudonyms."""

    source: str
    shard: str
    key: str
    epoch: int
    """How often its source had been gone through before."""


def samples_of_step(plan: Plan, sources: list[Source], slots: int, first_slot: int) -> list[StepSample]:
    """All samples of one step over all ranks, in the order of source, shard and place there.

    Reads indexes only, no tar. A sample whose content is bad is named itself, not what stood in for it.

    Args:
        plan: of the run.
        sources: of the run.
        slots: slots of a lane that a step takes.
        first_slot: where the step begins.

    Raises:
        InputError: an index is missing or wrong.
        OSError: the file system failed.
    """
    places = plan.places(*plan.step_slots(first_slot, slots, 0, 1))
    shards = OpenShards(sources)
    samples = []
    for number, shard in np.unique(np.stack([places.source, places.shard]), axis=1).T.tolist():
        keys = shards.index(number, shard)["key"]
        at = np.flatnonzero((places.source == number) & (places.shard == shard))
        at = at[np.argsort(places.sample[at], kind="stable")]
        source = sources[number]
        for sample, epoch in zip(places.sample[at].tolist(), places.epoch[at].tolist(), strict=True):
            samples.append(StepSample(source.name, source.shards[shard].name, keys[sample].decode(), epoch))
    return samples
