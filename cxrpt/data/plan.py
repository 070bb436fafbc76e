"""Which sample stands at which slot: a pure function of (seed, manifests, weights, slot).

    lane 0   | slot 0 | slot 1 | slot 2 | ...          every optimizer step takes the next B / L slots
    lane 1   | slot 0 | slot 1 | slot 2 | ...          from each of the L lanes
      ...
    slot ──(mixing table, entered at the lane's phase)──► source, how many-th draw of it in this lane
    draw ──(lane's share of the source)──► epoch, place ──(permuted shards, permuted samples)──► shard, sample

Lanes stand in for ranks, so the order does not depend on how many there are. Nothing is stored: the state of the
loader is one slot number, and resuming seeks. Memory grows with the number of shards, never of samples.
"""

import hashlib
import math
from collections import OrderedDict
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from cxrpt.data.hashing import derive, hash_text, permute
from cxrpt.errors import InputError

SMALL_SOURCE_LANES = 64
"""A source with fewer samples than this many a lane is dealt to the lanes in turn instead of being cut into runs."""

_SHARD_ORDER, _SAMPLE_ORDER, _SMALL_ORDER = 1, 2, 3
_EPOCHS_KEPT = 64


@dataclass(frozen=True)
class PlanSource:
    """One source as the plan sees it."""

    name: str
    weight: float
    shard_counts: np.ndarray
    """(shards,) samples of each shard that the source's `use` admits."""
    fingerprint: str
    """Of the source's manifest and its `use`."""

    @property
    def num_samples(self) -> int:
        return int(self.shard_counts.sum())


@dataclass(frozen=True)
class Places:
    """Where samples are: arrays of one shape."""

    source: np.ndarray
    epoch: np.ndarray
    shard: np.ndarray
    sample: np.ndarray
    """Number of the sample among those of its shard that the source's `use` admits."""


def quantise_weights(weights: list[float], slots: int) -> list[int]:
    """Share `slots` out by weight: largest remainder, at least one for a weight above 0; the result sums to `slots`."""
    exact = [Fraction(weight) for weight in weights]
    total = sum(exact)
    shares = [weight * slots / total for weight in exact]
    counts = [max(int(share), 1 if share > 0 else 0) for share in shares]
    while sum(counts) < slots:
        counts[max(range(len(counts)), key=lambda i: (shares[i] - counts[i], -i))] += 1
    while sum(counts) > slots:
        counts[max((i for i in range(len(counts)) if counts[i] > 1), key=lambda i: (counts[i] - shares[i], -i))] -= 1
    return counts


def mixing_table(counts: list[int]) -> np.ndarray:
    """Spread sources over a table as evenly as can be.

    Every prefix of the table holds each source within one of its share (Tijdeman's solution of the chairman
    assignment problem, 1980; the usual greedy round-robin drifts further with many sources), so every window of the
    repeated table is within two.

    Returns:
        (sum(counts),) source numbers; source i stands in it counts[i] times.
    """
    slots, num_sources = sum(counts), sum(count > 0 for count in counts)
    if num_sources == 1:
        return np.full(slots, next(i for i, count in enumerate(counts) if count), np.int64)
    # In units of 1 / (slots * scale): the due of source i after t slots is t * counts[i] * scale.
    scale = 2 * num_sources - 2
    given = [0] * len(counts)
    table = np.empty(slots, np.int64)
    for t in range(1, slots + 1):
        due = [t * count * scale - slots * scale * done for count, done in zip(counts, given, strict=True)]
        ready = [i for i in range(len(counts)) if counts[i] and due[i] >= slots]
        chosen = min(ready, key=lambda i: (Fraction(slots * (scale - 1) - due[i], counts[i]), i))
        table[t - 1] = chosen
        given[chosen] += 1
    return table


def golden_stride(slots: int) -> int:
    """The step between the phases of neighbouring lanes: near slots / golden ratio, without a common divisor with slots.

    A table of simple weights repeats itself within its length. Phases at equal distances would fall on the same entry of
    every repetition, and all lanes would draw from one source at a time; these spread over the table and over its
    repetitions alike.
    """
    near = round(slots * (5**0.5 - 1) / 2)
    return next(
        (step for away in range(slots) for step in (near + away, near - away) if step > 0 and math.gcd(step, slots) == 1), 1
    )


