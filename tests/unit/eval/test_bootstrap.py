import numpy as np
import pytest

from cxrpt.eval.bootstrap import interval, patient_draws
from cxrpt.eval.scores import quality


def test_patients_are_drawn_whole():
    patients = ["a", "b", "a", "c", "b", "a"]
    draws = patient_draws(patients, 250)
    assert draws.shape == (250, 6) and (draws == patient_draws(patients, 250)).all()
    assert (draws[:, 0] == draws[:, 2]).all() and (draws[:, 0] == draws[:, 5]).all() and (draws[:, 1] == draws[:, 4]).all()
    assert (draws[:, [0, 1, 3]].sum(1) == 3).all() and draws[:, 3].std() > 0


def test_interval_is_wider_when_images_share_patients():
    rng = np.random.default_rng(0)
    truth, scores = np.repeat(rng.integers(0, 2, 40), 5), np.repeat(rng.random(40), 5)

    def width(patients):
        found = interval(quality(truth, scores, patient_draws(patients).T).auroc_B)
        return found.high - found.low

    alone, shared = width([str(n) for n in range(200)]), width([str(n // 5) for n in range(200)])
    assert shared > 1.5 * alone


def test_interval_passes_over_draws_without_a_value():
    found = interval(np.array([np.nan, *np.linspace(0, 1, 101)]))
    assert found.ends == pytest.approx((0.025, 0.975))
