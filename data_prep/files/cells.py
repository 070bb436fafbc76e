"""What the cells of published tables mean: ages, splits, labels, and lists in one cell.

"058Y" -> 58    "validate" -> val    "-1.0" -> -1    "['normal', 'cardiomegaly']" -> normal, cardiomegaly
"""

import re

_DAYS_A_UNIT = {"Y": 365.25, "M": 30.44, "W": 7.0, "D": 1.0}
_SPLITS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validate": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
    "train_val": "train_val",
}


def years_of(written: str) -> int | None:
    """Whole years from `45`, `45.0`, `058Y`, `013M`, `006W` or `012D`; None from anything else."""
    match = re.fullmatch(r"(\d{1,3})(?:\.\d*)?\s*([YMWD]?)", written.strip().upper())
    if match is None:
        return None
    number, unit = match.groups()
    return int(int(number) * _DAYS_A_UNIT[unit] / _DAYS_A_UNIT["Y"]) if unit in ("M", "W", "D") else int(number)


def split_of(written: str) -> str | None:
    """train, val, test or train_val from the words that data sets use; None from anything else."""
    return _SPLITS.get(written.strip().lower())


def label_of(written: str) -> int | None:
    """1 (present), 0 (absent), -1 (uncertain), or None where the cell is empty.

    Raises:
        ValueError: anything else; the message holds no cell.
    """
    written = written.strip()
    if written.lower() in ("", "nan"):
        return None
    try:
        value = float(written)
    except ValueError:
        value = 2.0
    if value not in (1.0, 0.0, -1.0):
        raise ValueError("a label is 1, 0, -1 or empty")
    return int(value)


def list_of(cell: str, separator: str) -> set[str]:
    """The words of a cell: a list as Python or JSON writes it, else what `separator` joins.

    Brackets and quotes are taken off one by one: published lists are not always whole.
    """
    cell = cell.strip()
    if cell.startswith("["):
        words = [word.strip().strip("'\"").strip() for word in cell.strip("[]").split(",")]
    else:
        words = [word.strip() for word in cell.split(separator)]
    return {word for word in words if word and word.lower() != "nan"}
