"""What a run will see, told before it begins: samples, epochs and tokens of each source, and how even the ranks are.

Draws and epochs are exact. Tokens and balance come from steps spread over the run, with lengths told from the indexes.
"""

import dataclasses
from dataclasses import dataclass

import numpy as np

from cxrpt.data.loading.lengths import Lengths
from cxrpt.data.loading.step import StepShape, lane_slots_by_rank
from cxrpt.data.order.balance import balance
from cxrpt.data.order.plan import Plan
from cxrpt.data.order.timeline import PlanSource
from cxrpt.data.storage.sources import Source

_LOOKED_AT_SAMPLES = 1 << 16
_LOOKED_AT_STEPS = 32


@dataclass(frozen=True)
class SourceForecast:
    """One source in the run."""

    name: str
    use: str
    samples: int
    paired: int
    image_only: int
    text_only: int
    weight: float
    share: float
    """Of the samples at the first step, quantised."""
    drawn: int
    """Samples of it in the whole run."""
    epochs: float
    steps_an_epoch: float | None
    """At its first share; None for a source that is not drawn at first."""
    tokens_a_sample: float
    ends_at_step: int | None
    """The step before which it is drawn for the last time; None for a source that does not end. 0: its `epochs` give no
    sample to every lane, so that it is never drawn."""

    @property
    def tokens(self) -> float:
        """Of it in the whole run."""
        return self.tokens_a_sample * self.drawn


@dataclass(frozen=True)
class Forecast:
    """The whole run."""

    sources: tuple[SourceForecast, ...]
    changes: tuple[tuple[int, dict[str, float]], ...]
    """(step, shares by source) of each segment that begins within the run."""
    paired: float
    image_only: float
    text_only: float
    """Shares of the samples drawn."""
    tokens_a_step: float
    imbalance: float
    """How far the fullest rank is above the mean of tokens, mean over the steps looked at; the ranks exchange samples or
    do not, as the run will."""
    imbalance_max: float
    imbalance_of_lanes: float
    """The same mean if every rank kept to its own lanes."""
    steps_looked_at: int


def forecast(plan: Plan, sources: list[Source], lengths: Lengths, shape: StepShape, steps: int) -> Forecast:
    """Look ahead over `steps` steps of a run on `shape.world` ranks."""
    drawn, epochs = plan.drawn(steps * shape.slots), plan.epochs(steps * shape.slots)
    first = plan.shares_at(0)
    rows_of_source, loads, loads_of_lanes = _look(plan, lengths, shape, steps, len(sources))
    batch = shape.slots * plan.lanes
    told = tuple(
        SourceForecast(
            source.name,
            source.use,
            source.plan.num_samples,
            *source.kinds,
            source.plan.weight,
            share := first.get(source.name, 0.0),
            drawn[source.name],
            epochs.get(source.name, 0.0),
            source.plan.num_samples / (share * batch) if share else None,
            rows_of_source[number],
            _end(plan, source.plan, shape.slots, steps),
        )
        for number, source in enumerate(sources)
    )
    whole = max(1, sum(one.drawn for one in told))
    paired, image_only, text_only = (
        sum(one.drawn * getattr(one, kind) / max(1, one.samples) for one in told) / whole
        for kind in ("paired", "image_only", "text_only")
    )
    changes = tuple(
        (segment.first_slot // shape.slots, plan.shares_at(segment.first_slot))
        for segment in plan.segments
        if segment.shares and segment.first_slot < steps * shape.slots
    )
    imbalances, of_lanes = (one.max(1) / one.mean(1) - 1 for one in (loads, loads_of_lanes))
    return Forecast(
        told, changes, paired, image_only, text_only, float(loads.sum(1).mean()), float(imbalances.mean()),
        float(imbalances.max()), float(of_lanes.mean()), len(loads),
    )  # fmt: skip


def _look(
    plan: Plan, lengths: Lengths, shape: StepShape, steps: int, num_sources: int
) -> tuple[list[float], np.ndarray, np.ndarray]:
    """Mean rows of a sample of each source; rows of each rank (steps, ranks), as they are and without exchange."""
    count = max(1, min(steps, _LOOKED_AT_STEPS, _LOOKED_AT_SAMPLES // (shape.slots * plan.lanes)))
    sums, numbers = np.zeros(num_sources), np.zeros(num_sources)
    loads, loads_of_lanes = [], []
    for step in np.linspace(0, steps - 1, count).astype(int).tolist():
        of_groups = [dataclasses.replace(shape, rank=first) for first in range(0, shape.world, shape.group)]
        balanced, own = [], []
        for of_group in of_groups:
            places = plan.places(*lane_slots_by_rank(plan, of_group, step * shape.slots))
            rows = lengths.rows(places)
            sums += np.bincount(places.source, rows, num_sources)
            numbers += np.bincount(places.source, minlength=num_sources)
            by_rank = rows.reshape(shape.group, -1)
            own += by_rank.sum(1).tolist()
            balanced += rows[balance(by_rank)].sum(1).tolist()
        loads.append(balanced)
        loads_of_lanes.append(own)
    return (sums / np.maximum(1, numbers)).tolist(), np.array(loads), np.array(loads_of_lanes)


def _end(plan: Plan, source: PlanSource, slots: int, steps: int) -> int | None:
    drawn_in = [segment for segment in plan.segments if source.name in segment.shares]
    if not drawn_in:
        return 0 if source.is_drawn else None
    after = [segment.first_slot for segment in plan.segments if segment.first_slot > drawn_in[-1].first_slot]
    return after[0] // slots if after and after[0] < steps * slots else None
