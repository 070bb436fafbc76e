"""A picture file (JPEG, PNG, TIFF, WebP, BMP) to 8-bit grayscale, whatever its mode and whatever its name says.

    bytes ─ head (Pillow: format, size, frames, mode) ─ decode (OpenCV) ─ grey ─► Picture

Alpha is ignored: it is no part of a radiograph, and exports write anything into it. The EXIF orientation is obeyed: it is how
every viewer shows the file, so also how whoever exported or labelled it saw it.
"""

import io
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageFile

from data_prep.ledger import Note, Reason
from data_prep.pictures.colour import grey_of_channels, is_true_colour
from data_prep.pictures.decode import MAX_PIXELS, MAX_SIDE, MAX_STORED_BYTES, MIN_SIDE
from data_prep.pictures.dicom_file import MAX_FILE_BYTES, libraries_silenced
from data_prep.pictures.lookup import apply_table, row_blocks, thinned
from data_prep.pictures.read_dicom import Picture, digest_of
from data_prep.pictures.refused import Refused
from data_prep.pictures.voi import PERCENTILES

_ENDINGS = {"JPEG": b"\xff\xd9", "MPO": b"\xff\xd9", "PNG": b"IEND"}
"""What stands at the end of a whole file; OpenCV gives a grey rest in place of an error where it is cut off."""
_EIGHT_BITS = frozenset({"JPEG", "MPO", "WEBP"})
_FORMATS = ("JPEG", "PNG", "TIFF", "WEBP", "BMP", "MPO")
_GREY_MODES = frozenset({"L", "LA", "I", "I;16", "I;16B", "I;16L", "F"})
_BYTES = {"I": 4, "F": 4, "LA": 4, "P": 3, "PA": 4, "RGB": 6, "RGBA": 8, "CMYK": 4, "YCbCr": 3}
"""A pixel takes while it is decoded, at most: Pillow's modes do not tell 16 bits a colour from 8. Grey ones take 2."""
_TIFF_PHOTOMETRIC = 262

cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
ImageFile.LOAD_TRUNCATED_IMAGES = False


def read_image(path: Path) -> Picture:
    """Decode one picture file.

    Raises:
        Refused: missing, not a picture, cut off, absurd in size, too small, in true colour, or without contrast.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        raise Refused(Reason.MISSING_FILE) from None
    except OSError:
        raise Refused(Reason.CANNOT_READ) from None
    if len(data) > MAX_FILE_BYTES:
        raise Refused(Reason.ABSURD_SIZE)
    with libraries_silenced():
        try:
            head = _check_head(data)
            if head.kind in _ENDINGS and _ENDINGS[head.kind] not in data[-4096:]:
                raise Refused(Reason.CANNOT_DECODE)
            stored, notes = _decode(data, head)
            del data
            return _to_picture(stored, notes)
        except MemoryError:
            raise Refused(Reason.TOO_MUCH_MEMORY) from None


@dataclass(frozen=True)
class _Head:
    """What Pillow reads of a file before any pixel."""

    kind: str
    mode: str
    white_is_zero: bool


def _check_head(data: bytes) -> _Head:
    """Format and mode, once they and the size are fit to be decoded."""
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            width, height = image.size
            kind, mode = image.format or "", image.mode
            white_is_zero = kind == "TIFF" and getattr(image, "tag_v2", {}).get(_TIFF_PHOTOMETRIC) == 0
            num_frames = 1 if kind == "MPO" else _num_frames(image)
    except MemoryError:
        raise
    except Image.DecompressionBombError:
        raise Refused(Reason.ABSURD_SIZE) from None
    except Exception:
        # Pillow raises whatever a broken head leads it to.
        raise Refused(Reason.CANNOT_DECODE) from None
    size = width * height * (3 if kind in _EIGHT_BITS else _BYTES.get(mode, 2))
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS or size > 2 * MAX_STORED_BYTES:
        raise Refused(Reason.ABSURD_SIZE)
    if num_frames > 1:
        raise Refused(Reason.MULTI_FRAME)
    if mode == "1":
        raise Refused(Reason.NOT_RADIOGRAPH)
    if min(width, height) < MIN_SIDE:
        raise Refused(Reason.TOO_SMALL)
    return _Head(kind, mode, white_is_zero)


def _num_frames(image: Image.Image) -> int:
    """1 or 2; counting all would walk the chain of a hostile file."""
    try:
        image.seek(1)
        return 2
    except EOFError:
        return 1
    finally:
        image.seek(0)


def _decode(data: bytes, head: _Head) -> tuple[np.ndarray, tuple[Note, ...]]:
    """The grey values (height, width), as they are stored."""
    flags = cv2.IMREAD_ANYDEPTH | (cv2.IMREAD_GRAYSCALE if head.mode in _GREY_MODES else cv2.IMREAD_COLOR)
    try:
        if head.kind == "TIFF" and head.mode == "RGBA":
            stored = _decode_rgba_tiff(data)
        else:
            stored = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise Refused(Reason.TOO_MUCH_MEMORY if error.code == cv2.Error.STS_NO_MEM else Reason.CANNOT_DECODE) from None
    if stored is None or stored.dtype.kind not in "uif":
        raise Refused(Reason.CANNOT_DECODE)
    if stored.ndim == 2:
        # OpenCV turns 8-bit pictures itself.
        return (np.iinfo(np.uint16).max - stored if head.white_is_zero and stored.dtype == np.uint16 else stored), ()
    if stored.ndim != 3 or stored.shape[2] != 3:
        raise Refused(Reason.CANNOT_DECODE)
    if is_true_colour(thinned(stored)[..., ::-1], is_ybr=False):
        raise Refused(Reason.NOT_RADIOGRAPH)
    # Swapping red and blue first would take a second colour picture.
    return grey_of_channels(stored, is_ybr=False, is_bgr=True), (Note.FROM_COLOUR,)


def _decode_rgba_tiff(data: bytes) -> np.ndarray | None:
    """Blue, green, red: OpenCV would multiply them with the alpha."""
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            return np.ascontiguousarray(np.asarray(image)[..., 2::-1])
    except MemoryError:
        raise
    except Exception:
        return None


def _to_picture(stored: np.ndarray, notes: tuple[Note, ...]) -> Picture:
    low, high = float(stored.min()), float(stored.max())
    if not low < high:
        raise Refused(Reason.NO_CONTRAST)
    digest = digest_of(stored)
    if stored.dtype == np.uint8:
        return Picture(stored, digest, notes)
    low_shown, high_shown = (float(value) for value in np.percentile(thinned(stored), PERCENTILES))
    if high_shown <= low_shown:
        low_shown, high_shown = low, high

    def shown(values: np.ndarray) -> np.ndarray:
        share = np.nan_to_num((values.astype(np.float64) - low_shown) / (high_shown - low_shown))
        return np.rint(np.clip(share, 0, 1) * 255).astype(np.uint8)

    if stored.dtype == np.uint16:
        pixels = apply_table(stored, shown(np.arange(2**16)))
    else:
        pixels = np.concatenate([shown(stored[rows]) for rows in row_blocks(len(stored))])
    return Picture(pixels, digest, (*notes, Note.WINDOW_BY_PERCENTILES))
