"""A table with a row a picture, and a folder of pictures: any data set that comes that way.

    metadata.csv    filename, clinical_notes, patientid, view, age, sex, ...    also .tsv, .jsonl, .csv.gz
    images/         a.jpg b.png c.dcm ...

`TableOptions` says which column is what. Rows with the same study (or, without such a column, the same patient and text) are
one study. A row's picture and its text are an input each, and so is a picture that no row names.
"""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from cxrpt.errors import InputError
from data_prep.files.cells import label_of, list_of, split_of, years_of
from data_prep.files.table_rows import read_rows
from data_prep.files.tables import Row
from data_prep.inputs import (
    SPLIT_BY_HASH,
    Export,
    Identifiers,
    ImageInput,
    ReportInput,
    SetAside,
    Study,
    sex_as_allowed,
    years_as_allowed,
)
from data_prep.ledger import Note, Reason
from data_prep.linking.scan_dicom import scan_data_set
from data_prep.loose import LooseImage
from data_prep.pictures.views import normalise_view
from data_prep.privacy.deidentify import scrub
from data_prep.privacy.identifiers import parse_date, row_identifiers, unknown_identifiers
from data_prep.processes.scan import Reading
from data_prep.reports.found_report import years_between
from data_prep.reports.sections import is_empty
from data_prep.sources.official_split import split_by_patient
from data_prep.sources.opened import OpenedSource, fingerprint
from data_prep.sources.table_options import ROLES, TableOptions

_DICOM = (".dcm", ".dicom")
_SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp", *_DICOM)
_NEVER_IDENTIFYING = ("text", "view", "age", "sex", "labels", "split", "photometric")
MOST_LABELS, LONGEST_LABEL = 200, 60
"""Of the labels column where nobody said which are kept: more names, or longer ones, are free text rather than findings."""


def open_source(src: Path, options: TableOptions) -> OpenedSource:
    """Find the tables and the pictures.

    Raises:
        InputError: no table, or the folder of pictures is none.
    """
    tables = _tables(src, options)
    root = options.images or (src if src.is_dir() else src.parent)
    if not root.is_dir():
        raise InputError(f"--images {root} is no folder: name the folder of the pictures")
    pictures = _pictures(root) if "image" in options.columns else []
    named = [f"{name}={value!r}" for name, value in sorted(options.__dict__.items()) if name != "images"]
    return OpenedSource(fingerprint(root, pictures, tables, named), partial(collect, tables, pictures, root, options))


def _tables(src: Path, options: TableOptions) -> list[Path]:
    if src.is_file():
        return [src]
    tables = [src / name for name in options.tables if (src / name).is_file()]
    if not tables:
        wanted = f"holds none of {', '.join(options.tables)}" if options.tables else "is no file"
        raise InputError(f"{src} {wanted}: name the CSV, TSV or JSON-lines table")
    return tables


def _pictures(root: Path) -> list[Path]:
    """Every picture file below `root`, sorted."""
    walk = os.walk(root)
    return sorted(Path(folder) / name for folder, _, names in walk for name in names if name.lower().endswith(_SUFFIXES))


@dataclass
class _Draft:
    """A study while its rows come in."""

    images: list[ImageInput] = field(default_factory=list)
    report: ReportInput | None = None
    present: set[str] = field(default_factory=set)
    values: dict[str, int] = field(default_factory=dict)
    age: int | None = None
    sexes: set[str] = field(default_factory=set)
    splits: set[str] = field(default_factory=set)
    day: int | None = None
    identifiers: Identifiers = field(default_factory=Identifiers)


@dataclass(frozen=True)
class _Identifying:
    """Columns whose cells must not stand in a report: by what they are called, by their role, and those nobody knows."""

    named: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    dates: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


@dataclass
class _Reading:
    """What was read so far."""

    options: TableOptions
    by_name: dict[str, Path]
    drafts: dict[tuple[str, str], _Draft] = field(default_factory=dict)
    set_aside: list[SetAside] = field(default_factory=list)
    taken: set[Path] = field(default_factory=set)
    num_rows: int = 0
    num_absent: int = 0
    """Rows whose picture is not there."""


