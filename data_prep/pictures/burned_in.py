"""Does a picture carry a caption: characters burned into the pixels, as names, dates and ids are?

    picture (H, W) ─ halved to 1536 at most ─ steep steps ─ tiles full of them ─► few regions, mostly none
    region ─ thin strokes, bright or dark ─ connected pieces ─ pieces of like height side by side ─► lines ─► caption or marker

A caption has many characters, in one line or several. Side and position markers (R, AP, PORTABLE) have few, and are tolerated.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from data_prep.pictures.reduce import halved

_MAX_SIDE = 1536
_TILE = 16
_STEP = 28
"""Grey levels between a stroke and what is beside it."""
_TEXTY = 0.12
"""Part of a tile that steep steps fill where there is writing."""
_FEW_TILES = 4
"""Fewer tiles hold a marker at most."""
_MIN_HEIGHT, _MAX_HEIGHT = 5, 56
"""Of a character, in pixels of the halved picture."""
_LEVEL = _MAX_HEIGHT // 4
_STROKE = 9
"""Pixels; thicker things are no strokes."""
_MAX_PIECES = 2000
"""A region of more is noise: a caption has few, and time must stay bounded."""
LONG_LINE = 13
"""Characters; PORTABLE and AP PORTABLE are shorter."""
SHORT_LINE = 4
MANY = 15


def shows_text(pixels: np.ndarray) -> bool:
    """Whether an 8-bit picture (height, width) carries a caption of legible size.

    Measured by `benchmarks/image_checks.py`:

    - 289 real radiographs (139 of NIH14, 150 of covid-chestxray): 15 flagged, none of NIH14. By eye all 15 carry writing: 12 a
      caption (time, exposure, date, page, warning), 3 only position and ward, in two lines (AP SEMIERECT, ITU PORTABLE).
      Anatomy, wires, leads, clips and lead letters alone were never flagged. Of 11 unflagged ones with traces of writing
      looked at closely, 4 were captions: exposure and time blurred by compression, a date of dots cut by the rim, tiny
      letters, and a watermark of two words.
    - Captions drawn in 7 fonts and 7 places on the 219 pictures without writing (most 500 to 2,500 pixels), share by height
      of the capitals in pixels of the picture, one line / two lines / two lines of contrast 60: 6 px 0.69 / 0.31 / 0.33;
      8 px 0.95 / 0.72 / 0.93; 10 px 0.99 / 0.93 / 0.91; 12 to 40 px 0.95 to 0.99 / 0.95 to 0.99 / 0.91 to 0.99;
      56 px 1.00 / 0.92 / 0.82. About 150 drawings for each number.
    - Markers of one or two words (L, R PA, SUPINE, PORTABLE, AP PORTABLE, AP ERECT) drawn likewise: none flagged at any height.

    Not seen: fewer than about 13 characters in a line and 15 in all, handwriting, text turned by 90 degrees, letters under 5
    pixels once the long side is at most 1536. It counts characters and does not read them.
    """
    lengths = line_lengths(pixels)
    return max(lengths, default=0) >= LONG_LINE or sum(n for n in lengths if n >= SHORT_LINE) >= MANY


def line_lengths(pixels: np.ndarray) -> list[int]:
    """About how many characters each line holds that looks like writing."""
    picture = pixels
    while max(picture.shape) > _MAX_SIDE:
        picture = halved(picture)
    lengths = []
    for rows, columns in _texty_regions(picture):
        region = picture[rows, columns]
        scales = [region]
        if region.shape[0] > 3 * _TILE:
            # Tall letters, whose strokes are thicker than the hats see.
            scales.append(cv2.resize(region, (region.shape[1] // 2, region.shape[0] // 2), interpolation=cv2.INTER_AREA))
        readings = [_lines(scaled, tone) for scaled in scales for tone in (cv2.MORPH_TOPHAT, cv2.MORPH_BLACKHAT)]
        lengths += max(readings, key=sum)
    return lengths


def _texty_regions(picture: np.ndarray) -> list[tuple[slice, slice]]:
    """Rectangles around groups of tiles that are full of steep steps from side to side, as writing is."""
    height, width = picture.shape
    steps = np.zeros((-(-height // _TILE) * _TILE, -(-width // _TILE) * _TILE), np.uint8)
    _, steep = cv2.threshold(cv2.absdiff(picture[:, 2:], picture[:, :-2]), _STEP, 255, cv2.THRESH_BINARY)
    steps[:height, 1 : width - 1] = steep
    tiles = steps
    while tiles.shape[0] * _TILE > steps.shape[0]:
        tiles = cv2.resize(tiles, (tiles.shape[1] // 2, tiles.shape[0] // 2), interpolation=cv2.INTER_AREA)
    texty = (tiles >= _TEXTY * 255).astype(np.uint8)
    if np.count_nonzero(texty) < _FEW_TILES:
        return []
    joined = cv2.dilate(texty, np.ones((3, 5), np.uint8))
    regions = []
    for label, (x, y, w, h, _) in enumerate(cv2.connectedComponentsWithStats(joined)[2]):
        if label == 0 or np.count_nonzero(texty[y : y + h, x : x + w]) < _FEW_TILES:
            continue
        regions.append((slice(y * _TILE, (y + h) * _TILE), slice(x * _TILE, (x + w) * _TILE)))
    return regions


@dataclass(frozen=True)
class _Piece:
    """A connected stroke, or several that touch; pixels."""

    x: int
    y: int
    width: int
    height: int

    @property
    def bottom(self) -> int:
        return self.y + self.height

    @property
    def characters(self) -> float:
        return max(1.0, self.width / (0.8 * self.height))


def _lines(region: np.ndarray, operation: int) -> list[int]:
    """Characters of each line of bright (top hat) or dark (black hat) strokes of a region."""
    strokes = cv2.morphologyEx(region, operation, np.ones((_STROKE, _STROKE), np.uint8))
    mask = (strokes > _STEP).astype(np.uint8)
    if cv2.countNonZero(mask) < SHORT_LINE * _MIN_HEIGHT:
        return []
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask)
    width, height, area = stats[1:, 2:].T
    box = width * height
    fits = (
        (height >= _MIN_HEIGHT) & (height <= _MAX_HEIGHT) & (width <= 12 * height) & (area >= 0.12 * box) & (area <= 0.9 * box)
    )
    pieces = [_Piece(*piece) for piece in stats[1:][fits, :4].tolist()]
    if len(pieces) > _MAX_PIECES:
        return []
    lines = _joined(sorted(pieces, key=lambda piece: piece.x))
    return [_characters(line, strokes, mask) for line in lines]


def _joined(pieces: list[_Piece]) -> list[list[_Piece]]:
    """Chain pieces, sorted from left to right, to lines: each next to the last one, of its height, at its level."""
    lines: list[list[_Piece]] = []
    at_level: dict[int, list[list[_Piece]]] = {}
    for piece in pieces:
        level = piece.bottom // _LEVEL
        near = (line for other in range(level - 1, level + 2) for line in at_level.get(other, ()))
        line = next((line for line in near if _follows(piece, line[-1])), None)
        if line is None:
            line = []
            lines.append(line)
            at_level.setdefault(level, []).append(line)
        line.append(piece)
    return lines


def _follows(piece: _Piece, last: _Piece) -> bool:
    tall = max(last.height, piece.height)
    return (
        -0.3 * tall <= piece.x - last.x - last.width <= 1.3 * tall
        and min(last.height, piece.height) >= 0.6 * tall
        and abs(last.bottom - piece.bottom) <= 0.25 * tall
    )


def _characters(line: list[_Piece], strokes: np.ndarray, mask: np.ndarray) -> int:
    """About how many characters a line holds; 0 where it is not written as a caption is: even in height, level and tone."""
    by_width = sum(piece.characters for piece in line)
    if by_width < SHORT_LINE:
        return 0
    heights = np.array([piece.height for piece in line])
    weights = np.array([piece.characters for piece in line])
    tall = _weighted_median(heights, weights)
    left, right = line[0].x, max(piece.x + piece.width for piece in line)
    top, bottom = min(piece.y for piece in line), max(piece.y + piece.height for piece in line)
    window = mask[top:bottom, left:right]
    # A character has one to three strokes on a row of pixels; a wire or a rib of its size has one over its whole length.
    rises = np.count_nonzero(window[:, 1:] > window[:, :-1]) / tall
    return round(min(by_width, rises / 1.2))


def _weighted_median(values: np.ndarray, weights: np.ndarray) -> float:
    order = np.argsort(values)
    return float(values[order][np.searchsorted(np.cumsum(weights[order]), weights.sum() / 2)])
