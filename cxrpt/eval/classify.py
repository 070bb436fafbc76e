"""Findings by a linear probe on frozen features, beside the same probe on reduced pixels and on an untrained network.

train features, labels ─► standardise ─► one logistic regression a class ─► scores of the test images ─► AUROC

One C for all classes, the one with the best mean AUROC on val (by cross-validation over patients where val is too small);
uncertain (-1) and unknown labels are left out, class by class.
"""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from cxrpt.checkpoint.export import Exported
from cxrpt.config import EvalConfig
from cxrpt.eval.bootstrap import auroc, interval, patient_draws, weighted_auroc
from cxrpt.eval.features import IMAGE_POOLING, THUMBNAIL, ImageFeatures, image_features, labelled_sources, untrained
from cxrpt.eval.samples import CannotRunError, SplitFolder

MIN_OF_EACH = 5
"""A class needs at least this many positives and negatives in train and in the split that is scored."""

C_GRID = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0)
_FOLDS = 3
_MAX_ITERATIONS = 500

_SMALL_BYTES = 2**26
"""Matrices below this are fitted on one thread: threads gain nothing there, and lose much where cores are shared."""


@dataclass(frozen=True)
class Labelled:
    """What a probe sees: rows are images."""

    features_NF: np.ndarray
    labels_NC: np.ndarray
    """1, 0, or -1 where unknown or uncertain."""
    patients: list[str]


def classify(
    exported: Exported, folders: dict[str, list[SplitFolder]], split: str, config: EvalConfig
) -> tuple[dict[str, float], dict[str, Any]]:
    """Score the linear probe on a split.

    Args:
        exported: the model.
        folders: the run's folders by split; `train` and `split` at least, `val` if there is one.
        split: what is scored.
        config: limits and batch.

    Returns:
        Metrics by name, and details.

    Raises:
        CannotRunError: no labels, or no class with enough positives and negatives.
    """
    labelled = {name: labelled_sources(found) for name, found in folders.items()}
    if not labelled.get("train") or not labelled[split]:
        raise CannotRunError(f"no labels in {'train' if not labelled.get('train') else split}")
    limits = {"train": config.max_train_images}
    control = untrained(exported) if config.untrained_baseline else None
    features = {
        name: image_features(exported, labelled[name], limits.get(name, config.max_images), config.batch, control)
        for name in dict.fromkeys(("train", "val", split))
        if labelled.get(name)
    }
    train, test = features["train"], features[split]
    classes, left_out = usable_classes(train.labels, test.labels)
    if not classes:
        raise CannotRunError(
            f"no class has {MIN_OF_EACH} positives and {MIN_OF_EACH} negatives among the {len(train)} labelled images of train "
            f"and the {len(test)} of {split}"
        )
    # When val itself is scored, it must not choose C.
    chooser = features.get("val") if split != "val" else None
    scores, chosen = {}, {}
    for kind in train.features:
        choose_on = _labelled(chooser, classes, kind) if chooser else None
        scores[kind], chosen[kind] = probe(_labelled(train, classes, kind), choose_on, _labelled(test, classes, kind))
    metrics, report = score(test, classes, scores)
    details = {
        "split": split,
        "features": IMAGE_POOLING,
        "probe": "logistic regression on standardised features, one C for all classes",
        "C": {kind: chosen[kind][0] for kind in chosen},
        "C_chosen_on": {kind: chosen[kind][1] for kind in chosen},
        "baselines": f"the same probe on {THUMBNAIL} x {THUMBNAIL} pixels and on the network with fresh weights; chance 0.5",
        "interval": "95 %, bootstrap over patients",
        "train_images": len(train),
        "images": len(test),
        "patients": len(set(test.patients)),
        "bad_samples": {name: dict(found.bad) for name, found in features.items() if found.bad},
        "left_out": left_out,
    }
    return metrics, details | report


def usable_classes(train: list[dict[str, int]], test: list[dict[str, int]]) -> tuple[list[str], dict[str, str]]:
    """The classes that can be scored, and for each of the others why it cannot."""
    usable, left_out = [], {}
    for name in sorted({name for labels in (*train, *test) for name in labels}):
        for split, labels in (("train", train), ("the scored split", test)):
            positives, negatives = (sum(one.get(name) == value for one in labels) for value in (1, 0))
            if min(positives, negatives) < MIN_OF_EACH:
                left_out[name] = f"{positives} positives and {negatives} negatives in {split}, {MIN_OF_EACH} of each are needed"
                break
        else:
            usable.append(name)
    return usable, left_out


