"""The reports of a hospital's export, in whatever form they lie there: a table, or a folder of files of any kind.

    reports.csv            a row a report                  reports/ACC1.txt, ACC1.pdf, ACC1.xml   a file a report
    reports/batch.hl7      a message a report, or several  reports/part.json, part.csv            a row a report
    reports/doc.dcm        DICOM SR, encapsulated PDF or CDA

The content tells the kind, not the name. Every report, and everything that is none, ends as one LooseReport or SetAside.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from cxrpt.errors import InputError
from data_prep.files.encodings import decode_text, with_plain_breaks
from data_prep.files.export_files import find_files, reason_against_path
from data_prep.files.tables import STUDY_NUMBER_COLUMNS, Row, Table, find_column, parse_table, read_whole_table
from data_prep.inputs import Identifiers, ReportInput, SetAside, sex_as_allowed, years_as_allowed
from data_prep.ledger import Note, Reason
from data_prep.loose import LooseReport, ReportStatus
from data_prep.pictures.dicom_file import libraries_silenced
from data_prep.pictures.read_dicom import read_header
from data_prep.pictures.refused import Refused
from data_prep.privacy.identifiers import parse_date, row_identifiers, unknown_identifiers
from data_prep.processes.scan import Reading, scan_files
from data_prep.processes.workers import item_limits
from data_prep.reports.found_report import MAX_TEXT, FoundReport
from data_prep.reports.hl7_messages import is_hl7
from data_prep.reports.read_document import read_cda, read_pdf
from data_prep.reports.read_hl7 import ACCESSION_FIELDS, read_hl7
from data_prep.reports.read_sr import holds_report, read_report_object

FILE_CHUNK = 64
MAX_FILE_BYTES = 2**30
"""A file of a folder of reports is read whole; one message file of a year may have some hundred MB."""
_BODY = ("report", "report_text", "text", "reporttext", "report_body", "full_report", "befundtext")
_PARTS = ("findings", "impression")
_PATIENT = ("patient_id", "PatientID", "subject_id", "mrn")
_DATE = ("study_date", "StudyDate", "date", "exam_date")
_STATUS = ("report_status", "result_status", "status", "report_type", "befundstatus")


@dataclass(frozen=True)
class ReportColumns:
    """What the command line calls the columns of report tables, and where messages have their accession number."""

    number: str | None = None
    body: str | None = None
    """One column, or several joined by commas, each a section by its own name."""
    patient: str | None = None
    date: str | None = None
    accession_fields: tuple[str, ...] = ACCESSION_FIELDS


@dataclass(frozen=True)
class _Columns:
    """The columns of one table by their role."""

    number: str
    body: tuple[str, ...]
    others: tuple[str, ...]
    patient: str | None
    date: str | None
    status: str | None
    age: str | None
    sex: str | None


def read_reports(place: Path, columns: ReportColumns, reading: Reading) -> tuple[list[LooseReport], list[SetAside]]:
    """All reports of a table or folder, in a fixed order, and what cannot be read.

    Raises:
        InputError: a table that is none, or lacks a column that is needed.
    """
    if not place.is_dir():
        table = read_whole_table(place, "--reports")
        return _sorted_out(_rows(table, _require_columns(table, columns, place), ""))
    files = find_files(place)
    read = partial(read_files, root=place, columns=columns, seconds=reading.file_seconds)
    scanned = scan_files(read, files.names, "reports", reading, FILE_CHUNK, _input_id)
    return _sorted_out(one for _, part in scanned for one in part)


def _input_id(name: str) -> str:
    return f"report//{name}"


def _sorted_out(found: Iterator[LooseReport | SetAside]) -> tuple[list[LooseReport], list[SetAside]]:
    reports: list[LooseReport] = []
    set_aside: list[SetAside] = []
    for one in found:
        if isinstance(one, SetAside):
            set_aside.append(one)
        else:
            reports.append(one)
    return reports, set_aside


def read_files(
    items: Sequence[str], spoiled: Mapping[int, Reason], root: Path, columns: ReportColumns, seconds: float
) -> list[LooseReport | SetAside]:
    """Read some files of a folder of reports."""
    found: list[LooseReport | SetAside] = []
    for place, name in enumerate(items):
        input_id = _input_id(name)
        if place in spoiled:
            found.append(SetAside(input_id, "report", spoiled[place]))
            continue
        try:
            with libraries_silenced(), item_limits(seconds):
                found += _read_file(input_id, root / name, columns)
        except Refused as refused:
            found.append(SetAside(input_id, "report", refused.reason))
        except MemoryError:
            found.append(SetAside(input_id, "report", Reason.TOO_MUCH_MEMORY))
        except Exception:
            # Whatever a hostile file makes of a parser; its message may quote it.
            found.append(SetAside(input_id, "report", Reason.BROKEN_REPORT))
    return found


def _read_file(input_id: str, path: Path, columns: ReportColumns) -> list[LooseReport | SetAside]:
    if reason := reason_against_path(path):
        raise Refused(reason)
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise Refused(Reason.BROKEN_REPORT)
        with path.open("rb") as file:
            head = file.read(1024)
            content = b"" if head[128:132] == b"DICM" else head + file.read()
    except OSError:
        raise Refused(Reason.CANNOT_READ) from None
    if head[128:132] == b"DICM":
        header = read_header(path)
        return [loose(input_id, read_report_object(header)) if holds_report(header) else _no_report(input_id)]
    start = content.lstrip(b"\xef\xbb\xbf \t\r\n")[:512]
    if start.startswith(b"%PDF"):
        return [_named_by_file(input_id, path, read_pdf(content))]
    if is_hl7(content) or _is_wide_hl7(content):
        return _messages(input_id, content, columns)
    if start.startswith((b"<?xml", b"<ClinicalDocument", b"<!--")):
        return [_named_by_file(input_id, path, read_cda(content))]
    return _read_text(input_id, path, content, columns)


def _is_wide_hl7(content: bytes) -> bool:
    return content.startswith((b"\xff\xfeM\0S\0H\0", b"\xfe\xff\0M\0S\0H"))


def _no_report(input_id: str) -> SetAside:
    return SetAside(input_id, "report", Reason.NOT_A_REPORT)


def _read_text(input_id: str, path: Path, content: bytes, columns: ReportColumns) -> list[LooseReport | SetAside]:
    text = decode_text(content)
    if "\0" in text or text.lstrip()[:10].lower().startswith(("{\\rtf", "%pdf", "<?xml", "<html", "<!doctype")):
        raise Refused(Reason.BROKEN_REPORT)
    suffix = path.suffix.lower()
    table = parse_table(text, suffix) if _may_be_table(text, suffix) else None
    told = _find_columns(table, columns) if table is not None else None
    if table is not None and told is not None:
        if not table.rows and not table.broken:
            raise Refused(Reason.EMPTY_REPORT)
        return list(_rows(table, told, f"{input_id}//"))
    if suffix in (".csv", ".tsv", ".json", ".jsonl", ".ndjson"):
        notes = () if table is None else (Note.COLUMNS_MISSING,)
        return [SetAside(input_id, "report", Reason.BROKEN_REPORT, notes)]
    return [_named_by_file(input_id, path, FoundReport(with_plain_breaks(text)))]


def _may_be_table(text: str, suffix: str) -> bool:
    """Whether a text is JSON, or opens with a line of several short names as tables do."""
    first = text.lstrip()[:4096].splitlines()[0] if text.strip() else ""
    if suffix in (".csv", ".tsv", ".json", ".jsonl", ".ndjson") or first[:1] in ("{", "["):
        return True
    cells = re.split(r"[,;\t|]", first)
    return len(cells) > 1 and all(len(cell.strip()) <= 40 for cell in cells) and not first.rstrip().endswith((".", ":"))


def _named_by_file(input_id: str, path: Path, found: FoundReport) -> LooseReport | SetAside:
    """A report that its file's stem names; numbers that stand in it come first."""
    numbers = (*found.numbers, path.stem)
    named = Identifiers(ids=(path.stem,)) + found.identifiers
    return loose(input_id, FoundReport(**{**found.__dict__, "numbers": numbers, "identifiers": named}))


