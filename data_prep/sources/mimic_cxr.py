"""MIMIC-CXR as PhysioNet publishes it: radiographs as DICOM or JPG, reports, labels, and an official split.

    files/p10/p10000032/s50414267/<dicom_id>.dcm    or .jpg; a DICOM file is taken before a JPG of the same picture
    files/p10/p10000032/s50414267.txt               the report; mimic-cxr-reports.zip unpacked, here or at --reports
    mimic-cxr-2.0.0-metadata.csv[.gz]               views, shifted dates of studies     here or at --tables
    mimic-cxr-2.0.0-split.csv[.gz]                  train, validate (val), test
    mimic-cxr-2.0.0-chexpert.csv[.gz]               labels of a study; -negbio where it is not there
    cxr-record-list.csv[.gz] cxr-study-list.csv[.gz]    what there is to fetch

An input is a file that is there: few have all of the data set. What the lists name and the disk lacks is a remark. Ids and
dates come from paths and tables; ages stand in no table, and in DICOM headers only where they were left.
"""

import datetime
import os
import re
from collections.abc import Container
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from cxrpt.errors import InputError
from data_prep.files.cells import label_of, split_of
from data_prep.files.encodings import decode_text
from data_prep.files.table_rows import pick_columns, read_values
from data_prep.inputs import SPLIT_BY_HASH, Export, Identifiers, ImageInput, ReportInput, SetAside, Study
from data_prep.ledger import Reason
from data_prep.linking.scan_dicom import choose_files
from data_prep.loose import LooseImage
from data_prep.pictures.views import normalise_view
from data_prep.privacy.identifiers import parse_date
from data_prep.processes.scan import Reading
from data_prep.sources.official_split import OFFICIAL, split_by_patient
from data_prep.sources.opened import OpenedSource, fingerprint

_IMAGE = re.compile(r"(?:^|/)p(\d{8})/s(\d{8})/([^/]+)\.(dcm|jpg|jpeg)$", re.IGNORECASE)
_REPORT = re.compile(r"(?:^|/)p(\d{8})/s(\d{8})\.txt$")
_TABLE = re.compile(r"(?:mimic-cxr-[\d.]+-(metadata|split|chexpert|negbio)|cxr-(record-list|study-list))\.csv(?:\.gz)?$")
_REPORTS_ARCHIVE = "mimic-cxr-reports.zip"
_IDS = frozenset({"subject_id", "study_id"})


@dataclass(frozen=True)
class MimicOptions:
    """Where the parts lie that are published apart."""

    reports: Path | None = None
    """Folder that mimic-cxr-reports.zip was unpacked in. Default: SRC."""
    tables: Path | None = None
    """Folder of the CSV tables, which come with the JPG files. Default: SRC."""


@dataclass(frozen=True)
class _Found:
    images: tuple[Path, ...]
    reports: tuple[Path, ...]
    reports_root: Path
    tables: dict[str, Path]
    """By what they hold: metadata, split, chexpert, negbio, record-list, study-list."""


def open_source(src: Path, options: MimicOptions) -> OpenedSource:
    """Find pictures, reports and tables.

    Raises:
        InputError: a folder that is none, or nothing in it that is laid out as the data set.
    """
    found = _find(src, options)
    reports = fingerprint(found.reports_root, found.reports)
    return OpenedSource(fingerprint(src, found.images, found.tables.values(), [reports]), partial(collect, src, found))


def _find(src: Path, options: MimicOptions) -> _Found:
    for option, given in (("--reports", options.reports), ("--tables", options.tables), ("SRC", src)):
        if given is not None and not given.is_dir():
            raise InputError(f"{option} {given} is no folder: name where that part of MIMIC-CXR was put")
    images: list[Path] = []
    reports: list[Path] = []
    tables: dict[str, Path] = {}
    reports_root, tables_root = options.reports or src, options.tables or src
    packed = None
    for root in dict.fromkeys((src, reports_root, tables_root)):
        for folder, folders, names in os.walk(root):
            folders.sort()
            for name in names:
                path = Path(folder) / name
                if root == src and name.lower().endswith((".dcm", ".jpg", ".jpeg")):
                    images.append(path)
                elif root == reports_root and name.endswith(".txt") and _REPORT.search(path.as_posix()):
                    reports.append(path)
                elif root == tables_root and (match := _TABLE.match(name)):
                    tables.setdefault(match[1] or match[2], path)
                elif name == _REPORTS_ARCHIVE:
                    packed = path
    if packed is not None and not reports:
        raise InputError(f"{packed} is still packed: unpack it, and name the folder with --reports if it is not SRC")
    if not reports and not any(_IMAGE.search(path.as_posix()) for path in images):
        raise InputError(
            f"{src} holds no files/p10/p10000032/s50414267/*.dcm or *.jpg and no reports: name where MIMIC-CXR was put"
        )
    if options.reports and not reports:
        raise InputError(
            f"--reports {options.reports} holds no files/p10/p10000032/s50414267.txt: unpack {_REPORTS_ARCHIVE} there"
        )
    if options.tables and not tables:
        raise InputError(f"--tables {options.tables} holds no mimic-cxr-2.0.0-*.csv or *.csv.gz: name the folder that has them")
    return _Found(tuple(sorted(images)), tuple(sorted(reports)), reports_root, tables)


