"""What ranks must know of each other's share of a step, in one reduction between hosts."""

from dataclasses import dataclass

import torch

from cxrpt.data.batch import Batch
from cxrpt.data.loading.step import StepShape
from cxrpt.dist.collectives import sum_over_ranks
from cxrpt.dist.world import World


@dataclass(frozen=True)
class StepTotals:
    """Of a whole step, over all ranks."""

    counts: dict[str, float]
    """Of each objective: what its loss is divided by."""
    samples: tuple[int, ...]
    """By source."""
    bad: tuple[int, ...]
    """By source: of the samples, those that others stand in for."""
    imbalance: float
    """How far the fullest rank is above the mean of tokens, as a share."""
    stop: bool
    """Whether any rank was told to stop."""
    saved: tuple[int, int]
    """Ranks whose part of the save under way is done, and ranks whose part has failed."""


def agree(
    batches: list[Batch], objectives: list[str], shape: StepShape, world: World, stop: bool, saved: tuple[bool, bool]
) -> StepTotals:
    """The totals of a step, from each rank's part of it.

    Args:
        batches: this rank's micro-batches.
        objectives: names of `counts`.
        shape: of the step.
        world: this rank's place.
        stop: whether this rank was told to stop.
        saved: `Saver.flags` of this rank.

    Raises:
        RuntimeError: ranks took samples by different lengths.
    """
    sources = range(len(batches[0].num_by_source))
    parts = (
        [sum(batch.counts().get(name, 0) for batch in batches) for name in objectives],
        [sum(batch.num_by_source[source] for batch in batches) for source in sources],
        [sum(batch.num_bad_by_source[source] for batch in batches) for source in sources],
        [stop, *saved],
        [0.0] * world.size,  # tokens of each rank
        [0.0] * world.size,  # who takes what, as each rank knows it
    )
    parts[4][world.rank], parts[5][world.rank] = sum(batch.num_tokens for batch in batches), batches[0].exchange
    # On the CPU, also where a GPU computes: what hosts agree on does not wait for it.
    mine = torch.tensor([float(value) for part in parts for value in part], dtype=torch.float64)
    sums = sum_over_ranks(mine).split([len(part) for part in parts])
    counts, samples, bad, flags, tokens, exchanges = (part.tolist() for part in sums)
    groups = [exchanges[first : first + shape.group] for first in range(0, world.size, shape.group)]
    if any(len(set(group)) > 1 for group in groups):
        raise RuntimeError(
            "ranks disagree on who takes which sample, as their nodes have different shard indexes: run `cxrpt verify` on "
            "the sources of each, or set data.balance=false"
        )
    return StepTotals(
        counts=dict(zip(objectives, counts, strict=True)),
        samples=tuple(map(int, samples)),
        bad=tuple(map(int, bad)),
        imbalance=max(tokens) / (sum(tokens) / world.size) - 1,
        stop=flags[0] > 0,
        saved=(int(flags[1]), int(flags[2])),
    )
