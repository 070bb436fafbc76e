"""Where the picture begins: flat borders around it, of padding, of a shutter or of collimation.

    pixels ─ reduced copy ─ four sides, again until nothing changes: a flat strip that ends in a straight edge ─► box

A border is flat (one level, but for a small marker) and ends at one line for most of its length. Air beside a body may be
as flat and as black, yet ends where the body does, along a curve; lungs are neither. What is in doubt stays.
Borders that are not along the sides (a turned collimator, a round shutter) stay as well.
"""

import cv2
import numpy as np

from data_prep.pictures.reduce import halved

_GRID = 256
"""Longer side of the reduced copy, pixels."""
_FLAT_LEVELS = 6
"""Of 255: noise and compression of a border, after the reduction."""
_EDGE_LEVELS = 14
"""Of 255: what counts as picture right behind the edge."""
_MARKER_SHARE = 0.05
"""Of a line of the border that a marker may take, and, at `_STRIP_SHARE`, of the whole border."""
_STRIP_SHARE = 0.02
_EDGE_SHARE = 0.6
"""Of the lines across the edge that must end there."""
_EDGE_WIDTH = 3
"""Reduced pixels over which an edge may be soft."""
_WORTH = 0.01
"""Of a side: thinner borders stay."""
_LEAST_LEFT = 0.4
"""Of a side: a smaller box is not believed."""

Box = tuple[int, int, int, int]


def find_box(pixels: np.ndarray) -> Box | None:
    """Left, top, right, bottom (pixels, right and bottom exclusive) of the picture inside its borders.

    `pixels` is uint8 (height, width), upright. None where there is no border worth cropping, or too little would be left.
    """
    height, width = pixels.shape
    scale = max(1.0, max(height, width) / _GRID)
    small = pixels
    while max(small.shape) >= 2 * _GRID:
        small = halved(small)
    small = cv2.resize(small, (max(1, round(width / scale)), max(1, round(height / scale))), interpolation=cv2.INTER_AREA)
    small = small.astype(np.int16)
    rows, columns = small.shape
    left, top, right, bottom = 0, 0, columns, rows
    while True:
        inner = small[top:bottom, left:right]
        cut = (_border(inner), _border(inner.T), _border(inner[:, ::-1]), _border(inner.T[:, ::-1]))
        left, top, right, bottom = left + cut[0], top + cut[1], right - cut[2], bottom - cut[3]
        if right - left < _LEAST_LEFT * columns or bottom - top < _LEAST_LEFT * rows:
            return None
        if not any(cut):
            break
    if (left, top, right, bottom) == (0, 0, columns, rows):
        return None
    across, down = width / columns, height / rows
    box = (int(left * across), int(top * down), -int(-right * across // 1), -int(-bottom * down // 1))
    return box[0], box[1], min(box[2], width), min(box[3], height)


def _border(lines: np.ndarray) -> int:
    """Width of the border at the left of (rows, columns); 0 where there is none."""
    columns = lines.shape[1]
    level = np.int16(np.median(lines[:, 0]))
    if (np.abs(lines[:, 0] - level) > _FLAT_LEVELS).mean() > _MARKER_SHARE:
        return 0
    deviation = np.abs(lines - level)
    share = (deviation > _FLAT_LEVELS).mean(axis=0)
    picture = np.flatnonzero(share > _MARKER_SHARE)
    if not len(picture) or picture[0] < max(1.0, _WORTH * columns) or share[: picture[0]].mean() > _STRIP_SHARE:
        return 0
    width = int(picture[0])
    # Rows that are border from end to end say nothing about where this one ends.
    has_picture = (deviation > _EDGE_LEVELS).mean(axis=1) > 0.1
    if has_picture.mean() < _LEAST_LEFT:
        return 0
    behind = deviation[has_picture, width : width + _EDGE_WIDTH].max(axis=1) > _EDGE_LEVELS
    return width if behind.mean() >= _EDGE_SHARE else 0
