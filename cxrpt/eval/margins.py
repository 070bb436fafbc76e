"""By how much one way of asking does better than another, over the same places, with an interval by patient."""

from dataclasses import asdict, dataclass

import numpy as np

from cxrpt.eval.bootstrap import interval, patient_draws


@dataclass(frozen=True)
class Margin:
    """A mean and the ends of its 95 % interval, NaN where only one patient is there."""

    value: float
    low: float
    high: float

    def to_dict(self) -> dict[str, float]:
        """For the results."""
        return asdict(self)


def mean_margin(values_N: np.ndarray, patients: list[str]) -> Margin:
    """The mean of values, one a place, and how far it would move with other patients.

    Places of one patient are drawn together; a difference of two ways at the same place is one value, so that what both find
    hard widens nothing.

    Args:
        values_N: float, at least one.
        patients: whose place it is.
    """
    # One patient drawn again and again would look as if nothing were uncertain.
    if len(set(patients)) < 2:
        return Margin(float(values_N.mean()), float("nan"), float("nan"))
    _, number_N = np.unique(patients, return_inverse=True)
    total_P, count_P = np.bincount(number_N, values_N), np.bincount(number_N)
    draws_BP = patient_draws([str(number) for number in range(len(count_P))]).astype(np.float64)
    drawn = interval((draws_BP @ total_P) / (draws_BP @ count_P))
    return Margin(float(values_N.mean()), drawn.low, drawn.high)
