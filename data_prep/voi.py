"""Stored values to eight bits as the tags ask: bright = dense.

    modality LUT or rescale ─ VOI LUT or first window (else percentiles) ─ inversion ─► one table, applied once

Percentiles are those of a thinned copy. PS3.3 C.11.1 (modality), C.11.2 (VOI), C.11.6 (presentation).
"""

from collections.abc import Callable

import numpy as np
from pydicom.dataset import Dataset
from pydicom.pixels import apply_modality_lut, apply_voi

from data_prep.elements import items, number, text, whole
from data_prep.ledger import Note, Reason
from data_prep.lookup import apply_table, row_blocks, thinned
from data_prep.refused import Refused

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

    def modality(values: np.ndarray) -> np.ndarray:
        return apply_modality_lut(values, dataset)

    sample = modality(few)
    low, high = (float(value) for value in np.percentile(sample, PERCENTILES))
    if items(dataset, "VOILUTSequence"):
        entries, first, bits = (int(value) for value in dataset.VOILUTSequence[0].LUTDescriptor)
        if first < high and first + (entries or 2**16) > low:
            top = float(2 ** min(bits, 16) - 1)
            return lambda values: apply_voi(np.rint(modality(values)).astype(np.int32), dataset) / top
    window = _window(dataset)
    if window is not None and _window_fits(window, low, high):
        function = text(dataset, "VOILUTFunction")
        return lambda values: _windowed(modality(values), *window, function=function)
    if window is None and stored.dtype == np.uint8 and 0 <= sample.min() and sample.max() <= 255:
        # Eight bits without a window are what was meant to be shown.
        return lambda values: modality(values) / 255.0
    notes.append(Note.WINDOW_BY_PERCENTILES)
    if high <= low:
        low, high = sorted(float(value) for value in modality(np.array([stored.min(), stored.max()])))
    return lambda values: (modality(values) - low) / (high - low)


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
