"""Stored values to eight bits as the tags ask: bright = dense.

    modality LUT or rescale ─ VOI LUT or first window (else percentiles) ─ inversion ─► one table, applied once

Percentiles are those of a thinned copy. PS3.3 C.11.1 (modality), C.11.2 (VOI), C.11.6 (presentation).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from pydicom.dataset import Dataset

from data_prep.ledger import Note, Reason
from data_prep.pictures.elements import items, number, text, whole
from data_prep.pictures.lookup import apply_table, row_blocks, thinned
from data_prep.pictures.refused import Refused

PERCENTILES = (0.5, 99.5)
Curve = Callable[[np.ndarray], np.ndarray]
"""Stored values to brightness 0..1, before any inversion."""


def to_display(stored: np.ndarray, dataset: Dataset) -> tuple[np.ndarray, tuple[str, ...]]:
    """Stored values (height, width) to uint8, bright = dense, with notes for the ledger.

    Raises:
        Refused: all values are equal, or tables and numbers of the header are impossible.
    """
    low, high = stored.min(), stored.max()
    if not low < high and not np.isnan(low):
        raise Refused(Reason.NO_CONTRAST)
    notes: list[str] = []
    try:
        curve = _display_curve(stored, dataset, notes)
        pixels = _apply_curve(stored, low, high, curve, is_inverted(dataset))
    except (Refused, MemoryError):
        raise
    except Exception:
        # Look-up tables with impossible descriptors, numbers that are none.
        raise Refused(Reason.BROKEN_HEADER) from None
    if pixels.min() == pixels.max():
        raise Refused(Reason.NO_CONTRAST)
    return pixels, tuple(notes)


def is_inverted(dataset: Dataset) -> bool:
    """Whether the tags ask for one inversion; MONOCHROME1 and INVERSE together still mean one."""
    return text(dataset, "PhotometricInterpretation") == "MONOCHROME1" or text(dataset, "PresentationLUTShape") == "INVERSE"


def _apply_curve(stored: np.ndarray, low: np.number, high: np.number, curve: Curve, inverted: bool) -> np.ndarray:
    def shown(values: np.ndarray) -> np.ndarray:
        share = np.clip(curve(values), 0.0, 1.0)
        return np.rint((1.0 - share if inverted else share) * 255.0).astype(np.uint8)

    if stored.dtype.kind in "iu" and stored.dtype.itemsize <= 2:
        lowest = int(np.iinfo(stored.dtype).min)
        table = np.zeros(2 ** (8 * stored.dtype.itemsize), np.uint8)
        table[int(low) - lowest : int(high) - lowest + 1] = shown(np.arange(int(low), int(high) + 1).astype(stored.dtype))
        return apply_table(stored, table)
    pixels = np.empty(stored.shape, np.uint8)
    for rows in row_blocks(len(stored)):
        pixels[rows] = shown(_finite(stored[rows]))
    return pixels


def _finite(values: np.ndarray) -> np.ndarray:
    return np.nan_to_num(values, posinf=0.0, neginf=0.0) if values.dtype.kind == "f" else values


def _display_curve(stored: np.ndarray, dataset: Dataset, notes: list[str]) -> Curve:
    few = _without_padding(_finite(thinned(stored)), dataset)

    modality = _modality(dataset)
    sample = modality(few)
    low, high = (float(value) for value in np.percentile(sample, PERCENTILES))
    for item in items(dataset, "VOILUTSequence")[:1]:
        lut = read_lut(item, dataset, low < 0)
        if lut.first < high and lut.first + len(lut.entries) > low:
            return lambda values: lut(modality(values)) / lut.top
    window = _window(dataset)
    if window is not None and _window_fits(window, low, high):
        function = text(dataset, "VOILUTFunction")
        return lambda values: _windowed(modality(values), *window, function=function)
    if window is None and stored.dtype == np.uint8 and sample.min() >= 0 and sample.max() <= 255:
        # Eight bits without a window are what was meant to be shown.
        return lambda values: modality(values) / 255.0
    notes.append(Note.WINDOW_BY_PERCENTILES)
    if high <= low:
        low, high = sorted(float(value) for value in modality(np.array([stored.min(), stored.max()])))
    return lambda values: (modality(values) - low) / (high - low)


def _modality(dataset: Dataset) -> Curve:
    """Stored values to those that windows speak of."""
    for item in items(dataset, "ModalityLUTSequence")[:1]:
        return read_lut(item, dataset, whole(dataset, "PixelRepresentation") == 1)
    slope, intercept = number(dataset, "RescaleSlope") or 1.0, number(dataset, "RescaleIntercept") or 0.0
    return lambda values: values * np.float64(slope) + intercept


@dataclass(frozen=True)
class Lut:
    """A look-up table; what lies beside it takes its first or last entry."""

    first: int
    """The value of the first entry."""
    entries: np.ndarray
    top: float
    """What its brightest entry could be."""

    def __call__(self, values: np.ndarray) -> np.ndarray:
        places = np.clip(np.rint(values) - self.first, 0, len(self.entries) - 1)
        return self.entries[places.astype(np.intp)].astype(np.float64)


def read_lut(item: Dataset, dataset: Dataset, is_signed: bool) -> Lut:
    """LUTDescriptor and LUTData of a modality or VOI LUT; pydicom's own fails for tables of 10 or 12 bits.

    `is_signed`: the values looked up may be negative, so a first value above 32767 is a negative one.
    """
    count, first, bits = (int(value) for value in item.LUTDescriptor)
    count = count or 2**16
    data = item.LUTData
    if isinstance(data, bytes):
        order = "<" if getattr(dataset, "original_encoding", (None, True))[1] is not False else ">"
        entries = np.frombuffer(data, np.uint8 if len(data) < 2 * count else f"{order}u2")
    else:
        entries = np.atleast_1d(np.asarray(data, np.int64)) & 0xFFFF
    entries = entries[:count]
    top = float(2 ** min(max(bits, 8), 16) - 1)
    if not entries.max() <= top < 4 * entries.max():
        # Some vendors write the bits that a value takes, not those that it uses.
        top = float(max(entries.max(), 1))
    return Lut(first - 2**16 if is_signed and first > 32_767 else first, entries, top)


def _without_padding(few: np.ndarray, dataset: Dataset) -> np.ndarray:
    """The values that are picture; padding would draw the percentiles to itself."""
    padding = whole(dataset, "PixelPaddingValue")
    if padding is None:
        return few
    end = whole(dataset, "PixelPaddingRangeLimit")
    first, last = sorted((padding, padding if end is None else end))
    kept = few[(few < first) | (few > last)]
    return kept if kept.size > few.size // 10 else few


def _window(dataset: Dataset) -> tuple[float, float] | None:
    """The first (centre, width) that is a window at all."""
    centre, width = number(dataset, "WindowCenter"), number(dataset, "WindowWidth")
    if centre is None or width is None or width < 1:
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
        return 1.0 / (1.0 + np.exp(np.clip(-4.0 * (values - centre) / width, -50.0, 50.0)))
    if function == "LINEAR_EXACT" or width <= 1:
        return (values - centre) / width + 0.5
    return (values - (centre - 0.5)) / (width - 1.0) + 0.5
