"""A linear probe: one logistic regression a class on frozen features.

features, labels ─► standardise ─► logistic regressions ─► log-odds of other images

One C for all classes, the one with the best mean AUROC on val (by cross-validation over patients where val is too small);
uncertain (-1) and unknown labels are left out, class by class.
"""

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from cxrpt.eval.labelled import Fitted, Labelled
from cxrpt.eval.scores import mean_auroc

C_GRID = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0)
_FOLDS = 3
_MAX_ITERATIONS = 500

_SMALL_BYTES = 2**26
"""Matrices below this are fitted on one thread: threads gain nothing there, and lose much where cores are shared."""


def linear_probe(train: Labelled, choose_on: Labelled | None, features_NF: np.ndarray) -> Fitted:
    """Fit on `train` and score other images.

    Args:
        train: (images, F) features.
        choose_on: what C is chosen on; None, or labels of one kind only, for cross-validation on `train`.
        features_NF: of the images to be scored.
    """
    if choose_on is not None and choose_on.fittable_C.any():
        scores = fit_and_score(train, choose_on.features, C_GRID)
        quality, where = [mean_auroc(choose_on.labels_NC, one) for one in scores], "val"
    else:
        quality, where = _cross_validate(train), f"{_FOLDS}-fold cross-validation over patients of train"
    # The smallest C among equals.
    known = bool(np.isfinite(quality).any())
    chosen = C_GRID[int(np.nanargmax(quality))] if known else C_GRID[len(C_GRID) // 2]
    scores_NC = fit_and_score(train, features_NF, (chosen,))[0]
    return Fitted(scores_NC, {"C": chosen, "on": where if known else "nothing: too few labels"})


def fit_and_score(train: Labelled, features_NF: np.ndarray, grid: tuple[float, ...]) -> np.ndarray:
    """(len(grid), N, classes) log-odds of `features_NF` by probes fitted on `train`; NaN where a class cannot be fitted."""
    scaler = StandardScaler().fit(train.features)
    known_features, new_features = scaler.transform(train.features), scaler.transform(features_NF)
    scores = np.full((len(grid), len(features_NF), train.labels_NC.shape[1]), np.nan)
    with threadpool_limits(1 if known_features.nbytes < _SMALL_BYTES else None), warnings.catch_warnings():
        # A weakly regularised fit that stops early is still a probe, and C is chosen by what it scores.
        warnings.simplefilter("ignore", ConvergenceWarning)
        for number in np.flatnonzero(train.fittable_C):
            known = train.labels_NC[:, number] >= 0
            truth = train.labels_NC[known, number]
            scores[:, :, number] = _fit_class(known_features[known], truth, new_features, grid)
    return scores


def _fit_class(features_NF: np.ndarray, truth_N: np.ndarray, new_NF: np.ndarray, grid: tuple[float, ...]) -> np.ndarray:
    """(len(grid), new) log-odds of one class, from strong to weak regularisation, each from the solution before."""
    model = LogisticRegression(max_iter=_MAX_ITERATIONS, warm_start=True)
    return np.stack([model.set_params(C=strength).fit(features_NF, truth_N).decision_function(new_NF) for strength in grid])


def _cross_validate(train: Labelled) -> list[float]:
    """Mean AUROC of each C over folds that no patient crosses; NaN where there are too few patients."""
    _, groups = np.unique(train.patients, return_inverse=True)
    # Folds are stratified by the rarest class, so that it is in each.
    positives = (train.labels_NC == 1).sum(0)
    rarest = (train.labels_NC[:, int(np.argmin(np.where(positives, positives, np.inf)))] == 1).astype(int)
    if len(set(groups)) < _FOLDS or np.bincount(rarest).max() < _FOLDS:
        return [float("nan")] * len(C_GRID)
    folds = StratifiedGroupKFold(_FOLDS, shuffle=True, random_state=0).split(train.features, rarest, groups)
    values = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # fewer positives than folds: what is missing scores NaN
        for fit_on, check_on in folds:
            scores = fit_and_score(train.rows(fit_on), train.features[check_on], C_GRID)
            values.append([mean_auroc(train.labels_NC[check_on], one) for one in scores])
    return [
        float(np.mean(column[np.isfinite(column)])) if np.isfinite(column).any() else float("nan")
        for column in np.array(values).T
    ]
