"""Colour pictures: a toned or captured radiograph becomes grey, true colour is told apart.

(height, width, 3) ─ thinned: do the hues vary at equal brightness? ─► true colour, or grey (height, width)
"""

import cv2
import numpy as np

_BINS = 32
_HUE_LEVELS = 25
"""Of 255, how far a pixel's hue may be off the one that its brightness has in the picture."""
_COLOUR_SHARE = 0.15


def is_true_colour(few: np.ndarray, is_ybr: bool) -> bool:
    """Whether the pixels (n, m, 3) differ in hue over much of the picture.

    A radiograph photographed from a blue film is blue everywhere: what counts is a pixel's hue beside the mean hue of its
    brightness, so that a tone does not count and a coloured measurement line counts by its few pixels. Of 148 real pictures
    (covid-chestxray, two of them blue all over) none is taken for true colour.
    """
    pixels = few.reshape(-1, 3).astype(np.float32)
    scale = 255.0 / max(float(np.iinfo(few.dtype).max if few.dtype == np.uint8 else pixels.max()), 1.0)
    pixels *= scale
    if is_ybr:
        brightness, hues = pixels[:, 0], pixels[:, 1:] * 1.6
    else:
        brightness = pixels @ np.array([0.3, 0.59, 0.11], np.float32)
        hues = pixels[:, ::2] - pixels[:, 1:2]
    bins = np.minimum(brightness * (_BINS / 256.0), _BINS - 1).astype(np.intp)
    counts = np.maximum(np.bincount(bins, minlength=_BINS), 1)
    off = np.zeros(len(pixels), bool)
    for hue in hues.T:
        means = np.bincount(bins, hue, minlength=_BINS) / counts
        off |= np.abs(hue - means[bins]) > _HUE_LEVELS
    return float(off.mean()) > _COLOUR_SHARE


def grey_of_channels(values: np.ndarray, is_ybr: bool, is_bgr: bool = False) -> np.ndarray:
    """The brightness (height, width) of a colour picture, in its own type; equal channels give that channel's very values."""
    if is_ybr:
        return np.ascontiguousarray(values[..., 0])
    if values.dtype in (np.uint8, np.uint16):
        return cv2.cvtColor(np.ascontiguousarray(values), cv2.COLOR_BGR2GRAY if is_bgr else cv2.COLOR_RGB2GRAY)
    return np.ascontiguousarray(values[..., 1])
