"""What an interval of a difference says, in one word: a difference counts only where its interval leaves zero out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cxrpt.eval.page.numbers import number_of, signed

AHEAD, OPEN, BEHIND, UNKNOWN = "ahead", "open", "behind", "no interval"


@dataclass(frozen=True)
class Difference:
    """A difference as it is shown."""

    value: str
    interval: str
    """Empty where there is none."""
    level: str
    """One of the words above."""


def difference(found: Mapping[str, Any] | None, name: str, digits: int) -> Difference | None:
    """The difference that a tree holds under `name`, with `low` and `high` beside it; None without one."""
    value, low, high = (number_of(found, key) for key in (name, "low", "high"))
    if value is None:
        return None
    if low is None or high is None:
        return Difference(signed(value, digits), "", UNKNOWN)
    level = AHEAD if low > 0 else BEHIND if high < 0 else OPEN
    return Difference(signed(value, digits), f"{signed(low, digits)} to {signed(high, digits)}", level)
