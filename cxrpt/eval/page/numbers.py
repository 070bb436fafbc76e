"""Numbers as the page shows them: as many digits as mean something, and nothing where there is none."""

import math
from collections.abc import Mapping
from typing import Any

NONE = "–"


def value_of(found: Mapping[str, Any] | None, *path: str) -> Any:
    """What stands in a tree below some keys; None where any of them is missing or leads into no tree."""
    for key in path:
        if not isinstance(found, Mapping):
            return None
        found = found.get(key)
    return found


def number_of(found: Mapping[str, Any] | None, *path: str) -> float | None:
    """The same for a finite number."""
    value = value_of(found, *path)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def plain(value: float | None, digits: int = 3) -> str:
    """0.812."""
    return NONE if value is None else f"{_whole(value, digits):.{digits}f}"


def signed(value: float | None, digits: int = 3) -> str:
    """+0.031, with a true minus sign."""
    if value is None:
        return NONE
    shown = _whole(value, digits)
    return f"{shown:{'+' if shown else ''}.{digits}f}".replace("-", "−")


def percent(value: float | None) -> str:
    """A share in per cent, with a second digit below one."""
    if value is None:
        return NONE
    return f"{100 * value:.2f} %" if 0 < value < 0.00995 else f"{100 * value:.1f} %"


def percents(low: float | None, high: float | None) -> str:
    """An interval of shares, 12.0–16.5 %; empty where an end is missing."""
    return "" if low is None or high is None else f"{percent(low).removesuffix(' %')}–{percent(high)}"


def count(value: float | None) -> str:
    """12,000; a median may lie half-way."""
    if value is None:
        return NONE
    return f"{value:,.0f}" if value == round(value) else f"{value:,.1f}"


def times(value: float | None, other: float | None) -> str:
    """How many times `other` a value is; nothing where that says nothing."""
    if value is None or not other:
        return NONE
    ratio = value / other
    return f"{ratio:,.0f} ×" if ratio >= 10 else f"{ratio:.1f} ×"


def millions(value: int | float) -> str:
    """A number of parameters in words: 86.4 M."""
    for limit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.3g} {letter}"
    return f"{value:,.0f}"


def lower_first(words: str) -> str:
    """The words as they stand within a sentence."""
    return words[:1].lower() + words[1:]


def _whole(value: float, digits: int) -> float:
    """Without the sign of a zero that only rounding made."""
    return 0.0 if round(value, digits) == 0 else value