class Plan:
    """The order of samples of a run."""

    def __init__(self, seed: int, sources: list[PlanSource], lanes: int, mix_slots: int):
        """Lay the plan out; costs time and memory by the number of shards only.

        Raises:
            InputError: a source with a weight above 0 has no sample, or none has a weight above 0.
        """
        if not any(source.weight > 0 for source in sources):
            raise InputError(f"the weights of {[s.name for s in sources]} sum to 0: give at least one source a weight above 0")
        for source in sources:
            if source.weight > 0 and source.num_samples == 0:
                raise InputError(
                    f"source {source.name!r} has no sample of the kind its `use` names: set its weight to 0 or change `use`"
                )
        self.seed, self.sources, self.lanes = seed, sources, lanes
        self.slot_counts = quantise_weights([source.weight for source in sources], mix_slots)
        self.mix_slots = mix_slots
        # By name, so that a source keeps its order when others join or leave.
        self._keys = [hash_text(source.name) for source in sources]
        self._table = mixing_table(self.slot_counts)
        self._stride = golden_stride(mix_slots)
        hits = self._table[:, None] == np.arange(len(sources))
        self._before = np.concatenate([np.zeros((1, len(sources)), np.int64), hits.cumsum(0)])  # (slots + 1, sources)
        self._orders: OrderedDict[tuple[int, int], tuple[np.ndarray, np.ndarray]] = OrderedDict()

    def weights(self) -> dict[str, float]:
        """The quantised weights, as shares of one."""
        return {source.name: count / self.mix_slots for source, count in zip(self.sources, self.slot_counts, strict=True)}

    def parts(self) -> dict[str, str]:
        """What the order depends on, by name: the fingerprint in a form that can say what changed."""
        parts = {"seed": str(self.seed), "lanes": str(self.lanes), "mix_slots": str(self.mix_slots)}
        for source, count in zip(self.sources, self.slot_counts, strict=True):
            parts[f"source {source.name}"] = f"{source.fingerprint} x{count}"
        return parts

    def fingerprint(self) -> str:
        """16 hexadecimal digits of `parts`."""
        return hashlib.sha256(repr(sorted(self.parts().items())).encode()).hexdigest()[:16]

    def draws(self, lane: np.ndarray, slot: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The source at (lane, slot), and how many draws of that source came before it in the lane. Shapes (n,)."""
        lane, slot = np.asarray(lane, np.int64), np.asarray(slot, np.int64)
        phase = lane * self._stride % self.mix_slots
        turn, entry = np.divmod(phase + slot, self.mix_slots)
        source = self._table[entry]
        per_turn = np.asarray(self.slot_counts)[source]
        return source, turn * per_turn + self._before[entry, source] - self._before[phase, source]

    def places(self, lane: np.ndarray, slot: np.ndarray) -> Places:
        """The samples at (lane, slot); arrays of shape (n,) in and out."""
        lane = np.asarray(lane, np.int64)
        source, draw = self.draws(lane, slot)
        epoch, shard, sample = (np.empty(len(source), np.int64) for _ in range(3))
        for number in np.unique(source):
            at = np.flatnonzero(source == number)
            epoch[at], shard[at], sample[at] = self._locate(int(number), lane[at], draw[at])
        return Places(source, epoch, shard, sample)

    def _locate(self, number: int, lane: np.ndarray, draw: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        counts = self.sources[number].shard_counts
        size = self.sources[number].num_samples
        if size < SMALL_SOURCE_LANES * self.lanes:
            epoch, place = np.divmod(draw * self.lanes + lane, size)
            place = permute(place, size, derive(self.seed, _SMALL_ORDER, self._keys[number], epoch))
            ends = np.cumsum(counts)
            shard = np.searchsorted(ends, place, side="right")
            return epoch, shard, place - (ends - counts)[shard]
        share, rest = divmod(size, self.lanes)
        epoch, place = np.divmod(draw, share + (lane < rest))
        place = place + lane * share + np.minimum(lane, rest)
        shard, sample = np.empty(len(draw), np.int64), np.empty(len(draw), np.int64)
        for one in np.unique(epoch):
            at = np.flatnonzero(epoch == one)
            order, ends = self._shard_order(number, int(one))
            position = np.searchsorted(ends, place[at], side="right")
            shard[at] = order[position]
            start = ends[position] - counts[shard[at]]
            keys = derive(self.seed, _SAMPLE_ORDER, self._keys[number], one, shard[at])
            sample[at] = permute(place[at] - start, counts[shard[at]], keys)
        return epoch, shard, sample

    def _shard_order(self, number: int, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """Shards in the order of one source epoch, and where each ends in the samples laid end to end."""
        key = (number, epoch)
        if key not in self._orders:
            counts = self.sources[number].shard_counts
            order = permute(np.arange(len(counts)), len(counts), derive(self.seed, _SHARD_ORDER, self._keys[number], epoch))
            self._orders[key] = (order, np.cumsum(counts[order]))
            while len(self._orders) > _EPOCHS_KEPT:
                self._orders.popitem(last=False)
        return self._orders[key]

    def step_slots(self, first_slot: int, slots: int, rank: int, world: int) -> tuple[np.ndarray, np.ndarray]:
        """(lane, slot) of each sample that a rank takes in a step of `slots` slots a lane from `first_slot` on.

        Ranks own contiguous lanes; neighbouring samples come from different lanes.
        """
        per_rank = self.lanes // world
        lanes = np.arange(rank * per_rank, (rank + 1) * per_rank)
        return np.tile(lanes, slots), np.repeat(np.arange(first_slot, first_slot + slots), per_rank)

    def epochs(self, slot: int) -> dict[str, float]:
        """How often each source has been gone through when every lane stands at `slot`."""
        return {
            source.name: slot * self.lanes * count / self.mix_slots / source.num_samples
            for source, count in zip(self.sources, self.slot_counts, strict=True)
            if source.num_samples
        }
