"""Which sample stands at which slot: a pure function of (seed, manifests, weights, slot).

    lane 0   | slot 0 | slot 1 | slot 2 | ...          every optimizer step takes the next B / L slots
    lane 1   | slot 0 | slot 1 | slot 2 | ...          from each of the L lanes
      ...
    slot ──(timeline)──► segment
         ──(mixing table, entered at the lane's phase)──► source, how many-th draw of it in this lane
         ──(order of the source)──► epoch, shard, sample

Lanes stand in for ranks, so the order does not depend on how many there are. Nothing is stored: the state of the
loader is one slot number, and resuming seeks. Memory grows with the number of shards, never of samples.
"""

import hashlib
from dataclasses import dataclass

import numpy as np

from cxrpt.data.hashing import derive, permute
from cxrpt.data.order.mixture import Mixture
from cxrpt.data.order.source_order import SourceOrder
from cxrpt.data.order.timeline import PlanSource, Segment, pass_segments


@dataclass(frozen=True)
class Places:
    """Where samples are: arrays of one shape."""

    source: np.ndarray
    epoch: np.ndarray
    shard: np.ndarray
    sample: np.ndarray
    """Number of the sample among those of its shard that the source's `use` admits."""

    def take(self, numbers: np.ndarray) -> "Places":
        """Those at `numbers`."""
        return Places(self.source[numbers], self.epoch[numbers], self.shard[numbers], self.sample[numbers])


@dataclass(frozen=True)
class _Stage:
    """A segment, and where every lane stands when it begins."""

    first_slot: int
    seed: int
    mixture: Mixture
    sources: np.ndarray
    """(columns,) number of the source of each column of the mixture; -1 for one that is no longer there as it was."""
    draws: np.ndarray
    """(columns, lanes) draws that came before."""
    first_epoch: np.ndarray
    """(columns,)"""


class Plan:
    """The order of samples of a run."""

    def __init__(self, sources: list[PlanSource], lanes: int, segments: tuple[Segment, ...]):
        """Lay the plan out; costs time and memory by the number of shards and lanes only.

        Args:
            sources: as they are now.
            lanes: streams that stand in for ranks.
            segments: of the whole run, as `plan_segments` lays them out.
        """
        self.sources, self.lanes, self.segments = sources, lanes, segments
        self.end_slot: int | None = segments[-1].first_slot if not segments[-1].shares else None
        """Where every source has ended; None if the run may go on for ever."""
        self._orders = [SourceOrder(source.name, source.shard_counts, lanes) for source in sources]
        self._keys = np.array([order.key for order in self._orders], np.uint64)
        self._stages = [self._stage(number) for number in range(len(segments)) if segments[number].shares]
        self._starts = np.array([stage.first_slot for stage in self._stages])

    def _stage(self, number: int) -> _Stage:
        segment = self.segments[number]
        progress = pass_segments(list(self.segments[:number]), self.lanes, segment.first_slot)
        progress.enter(segment)
        now = {(source.name, source.fingerprint): place for place, source in enumerate(self.sources)}
        return _Stage(
            segment.first_slot,
            segment.seed,
            segment.mixture(),
            np.array([now.get((name, segment.contents[name].fingerprint), -1) for name in segment.shares]),
            np.stack([progress.draws(name) for name in segment.shares]),
            np.array([progress.first_epoch(name) for name in segment.shares]),
        )

    def shares_at(self, slot: int) -> dict[str, float]:
        """The quantised weights that hold at a slot, as shares of one; sources that are not drawn are left out."""
        shares = next(segment.shares for segment in reversed(self.segments) if segment.first_slot <= slot)
        return {name: count / sum(shares.values()) for name, count in shares.items()}

    def places(self, lane: np.ndarray, slot: np.ndarray) -> Places:
        """The samples at (lane, slot); arrays of shape (n,) in and out."""
        lane, slot = np.asarray(lane, np.int64), np.asarray(slot, np.int64)
        number = np.searchsorted(self._starts, slot, side="right") - 1
        parts = [np.empty(len(slot), np.int64) for _ in range(4)]
        for one in np.unique(number).tolist():
            at = np.flatnonzero(number == one)
            for whole, part in zip(parts, self._places(self._stages[one], lane[at], slot[at]), strict=True):
                whole[at] = part
        return Places(*parts)

    def _places(self, stage: _Stage, lane: np.ndarray, slot: np.ndarray) -> tuple[np.ndarray, ...]:
        """Source, epoch, shard and sample, within one stage."""
        column, draw = stage.mixture.draw(lane, slot - stage.first_slot)
        draw = draw + stage.draws[column, lane]
        source = stage.sources[column]
        assert (source >= 0).all(), "the data of these slots is no longer there as it was"
        epoch, shard, place, size = (np.empty(len(slot), np.int64) for _ in range(4))
        columns = np.unique(column).tolist()
        for one in columns:
            at = np.flatnonzero(column == one)
            order = self._orders[stage.sources[one]]
            located = order.locate(stage.seed, lane[at], draw[at], int(stage.first_epoch[one]))
            epoch[at], shard[at], place[at], size[at] = located
        sample = permute(place, size, derive(stage.seed, self._keys[source], epoch, shard))
        for one in columns:
            order = self._orders[stage.sources[one]]
            if order.is_small:
                at = np.flatnonzero(column == one)
                shard[at], sample[at] = order.split_place(sample[at])
        return source, epoch, shard, sample

    def step_slots(self, first_slot: int, slots: int, rank: int, world: int) -> tuple[np.ndarray, np.ndarray]:
        """(lane, slot) of each sample that a rank takes in a step of `slots` slots a lane from `first_slot` on.

        Ranks own contiguous lanes; neighbouring samples come from different lanes.
        """
        per_rank = self.lanes // world
        lanes = np.arange(rank * per_rank, (rank + 1) * per_rank)
        return np.tile(lanes, slots), np.repeat(np.arange(first_slot, first_slot + slots), per_rank)

    def drawn(self, slot: int) -> dict[str, int]:
        """Samples of each source that were drawn when every lane stands at `slot`."""
        drawn = {source.name: 0 for source in self.sources}
        ends = [segment.first_slot for segment in self.segments[1:]] + [slot]
        lanes = np.arange(self.lanes)
        for segment, end in zip(self.segments, ends, strict=True):
            if segment.shares and segment.first_slot < slot:
                counts = segment.mixture().drawn(lanes, min(end, slot) - segment.first_slot).sum(0)
                for name, count in zip(segment.shares, counts.tolist(), strict=True):
                    drawn[name] = drawn.get(name, 0) + count
        return drawn

    def epochs(self, slot: int) -> dict[str, float]:
        """How often each source, as it is now, has been gone through when every lane stands at `slot`."""
        progress = pass_segments([s for s in self.segments if s.first_slot < slot], self.lanes, slot)
        return {
            source.name: progress.first_epoch(source.name) + float(progress.draws(source.name).sum()) / source.num_samples
            for source in self.sources
            if progress.knows(source.name)
        }

    def fingerprint(self) -> str:
        """16 hexadecimal digits of all that the order depends on."""
        parts = repr((self.lanes, [segment.to_json() for segment in self.segments]))
        return hashlib.sha256(parts.encode()).hexdigest()[:16]
