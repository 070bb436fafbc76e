"""CSV, TSV and JSON tables of an export, as rows of texts; and label tables by study.

    accession_number;report            {"accession": "A1",            [{"accession": "A1", ...},
    A1;"FINDINGS: Clear.               "patient": {"id": "P1"}}        {"accession": "A2", ...}]
    IMPRESSION: Normal."               -> accession, patient_id

A row that cannot be read without guessing (too many or too few columns, a quote that never ends or ends in the middle of a
value, a line that is no JSON object) is counted, with its number, and never shifted into its neighbours.
"""

import csv
import io
import json
import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cxrpt.errors import InputError
from data_prep.files.cells import label_of
from data_prep.files.encodings import decode_text

Row = dict[str, str]
MAX_ROW_LINES = 20_000
"""Lines of one row: a quote that is still open then was a mistake."""
_JSON_NAMES = (".jsonl", ".ndjson", ".json")


@dataclass(frozen=True)
class Table:
    """The rows that could be read, by number (from 1, without the header line), and the numbers of those that could not."""

    names: tuple[str, ...]
    rows: tuple[tuple[int, Row], ...]
    broken: tuple[int, ...] = ()


def read_table(path: Path, option: str) -> list[Row]:
    """The rows of a table, every value a stripped text; the separator is a tab for `.tsv`, else what the header uses.

    Raises:
        InputError: there is no such file, it is no table, or a row of it cannot be read; names the option that gave it and the
            number of the row, never what stands in it.
    """
    table = read_whole_table(path, option)
    if table.broken:
        raise InputError(
            f"{option} {path}: row {table.broken[0]} below the header does not fit its columns ({len(table.broken)} such): "
            "quote values that hold separators, quotes or line breaks, or take the row out"
        )
    return [row for _, row in table.rows]


def read_whole_table(path: Path, option: str) -> Table:
    """As `read_table`, but rows that cannot be read are counted.

    Raises:
        InputError: there is no such file, or it is no table.
    """
    try:
        content = decode_text(path.read_bytes())
    except OSError as error:
        raise InputError(f"{option} {path}: {error.strerror}") from None
    table = parse_table(content, path.suffix.lower())
    if table is None:
        raise InputError(f"{option} {path} is not a table with a header line: give a CSV, TSV, JSON-lines or JSON file")
    return table


def parse_table(content: str, suffix: str = "") -> Table | None:
    """The table in a text; None where it has no header line, or is JSON of another shape."""
    if suffix in _JSON_NAMES or content.lstrip()[:1] in ("{", "["):
        return _json_table(content)
    lines = list(io.StringIO(content, newline=""))
    separator = "\t" if suffix == ".tsv" else None
    if lines and (told := re.fullmatch(r"sep=(.)\s*", lines[0])):
        separator, lines = told[1], lines[1:]
    if separator is None:
        separator = max(",;\t|", key=(lines[0] if lines else "").count)
    csv.field_size_limit(2**27)
    records = _records(lines, separator)
    header, _ = next(records, (None, False))
    given = [name.strip() for name in header or []]
    while given and not given[-1]:
        given.pop()
    names = _unique(given)
    if not any(names):
        return None
    numbered = list(enumerate(_rows(records, names), 1))
    rows = tuple((number, row) for number, row in numbered if row is not None)
    return Table(names, rows, tuple(number for number, row in numbered if row is None))


def strict_rows(lines: Iterable[str], separator: str, header: Iterable[str]) -> Iterator[Row | None]:
    """The rows below a header's names, one at a time; None for each that cannot be read without guessing."""
    csv.field_size_limit(2**27)
    return _rows(_records(lines, separator), _unique(list(header)))


def _rows(records: Iterable[tuple[list[str] | None, bool]], names: tuple[str, ...]) -> Iterator[Row | None]:
    unsure = False
    for values, is_odd in records:
        if values is not None and not any(values):
            continue
        fits = values is not None and len(values) >= len(names) and not any(values[len(names) :])
        # Below a row that broke, its own text may go on: a line of that is no row though it has as many commas.
        unsure = values is None or not fits or (unsure and (is_odd or _is_prose(values)))
        yield None if unsure or values is None else dict(zip(names, (value.strip() for value in values), strict=False))


def _is_prose(values: list[str]) -> bool:
    """Whether the commas of a line are those of a sentence: words before the first, blanks behind others."""
    return " " in values[0].strip() or any(value.startswith(" ") for value in values[1:])


def _unique(names: list[str]) -> tuple[str, ...]:
    """The names; one that comes again gets a number, so that neither value is lost."""
    unique: list[str] = []
    for name in names:
        times = names[: len(unique)].count(name)
        unique.append(f"{name} {times + 1}" if times else name)
    return tuple(unique)


def _records(lines: Iterable[str], separator: str) -> Iterator[tuple[list[str] | None, bool]]:
    """The values of each row by the strict rules of quotes, and whether an odd number of quotes stands in it.

    None for a row that breaks the rules; it is taken to end with its first line.
    """
    rest = iter(lines)
    # Lines that a broken row had swallowed are read again.
    again: deque[str] = deque()
    while True:
        taken: list[str] = []
        reader = csv.reader(_taking(again, rest, taken), delimiter=separator, strict=True)
        try:
            values: list[str] | None = next(reader)
        except StopIteration:
            return
        except csv.Error:
            values = None
            again.extendleft(reversed(taken[1:]))
            del taken[1:]
        yield values, sum(line.count('"') for line in taken) % 2 == 1


