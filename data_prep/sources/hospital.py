"""A hospital's export: a folder of DICOM files under any names, and reports by accession number or study UID.

SRC/ **/*            every file is looked into; names and extensions mean nothing; SR, PDF and CDA objects are reports
SRC/reports.csv      accession_number, report, and what else there is   (or --reports; .tsv, .json and .jsonl too)
SRC/reports/*        a file a study, its stem the accession number or study UID; HL7 messages; tables; any mix of them
SRC/labels.csv       accession_number and one column a finding          (or --labels)
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from cxrpt.errors import InputError
from data_prep.files.export_files import ExportFiles, find_files
from data_prep.files.tables import read_labels
from data_prep.inputs import Export, SetAside
from data_prep.ledger import Note
from data_prep.linking.link import link
from data_prep.linking.scan_dicom import SCAN_CHUNK, refused_image, scan_headers
from data_prep.linking.shared_images import SharedImages
from data_prep.loose import NOBODY, LooseImage, LooseReport
from data_prep.processes.scan import Reading, scan_files
from data_prep.reports.hospital_reports import ReportColumns, read_reports
from data_prep.reports.read_hl7 import ACCESSION_FIELDS


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
    for option, path in (("--reports", options.reports), ("--labels", options.labels)):
        if path is not None and not path.exists():
            raise InputError(f"{option} {path} does not exist: name the table, or leave the option out")
    reports, labels = options.reports or find_reports(src), options.labels or find_labels(src)
    found = find_files(src, {path.resolve() for path in (reports, labels) if path})
    if not found and reports is None:
        raise InputError(f"{src} is empty: name the folder of the export")
    return found, replace(options, reports=reports, labels=labels)


def find_reports(src: Path) -> Path | None:
    """The reports of an export by convention.

    Raises:
        InputError: there are several.
    """
    found = [src / name for name in _REPORT_NAMES if (src / name).exists()]
    if len(found) > 1:
        raise InputError(
            f"{src} holds {' and '.join(path.name for path in found)}: move the tables into the folder reports/, which may "
            "hold both, or name one with --reports"
        )
    return found[0] if found else None


def find_labels(src: Path) -> Path | None:
    """The labels of an export by convention."""
    return src / "labels.csv" if (src / "labels.csv").is_file() else None


_REPORT_NAMES = ("reports.csv", "reports.tsv", "reports.jsonl", "reports.json", "reports")


def collect(src: Path, files: Sequence[Path], options: HospitalOptions, reading: Reading) -> Export:
    """Read all headers, reports and labels and put them together."""
    assert isinstance(files, ExportFiles), "as files_of gave them"
    scan = partial(scan_headers, seconds=reading.file_seconds, all_chest=options.all_chest, root=src)
    images: list[LooseImage] = []
    set_aside: list[SetAside] = []
    found: list[LooseReport] = []
    shared = SharedImages(src)
    for names, part in scan_files(scan, files.names, "headers", reading, SCAN_CHUNK):
        for name, one in zip(names, part, strict=True):
            if isinstance(one, LooseImage):
                image = shared.take(one, name)
                if image.refused is not None:
                    set_aside.append(refused_image(image))
                # A header without a picture counts for what it alone says: of a thousand slices of a CT, the first does.
                if image.refused is None or image.identifiers != NOBODY:
                    images.append(image)
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
    reports, broken = _read_reports(options, reading) if options.reports else ([], [])
    persons = [column for column in (options.patient_column, options.date_column) if column]
    labels = read_labels(options.labels, options.number_column, persons) if options.labels else {}
    linked = link(unique, [*reports, *found], labels)
    remarks = [] if options.reports or found else ["no reports were found or named: images only"]
    if tables := sum(Note.COLUMNS_MISSING in one.notes for one in broken):
        remarks.append(_tables_without_columns(tables, options, reports))
    if options.labels:
        remarks.append(f"labels: {linked.labels_without_study} of {len(labels)} studies of the table are not in the export")
    return Export(linked.studies, (*set_aside, *broken, *linked.set_aside), remarks=tuple(remarks))


def _tables_without_columns(tables: int, options: HospitalOptions, reports: Sequence[LooseReport]) -> str:
    """What is to be said of tables among the reports that have none of the columns.

    Raises:
        InputError: columns were named, and no table has them: a slip would lose all reports.
    """
    without = f"{tables} tables among the reports have no column for the study or the text"
    named = {"--number-column": options.number_column, "--report-column": options.report_column}
    given = ", ".join(f"{option} {column!r}" for option, column in named.items() if column)
    if given and not any(one.is_row for one in reports):
        raise InputError(f"--reports {options.reports}: {without}, and none has both: mend {given}")
    return f"{without}: name yours with --number-column and --report-column"


def _unique_image_ids(images: list[LooseImage]) -> list[LooseImage]:
    """The first file of a SOPInstanceUID keeps it; others add their path, as two files cannot share a key."""
    seen: set[str] = set()
    unique = []
    for one in sorted(images, key=lambda one: one.image.input_id):
        image = one.image
        if one.refused is None and image.image_id in seen:
            one = replace(one, image=replace(image, image_id=f"{image.image_id} {image.input_id}"))
        elif one.refused is None:
            seen.add(image.image_id)
        unique.append(one)
    return unique


def _read_reports(options: HospitalOptions, reading: Reading) -> tuple[list[LooseReport], list[SetAside]]:
    assert options.reports is not None
    columns = ReportColumns(
        options.number_column, options.report_column, options.patient_column, options.date_column, options.accession_fields
    )
    return read_reports(options.reports, columns, reading)
