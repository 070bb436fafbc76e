"""Uncertainty of scores by resampling patients.

Images of one patient are not independent, so whole patients are drawn with replacement; a draw is a weight for every
image, which lets all draws be scored at once without sorting again.
"""

from dataclasses import dataclass

import numpy as np

NUM_DRAWS = 1000
_DRAWS_AT_ONCE = 100


@dataclass(frozen=True)
class Interval:
    """A 95 % interval (percentiles of the draws)."""

    low: float
    high: float

    @property
    def ends(self) -> tuple[float, float]:
        return self.low, self.high


def patient_draws(patients: list[str], num_draws: int = NUM_DRAWS, seed: int = 0) -> np.ndarray:
    """(draws, images) float32: how often each image's patient was drawn; the same input gives the same draws."""
    _, number_N = np.unique(patients, return_inverse=True)
    num_patients = int(number_N.max()) + 1
    generator = np.random.default_rng(seed)
    rows = []
    for first in range(0, num_draws, _DRAWS_AT_ONCE):
        drawn = generator.integers(num_patients, size=(min(_DRAWS_AT_ONCE, num_draws - first), num_patients))
        counts = np.stack([np.bincount(row, minlength=num_patients) for row in drawn])
        rows.append(counts.astype(np.float32)[:, number_N])
    return np.concatenate(rows)


def interval(values_B: np.ndarray) -> Interval:
    """The middle 95 % of what the draws gave; draws without a value are passed over."""
    values = values_B[np.isfinite(values_B)]
    if not len(values):
        return Interval(float("nan"), float("nan"))
    low, high = np.percentile(values, [2.5, 97.5])
    return Interval(float(low), float(high))
