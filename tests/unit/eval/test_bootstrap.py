import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from cxrpt.eval.bootstrap import auroc, interval, patient_draws, weighted_auroc


@pytest.mark.parametrize("levels", [3, 10_000])
def test_weighted_auroc_equals_scikit_learn(levels):
    rng = np.random.default_rng(levels)
    truth, scores = rng.integers(0, 2, 80), rng.integers(0, levels, 80) / levels
    weights = rng.integers(0, 4, (20, 80)).astype(np.float32)
    expected = [roc_auc_score(truth, scores, sample_weight=row) for row in weights]
    np.testing.assert_allclose(weighted_auroc(truth, scores, weights), expected, atol=1e-12)
    assert auroc(truth, scores) == pytest.approx(roc_auc_score(truth, scores))


def test_a_draw_without_one_kind_has_no_auroc():
    values = weighted_auroc(np.array([1, 0, 0]), np.array([0.9, 0.2, 0.1]), np.array([[0, 1, 1], [1, 0, 0], [2, 1, 1]]))
    assert np.isnan(values[:2]).all() and values[2] == 1
    assert np.isnan(auroc(np.array([1, 1]), np.array([0.1, 0.2]))) and np.isnan(auroc(np.empty(0), np.empty(0)))


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
        found = interval(weighted_auroc(truth, scores, patient_draws(patients)))
        return found.high - found.low

    alone, shared = width([str(n) for n in range(200)]), width([str(n // 5) for n in range(200)])
    assert shared > 1.5 * alone


def test_interval_passes_over_draws_without_a_value():
    found = interval(np.array([np.nan, *np.linspace(0, 1, 101)]))
    assert found.ends == pytest.approx((0.025, 0.975))
