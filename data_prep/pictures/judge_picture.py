"""What the picture itself says, beyond its tags: which way round it is, whether it is a chest, writing in it, its borders.

pixels ─ halved to 1536 at most ─ polarity ─ chest? (where no tag told) ─ burned-in text? ─ borders ─► Judged, or Refused
"""

from dataclasses import dataclass

import numpy as np

from data_prep.ledger import Note, Reason
from data_prep.pictures.burned_in import shows_text
from data_prep.pictures.chest import looks_like_chest
from data_prep.pictures.collimation import Box, find_box
from data_prep.pictures.polarity import Polarity, judge
from data_prep.pictures.reduce import halved
from data_prep.pictures.refused import Refused

_MAX_SIDE = 1536
"""Pixels; nothing that is judged here shows in more of them, and each look at a whole radiograph costs milliseconds."""


@dataclass(frozen=True)
class Judged:
    """A picture that may be kept."""

    pixels: np.ndarray
    """uint8 (height, width), bright = dense, without its borders; halved as often as leaves its short side long enough."""
    crop: Box | None
    """In pixels of the picture as it came."""
    notes: tuple[Note, ...]


def judge_picture(pixels: np.ndarray, by_content: bool, least_side: int) -> Judged:
    """Judge an upright picture (height, width), uint8; `by_content`: no tag told that it is a chest.

    `least_side` is the short side, pixels, that must be left of a larger picture.

    Raises:
        Refused: it is not surely a chest, neither surely right nor surely inverted, or carries writing.
    """
    reduced, factor = pixels, 1
    while max(reduced.shape) > _MAX_SIDE:
        reduced, factor = halved(reduced), 2 * factor
    notes = []
    polarity = judge(reduced)
    if polarity is Polarity.INVERTED:
        reduced = np.bitwise_not(reduced)
        notes.append(Note.POLARITY_BY_IMAGE)
    if by_content:
        if not looks_like_chest(reduced):
            raise Refused(Reason.NOT_SURELY_CHEST)
        notes.append(Note.CHEST_BY_CONTENT)
    if polarity is Polarity.DOUBTFUL:
        raise Refused(Reason.DOUBTFUL_POLARITY)
    if shows_text(reduced):
        raise Refused(Reason.BURNED_IN_TEXT)
    box = find_box(reduced)
    left, top, right, bottom = box or (0, 0, *reduced.shape[::-1])
    kept = reduced[top:bottom, left:right]
    if box is not None:
        notes.append(Note.CROPPED)
    crop = None if box is None else (left * factor, top * factor, right * factor, bottom * factor)
    if factor > 1 and min(kept.shape) < least_side:
        whole = np.bitwise_not(pixels) if polarity is Polarity.INVERTED else pixels
        kept = whole if crop is None else whole[crop[1] : crop[3], crop[0] : crop[2]]
    return Judged(kept, crop, tuple(notes))
