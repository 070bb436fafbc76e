import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from cxrpt.eval.bootstrap import patient_draws
from cxrpt.eval.score_sheet import Target, compare, means_of_draws, roc_curves

CLASSES = ["x", "y", "z"]
NUM_IMAGES = 100
SOURCES = ["north"] * 60 + ["south"] * 40
PATIENTS = [str(n // 3) for n in range(NUM_IMAGES)]
DRAWS = patient_draws(PATIENTS, 60)


@pytest.fixture(scope="module")
def made():
    """Only north knows the second finding, and of the third there are four positives; three draws of two methods."""
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 2, (NUM_IMAGES, 3)).astype(np.int8)
    labels[60:, 1], labels[:, 2], labels[7, 0] = -1, 0, -1
    labels[[3, 30, 60, 90], 2] = 1
    drawn = {name: [rng.integers(0, 30, (NUM_IMAGES, 3)) + 3.0 * labels for _ in range(3)] for name in ("linear", "pixels")}
    return labels, drawn, target_of(CLASSES, labels)


def target_of(classes, labels):
    """As `score_sheet.target` makes it, with few draws."""
    weights = np.concatenate([np.ones((1, NUM_IMAGES)), DRAWS]).T
    return Target(classes, labels, np.array(SOURCES), weights.astype(np.float32))


def brute_force(score, labels, drawn, rows, classes):
    """Mean over draws of labels and classes, in the sample and in each draw of patients by taking images again and again."""
    values = []
    for weights in (np.ones(NUM_IMAGES, int), *DRAWS.astype(int)):
        taken = np.repeat(np.arange(NUM_IMAGES), weights * rows)
        means = []
        for number in classes:
            known = taken[labels[taken, number] >= 0]
            both = len(set(labels[known, number])) == 2
            means += [score(labels[known, number], one[known, number]) if both else np.nan for one in drawn]
        values.append(np.mean(means))
    return values[0], np.array(values[1:])


@pytest.mark.parametrize(("source", "classes"), [(None, [0, 1]), ("south", [0])])
def test_scores_intervals_and_gains_are_those_of_brute_force(made, source, classes):
    labels, drawn, images = made
    found = compare(images, source, drawn, {"linear": ("pixels", "untrained")})
    assert list(found["linear"]["classes"]) == [CLASSES[n] for n in classes], "the third class has too few positives"
    rows = images.rows(source)
    mean = found["linear"]["mean"]
    for name, score in (("auroc", roc_auc_score), ("auprc", average_precision_score)):
        sample, resampled = brute_force(score, labels, drawn["linear"], rows, classes)
        assert mean[name] == pytest.approx(sample)
        limits = np.nanpercentile(resampled, [2.5, 97.5])
        assert (mean[f"{name}_low"], mean[f"{name}_high"]) == pytest.approx(tuple(limits))
    own, other = (brute_force(roc_auc_score, labels, drawn[name], rows, classes) for name in ("linear", "pixels"))
    gain = found["linear"]["gain"]
    assert list(gain) == ["pixels"] and found["pixels"]["gain"] == {}
    assert gain["pixels"]["auroc"] == pytest.approx(own[0] - other[0])
    limits = np.nanpercentile(own[1] - other[1], [2.5, 97.5])
    assert (gain["pixels"]["low"], gain["pixels"]["high"]) == pytest.approx(tuple(limits))
    first = found["linear"]["classes"]["x"]
    known = rows & (labels[:, 0] >= 0)
    assert first["positives"] == (labels[known, 0] == 1).sum() and first["negatives"] == (labels[known, 0] == 0).sum()


def test_a_class_that_a_draw_could_not_fit_counts_as_chance(made):
    _, drawn, images = made
    fitted = drawn["linear"][0]
    lost = fitted.copy()
    lost[:, 0] = np.nan
    alone, both = (compare(images, None, {"linear": each}, {})["linear"]["classes"] for each in ([fitted], [fitted, lost]))
    assert both["x"]["auroc"] == pytest.approx((alone["x"]["auroc"] + 0.5) / 2)
    prevalence = alone["x"]["positives"] / (alone["x"]["positives"] + alone["x"]["negatives"])
    assert both["x"]["auprc"] == pytest.approx((alone["x"]["auprc"] + prevalence) / 2)
    assert both["y"] == pytest.approx(alone["y"])


def test_the_mean_over_draws_is_that_of_their_means(made):
    _, drawn, images = made
    each = means_of_draws(images, drawn["linear"])
    assert len(set(each)) == 3
    assert np.mean(each) == pytest.approx(compare(images, None, drawn, {})["linear"]["mean"]["auroc"])


def test_where_no_class_has_enough_there_is_no_mean(made):
    labels, drawn, _ = made
    rare = target_of(["z"], labels[:, 2:])
    found = compare(rare, None, {"linear": [one[:, 2:] for one in drawn["linear"]]}, {})
    assert found == {"linear": {"mean": {}, "gain": {}, "classes": {}}}


def test_curves_are_means_over_the_draws(made):
    _, drawn, images = made
    each = [roc_curves(images, [one])["x"]["tpr"] for one in drawn["linear"]]
    found = roc_curves(images, drawn["linear"])["x"]
    assert len(found["fpr"]) == len(found["tpr"]) == 101
    np.testing.assert_allclose(found["tpr"], np.mean(each, 0), atol=2e-4)
