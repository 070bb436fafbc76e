"""How an optimizer step is cut into ranks and micro-batches."""

from dataclasses import dataclass

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
