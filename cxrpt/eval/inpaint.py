"""What hidden pixels are without a model: guesses from the visible pixels of the same picture."""

import cv2
import numpy as np
from skimage.restoration import inpaint_biharmonic

TELEA_RADIUS = 3
"""Pixels around a hidden one from which Telea's method takes its value."""


def fill_mean(image: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """(S, S) uint8 with (S, S) bool to (S, S) float32 in 0..1: the hidden pixels are the mean of the visible ones."""
    picture = image / np.float32(255)
    return np.where(hidden, picture[~hidden].mean(dtype=np.float64).astype(np.float32), picture)


def fill_telea(image: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """As `fill_mean`: the hidden pixels filled from their borders inwards (Telea, 2004)."""
    return cv2.inpaint(image, hidden.astype(np.uint8), TELEA_RADIUS, cv2.INPAINT_TELEA) / np.float32(255)


def fill_biharmonic(image: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """As `fill_mean`: the smoothest surface through the visible pixels (Damelin and Hoang, 2018), within their range.

    One sparse system a picture, in double precision.
    """
    return inpaint_biharmonic(image / 255.0, hidden).astype(np.float32)
