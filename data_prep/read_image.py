"""A picture file (JPEG, PNG, TIFF, WebP, BMP) to 8-bit grayscale, whatever its mode and whatever its name says."""

from pathlib import Path

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from data_prep.ledger import Note, Reason
from data_prep.read_dicom import MAX_PIXELS, MAX_SIDE, MIN_SIDE, PERCENTILES, Picture, Refused

_ENDINGS = {"JPEG": b"\xff\xd9", "PNG": b"IEND"}
"""What stands at the end of a whole file; OpenCV gives a grey rest in place of an error where it is cut off."""
_FORMATS = frozenset({"JPEG", "PNG", "TIFF", "WEBP", "BMP", "MPO"})


def read_image(path: Path) -> Picture:
    """Decode one picture file.

    Raises:
        Refused: missing, not a picture, cut off, absurd in size, too small, or without contrast.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise Refused(Reason.MISSING_FILE) from None
    except OSError:
        raise Refused(Reason.CANNOT_READ) from None
    kind = _check_head(path)
    if kind in _ENDINGS and _ENDINGS[kind] not in data[-4096:]:
        raise Refused(Reason.CANNOT_DECODE)
    try:
        stored = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH)
    except cv2.error:
        stored = None
    if stored is None:
        raise Refused(Reason.CANNOT_DECODE)
    if stored.min() == stored.max():
        raise Refused(Reason.NO_CONTRAST)
    if stored.dtype == np.uint8:
        return Picture(stored, stored)
    low, high = np.percentile(stored, PERCENTILES)
    if high <= low:
        low, high = float(stored.min()), float(stored.max())
    pixels = np.rint(np.clip((stored - low) / (high - low), 0, 1) * 255).astype(np.uint8)
    return Picture(pixels, stored, (Note.WINDOW_BY_PERCENTILES,))


def _check_head(path: Path) -> str:
    """The format's name, once format and size are fit to be decoded."""
    try:
        with Image.open(path) as image:
            width, height = image.size
            kind = image.format or ""
    except Image.DecompressionBombError:
        raise Refused(Reason.ABSURD_SIZE) from None
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError):
        raise Refused(Reason.CANNOT_DECODE) from None
    if kind not in _FORMATS:
        raise Refused(Reason.CANNOT_DECODE)
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        raise Refused(Reason.ABSURD_SIZE)
    if min(width, height) < MIN_SIDE:
        raise Refused(Reason.TOO_SMALL)
    return kind
