"""CSV, TSV and JSON-lines tables of an export, as rows of texts; and label tables by study."""

import csv
import io
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from cxrpt.errors import InputError

Row = dict[str, str]


def read_table(path: Path, option: str) -> list[Row]:
    """The rows of a table, every value a stripped text; the separator is a tab for `.tsv`, else what the header uses.

    Raises:
        InputError: there is no such file, or it is no table; names the option that gave it, never a row.
    """
    try:
        content = decode_text(path.read_bytes())
    except OSError as error:
        raise InputError(f"{option} {path}: {error.strerror}") from None
    if path.suffix.lower() in (".jsonl", ".ndjson"):
        return _json_lines(content, path, option)
    header = content.partition("\n")[0]
    separator = "\t" if path.suffix.lower() == ".tsv" else max(",;\t", key=header.count)
    csv.field_size_limit(2**27)
    try:
        reader = csv.reader(io.StringIO(content, newline=""), delimiter=separator, strict=False)
        names = [name.strip() for name in next(reader, [])]
        rows = [dict(zip(names, (value.strip() for value in values), strict=False)) for values in reader if any(values)]
    except csv.Error:
        raise InputError(f"{option} {path} is not a table with a header line: give a CSV, TSV or JSON-lines file") from None
    if not any(names):
        raise InputError(f"{option} {path} has no header line: its first line must name the columns")
    return [{name: row.get(name, "") for name in names} for row in rows]


def decode_text(content: bytes) -> str:
    """UTF-8 (with or without mark), else the Windows code page that older exports are written in."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace")


def _json_lines(content: str, path: Path, option: str) -> list[Row]:
    rows = []
    for number, line in enumerate(content.splitlines(), 1):
        if not line.strip():
            continue
        try:
            fields = json.loads(line)
        except json.JSONDecodeError:
            fields = None
        if not isinstance(fields, dict):
            raise InputError(f"{option} {path}, line {number}, is not a JSON object: one object a line")
        rows.append({str(name): "" if value is None else str(value).strip() for name, value in fields.items()})
    return rows


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
    return re.sub(r"[\s_-]+", "", name).lower()


STUDY_NUMBER_COLUMNS = (
    "accession_number",
    "accession",
    "accession_no",
    "study_id",
    "study",
    "study_instance_uid",
    "StudyInstanceUID",
)


def read_labels(path: Path) -> dict[str, dict[str, int]]:
    """Study number -> finding -> 1, 0 or -1, from a table with one column a finding; empty cells are unknown.

    Raises:
        InputError: no study column, or a cell that is none of 1, 0, -1 and empty.
    """
    rows = read_table(path, "--labels")
    study = require_column(rows, STUDY_NUMBER_COLUMNS, path, "a column accession_number")
    others = {_plain(name) for name in ("patient_id", "subject_id", *STUDY_NUMBER_COLUMNS)}
    findings = [column for column in (rows[0] if rows else ()) if column and _plain(column) not in others]
    labels: dict[str, dict[str, int]] = {}
    for number, row in enumerate(rows, 2):
        values = {}
        for finding in findings:
            if row[finding] == "":
                continue
            try:
                value = float(row[finding])
            except ValueError:
                value = float("nan")
            if value not in (1.0, 0.0, -1.0):
                raise InputError(f"{path}, line {number}, column {finding!r}: labels are 1, 0, -1 or empty")
            values[finding] = int(value)
        if row[study]:
            labels.setdefault(row[study], {}).update(values)
    return labels