def collect(tables: list[Path], pictures: list[Path], root: Path, options: TableOptions, how: Reading) -> Export:
    """Put rows and pictures together; only headers of DICOM files are read."""
    reading = _Reading(options, _by_relative_name(pictures, root))
    for table in tables:
        _read_table(table, "" if len(tables) == 1 else f"{table.name} ", reading)
    if reading.num_absent and not reading.taken and "image" in options.columns:
        column = options.columns["image"][0]
        raise InputError(f"none of the pictures that column {column!r} names is below {root}: name their folder with --images")
    unnamed = sorted(path for path in pictures if path not in reading.taken)
    reading.set_aside += [
        SetAside(f"image {os.path.relpath(path, root)}", _type(path), Reason.NOT_IN_TABLE) for path in unnamed
    ]
    headers, refused = _scan(reading, how)
    remarks = [f"{reading.num_rows} rows, {len(pictures)} picture files"]
    if options.partial:
        remarks.append(f"{reading.num_absent} rows whose picture is not there; they are no inputs")
    splits, remark = _splits(reading)
    studies = [replace(study, split=splits.get(study.patient)) for study in _studies(reading, headers)]
    split_by = "the table's column" if splits else SPLIT_BY_HASH
    return Export(tuple(studies), (*reading.set_aside, *refused), split_by, (*remarks, *remark))


def _by_relative_name(pictures: Iterable[Path], root: Path) -> dict[str, Path]:
    """Pictures by relative path, and by bare file name where only one has it."""
    by_name: dict[str, Path] = {}
    bare: dict[str, list[Path]] = {}
    for path in pictures:
        bare.setdefault(path.name, []).append(path)
        by_name[path.relative_to(root).as_posix()] = path
    return {**{name: paths[0] for name, paths in bare.items() if len(paths) == 1}, **by_name}


def _type(path: Path) -> str:
    return "dicom" if path.suffix.lower() in _DICOM else "picture"


def _read_table(table: Path, prefix: str, reading: _Reading) -> None:
    """Every row of a table into drafts; `prefix` tells rows of several tables apart."""
    options = reading.options
    pattern = re.compile(options.path_pattern) if options.path_pattern else None
    identifying: dict[tuple[str, ...], _Identifying] = {}
    for number, row in enumerate(read_rows(table, "SRC"), 1):
        if row is None:
            reading.num_rows += 1
            reading.set_aside.append(SetAside(f"{prefix}row {number}", "row", Reason.BROKEN_ROW))
            continue
        # Of JSON lines each may have keys of its own.
        names = tuple(row)
        if names not in identifying:
            identifying[names] = _identifying_columns(names, options)
        told = _roles(row, options, pattern)
        name = f"{prefix}row {number}"
        reading.num_rows += 1
        if not told["image"] and not told["text"]:
            reading.set_aside.append(SetAside(name, "row", Reason.NOTHING_IN_ROW))
            continue
        patient = f"patient {told['patient']}" if told["patient"] else name
        has_studies = "study" in options.columns or "(?P<study>" in options.path_pattern
        study = told["study"] or (f"text {told['text']}" if not has_studies and told["text"] else name)
        draft = reading.drafts.setdefault((patient, study), _Draft())
        is_radiograph = all(row.get(column, "").lower() in cells for column, cells in options.only.items())
        if is_radiograph:
            _add_facts(draft, told, row, options, f"{table}, row {number} below the header")
            draft.identifiers += _identifiers(row, told, identifying[names])
        absent = bool(told["image"]) and not _add_image(draft, name, told, is_radiograph, reading)
        if told["text"]:
            _add_text(draft, f"{name} text", told["text"], absent, is_radiograph, reading)
    if identifying:
        _check_columns({name for names in identifying for name in names}, options)


def _check_columns(names: set[str], options: TableOptions) -> None:
    asked = [(f"{role}: ", column) for role, columns in options.columns.items() for column in columns]
    asked += [("label_columns: ", column) for column in options.label_columns]
    asked += [("only: ", column) for column in options.only]
    for what, column in asked:
        if column not in names:
            raise InputError(f"--columns {what}{column}: the table's header line has no column {column!r}")


def _identifying_columns(names: tuple[str, ...], options: TableOptions) -> _Identifying:
    """Found once, as a table has many rows; none where there are no reports."""
    if "text" not in options.columns:
        return _Identifying()

    def of(*roles: str) -> tuple[str, ...]:
        return tuple(column for role in roles for column in options.columns.get(role, ()))

    told = {*of(*_NEVER_IDENTIFYING), *options.label_columns, *options.only}
    numbers, dates = of("patient", "study"), of("date", "birth")
    known = frozenset({*told, *numbers, *dates, *of("image")})
    return _Identifying(
        tuple(name for name in names if name not in told and row_identifiers({name: "2000-01-01"}) != Identifiers()),
        numbers,
        dates,
        tuple(name for name in names if unknown_identifiers({name: "2000-01-01"}, known) != Identifiers()),
    )


