import numpy as np
import pytest
import sklearn.metrics
from sklearn.metrics import average_precision_score, roc_auc_score

from cxrpt.eval import scores as module
from cxrpt.eval.scores import auroc, mean_auroc, quality, roc_curve


@pytest.mark.parametrize("levels", [1, 3, 10_000])
def test_scores_equal_scikit_learn_with_weights_and_ties(levels, monkeypatch):
    # Blocks of a few weightings, the last of them smaller.
    monkeypatch.setattr(module, "_AT_ONCE", 40 * 7)
    rng = np.random.default_rng(levels)
    truth, values = rng.integers(0, 2, 80), rng.integers(0, levels, 80) / levels - 0.5
    weights = rng.integers(0, 4, (20, 80)).astype(np.float32)
    found = quality(truth, values, np.concatenate([np.ones((1, 80), np.float32), weights]).T)
    for score, values_B in ((roc_auc_score, found.auroc_B), (average_precision_score, found.auprc_B)):
        expected = [score(truth, values), *(score(truth, values, sample_weight=row) for row in weights)]
        np.testing.assert_allclose(values_B, expected, atol=1e-12)
    assert auroc(truth, values) == pytest.approx(roc_auc_score(truth, values))


def test_equal_scores_are_chance():
    truth, weights = np.array([1, 0, 0, 1, 0]), np.array([[1, 1, 1, 1, 1], [3, 1, 0, 0, 2]]).T
    found = quality(truth, np.zeros(5), weights)
    np.testing.assert_allclose(found.auroc_B, 0.5)
    np.testing.assert_allclose(found.auprc_B, [2 / 5, 3 / 6])


def test_a_weighting_without_one_kind_has_no_score():
    weights = np.array([[0, 1, 1], [1, 0, 0], [2, 1, 1]]).T
    found = quality(np.array([1, 0, 0]), np.array([0.9, 0.2, 0.1]), weights)
    for values in (found.auroc_B, found.auprc_B):
        assert np.isnan(values[:2]).all() and values[2] == 1
    assert np.isnan(auroc(np.array([1, 1]), np.array([0.1, 0.2]))) and np.isnan(auroc(np.empty(0), np.empty(0)))


def test_unknown_labels_and_classes_without_scores_take_no_part_in_the_mean():
    labels = np.array([[1, 1, 1], [0, 0, 1], [-1, 0, -1]])
    scores = np.array([[2.0, np.nan, 1], [1.0, np.nan, 2], [9.0, np.nan, 3]])
    assert mean_auroc(labels, scores) == 1 and np.isnan(mean_auroc(labels[:, 1:], scores[:, 1:]))


@pytest.mark.parametrize("levels", [4, 1000])
def test_curve_is_that_of_scikit_learn(levels):
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 300)
    scores = (rng.integers(0, levels, 300) + levels * truth / 2) / levels
    fpr, tpr, _ = sklearn.metrics.roc_curve(truth, scores, drop_intermediate=False)
    grid, curve = np.linspace(0, 1, 101), roc_curve(truth, scores)
    assert len(curve) == 101 and curve[0] == 0 and curve[-1] == 1 and (np.diff(curve) >= 0).all()
    for at, value in zip(grid[1:], curve[1:], strict=True):
        lower, upper = np.interp(at - 1e-9, fpr, tpr), np.interp(at + 1e-9, fpr, tpr)
        assert lower - 1e-6 <= value <= upper + 1e-6
    assert (roc_curve(np.array([0, 1, 0, 1]), np.array([0, 2, 1, 3]))[1:] == 1).all()
