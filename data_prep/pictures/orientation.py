"""How a picture lies, by its tags: square pixels, head up, the patient's right at the viewer's left.

PatientOrientation (PS3.3 C.7.6.1.1.1) names where rows and columns lead: `L\\F` on a frontal picture as usually shown.
"""

import cv2
import numpy as np
from pydicom.dataset import Dataset

from data_prep.ledger import Note
from data_prep.pictures.decode import MAX_PIXELS, MAX_SIDE
from data_prep.pictures.elements import numbers, texts

_SPACINGS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing", "PixelAspectRatio")
_OPPOSITE = {"L": "R", "R": "L", "A": "P", "P": "A", "F": "H", "H": "F"}


def make_square(pixels: np.ndarray, dataset: Dataset) -> tuple[np.ndarray, tuple[str, ...]]:
    """Stretch the side whose pixels are longer (shrink the other, where that would be absurdly large)."""
    ratio = _row_to_column_spacing(dataset)
    if ratio is None or abs(ratio - 1.0) < 0.01 or not 0.2 < ratio < 5.0:
        return pixels, ()
    height, width = pixels.shape
    longer, shorter = (width, round(height * ratio)), (round(width / ratio), height)
    if ratio < 1:
        longer, shorter = shorter, longer
    fits = max(longer) <= MAX_SIDE and longer[0] * longer[1] <= MAX_PIXELS
    size = longer if fits else shorter
    return cv2.resize(pixels, size, interpolation=cv2.INTER_LINEAR if fits else cv2.INTER_AREA), (Note.ASPECT_CORRECTED,)


def _row_to_column_spacing(dataset: Dataset) -> float | None:
    for keyword in _SPACINGS:
        found = numbers(dataset, keyword)
        if len(found) == 2 and min(found) > 0:
            return found[0] / found[1]
    return None


def turn_upright(pixels: np.ndarray, dataset: Dataset, view: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Turn or mirror a picture that its tags say lies otherwise; `view` is PA, AP, LATERAL or UNKNOWN.

    A frontal picture is fully known by two directions. Of a lateral one only `foot down` is certain: either side may have
    been against the detector, so it is turned and never mirrored. Directions that contradict the view, or each other, or say
    nothing, leave the picture as it is.
    """
    directions = _directions(dataset)
    if directions is None:
        return pixels, ()
    sideways = {direction for direction in directions if direction not in "FH"}
    is_frontal = sideways <= {"L", "R"} and view != "LATERAL"
    is_lateral = sideways <= {"A", "P"} and view in ("LATERAL", "UNKNOWN")
    if not is_frontal and not is_lateral:
        return pixels, ()
    turned = pixels
    row, column = directions
    while column != "F":
        # A quarter clockwise: columns lead where rows led, rows against where columns led.
        turned, (row, column) = np.rot90(turned, -1), (_OPPOSITE[column], row)
    if is_frontal and row == "R":
        turned, row = turned[:, ::-1], "L"
    if turned is pixels:
        return pixels, ()
    return np.ascontiguousarray(turned), (Note.ORIENTED_BY_TAG,)


def _directions(dataset: Dataset) -> tuple[str, str] | None:
    """Main direction (first letter) of rows and columns, where one leads along the body and the other across."""
    written = [value.strip().upper()[:1] for value in texts(dataset, "PatientOrientation")]
    if len(written) != 2 or not all(letter in _OPPOSITE for letter in written if letter) or "" in written:
        return None
    row, column = written
    return (row, column) if (row in "FH") != (column in "FH") else None
