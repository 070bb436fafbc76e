"""Elements of a DICOM header as plain values, whatever the header holds: these functions return and never raise."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

_WHOLE = frozenset(
    {
        "Rows",
        "Columns",
        "NumberOfFrames",
        "BitsAllocated",
        "BitsStored",
        "HighBit",
        "PixelRepresentation",
        "SamplesPerPixel",
        "PlanarConfiguration",
        "PixelPaddingValue",
    }
)
_MAX_ITEMS = 32


def number(dataset: Dataset, keyword: str) -> float | int | None:
    """The first value of an element as a finite number; None where there is none or it is no number."""
    found = numbers(dataset, keyword)
    return found[0] if found else None


def whole(dataset: Dataset, keyword: str) -> int | None:
    """The first value of an element as a whole number; None where there is none or it is no number."""
    found = number(dataset, keyword)
    return None if found is None else int(found)


def numbers(dataset: Dataset, keyword: str) -> tuple[float | int, ...]:
    """The leading values of an element that are finite numbers."""
    found: list[float | int] = []
    for value in _values(dataset, keyword):
        try:
            one = int(value) if keyword in _WHOLE else float(value)
        except (TypeError, ValueError, OverflowError):
            break
        if not np.isfinite(one):
            break
        found.append(one)
    return tuple(found)


def text(dataset: Dataset, keyword: str) -> str:
    """An element as upper-case text, values joined by a space; empty where there is none or it does not parse."""
    return " ".join(texts(dataset, keyword)).strip().upper()


def texts(dataset: Dataset, keyword: str) -> tuple[str, ...]:
    """The values of an element as text."""
    try:
        return tuple(str(value) for value in _values(dataset, keyword))
    except Exception:
        # Names whose bytes are in no known character set.
        return ()


def items(dataset: Dataset, keyword: str) -> tuple[Dataset, ...]:
    """The first items of a sequence; empty where there is none, or it is no sequence."""
    return tuple(item for item in _values(dataset, keyword) if isinstance(item, Dataset))


def _values(dataset: Dataset, keyword: str) -> Sequence[Any]:
    try:
        value = dataset.get(keyword)
        if value is None or value == "":
            return ()
        many = isinstance(value, (list, tuple, MultiValue, pydicom.Sequence))
        return list(value[:_MAX_ITEMS]) if many else [value]
    except Exception:
        # An element whose value breaks its own VR: the rest of the header still counts.
        return ()
