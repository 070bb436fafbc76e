"""Intervals of means by resampling patients, for scores that every picture or query has of its own."""

import numpy as np

from cxrpt.eval.bootstrap import NUM_DRAWS, Interval, interval

ABOUT = f"95 %, {NUM_DRAWS} draws of patients with replacement"

_NUMBERS_AT_ONCE = 4_000_000


def mean_intervals(values_NM: np.ndarray, patients: list[str], num_draws: int = NUM_DRAWS, seed: int = 0) -> list[Interval]:
    """95 % intervals of column means, by bootstrap over patients: those of one patient are drawn or left together.

    Args:
        values_NM: M scores of each of N pictures or queries, all finite.
        patients: whose each row is.
        num_draws: of the bootstrap.
        seed: the same input and seed give the same intervals.

    Returns:
        One interval a column; its ends are NaN where there are fewer than two patients: one drawn again and again would look
        as if nothing were uncertain.
    """
    if len(set(patients)) < 2:
        return [Interval(float("nan"), float("nan"))] * values_NM.shape[1]
    _, number_N = np.unique(np.array(patients), return_inverse=True)
    num_patients = int(number_N.max()) + 1
    sizes_P = np.bincount(number_N).astype(np.float64)
    sums_PM = np.stack([np.bincount(number_N, column, num_patients) for column in values_NM.T.astype(np.float64)], axis=1)
    rng = np.random.default_rng(seed)
    at_once = max(1, _NUMBERS_AT_ONCE // num_patients)
    means = []
    for first in range(0, num_draws, at_once):
        drawn = rng.integers(num_patients, size=(min(at_once, num_draws - first), num_patients))
        counts_BP = np.stack([np.bincount(row, minlength=num_patients) for row in drawn]).astype(np.float64)
        means.append(counts_BP @ sums_PM / (counts_BP @ sizes_P)[:, None])
    return [interval(column) for column in np.concatenate(means).T]
