"""AUROC, average precision and ROC curves, for many weightings of the same images at once.

truth, scores ─► one sort ─► groups of images ─► sums of the weights of their positives and negatives ─► (draws,) of each score

A draw of the bootstrap is a weight for every image (`bootstrap.patient_draws`), so that no draw needs a sort of its own.

Legend of shapes: N images, G groups of images that need not be told apart, B weightings.
"""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

ROC_POINTS = 101
_AT_ONCE = 2**18
"""Entries of a block of sums."""


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
    positive_N, group_N = truth_N == 1, _groups(truth_N, scores_N)
    shape = (int(group_N.max()) + 1, len(group_N))
    sums = [_indicator(group_N, kind, shape, weights_NB.dtype) for kind in (positive_N, ~positive_N)]
    step = max(1, _AT_ONCE // shape[0])
    blocks = (weights_NB[:, first : first + step] for first in range(0, weights_NB.shape[1], step))
    found = [_quality_of_groups(*((one @ block).astype(np.float64) for one in sums)) for block in blocks]
    return Quality(*(np.concatenate(parts) for parts in zip(*found, strict=True)))


def _groups(truth_N: np.ndarray, scores_N: np.ndarray) -> np.ndarray:
    """The number of the group that each image is in, from high to low scores.

    Images of equal scores are one group; so are neighbouring groups without a positive, which no score can tell apart: of a
    rare class few groups are left.
    """
    order = np.argsort(-scores_N, kind="stable")
    starts = _first_of_equals(scores_N[order])
    has_positive = np.add.reduceat(truth_N[order] == 1, starts, dtype=np.int64) > 0
    begins = np.zeros(len(order), np.int64)
    begins[starts] = np.concatenate([[False], has_positive[1:] | has_positive[:-1]])
    groups = np.empty(len(order), np.int64)
    groups[order] = np.cumsum(begins)
    return groups


def _indicator(group_N: np.ndarray, taken_N: np.ndarray, shape: tuple[int, int], kind: np.dtype) -> csr_array:
    """(G, N) matrix that adds up the rows of each group that are taken."""
    (numbers,) = np.nonzero(taken_N)
    return csr_array((np.ones(len(numbers), kind), (group_N[numbers], numbers)), shape)


def _quality_of_groups(positives_GB: np.ndarray, negatives_GB: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """AUROC and average precision from the weights of each group, (B,) each."""
    above_GB, false_GB = np.cumsum(positives_GB, axis=0), np.cumsum(negatives_GB, axis=0)
    positives_B, negatives_B = above_GB[-1], false_GB[-1]
    # A negative loses to the positives above it, and half to those beside it.
    won_B = (negatives_GB * (above_GB - positives_GB / 2)).sum(0)
    taken_GB = above_GB + false_GB
    precision_GB = np.divide(above_GB, taken_GB, out=np.zeros_like(taken_GB), where=taken_GB > 0)
    gained_B = (positives_GB * precision_GB).sum(0)
    both, none = (positives_B > 0) & (negatives_B > 0), np.full(len(positives_B), np.nan)
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
