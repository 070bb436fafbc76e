"""Scores of one method, by class and institution, with intervals and with gains over other methods.

scores of each draw of labels ─┐
draws of patients ─────────────┴─► AUROC, average precision (classes, 1 + draws) ─► means, intervals, differences

All methods, shares and draws of labels are scored by the same draws of patients, so that what is common to two of them cancels
in their difference. A score is the mean over the draws of labels, in each draw of patients as in the sample itself.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from cxrpt.eval.bootstrap import interval, patient_draws
from cxrpt.eval.scores import ROC_POINTS, Quality, mean_auroc, quality, roc_curve

MIN_OF_EACH = 5
"""A class needs at least this many positives and negatives to be scored."""


@dataclass(frozen=True)
class Target:
    """The images that are scored."""

    classes: list[str]
    labels_NC: np.ndarray
    sources_N: np.ndarray
    weights_NB: np.ndarray
    """The sample itself (all 1), then how often each draw of patients holds the image."""

    def rows(self, source: str | None) -> np.ndarray:
        """(N,) bool: the images of a source, of all for None."""
        return np.ones(len(self.sources_N), bool) if source is None else self.sources_N == source


Measured = dict[str, Quality]
"""By class: its scores in the sample, then in each draw of patients."""


def target(classes: list[str], labels_NC: np.ndarray, sources: list[str], patients: list[str]) -> Target:
    """The images that are scored, with the draws of their patients."""
    weights_NB = np.concatenate([np.ones((len(patients), 1), np.float32), patient_draws(patients).T], axis=1)
    return Target(classes, labels_NC, np.array(sources), weights_NB)


def measure(target: Target, source: str | None, drawn: list[np.ndarray]) -> Measured:
    """Score what a method gave.

    Args:
        target: the images.
        source: the institution; None for all images together.
        drawn: of each draw of labels, (images, classes) scores; a class that could not be fitted (NaN) counts as chance: all
            images score the same.
    """
    found = {}
    for number, name in enumerate(target.classes):
        truth = target.labels_NC[:, number]
        known = target.rows(source) & (truth >= 0)
        if min((truth[known] == value).sum() for value in (0, 1)) < MIN_OF_EACH:
            continue
        weights = target.weights_NB[known]
        each = [quality(truth[known], np.nan_to_num(scores[known, number]), weights) for scores in drawn]
        found[name] = Quality(
            np.mean([one.auroc_B for one in each], axis=0), np.mean([one.auprc_B for one in each], axis=0)
        )  # fmt: skip
    return found


def sheet(target: Target, source: str | None, measured: Measured, others: dict[str, Measured]) -> dict[str, Any]:
    """Means over classes, gains over other methods and scores by class; means are empty where no class has enough images."""
    classes = {}
    for name, found in measured.items():
        truth = target.labels_NC[target.rows(source), target.classes.index(name)]
        counts = {"positives": int((truth == 1).sum()), "negatives": int((truth == 0).sum())}
        classes[name] = _with_interval("auroc", found.auroc_B) | _with_interval("auprc", found.auprc_B) | counts
    if not classes:
        return {"mean": {}, "gain": {}, "classes": {}}
    mean = _mean_quality(measured)
    gain = {}
    for name, other in others.items():
        difference = mean.auroc_B - _mean_quality(other).auroc_B
        low, high = interval(difference[1:]).ends
        gain[name] = {"auroc": float(difference[0]), "low": low, "high": high}
    return {
        "mean": _with_interval("auroc", mean.auroc_B) | _with_interval("auprc", mean.auprc_B),
        "gain": gain,
        "classes": classes,
    }


def compare(
    target: Target, source: str | None, drawn: dict[str, list[np.ndarray]], gains: dict[str, tuple[str, ...]]
) -> dict[str, dict[str, Any]]:
    """The sheet of each method.

    Args:
        target: the images.
        source: the institution; None for all images together.
        drawn: method -> what `measure` takes of it.
        gains: method -> those it is compared with, as far as they are there.
    """
    measured = {name: measure(target, source, each) for name, each in drawn.items()}
    return {
        name: sheet(target, source, one, {other: measured[other] for other in gains.get(name, ()) if other in measured})
        for name, one in measured.items()
    }


def means_of_draws(target: Target, drawn: list[np.ndarray]) -> list[float]:
    """The mean AUROC over the classes, for each draw of labels: how far they are apart is in no interval."""
    labels = target.labels_NC
    enough = [n for n in range(len(target.classes)) if min((labels[:, n] == value).sum() for value in (0, 1)) >= MIN_OF_EACH]
    return [mean_auroc(labels[:, enough], np.nan_to_num(scores[:, enough])) for scores in drawn]


def roc_curves(target: Target, drawn: list[np.ndarray]) -> dict[str, dict[str, list[float]]]:
    """The ROC curve of each class over all images, the mean over the draws of labels at each rate of false positives."""
    curves = {}
    for number, name in enumerate(target.classes):
        truth = target.labels_NC[:, number]
        known = truth >= 0
        each = [roc_curve(truth[known], np.nan_to_num(scores[known, number])) for scores in drawn]
        curves[name] = {
            "fpr": np.linspace(0, 1, ROC_POINTS).round(4).tolist(),
            "tpr": np.mean(each, axis=0).round(4).tolist(),
        }
    return curves


def _mean_quality(measured: Measured) -> Quality:
    """The mean over classes; a draw of patients that leaves a class without positives or negatives has none."""
    return Quality(*(np.mean([getattr(one, part) for one in measured.values()], axis=0) for part in ("auroc_B", "auprc_B")))


def _with_interval(name: str, values_B: np.ndarray) -> dict[str, float]:
    low, high = interval(values_B[1:]).ends
    return {name: float(values_B[0]), f"{name}_low": low, f"{name}_high": high}
