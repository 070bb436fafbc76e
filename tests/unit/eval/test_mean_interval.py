import numpy as np
import pytest

from cxrpt.eval import mean_interval as module
from cxrpt.eval.mean_interval import mean_intervals


def test_whole_patients_are_drawn():
    rng = np.random.default_rng(0)
    values = rng.normal(3, 2, size=(400, 2))
    alone = mean_intervals(values, [str(n) for n in range(400)])
    for one, column in zip(alone, values.T, strict=True):
        error = 1.96 * column.std() / 20
        assert one.ends == pytest.approx((column.mean() - error, column.mean() + error), abs=0.05)
    # The same picture ten times of each of 400 patients tells as much as once.
    tenfold = mean_intervals(values.repeat(10, 0), [str(n // 10) for n in range(4000)])
    assert tenfold[0].ends == pytest.approx(alone[0].ends, abs=0.05)


def test_weights_follow_the_number_of_a_patients_pictures(monkeypatch):
    # 40 patients with three pictures of 1, and 40 with one of 0: the mean is 3/4 by pictures, 1/2 by patients.
    values = np.array([[1.0]] * 120 + [[0.0]] * 40)
    patients = [f"a{n // 3}" for n in range(120)] + [f"b{n}" for n in range(40)]
    low, high = mean_intervals(values, patients)[0].ends
    assert 0.6 < low < 0.75 < high < 0.9
    monkeypatch.setattr(module, "_NUMBERS_AT_ONCE", 7)
    assert mean_intervals(values, patients)[0].ends == (low, high)
    assert all(np.isnan(end) for end in mean_intervals(np.empty((0, 1)), [])[0].ends)
