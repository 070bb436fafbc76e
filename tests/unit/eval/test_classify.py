import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cxrpt.eval.classify import C_GRID, Labelled, _cross_validate, fit_and_score, mean_auroc, probe, score, usable_classes
from cxrpt.eval.features import ImageFeatures


def planted(count, seed, noise=1.0, width=6):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, (count, 2)).astype(np.int8)
    features = rng.normal(size=(count, width)).astype(np.float64)
    features[:, 0] += 2 / noise * labels[:, 0]
    features[:, 1] -= 2 / noise * labels[:, 1]
    return Labelled(features, labels, [str(n // 2) for n in range(count)])


def test_probe_is_the_logistic_regression_of_scikit_learn():
    train, test = planted(120, 0), planted(50, 1)
    scores = fit_and_score(train, test.features_NF, (0.1,))[0]
    for number in range(2):
        reference = make_pipeline(StandardScaler(), LogisticRegression(C=0.1)).fit(
            train.features_NF, train.labels_NC[:, number]
        )
        np.testing.assert_allclose(scores[:, number], reference.decision_function(test.features_NF), atol=2e-3)


def test_uncertain_labels_take_no_part():
    train, test = planted(120, 0), planted(50, 1)
    labels = train.labels_NC.copy()
    labels[60:, 0] = -1
    once = fit_and_score(Labelled(train.features_NF, labels, train.patients), test.features_NF, (0.1,))[0]
    scaled = StandardScaler().fit(train.features_NF)
    reference = LogisticRegression(C=0.1).fit(scaled.transform(train.features_NF[:60]), labels[:60, 0])
    np.testing.assert_allclose(once[:, 0], reference.decision_function(scaled.transform(test.features_NF)), atol=2e-3)
    quality = mean_auroc(np.array([[1], [0], [-1]]), np.array([[2.0], [1.0], [9.0]]))
    assert quality == 1 and np.isnan(mean_auroc(np.array([[1], [-1]]), np.zeros((2, 1))))


@pytest.mark.parametrize("with_val", [True, False])
def test_c_is_chosen_where_it_scores_best(with_val):
    train, val, test = planted(60, 0, 2.0, 40), planted(60, 1, 2.0, 40), planted(60, 2, 2.0, 40)
    scores, (chosen, where) = probe(train, val if with_val else None, test)
    assert where.startswith("val" if with_val else "3-fold")
    np.testing.assert_array_equal(scores, fit_and_score(train, test.features_NF, (chosen,))[0])
    if with_val:
        quality = [mean_auroc(val.labels_NC, one) for one in fit_and_score(train, val.features_NF, C_GRID)]
        assert chosen == C_GRID[int(np.argmax(quality))]


def test_folds_share_no_patient():
    # Each patient has a label of its own that only memory could give: folds that split patients would score it.
    rng = np.random.default_rng(0)
    features, label = np.repeat(rng.normal(size=(40, 30)), 4, 0), np.repeat(rng.integers(0, 2, 40), 4)
    train = Labelled(features, label[:, None].astype(np.int8), [str(n // 4) for n in range(160)])
    assert max(_cross_validate(train)) < 0.8
    alone = Labelled(train.features_NF, train.labels_NC, [str(n) for n in range(160)])
    assert max(_cross_validate(alone)) > 0.9


def test_classes_with_too_few_are_named():
    train = [{"a": 1, "b": 1, "c": n % 2} for n in range(20)]
    test = [{"a": n % 2, "b": n % 2, "c": n % 2 if n < 12 else -1} for n in range(20)]
    train[:8] = [{"a": 0, "b": 0 if n < 4 else -1, "c": n % 2} for n in range(8)]
    usable, left_out = usable_classes(train, test)
    assert usable == ["a", "c"] and left_out == {"b": "12 positives and 4 negatives in train, 5 of each are needed"}
    usable, left_out = usable_classes(train, [{"a": 1, "d": 0}] * 9)
    assert usable == [] and "9 positives and 0 negatives in the scored split" in left_out["a"]
    assert set(left_out) == {"a", "b", "c", "d"}


def test_scores_by_institution_and_together():
    rng = np.random.default_rng(3)
    sources = ["north"] * 60 + ["south"] * 40
    # Only north knows the second finding.
    labels = [{"x": int(rng.integers(2))} | ({"y": int(rng.integers(2))} if n < 60 else {}) for n in range(100)]
    scores = {kind: rng.normal(size=(100, 2)) for kind in ("model", "pixels")}
    test = ImageFeatures({}, sources, [str(n // 3) for n in range(100)], labels)
    metrics, details = score(test, ["x", "y"], scores)
    x, y = np.array([one["x"] for one in labels]), np.array([one["y"] for one in labels[:60]])
    expected = roc_auc_score(x, scores["model"][:, 0]), roc_auc_score(y, scores["model"][:60, 1])
    assert metrics["classify/auroc/x"] == pytest.approx(expected[0])
    assert metrics["classify/auroc"] == pytest.approx(np.mean(expected))
    assert metrics["classify/south/auroc"] == pytest.approx(roc_auc_score(x[60:], scores["model"][60:, 0]))
    pixels = roc_auc_score(x[:60], scores["pixels"][:60, 0]), roc_auc_score(y, scores["pixels"][:60, 1])
    assert metrics["classify/north/auroc_pixels"] == pytest.approx(np.mean(pixels))
    assert list(details["institutions"]["south"]["classes"]) == ["x"]
    mean = details["mean"]
    assert mean["auroc_low"] < mean["auroc"] < mean["auroc_high"]
    assert mean["gain_over_pixels_low"] < mean["auroc"] - mean["auroc_pixels"] < mean["gain_over_pixels_high"]