def _identifiers(row: Row, told: dict[str, str], columns: _Identifying) -> Identifiers:
    """What the row says that must not stand in its report; what its path tells of the patient is in `told`."""

    def cells(names: tuple[str, ...]) -> Row:
        return {name: row.get(name, "") for name in names}

    numbers = (*cells(columns.numbers).values(), told["patient"], told["study"])
    dates = tuple(date for cell in cells(columns.dates).values() if (date := parse_date(cell)))
    by_role = Identifiers(ids=tuple(number for number in numbers if number), dates=dates)
    return row_identifiers(cells(columns.named)) + by_role + unknown_identifiers(cells(columns.unknown), frozenset())


def _roles(row: Row, options: TableOptions, pattern: re.Pattern[str] | None) -> dict[str, str]:
    """What the row says in each role; empty where it says nothing."""
    told = dict.fromkeys(ROLES, "")
    for role, columns in options.columns.items():
        told[role] = next((cell for column in columns if (cell := row.get(column, "")) and cell.lower() != "nan"), "")
    if pattern and (match := pattern.search(told["image"])):
        told |= {role: told[role] or found or "" for role, found in match.groupdict().items()}
    for role, meanings in options.values.items():
        told[role] = meanings.get(told[role].lower(), told[role])
    return told


def _add_facts(draft: _Draft, told: dict[str, str], row: Row, options: TableOptions, where: str) -> None:
    draft.present |= list_of(told["labels"], options.label_separator)
    for column in options.label_columns:
        try:
            value = label_of(row.get(column, ""))
        except ValueError as error:
            raise InputError(
                f"{where}, column {column!r}: {error}; mend it, or leave the column out of label_columns"
            ) from None
        if value is not None:
            draft.values[column] = max(value, draft.values.get(column, value))
    draft.age = _age(told) if draft.age is None else draft.age
    draft.sexes |= {sex for sex in (sex_as_allowed(told["sex"]),) if sex}
    draft.splits |= {split for split in (split_of(told["split"]),) if split}
    if told["date"] and (date := parse_date(told["date"])):
        draft.day = min(date.toordinal(), draft.day or date.toordinal())


def _age(told: dict[str, str]) -> int | None:
    """Whole years, as written or from birth (a date, or a year such as `1958.0`) and the date of the study."""
    if (years := years_of(told["age"])) is not None or not told["birth"]:
        return years
    date, birth = parse_date(told["date"]), told["birth"].removesuffix(".0")
    if date is None:
        return None
    if re.fullmatch(r"(18|19|20)\d\d", birth):
        return date.year - int(birth)
    return years_between(parse_date(birth), date)


def _add_image(draft: _Draft, row: str, told: dict[str, str], is_radiograph: bool, reading: _Reading) -> bool:
    """Whether the row's picture is there."""
    written = told["image"].replace("\\", "/").removeprefix("./")
    name = "/".join(written.split("/")[reading.options.drop_folders :])
    path = reading.by_name.get(name)
    if path is None and not name.lower().endswith(_SUFFIXES):
        path = next((reading.by_name[name + suffix] for suffix in _SUFFIXES if name + suffix in reading.by_name), None)
    input_id = f"{row} image"
    if path is None:
        reading.num_absent += 1
        if not reading.options.partial:
            reading.set_aside.append(SetAside(input_id, "picture", Reason.MISSING_FILE))
        return False
    if path in reading.taken or not is_radiograph:
        reason = Reason.DUPLICATE if path in reading.taken else Reason.NOT_RADIOGRAPH
        reading.set_aside.append(SetAside(input_id, _type(path), reason))
    else:
        view, inverted = normalise_view(told["view"]), told["photometric"].upper() == "MONOCHROME1"
        draft.images.append(ImageInput(input_id, path, _type(path), f"{row} {written}", view, inverted=inverted))
    reading.taken.add(path)
    return True


