"""Tables of data sets, row by row: CSV, TSV or JSON lines, gzipped or not; a table of any length takes little memory."""

import csv
import gzip
import io
import json
import zlib
from codecs import register_error
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from cxrpt.errors import InputError
from data_prep.files.tables import Row, strict_rows


def _as_windows(error: UnicodeError) -> tuple[str, int]:
    """Bytes that are no UTF-8, in the Windows code page that older tables are written in."""
    assert isinstance(error, UnicodeDecodeError)
    return error.object[error.start : error.end].decode("cp1252", errors="replace"), error.end


register_error("cxrpt-windows", _as_windows)


def read_rows(path: Path, option: str) -> Iterator[Row | None]:
    """Rows of stripped texts by column, None for one that cannot be read without guessing, as `tables` tells.

    `option` is how messages name the table.

    Raises:
        InputError: there is no such file, it is no table, or its archive is cut off; never quotes a row.
    """
    suffix = _suffix(path)
    if suffix not in (".jsonl", ".ndjson"):
        names, separator, lines = _open_table(path, option)
        yield from strict_rows(lines, separator, names)
        return
    for line in _lines(path, option):
        if not line.strip():
            continue
        try:
            fields = json.loads(line)
        except (ValueError, RecursionError):
            fields = None
        if isinstance(fields, dict):
            yield {str(name): "" if value is None else str(value).strip() for name, value in fields.items()}
        else:
            yield None


def read_values(path: Path, option: str) -> tuple[list[str], Iterator[list[str]]]:
    """The header's names and the rows after it; a row may be shorter or longer than the header.

    Raises:
        InputError: as `read_rows`.
    """
    names, separator, lines = _open_table(path, option)

    def rows() -> Iterator[list[str]]:
        try:
            yield from (row for row in csv.reader(lines, delimiter=separator) if any(row))
        except csv.Error:
            raise InputError(f"{option} {path} is not a table with a header line: give a CSV, TSV or JSON-lines file") from None

    return names, rows()


def _open_table(path: Path, option: str) -> tuple[list[str], str, Iterator[str]]:
    """The header's names, the separator and the lines below."""
    lines = _lines(path, option)
    first = next(lines, "")
    separator = "\t" if _suffix(path) == ".tsv" else max(",;\t", key=first.count)
    csv.field_size_limit(2**27)
    names = [name.strip() for name in next(csv.reader([first], delimiter=separator), [])]
    if not any(names):
        raise InputError(f"{option} {path} has no header line: its first line must name the columns")
    return names, separator, lines


def pick_columns(path: Path, option: str, *columns: str) -> Iterator[tuple[str, ...]]:
    """The values of some columns, a tuple a row.

    Raises:
        InputError: the table has no such column, or as `read_rows`.
    """
    names, rows = read_values(path, option)
    absent = [column for column in columns if column not in names]
    if absent:
        raise InputError(f"{option} {path} has no column {absent[0]!r}: it is not the published table, fetch it again")
    places = [names.index(column) for column in columns]
    return (tuple(row[place].strip() if place < len(row) else "" for place in places) for row in rows)


def _suffix(path: Path) -> str:
    return Path(path.name.lower().removesuffix(".gz")).suffix


def _lines(path: Path, option: str) -> Iterator[str]:
    """Lines with their ends, as `csv` wants them."""
    opened: Callable[..., Any] = gzip.open if path.name.lower().endswith(".gz") else open
    try:
        with opened(path, "rb") as file, io.TextIOWrapper(file, "utf-8-sig", errors="cxrpt-windows", newline="") as text:
            yield from text
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise InputError(f"{option} {path} is no whole gzip file: fetch it again") from None
    except OSError as error:
        raise InputError(f"{option} {path}: {error.strerror}") from None
