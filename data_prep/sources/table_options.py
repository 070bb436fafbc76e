"""What a table's columns mean: `image=filename,text=notes` on the command line, or a yaml file for what takes more words.

image: ImageID                          a role and its column ...
view: [Projection, ViewPosition]        ... or several: the first that is not empty
path_pattern: 'p(?P<patient>\\d+)/'     roles from named groups over the image's path
label_columns: [Edema, Fracture]        a column a finding: 1, 0, -1 or empty
values: {split: {holdout: test}}        what the cells of a role stand for
only: {Modality: [CR, DX]}              rows with other cells are set aside
"""

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cxrpt.errors import InputError

ROLES = (
    "image", "text", "patient", "study", "view", "age", "birth", "sex", "labels", "split", "date", "photometric",
)  # fmt: skip
"""`birth` is a date or year, from which and `date` an age follows; `photometric` is DICOM's PhotometricInterpretation."""
PATTERN_ROLES = ("patient", "study", "view", "split")


@dataclass(frozen=True)
class TableOptions:
    """How a table is read."""

    columns: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Role (of ROLES) -> its columns; the first that is not empty counts."""
    images: Path | None = None
    """Folder of the pictures. Default: that of the table."""
    tables: tuple[str, ...] = ()
    """Names of the tables in SRC, where SRC is a folder; those that are there are read, one after another."""
    label_separator: str = "|"
    """What joins labels in a cell of the labels column; a cell in brackets is a list in any case."""
    label_names: tuple[str, ...] = ()
    """Labels of the labels column that are kept. Default: all that occur, unless there are hundreds or some are prose."""
    label_columns: tuple[str, ...] = ()
    """Columns of one finding each: 1, 0, -1 or empty."""
    path_pattern: str = ""
    """Regular expression over the image's cell, with groups of PATTERN_ROLES; a column that is not empty counts more."""
    drop_folders: int = 0
    """Folders at the start of the image's cell that are not there on the disk."""
    values: dict[str, dict[str, str]] = field(default_factory=dict)
    """Role -> cell -> what it stands for; capitals do not matter, and cells that are not named stay as they are."""
    only: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Column -> cells of rows that are radiographs; other rows are set aside."""
    partial: bool = False
    """The data set is fetched in parts: rows whose picture is not there are counted in a remark and do not fail."""


def read_options(written: str) -> TableOptions:
    """Options from `image=filename,text=notes` or a yaml file.

    Raises:
        InputError: a key that there is not (names the closest), a value of another kind, or neither image nor text.
    """
    path = Path(written)
    pairs: dict[str, Any] = {}
    if path.suffix in (".yaml", ".yml"):
        pairs = _read_yaml(path)
    else:
        for pair in written.split(","):
            role, _, column = pair.partition("=")
            if role.strip() not in ROLES or not column.strip():
                raise InputError(f"--columns {pair.strip()!r}: roles are {', '.join(ROLES)}, as in image=filename,text=notes")
            pairs[role.strip()] = column.strip()
    options = TableOptions(columns={role: _texts(role, pairs[role]) for role in ROLES if role in pairs})
    for key, value in pairs.items():
        if key not in ROLES:
            options = replace(options, **{key: _OPTIONS[key](key, value)})
    if not {"image", "text"} & set(options.columns):
        raise InputError(f"--columns {written} names neither an image nor a text column, as in image=filename,text=notes")
    return options


def _read_yaml(path: Path) -> dict[str, Any]:
    from omegaconf import OmegaConf

    try:
        pairs = OmegaConf.to_container(OmegaConf.load(path))
    except Exception:
        # The parsers' own errors quote the file.
        raise InputError(f"--columns {path} cannot be read as yaml: lines such as `image: filename`") from None
    if not isinstance(pairs, dict) or not pairs:
        raise InputError(f"--columns {path} holds no keys: lines such as `image: filename`")
    known = (*ROLES, *_OPTIONS)
    for key in map(str, pairs):
        if key not in known:
            near = difflib.get_close_matches(key, known, 1, 0.3)
            hint = f"; the closest key is {near[0]!r}" if near else f": the keys are {', '.join(known)}"
            raise InputError(f"--columns {path}: there is no key {key!r}{hint}")
    return {str(key): value for key, value in pairs.items()}


def _texts(key: str, value: Any) -> tuple[str, ...]:
    many = value if isinstance(value, list) else [value]
    if not many or not all(isinstance(one, (str, int)) and not isinstance(one, bool) and str(one) for one in many):
        raise InputError(f"--columns: {key} takes a name or a list of names, as in `{key}: [a, b]`")
    return tuple(str(one) for one in many)


def _text(key: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise InputError(f"--columns: {key} takes a text")
    return value


def _pattern(key: str, value: Any) -> str:
    written = _text(key, value)
    try:
        groups = set(re.compile(written).groupindex)
    except re.error as error:
        raise InputError(f"--columns: {key} is no regular expression ({error.msg})") from None
    if not groups or groups - set(PATTERN_ROLES):
        raise InputError(f"--columns: {key} needs named groups out of {', '.join(PATTERN_ROLES)}, as in (?P<patient>\\d+)")
    return written


def _count(key: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise InputError(f"--columns: {key} takes a number of folders, 0 or more")
    return value


def _flag(key: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise InputError(f"--columns: {key} is true or false")
    return value


def _maps(key: str, value: Any) -> dict[str, dict[str, str]]:
    if not isinstance(value, dict) or not all(isinstance(one, dict) for one in value.values()):
        raise InputError(f"--columns: {key} takes a map a role, as in `{key}: {{split: {{holdout: test}}}}`")
    unknown = sorted(set(map(str, value)) - set(ROLES))
    if unknown:
        raise InputError(f"--columns: {key} names the role {unknown[0]!r}: roles are {', '.join(ROLES)}")
    return {str(role): {str(cell).lower(): str(meaning) for cell, meaning in one.items()} for role, one in value.items()}


def _allowed(key: str, value: Any) -> dict[str, tuple[str, ...]]:
    if not isinstance(value, dict):
        raise InputError(f"--columns: {key} takes cells a column, as in `{key}: {{Modality: [CR, DX]}}`")
    return {str(column): tuple(cell.lower() for cell in _texts(key, cells)) for column, cells in value.items()}


_OPTIONS: dict[str, Callable[[str, Any], Any]] = {
    "tables": _texts,
    "label_separator": _text,
    "label_names": _texts,
    "label_columns": _texts,
    "path_pattern": _pattern,
    "drop_folders": _count,
    "values": _maps,
    "only": _allowed,
    "partial": _flag,
}
