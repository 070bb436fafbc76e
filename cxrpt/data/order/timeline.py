"""The mix of a run as a list of segments, and how far the lanes have come with every source when one begins.

    slot 0             slot 4000                slot 9000
    | a: 768  b: 256   | a: 512  b: 512         | a: 512  b: 256  c: 256      table slots of each source
    ^ planned          ^ weight_from_step of b  ^ c was added when the run resumed here

Segments are planned from the configuration (schedules of weights, sources that end), and once a run has passed them they
are history: they are kept with the run, and a change of the configuration begins a new segment where the run stands.
"""

import functools
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from cxrpt.data.order.mixture import Mixture, quantise_weights, tempered
from cxrpt.data.order.source_order import draws_of_epochs, epochs_begun
from cxrpt.errors import InputError


@dataclass(frozen=True)
class PlanSource:
    """One source as the plan sees it."""

    name: str
    weight: float
    """From the start of the run on, until `weight_from_step` says otherwise."""
    shard_counts: np.ndarray
    """(shards,) samples of each shard that the source's `use` admits."""
    fingerprint: str
    """Of the source's manifest and its `use`."""
    weight_from_step: tuple[tuple[int, float], ...] = ()
    """(step, weight) in ascending order: the weight from that step on."""
    epochs: int = 0
    """The source ends before any sample comes more often than this; 0 repeats it without end."""

    @property
    def num_samples(self) -> int:
        return int(self.shard_counts.sum())

    @property
    def is_drawn(self) -> bool:
        """Whether any weight of it, now or later, is above 0."""
        return self.weight > 0 or any(weight > 0 for _, weight in self.weight_from_step)

    def weight_at(self, step: int) -> float:
        """The weight that holds at a step (counted from 0)."""
        return next((weight for begin, weight in reversed(self.weight_from_step) if begin <= step), self.weight)


@dataclass(frozen=True)
class Content:
    """What a source held in a segment: a change of it begins the source's next epoch."""

    fingerprint: str
    num_samples: int


@dataclass(frozen=True)
class Segment:
    """A stretch of a run in which the mix stays as it is; it ends where the next one begins."""

    first_slot: int
    seed: int
    shares: dict[str, int]
    """Slots of the mixing table by source; sources that are not drawn are left out. Empty: every source has ended."""
    contents: dict[str, Content]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "Segment":
        contents = {name: Content(**content) for name, content in fields["contents"].items()}
        return cls(fields["first_slot"], fields["seed"], fields["shares"], contents)

    def mixture(self) -> Mixture:
        """Its mixing table; columns stand in the order of `shares`."""
        return _mixture(tuple(self.shares.values()))


@functools.lru_cache(64)
def _mixture(counts: tuple[int, ...]) -> Mixture:
    return Mixture(list(counts))


class Progress:
    """How far every lane has come with every source."""

    def __init__(self, lanes: int):
        self.lanes = np.arange(lanes)
        self._draws: dict[str, np.ndarray] = {}
        self._first_epoch: dict[str, int] = {}
        self._content: dict[str, tuple[int, Content]] = {}

    def enter(self, segment: Segment) -> None:
        """Begin a segment: a source whose content or seed changed starts on its next epoch."""
        for name in segment.shares:
            content = (segment.seed, segment.contents[name])
            before = self._content.get(name)
            if before is not None and before != content:
                self._first_epoch[name] += epochs_begun(before[1].num_samples, len(self.lanes), self._draws[name])
            if before != content:
                self._draws[name] = np.zeros(len(self.lanes), np.int64)
                self._first_epoch.setdefault(name, 0)
                self._content[name] = content

    def advance(self, segment: Segment, mixture: Mixture, slots: int) -> None:
        """Pass the first `slots` slots of a segment that was entered."""
        for name, drawn in zip(segment.shares, mixture.drawn(self.lanes, slots).T, strict=True):
            self._draws[name] = self._draws[name] + drawn

    def knows(self, name: str) -> bool:
        """Whether a source was ever entered."""
        return name in self._draws

    def draws(self, name: str) -> np.ndarray:
        """(lanes,) draws of a source since its content last changed."""
        return self._draws[name]

    def first_epoch(self, name: str) -> int:
        """The epoch in which the draws of a source began to count."""
        return self._first_epoch[name]