def _messages(input_id: str, content: bytes, columns: ReportColumns) -> list[LooseReport | SetAside]:
    found = read_hl7(content, columns.accession_fields)
    ids = [f"{input_id}//{place}" for place in range(1, len(found) + 1)] if len(found) > 1 else [input_id]
    return [
        SetAside(name, "report", one) if isinstance(one, Reason) else loose(name, one)
        for name, one in zip(ids, found, strict=True)
    ]


def loose(input_id: str, found: FoundReport) -> LooseReport | SetAside:
    """A report that was read, ready to be linked; set aside where it is too long to be one."""
    if len(found.text) > MAX_TEXT:
        return SetAside(input_id, "report", Reason.BROKEN_REPORT)
    first, *others = found.numbers or (input_id,)
    return LooseReport(
        report=ReportInput(input_id, found.text),
        study_number=first,
        patient=found.patient.strip(),
        date=found.date,
        age=found.age,
        sex=found.sex,
        identifiers=found.identifiers,
        other_numbers=tuple(others),
        status=found.status,
        issued=found.issued,
        is_addendum=found.is_addendum,
    )


def _find_columns(table: Table, given: ReportColumns) -> _Columns | None:
    """The columns by their roles; None where there is none with the number of the study or with the text."""
    head = [dict.fromkeys(table.names, "")]

    def column(own: str | None, usual: Sequence[str]) -> str | None:
        return find_column(head, (own,) if own else usual)

    number = column(given.number, STUDY_NUMBER_COLUMNS)
    body: tuple[str | None, ...] = (column(given.body, _BODY),)
    if body == (None,):
        body = tuple(column(name.strip(), ()) for name in given.body.split(",")) if given.body else ()
        body = body or tuple(name for one in _PARTS if (name := column(one, ())))
    named = (given.patient, given.date)
    if number is None or not body or None in body or any(name and find_column(head, (name,)) is None for name in named):
        return None
    others = () if given.number else tuple(name for one in STUDY_NUMBER_COLUMNS if (name := column(one, ())) and name != number)
    return _Columns(
        number=number,
        body=tuple(name for name in body if name),
        others=tuple(dict.fromkeys(others)),
        patient=column(given.patient, _PATIENT),
        date=column(given.date, _DATE),
        status=column(None, _STATUS),
        age=column(None, ("age", "patient_age")),
        sex=column(None, ("sex", "gender", "patient_sex")),
    )