_Key = tuple[str, str]
"""Patient and study."""


@dataclass
class _Draft:
    """A study while it is put together."""

    images: list[ImageInput] = field(default_factory=list)
    headers: list[LooseImage] = field(default_factory=list)
    report: ReportInput | None = None


def collect(src: Path, found: _Found, reading: Reading) -> Export:
    """Put pictures, reports and the tables' words together; only headers of DICOM files are read."""
    drafts: dict[_Key, _Draft] = {}
    set_aside = _add_images(src, found, drafts, reading)
    set_aside += _add_reports(found, drafts)
    wanted = frozenset(study for _, study in drafts)
    labels, labels_remark = _labels(found.tables, wanted)
    days = _days(found.tables, wanted)
    splits = _splits(found.tables)
    studies = [_study(key, drafts[key], labels, days, splits) for key in sorted(drafts)]
    num_unlisted = sum(patient not in splits for patient, _ in drafts)
    if not splits:
        split_remark = "no official split: mimic-cxr-2.0.0-split.csv(.gz) is not there; split by patient"
    else:
        split_remark = "official split (validate is val)"
        split_remark += f"; {num_unlisted} studies whose patient it does not name went to train" if num_unlisted else ""
    remarks = [*_what_is_there(found), split_remark, labels_remark]
    return Export(tuple(studies), tuple(set_aside), OFFICIAL if splits else SPLIT_BY_HASH, tuple(remarks))


def _add_images(src: Path, found: _Found, drafts: dict[_Key, _Draft], reading: Reading) -> list[SetAside]:
    """One picture a dicom_id, with its view; what lies outside the layout, copies and refused headers are set aside."""
    set_aside: list[SetAside] = []
    copies: dict[str, list[tuple[str, Path]]] = {}
    keys: dict[str, _Key] = {}
    for path in sorted(found.images, key=lambda path: path.suffix.lower() != ".dcm"):
        input_id, match = os.path.relpath(path, src), _IMAGE.search(path.as_posix())
        if match is None:
            kind = "dicom" if path.suffix.lower() == ".dcm" else "picture"
            set_aside.append(SetAside(input_id, kind, Reason.NOT_IN_TABLE))
        else:
            copies.setdefault(match[3], []).append((input_id, path))
            keys[input_id] = (match[1], match[2])
    chosen, headers, spare = choose_files(copies, reading)
    views = _views(found.tables, chosen)
    for name in sorted(chosen):
        input_id, path = chosen[name]
        if path.suffix.lower() != ".dcm":
            image = ImageInput(input_id, path, "picture", name, views.get(name, "UNKNOWN"))
        elif header := headers.get(input_id):
            view = views.get(name, "UNKNOWN")
            image = replace(header.image, image_id=name, view=view if view != "UNKNOWN" else header.image.view)
        else:
            continue
        draft = drafts.setdefault(keys[input_id], _Draft())
        draft.images.append(image)
        draft.headers += [headers[input_id]] if input_id in headers else []
    return set_aside + spare


def _add_reports(found: _Found, drafts: dict[_Key, _Draft]) -> list[SetAside]:
    set_aside = []
    for path in found.reports:
        input_id = f"report {os.path.relpath(path, found.reports_root)}"
        match = _REPORT.search(path.as_posix())
        assert match is not None
        try:
            text = decode_text(path.read_bytes())
        except OSError:
            set_aside.append(SetAside(input_id, "report", Reason.CANNOT_READ))
            continue
        if "\0" in text:
            set_aside.append(SetAside(input_id, "report", Reason.BROKEN_REPORT))
            continue
        draft = drafts.setdefault((match[1], match[2]), _Draft())
        if draft.report is None:
            draft.report = ReportInput(input_id, text)
        else:
            set_aside.append(SetAside(input_id, "report", Reason.DUPLICATE_REPORT))
    return set_aside