def _taking(again: deque[str], rest: Iterator[str], taken: list[str]) -> Iterator[str]:
    while len(taken) < MAX_ROW_LINES and (line := again.popleft() if again else next(rest, None)) is not None:
        taken.append(line)
        yield line


def _json_table(content: str) -> Table | None:
    """A table of JSON objects: one, an array of them, or one a line; None for JSON of another shape."""
    try:
        whole = json.loads(content)
    except (ValueError, RecursionError):
        return _of_objects(_json_lines(content))
    if isinstance(whole, dict):
        # {"reports": [...]}: an envelope around the rows.
        inside = [value for value in whole.values() if isinstance(value, list) and value and isinstance(value[0], dict)]
        whole = inside[0] if len(inside) == 1 and len(whole) <= 3 else [whole]
    return _of_objects(whole) if isinstance(whole, list) else None


def _json_lines(content: str) -> Iterator[Any]:
    # Only these end a line: str.splitlines would also cut at separators that JSON allows within a text.
    for line in re.split(r"\r\n|\n|\r", content):
        if line.strip():
            try:
                yield json.loads(line)
            except (ValueError, RecursionError):
                yield None


def _of_objects(objects: Iterable[Any]) -> Table | None:
    rows, broken = [], []
    names: dict[str, None] = {}
    for number, one in enumerate(objects, 1):
        row = _flat(one) if isinstance(one, dict) else None
        if row is None:
            broken.append(number)
        else:
            names.update(dict.fromkeys(row))
            rows.append((number, row))
    if not rows:
        return None if broken else Table((), ())
    return Table(
        tuple(names), tuple((number, {name: row.get(name, "") for name in names}) for number, row in rows), tuple(broken)
    )


def _flat(fields: dict[str, Any]) -> Row | None:
    """One level of names: `{"patient": {"id": 1}}` is patient_id; values of a list stand below each other; None if too deep."""
    row: Row = {}
    waiting: list[tuple[str, Any, int]] = [(str(name), value, 0) for name, value in reversed(fields.items())]
    while waiting:
        name, value, depth = waiting.pop()
        if depth > 20:
            return None
        if isinstance(value, dict):
            waiting += [(f"{name}_{inner}", one, depth + 1) for inner, one in reversed(value.items())]
        elif isinstance(value, list):
            waiting += [(name, one, depth + 1) for one in reversed(value)]
        else:
            written = "" if value is None else str(value).strip()
            row[name] = f"{row[name]}\n{written}" if row.get(name) and written else row.get(name) or written
    return row


def find_column(rows: Sequence[Row], names: Iterable[str]) -> str | None:
    """The column that goes by one of `names`, whatever its case, blanks and underscores; None where there is none."""
    columns = {_plain(column): column for row in rows[:1] for column in row}
    return next((columns[_plain(name)] for name in names if _plain(name) in columns), None)


def require_column(rows: Sequence[Row], names: Sequence[str], path: Path, option: str) -> str:
    """The column, or an InputError that names those there are.

    Raises:
        InputError: no column goes by one of the names.
    """
    column = find_column(rows, names)
    if column is None:
        # The columns are not listed: a table without a header line would show its first patient.
        there = f"{len(rows[0])} columns" if rows else "no row"
        raise InputError(f"{path} has no column {names[0]!r} in its header line (found {there}): name yours with {option}")
    return column


def _plain(name: str) -> str:
    return re.sub(r"[\s._-]+", "", name).lower()


STUDY_NUMBER_COLUMNS = (
    "accession_number",
    "accession",
    "accession_no",
    "study_id",
    "study",
    "study_instance_uid",
    "StudyInstanceUID",
)


def read_labels(path: Path, number_column: str | None = None, no_findings: Sequence[str] = ()) -> dict[str, dict[str, int]]:
    """Study number -> finding -> 1, 0 or -1, from a table with one column a finding; empty cells are unknown.

    Args:
        path: of the table.
        number_column: what the column of the study number is called, beside the usual names.
        no_findings: other columns that are none of a finding, where they are there.

    Raises:
        InputError: no study column, or a cell that is none of 1, 0, -1 and empty.
    """
    rows = read_table(path, "--labels")
    names = (*([number_column] if number_column else []), *STUDY_NUMBER_COLUMNS)
    study = require_column(rows, names, path, "--number-column")
    others = {_plain(name) for name in ("patient_id", "subject_id", *names, *no_findings)}
    findings = [column for column in (rows[0] if rows else ()) if column and _plain(column) not in others]
    labels: dict[str, dict[str, int]] = {}
    for number, row in enumerate(rows, 1):
        values = {}
        for finding in findings:
            try:
                value = label_of(row[finding])
            except ValueError as error:
                raise InputError(
                    f"{path}, row {number} below the header, column {finding!r}: {error}; a column that is none of a finding "
                    "has to be taken out, or named with --patient-column or --date-column"
                ) from None
            if value is not None:
                values[finding] = value
        if row[study]:
            labels.setdefault(row[study], {}).update(values)
    return labels
