"""A hospital's export: a folder of DICOM files under any names, and reports by accession number or study UID.

SRC/ **/*            every file is looked into; names and extensions mean nothing
SRC/reports.csv      accession_number, report, and what else there is   (or --reports)
SRC/reports/*.txt    a file a study, its stem the accession number or study UID
SRC/labels.csv       accession_number and one column a finding          (or --labels)
"""

import datetime
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pydicom.dataset import Dataset

from cxrpt.errors import InputError
from data_prep.chest import header_view, judge_header
from data_prep.identifiers import header_identifiers, parse_date, row_identifiers, unknown_identifiers
from data_prep.inputs import Export, Identifiers, ImageInput, ReportInput, SetAside, sex_as_allowed, years_as_allowed
from data_prep.ledger import Reason
from data_prep.link import LooseImage, LooseReport, link
from data_prep.read_dicom import Refused, check_size, libraries_silenced, read_header, text
from data_prep.tables import STUDY_NUMBER_COLUMNS, Row, decode_text, find_column, read_labels, read_table, require_column
from data_prep.workers import run_chunks

SCAN_CHUNK = 256


@dataclass(frozen=True)
class HospitalOptions:
    """Where the parts of the export lie, and what its report table calls its columns."""

    reports: Path | None = None
    labels: Path | None = None
    number_column: str | None = None
    report_column: str | None = None
    patient_column: str | None = None
    date_column: str | None = None
    all_chest: bool = False
    """The export holds chest radiographs only: pictures whose header is silent are taken for such."""


def files_of(src: Path, options: HospitalOptions) -> tuple[list[Path], HospitalOptions]:
    """Every file that may be an image, sorted by relative path, and the options with what was found by convention.

    Raises:
        InputError: `src` is no folder, or holds nothing.
    """
    if not src.is_dir():
        raise InputError(f"{src} is no folder: name the folder of the export")
    reports = options.reports or next((src / name for name in ("reports.csv", "reports") if (src / name).exists()), None)
    labels = options.labels or (src / "labels.csv" if (src / "labels.csv").is_file() else None)
    own = {path.resolve() for path in (reports, labels) if path}
    found = []
    for folder, folders, names in os.walk(src):
        folders[:] = sorted(name for name in folders if (Path(folder) / name).resolve() not in own)
        found += [path for name in names if (path := Path(folder) / name).resolve() not in own]
    if not found and reports is None:
        raise InputError(f"{src} is empty: name the folder of the export")
    given = {**options.__dict__, "reports": reports, "labels": labels}
    return sorted(found), HospitalOptions(**given)


def collect(src: Path, files: Sequence[Path], options: HospitalOptions, processes: int) -> Export:
    """Read all headers, reports and labels and put them together."""
    items = [(str(path.relative_to(src)), path) for path in files]
    chunks = [(number, items[start : start + SCAN_CHUNK]) for number, start in enumerate(range(0, len(items), SCAN_CHUNK))]
    scan = partial(scan_chunk, all_chest=options.all_chest)
    scanned = [one for _, part in sorted(run_chunks(scan, chunks, processes)) for one in part]
    images = _unique_image_ids([one for one in scanned if isinstance(one, LooseImage)])
    set_aside = [one for one in scanned if isinstance(one, SetAside)]
    reports, broken = _read_reports(options) if options.reports else ([], [])
    labels = read_labels(options.labels) if options.labels else {}
    linked = link(images, reports, labels)
    remarks = [] if options.reports else ["no reports were found or named: images only"]
    if options.labels:
        remarks.append(f"labels: {linked.labels_without_study} of {len(labels)} studies of the table are not in the export")
    return Export(linked.studies, (*set_aside, *broken, *linked.set_aside), remarks=tuple(remarks))


def scan_chunk(
    number: int, items: Sequence[tuple[str, Path]], crashed: frozenset[int], all_chest: bool = False
) -> list[LooseImage | SetAside]:
    """Read the headers of some files; every one ends as an image to try or as set aside."""
    scanned: list[LooseImage | SetAside] = []
    for place, (input_id, path) in enumerate(items):
        if place in crashed:
            scanned.append(SetAside(input_id, "dicom", Reason.CRASHED))
            continue
        try:
            scanned.append(_scan(input_id, path, all_chest))
        except Refused as refused:
            scanned.append(SetAside(input_id, "dicom", refused.reason))
        except Exception:
            # Whatever a hostile header makes of pydicom's lazy values; the message may quote it.
            scanned.append(SetAside(input_id, "dicom", Reason.BROKEN_HEADER))
    return scanned


