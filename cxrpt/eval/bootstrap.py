"""AUROC with weights, and its uncertainty by resampling patients.

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


def weighted_auroc(truth_N: np.ndarray, scores_N: np.ndarray, weights_BN: np.ndarray) -> np.ndarray:
    """Area under the ROC curve for each row of weights; ties count half.

    Args:
        truth_N: 1 positive, 0 negative.
        scores_N: higher means more positive.
        weights_BN: 0 or more.

    Returns:
        (B,) float64; NaN where a row leaves no positive or no negative.
    """
    order = np.argsort(scores_N, kind="stable")
    scores, positive = scores_N[order], truth_N[order] == 1
    starts = np.flatnonzero(np.concatenate([[True], scores[1:] != scores[:-1]]))
    weights = weights_BN[:, order].astype(np.float64)
    positives_BG = np.add.reduceat(weights * positive, starts, axis=1)
    negatives_BG = np.add.reduceat(weights * ~positive, starts, axis=1)
    below_BG = np.cumsum(negatives_BG, axis=1) - negatives_BG
    won = (positives_BG * (below_BG + negatives_BG / 2)).sum(1)
    pairs = positives_BG.sum(1) * negatives_BG.sum(1)
    return np.divide(won, pairs, out=np.full(len(won), np.nan), where=pairs > 0)


def auroc(truth_N: np.ndarray, scores_N: np.ndarray) -> float:
    """Area under the ROC curve; NaN without a positive or a negative."""
    return float(weighted_auroc(truth_N, scores_N, np.ones((1, len(truth_N))))[0]) if len(truth_N) else float("nan")


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