def _views(tables: dict[str, Path], wanted: Container[str]) -> dict[str, str]:
    """View by dicom_id; the code's meaning stands in where ViewPosition is empty (about 15,700 pictures)."""
    if "metadata" not in tables:
        return {}
    rows = pick_columns(tables["metadata"], "table", "dicom_id", "ViewPosition", "ViewCodeSequence_CodeMeaning")
    return {name: normalise_view(position or meaning) for name, position, meaning in rows if name in wanted}


def _days(tables: dict[str, Path], wanted: Container[str]) -> dict[str, int]:
    """Days since the first study of the patient by study, the first of all that the table lists, fetched or not."""
    if "metadata" not in tables:
        return {}
    first: dict[str, int] = {}
    dates: dict[str, tuple[str, int]] = {}
    parsed: dict[str, datetime.date | None] = {}
    for patient, study, written in pick_columns(tables["metadata"], "table", "subject_id", "study_id", "StudyDate"):
        if written not in parsed:
            parsed[written] = parse_date(written)
        if (date := parsed[written]) is None:
            continue
        day = date.toordinal()
        first[patient] = min(day, first.get(patient, day))
        if study in wanted:
            dates[study] = (patient, min(day, dates.get(study, (patient, day))[1]))
    return {study: day - first[patient] for study, (patient, day) in dates.items()}


def _splits(tables: dict[str, Path]) -> dict[str, str]:
    """Split by patient, of all that the table lists."""
    if "split" not in tables:
        return {}
    rows = pick_columns(tables["split"], "table", "subject_id", "split")
    return split_by_patient(((patient, split_of(written)) for patient, written in rows), "train")


def _labels(tables: dict[str, Path], wanted: frozenset[str]) -> tuple[dict[str, dict[str, int]], str]:
    """Finding -> 1, 0 or -1 by study, and the line that says whose labels they are.

    Raises:
        InputError: a cell that is no label; names its line and column, never its study.
    """
    kind = next((kind for kind in ("chexpert", "negbio") if kind in tables), None)
    if kind is None:
        return {}, "no labels: neither mimic-cxr-2.0.0-chexpert.csv(.gz) nor -negbio.csv(.gz) is there"
    header, rows = read_values(tables[kind], "table")
    if "study_id" not in header:
        raise InputError(f"{tables[kind]} has no column 'study_id': it is not the published table, fetch it again")
    place = header.index("study_id")
    findings = [(column, name) for column, name in enumerate(header) if name and name not in _IDS]
    labels: dict[str, dict[str, int]] = {}
    for number, row in enumerate(rows, 2):
        if len(row) < len(header) or row[place] not in wanted:
            continue
        values = {}
        for column, name in findings:
            try:
                value = label_of(row[column])
            except ValueError as error:
                raise InputError(f"{tables[kind]}, line {number}, column {name!r}: {error}") from None
            if value is not None:
                values[name] = value
        labels[row[place]] = values
    return labels, f"labels of {kind} for {len(labels)} of {len(wanted)} studies"


def _what_is_there(found: _Found) -> list[str]:
    """How much of what the tables list is on the disk."""
    remarks = []
    parts = (("pictures", ("record-list", "metadata", "split"), found.images), ("reports", ("study-list",), found.reports))
    for what, names, files in parts:
        table = next((found.tables[name] for name in names if name in found.tables), None)
        if table is None:
            remarks.append(f"{len(files)} files of {what}")
        else:
            listed = sum(1 for _ in read_values(table, "table")[1])
            remarks.append(f"{len(files)} files of {what}; {listed} are listed: those that are not there are no inputs")
    return remarks


def _study(key: _Key, draft: _Draft, labels: dict[str, dict[str, int]], days: dict[str, int], splits: dict[str, str]) -> Study:
    patient, study = key
    sexes = {header.sex for header in draft.headers if header.sex}
    return Study(
        patient=patient,
        study=study,
        images=tuple(draft.images),
        report=draft.report,
        labels=labels.get(study, {}),
        age=next((header.age for header in draft.headers if header.age is not None), None),
        sex=sexes.pop() if len(sexes) == 1 else None,
        days=days.get(study),
        # Whom the official lists do not name must not enter their test set.
        split=splits.get(patient, "train") if splits else None,
        identifiers=sum((header.identifiers for header in draft.headers), Identifiers()),
    )