def _add_text(draft: _Draft, input_id: str, text: str, absent: bool, is_radiograph: bool, reading: _Reading) -> None:
    reason = None
    if not is_radiograph:
        reason = Reason.NOT_RADIOGRAPH
    elif is_empty(text):
        reason = Reason.EMPTY_REPORT
    elif draft.report is not None:
        reason = Reason.DUPLICATE if draft.report.text == text else Reason.SUPERSEDED_REPORT
    if reason is None:
        draft.report = ReportInput(input_id, text, (Note.IMAGE_MISSING,) if absent else ())
    else:
        reading.set_aside.append(SetAside(input_id, "report", reason))


def _scan(reading: _Reading, how: Reading) -> tuple[dict[str, LooseImage], list[SetAside]]:
    dicom = [image for draft in reading.drafts.values() for image in draft.images if image.type == "dicom"]
    return scan_data_set([(image.input_id, image.path) for image in dicom], how)


def _splits(reading: _Reading) -> tuple[dict[str, str], list[str]]:
    """Split by patient and the line that says so; nothing where the table tells no split."""
    listed = [(patient, split) for (patient, _), draft in reading.drafts.items() for split in draft.splits or {""}]
    if not any(split for _, split in listed):
        return {}, []
    num_without = len({patient for patient, _ in listed} - {patient for patient, split in listed if split})
    remark = "split by the table" + (f"; {num_without} patients whom it gives none went to train" if num_without else "")
    return split_by_patient(listed, "train"), [remark]


def _studies(reading: _Reading, headers: dict[str, LooseImage]) -> list[Study]:
    """Every study that has an input, with its labels and days."""
    firsts: dict[str, int] = {}
    for (patient, _), draft in reading.drafts.items():
        if draft.day is not None:
            firsts[patient] = min(draft.day, firsts.get(patient, draft.day))
    occurring = {label for draft in reading.drafts.values() for label in draft.present}
    if not reading.options.label_names:
        _refuse_free_text(occurring, reading.options)
    names = reading.options.label_names or tuple(sorted(occurring))
    shared: dict[frozenset[str], dict[str, int]] = {}
    studies = []
    for key in sorted(reading.drafts):
        draft = reading.drafts[key]
        images = [_with_header(image, headers) for image in draft.images if image.type != "dicom" or image.input_id in headers]
        if not images and draft.report is None:
            continue
        found = frozenset(draft.present)
        if found not in shared:
            # A row without labels is unknown, not healthy; equal sets share one dict, as there are many studies.
            shared[found] = {name: int(name in found) for name in names} if found else {}
        study = _study(key, draft, images, shared[found], [headers[one.input_id] for one in images if one.input_id in headers])
        studies.append(study if draft.day is None else replace(study, days=draft.day - firsts[key[0]]))
    return studies


def _refuse_free_text(labels: set[str], options: TableOptions) -> None:
    """Labels leave as they are written: a column of prose, names or numbers must not be taken for one of findings."""
    reasons = (
        (len(labels) > MOST_LABELS, f"holds {len(labels)} different labels (at most {MOST_LABELS})"),
        (any(len(label) > LONGEST_LABEL for label in labels), f"holds a label of more than {LONGEST_LABEL} characters"),
        (
            any(re.search(r"\d{5}", label) or scrub(label, Identifiers()) != label for label in labels),
            "holds what may be a person, a date or a number",
        ),
    )
    if reason := next((reason for holds, reason in reasons if holds), None):
        columns = ", ".join(options.columns.get("labels", ()))
        raise InputError(
            f"--columns labels: {columns} {reason}, and labels leave as they are written: name the findings that are kept "
            "as label_names in a yaml file, or leave the column out"
        )


def _with_header(image: ImageInput, headers: dict[str, LooseImage]) -> ImageInput:
    """The table's view before the header's; only a header's word on how sure the chest is counts."""
    if image.input_id not in headers:
        return image
    header = headers[image.input_id].image
    return replace(image, view=image.view if image.view != "UNKNOWN" else header.view, by_content=header.by_content)


def _study(
    key: tuple[str, str], draft: _Draft, images: list[ImageInput], labels: dict[str, int], headers: list[LooseImage]
) -> Study:
    sexes = draft.sexes or {header.sex for header in headers if header.sex}
    ages = [years_as_allowed(draft.age), *(header.age for header in headers)]
    return Study(
        patient=key[0],
        study=f"{key[0]}/{key[1]}",
        images=tuple(images),
        report=draft.report,
        labels={**labels, **draft.values} if draft.values else labels,
        age=next((age for age in ages if age is not None), None),
        sex=next(iter(sexes)) if len(sexes) == 1 else None,
        identifiers=sum((header.identifiers for header in headers), draft.identifiers),
    )