def probe(train: Labelled, choose_on: Labelled | None, test: Labelled) -> tuple[np.ndarray, tuple[float, str]]:
    """Fit on `train` and score `test`.

    Returns:
        (images, classes) log-odds, and the C that was used with what it was chosen on.
    """
    if choose_on is not None and any(_has_both(column) for column in choose_on.labels_NC.T):
        scores = fit_and_score(train, choose_on.features_NF, C_GRID)
        quality, where = [mean_auroc(choose_on.labels_NC, one) for one in scores], "val"
    else:
        quality, where = _cross_validate(train), f"{_FOLDS}-fold cross-validation over patients of train"
    # The smallest C among equals.
    chosen = C_GRID[int(np.nanargmax(quality))] if np.isfinite(quality).any() else C_GRID[len(C_GRID) // 2]
    return fit_and_score(train, test.features_NF, (chosen,))[0], (chosen, where)


def fit_and_score(train: Labelled, features_NF: np.ndarray, grid: tuple[float, ...]) -> np.ndarray:
    """(len(grid), N, classes) log-odds of `features_NF` by probes fitted on `train`; NaN where a class cannot be fitted."""
    scaler = StandardScaler().fit(train.features_NF)
    known_features, new_features = scaler.transform(train.features_NF), scaler.transform(features_NF)
    scores = np.full((len(grid), len(features_NF), train.labels_NC.shape[1]), np.nan)
    with threadpool_limits(1 if known_features.nbytes < _SMALL_BYTES else None), warnings.catch_warnings():
        # A weakly regularised fit that stops early is still a probe, and C is chosen by what it scores.
        warnings.simplefilter("ignore", ConvergenceWarning)
        for number, column in enumerate(train.labels_NC.T):
            if _has_both(column):
                known = column >= 0
                scores[:, :, number] = _fit_class(known_features[known], column[known], new_features, grid)
    return scores


def _fit_class(features_NF: np.ndarray, truth_N: np.ndarray, new_NF: np.ndarray, grid: tuple[float, ...]) -> np.ndarray:
    """(len(grid), new) log-odds of one class, from strong to weak regularisation, each from the solution before."""
    model = LogisticRegression(max_iter=_MAX_ITERATIONS, warm_start=True)
    return np.stack([model.set_params(C=strength).fit(features_NF, truth_N).decision_function(new_NF) for strength in grid])


def mean_auroc(labels_NC: np.ndarray, scores_NC: np.ndarray) -> float:
    """Mean over the classes that have positives, negatives and scores; NaN without any."""
    values = []
    for truth, scores in zip(labels_NC.T, scores_NC.T, strict=True):
        known = (truth >= 0) & np.isfinite(scores)
        values.append(auroc(truth[known], scores[known]))
    finite = [value for value in values if np.isfinite(value)]
    return float(np.mean(finite)) if finite else float("nan")


def _cross_validate(train: Labelled) -> list[float]:
    """Mean AUROC of each C over folds that no patient crosses; empty folds where there are too few patients."""
    _, groups = np.unique(train.patients, return_inverse=True)
    if len(set(groups)) < _FOLDS:
        return [float("nan")] * len(C_GRID)
    # Folds are stratified by the rarest class, so that it is in each.
    positives = (train.labels_NC == 1).sum(0)
    rarest = (train.labels_NC[:, int(np.argmin(np.where(positives, positives, np.inf)))] == 1).astype(int)
    folds = StratifiedGroupKFold(_FOLDS, shuffle=True, random_state=0).split(train.features_NF, rarest, groups)
    values = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # fewer positives than folds: what is missing scores NaN
        for fit_on, check_on in folds:
            part = Labelled(train.features_NF[fit_on], train.labels_NC[fit_on], [train.patients[n] for n in fit_on])
            scores = fit_and_score(part, train.features_NF[check_on], C_GRID)
            values.append([mean_auroc(train.labels_NC[check_on], one) for one in scores])
        table = np.array(values)
        return [
            float(np.mean(column[np.isfinite(column)])) if np.isfinite(column).any() else float("nan") for column in table.T
        ]


def score(test: ImageFeatures, classes: list[str], scores: dict[str, np.ndarray]) -> tuple[dict[str, float], dict[str, Any]]:
    """AUROC by class and its mean, over all institutions together and for each alone.

    Args:
        test: labels, patients and sources of the images.
        classes: names of the columns of the scores.
        scores: (images, classes) by what the probe saw: "model", and baselines.
    """
    labels_NC = _label_matrix(test.labels, classes)
    draws_BN = patient_draws(test.patients)
    sources = np.array(test.sources)
    everything = _score_rows(labels_NC, scores, draws_BN, np.ones(len(sources), bool), classes)
    metrics = {f"classify/{name}": value for name, value in everything["mean"].items()}
    metrics |= {f"classify/auroc/{name}": found["auroc"] for name, found in everything["classes"].items()}
    by_source = {}
    for source in dict.fromkeys(test.sources):
        found = _score_rows(labels_NC, scores, draws_BN, sources == source, classes)
        if found["classes"]:
            by_source[source] = found
            names = (_auroc_name(kind) for kind in scores)
            metrics |= {f"classify/{source}/{name}": found["mean"][name] for name in names}
    return metrics, {"mean": everything["mean"], "classes": everything["classes"], "institutions": by_source}


def _score_rows(
    labels_NC: np.ndarray, scores: dict[str, np.ndarray], draws_BN: np.ndarray, rows: np.ndarray, classes: list[str]
) -> dict[str, Any]:
    """AUROC of chosen rows: by class, and means over the classes that have enough of both."""
    found: dict[str, dict[str, float]] = {}
    drawn: dict[str, list[np.ndarray]] = {kind: [] for kind in scores}
    for number, name in enumerate(classes):
        truth = labels_NC[:, number]
        known = rows & (truth >= 0)
        positives, negatives = int((truth[known] == 1).sum()), int((truth[known] == 0).sum())
        if min(positives, negatives) < MIN_OF_EACH:
            continue
        for kind, kept in drawn.items():
            kept.append(weighted_auroc(truth[known], scores[kind][known, number], draws_BN[:, known]))
        values = {_auroc_name(kind): auroc(truth[known], scores[kind][known, number]) for kind in scores}
        limits = interval(drawn["model"][-1])
        found[name] = values | {"low": limits.low, "high": limits.high, "positives": positives, "negatives": negatives}
    if not found:
        return {"mean": {}, "classes": {}}
    means = {kind: _mean_of_draws(kept) for kind, kept in drawn.items()}
    mean = {name: float(np.mean([one[name] for one in found.values()])) for name in map(_auroc_name, scores)}
    mean |= dict(zip(("auroc_low", "auroc_high"), interval(means["model"]).ends, strict=True))
    for kind in scores:
        if kind != "model":
            # By the same draws, so that what is common to both cancels.
            low, high = interval(means["model"] - means[kind]).ends
            mean |= {f"gain_over_{kind}_low": low, f"gain_over_{kind}_high": high}
    return {"mean": mean, "classes": found}


def _auroc_name(kind: str) -> str:
    return "auroc" if kind == "model" else f"auroc_{kind}"


def _mean_of_draws(kept: list[np.ndarray]) -> np.ndarray:
    """(draws,) mean over classes; a draw that leaves a class without positives or negatives has no mean."""
    return np.mean(kept, axis=0)


def _labelled(features: ImageFeatures, classes: list[str], kind: str) -> Labelled:
    return Labelled(features.features[kind], _label_matrix(features.labels, classes), features.patients)


def _label_matrix(labels: list[dict[str, int]], classes: list[str]) -> np.ndarray:
    """(images, classes) int8: 1, 0, or -1 for what is uncertain or not known."""
    matrix = [[labels_of.get(name, -1) for name in classes] for labels_of in labels]
    return np.array(matrix, np.int8).reshape(len(labels), len(classes))


def _has_both(column: np.ndarray) -> bool:
    return bool((column == 1).any() and (column == 0).any())
