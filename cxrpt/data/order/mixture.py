"""Which source a slot draws from: weights become a table of slots that every lane walks round, from a phase of its own."""

import math
from fractions import Fraction

import numpy as np


def tempered(weight: float, num_samples: int, temperature: float) -> float:
    """A source's weight after temperature: `weight * num_samples ** (1 / temperature)`; temperature 0 leaves it as it is.

    Temperature 1 draws in proportion to size, and the larger it is the more even the sources become (the usual remedy
    for corpora of unequal size, as in Conneau et al., 2020).
    """
    return weight * num_samples ** (1 / temperature) if temperature and weight else weight


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


class Mixture:
    """Quantised weights as a table, and how often each source was drawn in any window of a lane."""

    def __init__(self, counts: list[int]):
        """`counts` are slots of the table by source; they sum to its length."""
        self.counts = np.asarray(counts, np.int64)
        self.slots = int(self.counts.sum())
        self._table = mixing_table(counts)
        self._stride = golden_stride(self.slots)
        hits = self._table[:, None] == np.arange(len(counts))
        # As wide as the largest count needs: the table may have a hundred thousand slots.
        self._before = np.concatenate([np.zeros((1, len(counts)), np.int32), hits.cumsum(0, dtype=np.int32)])

    def draw(self, lane: np.ndarray, slot: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The source at (lane, slot), and how many draws of that source came before it in the lane. Shapes (n,)."""
        phase = lane * self._stride % self.slots
        turn, entry = np.divmod(phase + slot, self.slots)
        source = self._table[entry]
        return source, turn * self.counts[source] + self._before[entry, source] - self._before[phase, source]

    def drawn(self, lane: np.ndarray, slots: int) -> np.ndarray:
        """Draws of every source in the first `slots` slots of lanes: (lanes,) to (lanes, sources) int64."""
        phase = lane * self._stride % self.slots
        turn, entry = np.divmod(phase + slots, self.slots)
        return turn[:, None] * self.counts + self._before[entry] - self._before[phase]
