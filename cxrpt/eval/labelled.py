"""Labelled images as every method of classification takes them."""

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Labelled:
    """Rows are images."""

    features: np.ndarray
    """(images, ...): what the method sees of each."""
    labels_NC: np.ndarray
    """1, 0, or -1 where unknown or uncertain."""
    patients: list[str]

    def __len__(self) -> int:
        return len(self.patients)

    def rows(self, taken_N: np.ndarray) -> "Labelled":
        """Some of the images: (images,) bool, or their numbers."""
        if taken_N.dtype == bool and taken_N.all():
            return self
        numbers = np.arange(len(self))[taken_N]
        return Labelled(self.features[numbers], self.labels_NC[numbers], [self.patients[n] for n in numbers])

    @property
    def fittable_C(self) -> np.ndarray:
        """(classes,) bool: those with a positive and a negative, without which there is nothing to learn."""
        return (self.labels_NC == 1).any(0) & (self.labels_NC == 0).any(0)


@dataclass(frozen=True)
class Fitted:
    """What a method gave for the images to be scored."""

    scores_NC: np.ndarray
    """Higher means more positive; NaN where a class could not be fitted."""
    chosen: dict[str, Any]
    """What was chosen in fitting, and on what."""


def unfitted(images: int, train: Labelled) -> Fitted:
    """What a method gives that has no class to learn."""
    return Fitted(np.full((images, train.labels_NC.shape[1]), np.nan), {"on": "nothing: no class has both kinds of label"})


def label_matrix(labels: list[dict[str, int]], classes: list[str]) -> np.ndarray:
    """(images, classes) int8: 1, 0, or -1 for what is uncertain or not known."""
    matrix = [[labels_of.get(name, -1) for name in classes] for labels_of in labels]
    return np.array(matrix, np.int8).reshape(len(labels), len(classes))