def plan_segments(
    sources: list[PlanSource],
    seed: int,
    lanes: int,
    mix_slots: int,
    temperature: float,
    step_slots: int,
    from_slot: int = 0,
    history: tuple[Segment, ...] = (),
) -> tuple[Segment, ...]:
    """Lay out the segments of a run from `from_slot` on, behind those that it has passed.

    Args:
        sources: with their weights and schedules.
        seed: of the run.
        lanes: streams that stand in for ranks.
        mix_slots: length of the mixing table.
        temperature: of `tempered`; 0 takes the weights as they are.
        step_slots: slots a lane that one step takes; segments begin with a step.
        from_slot: where the first new segment begins.
        history: segments before it.

    Returns:
        `history`, cut at `from_slot`, and the new ones. If every source ends, the last one has no shares.

    Raises:
        InputError: a source with a weight above 0 has no sample, or the first segment has no source at all.
    """
    done = [segment for segment in history if segment.first_slot < from_slot]
    progress = pass_segments(done, lanes, from_slot)
    contents = {source.name: Content(source.fingerprint, source.num_samples) for source in sources}
    boundaries = sorted({step * step_slots for source in sources for step, _ in source.weight_from_step})
    ended: set[str] = set()
    slot = from_slot
    while True:
        weights = {
            source.name: tempered(source.weight_at(slot // step_slots), source.num_samples, temperature)
            for source in sources
            if source.name not in ended
        }
        weights = {name: weight for name, weight in weights.items() if weight > 0}
        _require_samples(sources, weights, ended, slot // step_slots)
        counts = quantise_weights(list(weights.values()), mix_slots) if weights else []
        segment = Segment(slot, seed, dict(zip(weights, counts, strict=True)), {name: contents[name] for name in weights})
        progress.enter(segment)
        ends = {s.name: _end(s, segment, progress, slot, step_slots) for s in sources if s.epochs and s.name in weights}
        # A source that has nothing left for a single step ends before it begins.
        if over := {name for name, end in ends.items() if end == slot}:
            ended |= over
            continue
        done.append(segment)
        changes = [boundary for boundary in boundaries if boundary > slot] + list(ends.values())
        if not weights or not changes:
            return tuple(done)
        following = min(changes)
        progress.advance(segment, segment.mixture(), following - slot)
        ended |= {name for name, end in ends.items() if end == following}
        slot = following


def pass_segments(segments: list[Segment], lanes: int, to_slot: int) -> Progress:
    """How far the lanes are when they have passed the segments up to a slot."""
    progress = Progress(lanes)
    ends = [segment.first_slot for segment in segments[1:]] + [to_slot]
    for segment, end in zip(segments, ends, strict=False):
        progress.enter(segment)
        if segment.shares:
            progress.advance(segment, segment.mixture(), end - segment.first_slot)
    return progress


def _require_samples(sources: list[PlanSource], weights: dict[str, float], ended: set[str], step: int) -> None:
    if not weights and not ended:
        when = f" from step {step} on" if step else ""
        raise InputError(
            f"the weights of {[s.name for s in sources]} sum to 0{when}: give at least one source a weight above 0"
        )
    for source in sources:
        if source.name in weights and source.num_samples == 0:
            raise InputError(
                f"source {source.name!r} has no sample of the kind its `use` names: set its weight to 0 or change `use`"
            )


def _end(source: PlanSource, segment: Segment, progress: Progress, slot: int, step_slots: int) -> int:
    """The last slot, the beginning of a step, up to which no lane draws a sample of the source too often."""
    lanes, column = progress.lanes, list(segment.shares).index(source.name)
    mixture = segment.mixture()
    epochs_left = max(0, source.epochs - progress.first_epoch(source.name))
    left = draws_of_epochs(source.num_samples, len(lanes), lanes, epochs_left) - progress.draws(source.name)

    def fits(steps: int) -> bool:
        return bool((mixture.drawn(lanes, steps * step_slots)[:, column] <= left).all())

    fitting, beyond = 0, 1
    while fits(beyond):
        fitting, beyond = beyond, 2 * beyond
    while beyond - fitting > 1:
        middle = (fitting + beyond) // 2
        fitting, beyond = (middle, beyond) if fits(middle) else (fitting, middle)
    return slot + fitting * step_slots


def describe_data(sources: list[PlanSource], seed: int, mix_slots: int, temperature: float) -> dict[str, str]:
    """What a configuration says of the order, part by part, so that a run that resumes can tell what changed."""
    parts = {"seed": str(seed), "data.mix_slots": str(mix_slots), "data.temperature": f"{temperature:g}"}
    for source in sources:
        schedule = "".join(f", {weight:g} from step {step}" for step, weight in source.weight_from_step)
        parts[f"source {source.name}"] = (
            f"weight {source.weight:g}{schedule}, epochs {source.epochs}, {source.num_samples} samples, {source.fingerprint}"
        )
    return parts
