"""A DICOM file to facts and to an upright 8-bit grayscale picture.

    stored values ─ modality LUT or rescale ─ VOI LUT or window (else percentiles) ─ inversion ─► uint8, bright = dense

The value steps are one look-up table over the stored values, so that a picture is touched once whatever its tags ask for.
Nothing that pydicom or a codec says leaves this module: their messages quote header values.
"""

import contextlib
import logging
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileDataset
from pydicom.errors import InvalidDicomError
from pydicom.pixels import apply_modality_lut, apply_voi, pixel_array

from data_prep.ledger import Note, Reason

MIN_SIDE = 128
"""Pixels; thumbnails and logos are smaller, radiographs never are."""
MAX_SIDE = 20_000
MAX_PIXELS = 120_000_000
"""The largest radiographs (whole spine) have about 50 million; more is a broken or hostile header."""
PERCENTILES = (0.5, 99.5)


class Refused(Exception):
    """The file is not usable; holds a reason of the ledger's list and no text."""

    def __init__(self, reason: Reason):
        super().__init__(reason.value)
        self.reason = reason


@dataclass(frozen=True)
class Picture:
    """An 8-bit grayscale picture (height, width), and how it came to be."""

    pixels: np.ndarray
    stored: np.ndarray
    """The decoded values before any table; equal ones mean a copy."""
    notes: tuple[str, ...] = ()


@contextlib.contextmanager
def libraries_silenced() -> Iterator[None]:
    """Drop warnings and log lines of pydicom and its codecs: they quote header values verbatim."""
    logger = logging.getLogger("pydicom")
    disabled = logger.disabled
    logger.disabled = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.disabled = disabled


def read_header(path: Path) -> FileDataset:
    """The elements before the pixels.

    Raises:
        Refused: not DICOM, a DICOMDIR, a header that does not parse, or the file cannot be read.
    """
    try:
        with libraries_silenced():
            header = pydicom.dcmread(path, stop_before_pixels=True, force=not _has_preamble(path))
            if header.get("DirectoryRecordSequence") is not None or _is_dicomdir(header):
                raise Refused(Reason.DICOMDIR)
            # Without a preamble, anything parses as something: a picture must at least say its size and class.
            if not any(keyword in header for keyword in ("SOPClassUID", "Modality", "Rows")):
                raise Refused(Reason.NOT_DICOM)
            return header
    except Refused:
        raise
    except InvalidDicomError:
        raise Refused(Reason.NOT_DICOM) from None
    except OSError:
        raise Refused(Reason.CANNOT_READ) from None
    except Exception:
        raise Refused(Reason.BROKEN_HEADER if _has_preamble(path) else Reason.NOT_DICOM) from None