def _scan(input_id: str, path: Path, all_chest: bool) -> LooseImage | SetAside:
    if not path.is_file():
        raise Refused(Reason.CANNOT_READ)
    header = read_header(path)
    with libraries_silenced():
        verdict = judge_header(header)
        if verdict.reason is not None:
            return SetAside(input_id, "dicom", verdict.reason)
        check_size(header)
        uid = _exact(header, "SOPInstanceUID")
        image = ImageInput(
            input_id, path, "dicom", uid or f"file {input_id}", header_view(header), verdict.by_content and not all_chest
        )
        date = parse_date(_exact(header, "StudyDate"))
        return LooseImage(
            image=image,
            patient=_exact(header, "PatientID"),
            study_uid=_exact(header, "StudyInstanceUID"),
            accession=_exact(header, "AccessionNumber"),
            date=date,
            age=years_as_allowed(header_age(header, date)),
            sex=sex_as_allowed(text(header, "PatientSex")),
            identifiers=header_identifiers(header),
        )


def _exact(header: Dataset, keyword: str) -> str:
    """An element's own text, blanks around it aside."""
    value = header.get(keyword)
    return "" if value is None else str(value).strip()


def header_age(header: Dataset, study_date: datetime.date | None) -> int | None:
    """Whole years from PatientAge (`045Y`, `006M`), else from birth and study date."""
    written = text(header, "PatientAge")
    if written[:-1].isdigit() and written[-1:] in "YMWD":
        return int(int(written[:-1]) / {"Y": 1, "M": 12, "W": 52.18, "D": 365.25}[written[-1]])
    born = parse_date(_exact(header, "PatientBirthDate"))
    if born is None or study_date is None:
        return None
    return study_date.year - born.year - ((study_date.month, study_date.day) < (born.month, born.day))


def _unique_image_ids(images: list[LooseImage]) -> list[LooseImage]:
    """The first file of a SOPInstanceUID keeps it; others add their path, as two files cannot share a key."""
    seen: set[str] = set()
    unique = []
    for image in sorted(images, key=lambda one: one.image.input_id):
        if image.image.image_id in seen:
            fields = {**image.image.__dict__, "image_id": f"{image.image.image_id} {image.image.input_id}"}
            image = LooseImage(**{**image.__dict__, "image": ImageInput(**fields)})
        seen.add(image.image.image_id)
        unique.append(image)
    return unique


def _read_reports(options: HospitalOptions) -> tuple[list[LooseReport], list[SetAside]]:
    assert options.reports is not None
    if options.reports.is_dir():
        return _report_files(options.reports)
    rows = read_table(options.reports, "--reports")
    number = require_column(rows, _names(options.number_column, STUDY_NUMBER_COLUMNS), options.reports, "--number-column")
    body = require_column(
        rows, _names(options.report_column, ("report", "report_text", "text")), options.reports, "--report-column"
    )
    patient = find_column(rows, _names(options.patient_column, ("patient_id", "PatientID", "subject_id", "mrn")))
    date = find_column(rows, _names(options.date_column, ("study_date", "StudyDate", "date", "exam_date")))
    return [_row_report(place, row, number, body, patient, date) for place, row in enumerate(rows, 1)], []


def _names(given: str | None, usual: tuple[str, ...]) -> tuple[str, ...]:
    return (given,) if given else usual


def _row_report(place: int, row: Row, number: str, body: str, patient: str | None, date: str | None) -> LooseReport:
    age, sex = find_column([row], ("age", "patient_age")), find_column([row], ("sex", "gender", "patient_sex"))
    years = row[age] if age else ""
    return LooseReport(
        report=ReportInput(f"report row {place}", row[body]),
        study_number=row[number] or f"report row {place}",
        patient=row[patient] if patient else "",
        date=parse_date(row[date]) if date else None,
        age=years_as_allowed(int(float(years)) if years.replace(".", "", 1).isdigit() else None),
        sex=sex_as_allowed(row[sex] if sex else None),
        identifiers=row_identifiers(row, frozenset({body})) + _named_by_user(row, number, body, patient, date),
    )


def _named_by_user(row: Row, number: str, body: str, patient: str | None, date: str | None) -> Identifiers:
    """Identifiers of columns whose role the command line gave, and of those whose name tells nothing ("Zuweiser").

    Such a column is taken to identify: too much removed can be seen, too little cannot be taken back.
    """
    ids = [row[column] for column in (number, patient) if column and row[column]]
    dates = [parsed for column in (date,) if column and (parsed := parse_date(row[column]))]
    return Identifiers(ids=tuple(ids), dates=tuple(dates)) + unknown_identifiers(row, frozenset({body, number, patient, date}))


def _report_files(folder: Path) -> tuple[list[LooseReport], list[SetAside]]:
    reports: list[LooseReport] = []
    broken: list[SetAside] = []
    for path in sorted(path for path in folder.rglob("*") if not path.is_dir()):
        input_id = f"report {path.relative_to(folder)}"
        try:
            content = decode_text(path.read_bytes()) if path.is_file() else None
        except OSError:
            content = None
        if content is None:
            broken.append(SetAside(input_id, "report", Reason.CANNOT_READ))
        elif "\0" in content or content.lstrip().startswith(("{\\rtf", "%PDF", "<?xml", "<html", "<!DOCTYPE")):
            broken.append(SetAside(input_id, "report", Reason.BROKEN_REPORT))
        else:
            reports.append(LooseReport(ReportInput(input_id, content), path.stem, identifiers=Identifiers(ids=(path.stem,))))
    return reports, broken
