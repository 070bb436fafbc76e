"""AUROC, average precision and ROC curves, for many weightings of the same images at once.

truth, scores ─► one sort ─► groups of equal scores ─► sums of weights of positives and negatives ─► (draws,) of each score

A draw of the bootstrap is a weight for every image (`bootstrap.patient_draws`), so that no draw needs a sort of its own.

Legend of shapes: N images, G groups of equal scores, B weightings.
"""

from dataclasses import dataclass

import numpy as np

ROC_POINTS = 101
_AT_ONCE = 2**21
"""Entries of a block of weights: what its sums need stays in the cache."""


@dataclass(frozen=True)
class Quality:
    """Scores of one class under each weighting; NaN where one leaves no positive or no negative."""

    auroc_B: np.ndarray
    auprc_B: np.ndarray


def quality(truth_N: np.ndarray, scores_N: np.ndarray, weights_NB: np.ndarray) -> Quality:
    """Area under the ROC curve, where ties count half, and average precision.

    Average precision is the sum over thresholds of precision times what recall grows by, equal scores being one threshold,
    as scikit-learn has it: no interpolation, which is too kind (Davis and Goadrich, 2006). Scores that are all equal give
    an AUROC of 0.5 and the share of positives as average precision.

    Args:
        truth_N: 1 positive, 0 negative.
        scores_N: higher means more positive.
        weights_NB: 0 or more, each column a weighting.
    """
    order = np.argsort(-scores_N, kind="stable")
    starts = _first_of_equals(scores_N[order])
    truth = (truth_N[order] == 1).astype(weights_NB.dtype)[:, None]
    found = []
    for first in range(0, weights_NB.shape[1], step := max(1, _AT_ONCE // max(1, len(order)))):
        found.append(_quality_of_sorted(truth, weights_NB[order, first : first + step], starts))
    return Quality(*(np.concatenate(parts) for parts in zip(*found, strict=True)))


def _quality_of_sorted(truth_N1: np.ndarray, weights_NB: np.ndarray, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    positives_GB = np.add.reduceat(weights_NB * truth_N1, starts, axis=0, dtype=np.float64)
    negatives_GB = np.add.reduceat(weights_NB, starts, axis=0, dtype=np.float64) - positives_GB
    above_GB, false_GB = np.cumsum(positives_GB, axis=0), np.cumsum(negatives_GB, axis=0)
    positives_B, negatives_B = above_GB[-1], false_GB[-1]
    # A negative loses to the positives above it, and half to those beside it.
    won_B = (negatives_GB * (above_GB - positives_GB / 2)).sum(0)
    taken_GB = above_GB + false_GB
    precision_GB = np.divide(above_GB, taken_GB, out=np.zeros_like(taken_GB), where=taken_GB > 0)
    gained_B = (positives_GB * precision_GB).sum(0)
    both = (positives_B > 0) & (negatives_B > 0)
    none = np.full(len(both), np.nan)
    auroc_B = np.divide(won_B, positives_B * negatives_B, out=none.copy(), where=both)
    return auroc_B, np.divide(gained_B, positives_B, out=none.copy(), where=both)


def auroc(truth_N: np.ndarray, scores_N: np.ndarray) -> float:
    """Area under the ROC curve; NaN without a positive or a negative."""
    return float(quality(truth_N, scores_N, np.ones((len(truth_N), 1))).auroc_B[0]) if len(truth_N) else float("nan")


def mean_auroc(labels_NC: np.ndarray, scores_NC: np.ndarray) -> float:
    """Mean over the classes that have positives, negatives and scores; NaN without any.

    Args:
        labels_NC: 1, 0, or -1 for what is not known.
        scores_NC: NaN where there are none.
    """
    values = []
    for truth, scores in zip(labels_NC.T, scores_NC.T, strict=True):
        known = (truth >= 0) & np.isfinite(scores)
        values.append(auroc(truth[known], scores[known]))
    finite = [value for value in values if np.isfinite(value)]
    return float(np.mean(finite)) if finite else float("nan")


def roc_curve(truth_N: np.ndarray, scores_N: np.ndarray) -> np.ndarray:
    """(ROC_POINTS,) rates of true positives at ROC_POINTS rates of false positives, evenly from 0 to 1.

    Both kinds must be there. The first is 0: a curve that jumps there does so within its first step.
    """
    order = np.argsort(-scores_N, kind="stable")
    truth = truth_N[order] == 1
    starts = _first_of_equals(scores_N[order])
    positives, negatives = (
        np.concatenate([[0], np.cumsum(np.add.reduceat(kind, starts, dtype=np.int64))]) for kind in (truth, ~truth)
    )
    tpr, fpr = positives / positives[-1], negatives / negatives[-1]
    # Where the curve is upright, np.interp takes its upper end.
    curve = np.interp(np.linspace(0, 1, ROC_POINTS), fpr, tpr)
    curve[0] = 0.0
    return curve


def _first_of_equals(sorted_N: np.ndarray) -> np.ndarray:
    """Where each group of equal values begins."""
    return np.flatnonzero(np.concatenate([[True], sorted_N[1:] != sorted_N[:-1]]))
