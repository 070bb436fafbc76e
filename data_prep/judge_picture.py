"""What the picture itself says, beyond its tags: which way round it is, whether it is a chest, writing in it, its borders.

Picture ─ polarity ─ chest? (only where no tag told) ─ burned-in text? ─ borders ─► Judged, or Refused
"""

from dataclasses import dataclass

import numpy as np

from data_prep.burned_in import shows_text
from data_prep.chest import looks_like_chest
from data_prep.collimation import Box, find_box
from data_prep.ledger import Note, Reason
from data_prep.polarity import Polarity, judge
from data_prep.refused import Refused


@dataclass(frozen=True)
class Judged:
    """A picture that may be kept."""

    pixels: np.ndarray
    """uint8 (height, width), bright = dense, borders and all."""
    crop: Box | None
    notes: tuple[Note, ...]

    @property
    def cropped(self) -> np.ndarray:
        """Without its borders."""
        if self.crop is None:
            return self.pixels
        left, top, right, bottom = self.crop
        return self.pixels[top:bottom, left:right]


def judge_picture(pixels: np.ndarray, by_content: bool) -> Judged:
    """Judge an upright picture (height, width), uint8; `by_content`: no tag told that it is a chest.

    Raises:
        Refused: it is not surely a chest, neither surely right nor surely inverted, or carries writing.
    """
    notes = []
    polarity = judge(pixels)
    if polarity is Polarity.INVERTED:
        pixels = np.bitwise_not(pixels)
        notes.append(Note.POLARITY_BY_IMAGE)
    if by_content:
        if not looks_like_chest(pixels):
            raise Refused(Reason.NOT_SURELY_CHEST)
        notes.append(Note.CHEST_BY_CONTENT)
    if polarity is Polarity.DOUBTFUL:
        raise Refused(Reason.DOUBTFUL_POLARITY)
    if shows_text(pixels):
        raise Refused(Reason.BURNED_IN_TEXT)
    crop = find_box(pixels)
    if crop is not None:
        notes.append(Note.CROPPED)
    return Judged(pixels, crop, tuple(notes))
