"""A hospital's export: a folder of DICOM files under any names, and reports by accession number or study UID.

SRC/ **/*            every file is looked into; names and extensions mean nothing; SR, PDF and CDA objects are reports
SRC/reports.csv      accession_number, report, and what else there is   (or --reports; .tsv, .json and .jsonl too)
SRC/reports/*        a file a study, its stem the accession number or study UID; HL7 messages; tables; any mix of them
SRC/labels.csv       accession_number and one column a finding          (or --labels)
"""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from pydicom.dataset import Dataset

from cxrpt.errors import InputError
from data_prep.chest import header_view, judge_header
from data_prep.export_files import ExportFiles, find_files, reason_against_path
from data_prep.found_report import years_between
from data_prep.hospital_reports import ReportColumns, loose, read_reports
from data_prep.identifiers import header_identifiers, parse_date
from data_prep.inputs import Export, ImageInput, SetAside, sex_as_allowed, years_as_allowed
from data_prep.ledger import Reason
from data_prep.link import link
from data_prep.loose import LooseImage, LooseReport
from data_prep.read_dicom import Refused, check_size, libraries_silenced, read_header, text
from data_prep.read_hl7 import ACCESSION_FIELDS
from data_prep.read_sr import holds_report, read_report_object
from data_prep.shared_images import SharedImages
from data_prep.tables import read_labels
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
    accession_fields: tuple[str, ...] = ACCESSION_FIELDS
    """Where HL7 messages have the accession number, the most telling field first."""


def files_of(src: Path, options: HospitalOptions) -> tuple[Sequence[Path], HospitalOptions]:
    """Every file that may be an image, sorted by relative path, and the options with what was found by convention.

    Links out of the export, links to nothing and folders that cannot be opened are among them: they end in the ledger.

    Raises:
        InputError: `src` is no folder, or holds nothing.
    """
    if not src.is_dir():
        raise InputError(f"{src} is no folder: name the folder of the export")
    reports = options.reports or next((src / name for name in _REPORT_NAMES if (src / name).exists()), None)
    labels = options.labels or (src / "labels.csv" if (src / "labels.csv").is_file() else None)
    found = find_files(src, {path.resolve() for path in (reports, labels) if path})
    if not found and reports is None:
        raise InputError(f"{src} is empty: name the folder of the export")
    return found, replace(options, reports=reports, labels=labels)


_REPORT_NAMES = ("reports.csv", "reports.tsv", "reports.jsonl", "reports.json", "reports")


def collect(src: Path, files: Sequence[Path], options: HospitalOptions, processes: int) -> Export:
    """Read all headers, reports and labels and put them together."""
    assert isinstance(files, ExportFiles), "as files_of gave them"
    chunks = [
        (number, files.names[start : start + SCAN_CHUNK]) for number, start in enumerate(range(0, len(files), SCAN_CHUNK))
    ]
    scan = partial(scan_chunk, root=src, all_chest=options.all_chest)
    images: list[LooseImage] = []
    set_aside: list[SetAside] = []
    found: list[LooseReport] = []
    shared = SharedImages(src)
    for number, part in run_chunks(scan, chunks, processes):
        for name, one in zip(chunks[number][1], part, strict=True):
            if isinstance(one, LooseImage):
                images.append(shared.take(one, name))
            elif isinstance(one, LooseReport):
                found.append(one)
            else:
                set_aside.append(one)
    del shared
    found.sort(key=lambda report: report.report.input_id)
    set_aside.sort(key=lambda one: one.input_id)
    # An iterator: once linking has gone through it, nobody keeps the whole list.
    unique = iter(_unique_image_ids(images))
    del images
    reports, broken = _read_reports(options, processes) if options.reports else ([], [])
    labels = read_labels(options.labels) if options.labels else {}
    linked = link(unique, [*reports, *found], labels)
    remarks = [] if options.reports or found else ["no reports were found or named: images only"]
    if options.labels:
        remarks.append(f"labels: {linked.labels_without_study} of {len(labels)} studies of the table are not in the export")
    return Export(linked.studies, (*set_aside, *broken, *linked.set_aside), remarks=tuple(remarks))


def scan_chunk(
    number: int, items: Sequence[str], crashed: frozenset[int], root: Path, all_chest: bool = False
) -> list[LooseImage | LooseReport | SetAside]:
    """Read the headers of some files, by relative name; every one ends as an image to try, a report, or as set aside."""
    scanned: list[LooseImage | LooseReport | SetAside] = []
    for place, input_id in enumerate(items):
        if place in crashed:
            scanned.append(SetAside(input_id, "dicom", Reason.CRASHED))
            continue
        try:
            scanned.append(_scan(input_id, root, all_chest))
        except Refused as refused:
            scanned.append(SetAside(input_id, "dicom", refused.reason))
        except Exception:
            # Whatever a hostile header makes of pydicom's lazy values; the message may quote it.
            scanned.append(SetAside(input_id, "dicom", Reason.BROKEN_HEADER))
    return scanned


def _scan(input_id: str, root: Path, all_chest: bool) -> LooseImage | LooseReport | SetAside:
    path = root / input_id
    if reason := reason_against_path(path):
        raise Refused(reason)
    header = read_header(path)
    with libraries_silenced():
        if holds_report(header):
            return _scan_report(input_id, header)
        verdict = judge_header(header)
        if verdict.reason is not None:
            return SetAside(input_id, "dicom", verdict.reason)
        check_size(header)
        uid = _exact(header, "SOPInstanceUID")
        by_content = verdict.by_content and not all_chest
        image = ImageInput(input_id, root, "dicom", uid or f"file {input_id}", header_view(header), by_content, is_below=True)
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


def _scan_report(input_id: str, header: Dataset) -> LooseReport | SetAside:
    """A document among the images; its age comes from the header as that of an image does."""
    try:
        report = loose(input_id, read_report_object(header))
    except Refused as refused:
        return SetAside(input_id, "report", refused.reason)
    except Exception:
        # As for headers: the message may quote the document.
        return SetAside(input_id, "report", Reason.BROKEN_REPORT)
    if isinstance(report, SetAside):
        return report
    return replace(report, age=years_as_allowed(header_age(header, report.date)))


def _exact(header: Dataset, keyword: str) -> str:
    """An element's own text, blanks around it aside."""
    value = header.get(keyword)
    return "" if value is None else str(value).strip()


def header_age(header: Dataset, study_date: datetime.date | None) -> int | None:
    """Whole years from PatientAge (`045Y`, `006M`), else from birth and study date."""
    written = text(header, "PatientAge")
    if written[:-1].isdigit() and written[-1:] in "YMWD":
        return int(int(written[:-1]) / {"Y": 1, "M": 12, "W": 52.18, "D": 365.25}[written[-1]])
    return years_between(parse_date(_exact(header, "PatientBirthDate")), study_date)


def _unique_image_ids(images: list[LooseImage]) -> list[LooseImage]:
    """The first file of a SOPInstanceUID keeps it; others add their path, as two files cannot share a key."""
    seen: set[str] = set()
    unique = []
    for one in sorted(images, key=lambda one: one.image.input_id):
        image = one.image
        if image.image_id in seen:
            one = replace(one, image=replace(image, image_id=f"{image.image_id} {image.input_id}"))
        seen.add(image.image_id)
        unique.append(one)
    return unique


def _read_reports(options: HospitalOptions, processes: int | None = None) -> tuple[list[LooseReport], list[SetAside]]:
    assert options.reports is not None
    columns = ReportColumns(
        options.number_column, options.report_column, options.patient_column, options.date_column, options.accession_fields
    )
    return read_reports(options.reports, columns, processes)