def _require_columns(table: Table, given: ReportColumns, path: Path) -> _Columns:
    columns = _find_columns(table, given)
    if columns is not None:
        return columns
    head = [dict.fromkeys(table.names, "")]
    wanted = (
        ((given.number,) if given.number else STUDY_NUMBER_COLUMNS, given.number or "accession_number", "--number-column"),
        ((given.patient,) if given.patient else table.names, given.patient or "", "--patient-column"),
        ((given.date,) if given.date else table.names, given.date or "", "--date-column"),
    )
    absent = ((name, option) for names, name, option in wanted if find_column(head, names) is None)
    missing, option = next(absent, (given.body or "report", "--report-column"))
    # The columns are not listed: a table without a header line would show its first patient.
    there = f"{len(table.names)} columns" if table.rows else "no row"
    raise InputError(f"{path} has no column {missing!r} in its header line (found {there}): name yours with {option}")


def _rows(table: Table, columns: _Columns, prefix: str) -> Iterator[LooseReport | SetAside]:
    """The rows in their order, broken ones among them."""
    name = prefix or "report//row "
    broken = [(number, SetAside(f"{name}{number}", "report", Reason.BROKEN_REPORT)) for number in table.broken]
    read = [(number, _row(f"{name}{number}", row, columns)) for number, row in table.rows]
    yield from (one for _, one in sorted([*broken, *read], key=lambda pair: pair[0]))


def _row(input_id: str, row: Row, columns: _Columns) -> LooseReport | SetAside:
    texts = {name: with_plain_breaks(row[name]) for name in columns.body}
    text = next(iter(texts.values()))
    if len(texts) > 1:
        text = "\n\n".join(f"{name.upper().replace('_', ' ')}: {body}" for name, body in texts.items() if body)
    status, is_addendum = _status_of(row[columns.status] if columns.status else "")
    years = row[columns.age] if columns.age else ""
    named = (columns.number, *columns.others)
    found = FoundReport(
        text=text,
        numbers=tuple(dict.fromkeys(row[name] for name in named if row[name])),
        patient=row[columns.patient] if columns.patient else "",
        date=parse_date(row[columns.date]) if columns.date else None,
        age=years_as_allowed(int(float(years)) if years.replace(".", "", 1).isdigit() else None),
        sex=sex_as_allowed(row[columns.sex] if columns.sex else None),
        status=status,
        is_addendum=is_addendum,
        identifiers=row_identifiers(row, frozenset(columns.body)) + _named_by_role(row, columns),
    )
    one = loose(input_id, found)
    return one if isinstance(one, SetAside) else replace(one, is_row=True)


def _status_of(written: str) -> tuple[ReportStatus, bool]:
    """What a cell says about a report, and whether it is an addendum."""
    word = written.strip().lower()
    if word.startswith(("addend", "nachtrag")):
        return ReportStatus.FINAL, True
    starts = {
        ReportStatus.PRELIMINARY: ("prelim", "draft", "vorl", "unverified", "provis", "wet"),
        ReportStatus.CORRECTED: ("correct", "amend", "revis"),
        ReportStatus.FINAL: ("final", "verified", "signed", "complete", "endg", "approved", "definit"),
    }
    told = next((status for status, words in starts.items() if word.startswith(words)), None)
    letters = {"p": ReportStatus.PRELIMINARY, "f": ReportStatus.FINAL, "c": ReportStatus.CORRECTED}
    return told or letters.get(word, ReportStatus.UNKNOWN), False


def _named_by_role(row: Row, columns: _Columns) -> Identifiers:
    """Identifiers of columns whose role is known, and of those whose name tells nothing ("Zuweiser").

    Such a column is taken to identify: too much removed can be seen, too little cannot be taken back.
    """
    ids = [row[column] for column in (columns.number, *columns.others, columns.patient) if column and row[column]]
    dates = [parsed for column in (columns.date,) if column and (parsed := parse_date(row[column]))]
    without = frozenset({*columns.body, columns.number, *columns.others, columns.patient, columns.date, columns.status})
    return Identifiers(ids=tuple(ids), dates=tuple(dates)) + unknown_identifiers(row, without)
