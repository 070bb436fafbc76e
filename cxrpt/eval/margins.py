"""By how much one way of asking does better than another, over the same places, with an interval by patient."""

from dataclasses import asdict, dataclass

import numpy as np

from cxrpt.eval.mean_interval import mean_intervals


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

    A difference of two ways at the same place is one value, so that what both find hard widens nothing.

    Args:
        values_N: float, at least one.
        patients: whose place it is.
    """
    ends = mean_intervals(values_N[:, None], patients)[0]
    return Margin(float(values_N.mean()), ends.low, ends.high)