def _has_preamble(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        raise Refused(Reason.CANNOT_READ) from None


def _is_dicomdir(header: FileDataset) -> bool:
    meta = getattr(header, "file_meta", None)
    return meta is not None and str(meta.get("MediaStorageSOPClassUID", "")) == "1.2.840.10008.1.3.10"


def check_size(header: Dataset) -> None:
    """Refuse by the header's word what must not be decoded.

    Raises:
        Refused: no pixels, several frames, too small, or absurdly large.
    """
    rows, columns = number(header, "Rows"), number(header, "Columns")
    if not rows or not columns or number(header, "BitsAllocated") is None:
        raise Refused(Reason.NO_PIXELS)
    if header.get("NumberOfFrames") not in (None, "") and number(header, "NumberOfFrames") != 1:
        raise Refused(Reason.MULTI_FRAME)
    if max(rows, columns) > MAX_SIDE or rows * columns > MAX_PIXELS:
        raise Refused(Reason.ABSURD_SIZE)
    if min(rows, columns) < MIN_SIDE:
        raise Refused(Reason.TOO_SMALL)


def read_picture(path: Path) -> Picture:
    """Decode one file into a picture as a radiologist sees it: bones bright, air dark.

    Raises:
        Refused: it cannot be decoded, or holds no contrast.
    """
    with libraries_silenced():
        return _read_picture(path)


def _read_picture(path: Path) -> Picture:
    try:
        dataset = pydicom.dcmread(path, force=True)
    except OSError:
        raise Refused(Reason.CANNOT_READ) from None
    except Exception:
        raise Refused(Reason.BROKEN_HEADER) from None
    check_size(dataset)
    if not any(keyword in dataset for keyword in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
        raise Refused(Reason.NO_PIXELS)
    try:
        stored = pixel_array(dataset)
    except MemoryError:
        raise
    except Exception:
        raise Refused(Reason.CANNOT_DECODE) from None
    if stored.ndim == 3 and stored.shape[-1] == 3:
        # A radiograph kept as colour has three equal channels.
        stored = stored.mean(axis=-1).round().astype(stored.dtype)
    if stored.ndim != 2:
        raise Refused(Reason.CANNOT_DECODE)
    stored = np.ascontiguousarray(stored, dtype=stored.dtype.newbyteorder("="))
    try:
        pixels, notes = to_display(stored, dataset)
    except Refused:
        raise
    except Exception:
        # Look-up tables with impossible descriptors, numbers that are none.
        raise Refused(Reason.BROKEN_HEADER) from None
    return Picture(pixels, stored, notes)


def to_display(stored: np.ndarray, dataset: Dataset) -> tuple[np.ndarray, tuple[str, ...]]:
    """Stored values (height, width) to 8 bits, bright = dense, square pixels; with notes for the ledger.

    Raises:
        Refused: all values are equal.
    """
    low, high = stored.min(), stored.max()
    if low == high:
        raise Refused(Reason.NO_CONTRAST)
    notes: list[str] = []
    is_table = stored.dtype.kind in "iu" and int(high) - int(low) < 2**17
    values = np.arange(int(low), int(high) + 1).astype(stored.dtype) if is_table else stored
    shown = _voi_share(values, stored, dataset, notes)
    if is_inverted(dataset):
        shown = 1.0 - shown
    shown = np.clip(np.rint(shown * 255.0), 0, 255).astype(np.uint8)
    pixels = shown[stored.astype(np.int64) - int(low)] if is_table else shown
    if pixels.min() == pixels.max():
        raise Refused(Reason.NO_CONTRAST)
    return _square_pixels(pixels, dataset, notes), tuple(notes)


def is_inverted(dataset: Dataset) -> bool:
    """Whether the tags ask for one inversion; MONOCHROME1 and INVERSE together still mean one."""
    return text(dataset, "PhotometricInterpretation") == "MONOCHROME1" or text(dataset, "PresentationLUTShape") == "INVERSE"


def _voi_share(values: np.ndarray, stored: np.ndarray, dataset: Dataset, notes: list[str]) -> np.ndarray:
    """`values` (the look-up domain, or the picture itself) to 0..1 by VOI LUT, window or percentiles."""
    modality = apply_modality_lut(values, dataset)
    if values is stored:
        shown_low, shown_high = np.percentile(modality, PERCENTILES)
    else:
        counts = np.bincount((stored.astype(np.int64) - int(values[0])).ravel(), minlength=len(values))
        shown_low, shown_high = _weighted_percentiles(modality, counts)
    if dataset.get("VOILUTSequence"):
        item = dataset.VOILUTSequence[0]
        entries, first, bits = (int(value) for value in item.LUTDescriptor)
        entries = entries or 2**16
        if first < shown_high and first + entries > shown_low:
            return apply_voi(np.rint(modality).astype(np.int32), dataset) / float(2 ** min(bits, 16) - 1)
    window = _window(dataset)
    if window is not None and _window_fits(window, shown_low, shown_high):
        return _windowed(modality, *window, function=text(dataset, "VOILUTFunction"))
    if window is None and stored.dtype == np.uint8:
        # Eight bits without a window are what was meant to be shown.
        return modality / 255.0 if modality.max() <= 255 and modality.min() >= 0 else _stretched(modality)
    notes.append(Note.WINDOW_BY_PERCENTILES)
    if shown_high <= shown_low:
        shown_low, shown_high = float(modality.min()), float(modality.max())
    return np.clip((modality - shown_low) / (shown_high - shown_low), 0.0, 1.0)


def _stretched(values: np.ndarray) -> np.ndarray:
    return (values - values.min()) / (values.max() - values.min())


def _weighted_percentiles(values: np.ndarray, counts: np.ndarray) -> tuple[float, float]:
    order = np.argsort(values, kind="stable")
    share = np.cumsum(counts[order]) / counts.sum()
    low, high = (values[order][np.searchsorted(share, percent / 100.0)] for percent in PERCENTILES)
    return float(low), float(high)


def _window(dataset: Dataset) -> tuple[float, float] | None:
    """The first (centre, width) that is a window at all."""
    centre, width = number(dataset, "WindowCenter"), number(dataset, "WindowWidth")
    if centre is None or width is None or not np.isfinite([centre, width]).all() or width < 1:
        return None
    return centre, width


def _window_fits(window: tuple[float, float], low: float, high: float) -> bool:
    """Whether the window shows a good part of the data, and the data use a good part of the window."""
    start, end = window[0] - window[1] / 2, window[0] + window[1] / 2
    overlap = min(end, high) - max(start, low)
    return overlap >= 0.2 * (high - low) and overlap >= 0.1 * (end - start)


def _windowed(values: np.ndarray, centre: float, width: float, function: str) -> np.ndarray:
    """Window to 0..1 as PS3.3 C.11.2.1.2 and C.11.2.1.3 define it."""
    if function == "SIGMOID":
        return 1.0 / (1.0 + np.exp(-4.0 * (values - centre) / width))
    if function == "LINEAR_EXACT" or width <= 1:
        return np.clip((values - centre) / width + 0.5, 0.0, 1.0)
    return np.clip((values - (centre - 0.5)) / (width - 1.0) + 0.5, 0.0, 1.0)


def _square_pixels(pixels: np.ndarray, dataset: Dataset, notes: list[str]) -> np.ndarray:
    """Stretch the side whose pixels are longer, so that a pixel is as high as it is wide."""
    ratio = _row_to_column_spacing(dataset)
    if ratio is None or abs(ratio - 1.0) < 0.01 or not 0.2 < ratio < 5.0:
        return pixels
    import cv2

    height, width = pixels.shape
    size = (width, round(height * ratio)) if ratio > 1 else (round(width / ratio), height)
    notes.append(Note.ASPECT_CORRECTED)
    return cv2.resize(pixels, size, interpolation=cv2.INTER_LINEAR)


def _row_to_column_spacing(dataset: Dataset) -> float | None:
    for keyword in ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing", "PixelAspectRatio"):
        value: Any = dataset.get(keyword)
        try:
            row, column = (float(part) for part in value)
        except (TypeError, ValueError):
            continue
        if row > 0 and column > 0:
            return row / column
    return None


def number(dataset: Dataset, keyword: str) -> float | int | None:
    """The first value of an element as a number; None where there is none or it is no number."""
    try:
        value: Any = dataset.get(keyword)
        if isinstance(value, (list, tuple, pydicom.multival.MultiValue)):
            value = value[0]
        return int(value) if keyword in _WHOLE else float(value)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None


_WHOLE = frozenset({"Rows", "Columns", "NumberOfFrames", "BitsAllocated", "BitsStored"})


def text(dataset: Dataset, keyword: str) -> str:
    """An element as upper-case text, values joined by a space; empty where there is none or it does not parse."""
    try:
        value: Any = dataset.get(keyword)
    except Exception:
        # An element whose value breaks its own VR: the rest of the header still counts.
        return ""
    if value is None:
        return ""
    parts = value if isinstance(value, (list, tuple, pydicom.multival.MultiValue)) else [value]
    return " ".join(str(part) for part in parts).strip().upper()
