"""How an optimizer step is cut into ranks and micro-batches.

a step            B / L slots of every lane
a group of ranks  its lanes, contiguous; ranks of a group exchange a few samples so that their rows are balanced
a rank            B / world samples, in `accumulation` micro-batches
"""

import zlib
from dataclasses import dataclass

import numpy as np

from cxrpt.data.loading.lengths import Lengths
from cxrpt.data.order.balance import balance, deal, group_ranks
from cxrpt.data.order.plan import Places, Plan
from cxrpt.errors import InputError


@dataclass(frozen=True)
class StepShape:
    """How a step is cut: every rank takes `accumulation` micro-batches of `micro_batch` samples."""

    rank: int
    world: int
    slots: int
    """Slots a lane that one step takes: global batch / lanes."""
    micro_batch: int
    accumulation: int
    group: int = 1
    """Contiguous ranks that balance their rows among themselves; divides the world."""


def shape_step(global_batch: int, lanes: int, micro_batch: int, rank: int, world: int, exchange: int = 1) -> StepShape:
    """Fit lanes, ranks and batch together; `exchange` is how many ranks may exchange samples among themselves.

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
    group = group_ranks(world, per_rank, exchange)
    return StepShape(rank, world, global_batch // lanes, micro, per_rank // micro, group)


@dataclass(frozen=True)
class RankShare:
    """What a rank takes of a step."""

    micro_batches: list[Places]
    exchange: int
    """Checksum of who takes which sample in the rank's group: ranks that disagree would lose samples, or read them twice."""


def share_of_rank(plan: Plan, shape: StepShape, first_slot: int, lengths: Lengths) -> RankShare:
    """The samples that a rank takes in the step that begins at `first_slot`.

    Which samples the step has is the plan's business alone; who takes them follows their estimated rows.
    """
    lane, slot = lane_slots_by_rank(plan, shape, first_slot)
    if shape.group == shape.accumulation == 1:
        return RankShare([plan.places(lane, slot)], 0)
    places = plan.places(lane, slot)
    rows = lengths.rows(places)
    taken = balance(rows.reshape(shape.group, -1))
    mine = taken[shape.rank % shape.group]
    parts = deal(rows[mine], shape.accumulation)
    return RankShare([places.take(mine[part]) for part in parts], zlib.crc32(taken.tobytes()))


def lane_slots_by_rank(plan: Plan, shape: StepShape, first_slot: int) -> tuple[np.ndarray, np.ndarray]:
    """(lane, slot) of the samples of the rank's group, rank after rank: (ranks of the group * samples of a rank,)."""
    lane, slot = plan.step_slots(first_slot, shape.slots, shape.rank // shape.group, shape.world // shape.group)
    # A group's lanes stand side by side in every slot: (slots, ranks, lanes of a rank) to (ranks, samples of a rank).
    by_rank = np.arange(len(lane)).reshape(shape.slots, shape.group, -1).swapaxes(0, 1).ravel()
    return lane[by_rank], slot[by_rank]
