import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cxrpt.eval.labelled import Labelled
from cxrpt.eval.linear_probe import C_GRID, _cross_validate, fit_and_score, linear_probe
from cxrpt.eval.scores import mean_auroc


def planted(count, seed, noise=1.0, width=6):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, (count, 2)).astype(np.int8)
    features = rng.normal(size=(count, width)).astype(np.float64)
    features[:, 0] += 2 / noise * labels[:, 0]
    features[:, 1] -= 2 / noise * labels[:, 1]
    return Labelled(features, labels, [str(n // 2) for n in range(count)])


def test_probe_is_the_logistic_regression_of_scikit_learn():
    train, test = planted(120, 0), planted(50, 1)
    scores = fit_and_score(train, test.features, (0.1,))[0]
    for number in range(2):
        reference = make_pipeline(StandardScaler(), LogisticRegression(C=0.1)).fit(train.features, train.labels_NC[:, number])
        np.testing.assert_allclose(scores[:, number], reference.decision_function(test.features), atol=2e-3)


def test_uncertain_labels_take_no_part():
    train, test = planted(120, 0), planted(50, 1)
    labels = train.labels_NC.copy()
    labels[60:, 0] = -1
    once = fit_and_score(Labelled(train.features, labels, train.patients), test.features, (0.1,))[0]
    scaled = StandardScaler().fit(train.features)
    reference = LogisticRegression(C=0.1).fit(scaled.transform(train.features[:60]), labels[:60, 0])
    np.testing.assert_allclose(once[:, 0], reference.decision_function(scaled.transform(test.features)), atol=2e-3)


@pytest.mark.parametrize("with_val", [True, False])
def test_c_is_chosen_where_it_scores_best(with_val):
    train, val, test = planted(60, 0, 2.0, 40), planted(60, 1, 2.0, 40), planted(60, 2, 2.0, 40)
    found = linear_probe(train, val if with_val else None, test.features)
    assert found.chosen["on"].startswith("val" if with_val else "3-fold")
    np.testing.assert_array_equal(found.scores_NC, fit_and_score(train, test.features, (found.chosen["C"],))[0])
    if with_val:
        quality = [mean_auroc(val.labels_NC, one) for one in fit_and_score(train, val.features, C_GRID)]
        assert found.chosen["C"] == C_GRID[int(np.argmax(quality))]


def test_folds_share_no_patient():
    # Each patient has a label of its own that only memory could give: folds that split patients would score it.
    rng = np.random.default_rng(0)
    features, label = np.repeat(rng.normal(size=(40, 30)), 4, 0), np.repeat(rng.integers(0, 2, 40), 4)
    train = Labelled(features, label[:, None].astype(np.int8), [str(n // 4) for n in range(160)])
    assert max(_cross_validate(train)) < 0.8
    alone = Labelled(train.features, train.labels_NC, [str(n) for n in range(160)])
    assert max(_cross_validate(alone)) > 0.9


@pytest.mark.parametrize("with_val", [True, False])
@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_what_few_labels_cannot_fit_has_no_scores(count, with_val):
    train, val, test = planted(30, 0), planted(60, 1), planted(20, 2)
    labels = np.array([[1, 0], [1, 1], [1, 0], [1, 1]], np.int8)[:count]
    few = Labelled(train.features[:count], labels, train.patients[:count])
    found = linear_probe(few, val if with_val else None, test.features)
    assert np.isnan(found.scores_NC[:, 0]).all() and np.isnan(found.scores_NC[:, 1]).all() == (count == 1)
