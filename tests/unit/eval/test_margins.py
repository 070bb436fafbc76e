import math

import numpy as np
import pytest

from cxrpt.eval.margins import mean_margin


def test_places_of_one_patient_are_drawn_together():
    rng = np.random.default_rng(0)
    patients = [f"p{number}" for number in range(40) for _ in range(1 + number % 7)]
    offset = dict(zip(dict.fromkeys(patients), rng.normal(0.5, 1, 40), strict=True))
    # Who has many places counts for more.
    values = np.array([offset[patient] + patients.count(patient) / 2 for patient in patients]) + rng.normal(
        0, 0.1, len(patients)
    )
    found = mean_margin(values, patients)
    assert found.value == pytest.approx(values.mean())
    own = {patient: values[[one == patient for one in patients]] for patient in offset}
    names = list(own)
    drawn = [np.concatenate([own[names[number]] for number in rng.integers(40, size=40)]).mean() for _ in range(4000)]
    low, high = np.percentile(drawn, [2.5, 97.5])
    assert found.low == pytest.approx(low, abs=0.06) and found.high == pytest.approx(high, abs=0.06)
    # Places on their own would look more certain than they are.
    alone = mean_margin(values, [str(number) for number in range(len(values))])
    assert alone.high - alone.low < 0.7 * (found.high - found.low)
    assert mean_margin(values, patients) == found


def test_of_one_patient_there_is_no_interval():
    found = mean_margin(np.array([1.0, 0.0]), ["p", "p"])
    assert found.value == 0.5 and math.isnan(found.low) and math.isnan(found.high)
