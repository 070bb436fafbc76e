"""A table with a row a picture, and a folder of pictures: any data set that comes that way.

    metadata.csv    filename, clinical_notes, patientid, view, age, sex, ...
    images/         a.jpg b.png ...

`--columns image=filename,text=clinical_notes,patient=patientid` says which column is what. Rows with the same study (or,
without such a column, the same patient and text) are one study.
"""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cxrpt.errors import InputError
from data_prep.chest import normalise_view
from data_prep.identifiers import parse_date, row_identifiers
from data_prep.inputs import Export, Identifiers, ImageInput, ReportInput, SetAside, Study, sex_as_allowed, years_as_allowed
from data_prep.ledger import Reason
from data_prep.reports import is_empty
from data_prep.tables import Row, read_table

ROLES = ("image", "text", "patient", "study", "view", "age", "sex", "labels", "split", "date")


@dataclass(frozen=True)
class TableOptions:
    """Which column plays which role (of ROLES), where the pictures lie, and what joins labels in a cell."""

    columns: dict[str, str] = field(default_factory=dict)
    images: Path | None = None
    label_separator: str = "|"


def read_columns(written: str) -> dict[str, str]:
    """Role -> column from `image=filename,text=notes` or a yaml file of such pairs.

    Raises:
        InputError: a role that there is not, or no pairs.
    """
    path = Path(written)
    if path.suffix in (".yaml", ".yml"):
        from omegaconf import OmegaConf

        try:
            pairs = OmegaConf.to_container(OmegaConf.load(path))
        except Exception:
            # The parsers' own errors quote the file.
            raise InputError(f"--columns {path} cannot be read as yaml: lines such as `image: filename`") from None
        columns = {str(role): str(column) for role, column in pairs.items()} if isinstance(pairs, dict) else {}
    else:
        columns = {role.strip(): column.strip() for role, _, column in (pair.partition("=") for pair in written.split(","))}
    for role, column in columns.items():
        if role not in ROLES or not column:
            raise InputError(f"--columns {role}={column}: roles are {', '.join(ROLES)}, as in image=filename,text=notes")
    if not {"image", "text"} & set(columns):
        raise InputError(f"--columns {written!r} names neither an image nor a text column, as in image=filename,text=notes")
    return columns


def files_of(src: Path, options: TableOptions) -> tuple[list[Path], Path]:
    """The pictures, sorted, and the folder that the table's file names are relative to.

    Raises:
        InputError: the table is no file, or the folder of pictures none.
    """
    if not src.is_file():
        raise InputError(f"{src} is no file: name the CSV, TSV or JSON-lines table")
    root = options.images or src.parent
    if not root.is_dir():
        raise InputError(f"--images {root} is no folder: name the folder of the pictures")
    if "image" not in options.columns:
        return [], root
    own = {src.resolve()}
    found = [Path(folder) / name for folder, _, names in os.walk(root) for name in names]
    return sorted(path for path in found if path.resolve() not in own and path.suffix.lower() in _PICTURES), root


_PICTURES = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp"})


@dataclass
class _Draft:
    rows: list[Row] = field(default_factory=list)
    images: list[ImageInput] = field(default_factory=list)
    report: ReportInput | None = None


def collect(src: Path, files: Sequence[Path], root: Path, options: TableOptions, processes: int) -> Export:
    """Put rows and pictures together; nothing here is heavy enough for `processes`."""
    rows = read_table(src, "SRC")
    for role, column in options.columns.items():
        if rows and column not in rows[0]:
            raise InputError(f"--columns {role}={column}: the table's header line has no column {column!r}")
    set_aside: list[SetAside] = []
    drafts: dict[tuple[str, str], _Draft] = {}
    taken: set[Path] = set()
    by_name = _by_relative_name(files, root)
    for number, row in enumerate(rows, 1):
        _add_row(number, row, options, by_name, taken, drafts, set_aside)
    missing = sorted(str(path.relative_to(root)) for path in files if path not in taken)
    set_aside += [SetAside(f"image {name}", "picture", Reason.NOT_IN_TABLE) for name in missing]
    known = _label_names(rows, options)
    firsts: dict[str, int] = {}
    for (patient, _), draft in drafts.items():
        if (day := _day(draft, options)) is not None:
            firsts[patient] = min(day, firsts.get(patient, day))
    studies = [_study(key, drafts[key], options, known, firsts.get(key[0])) for key in sorted(drafts)]
    return Export(tuple(studies), tuple(set_aside), remarks=(f"{len(rows)} rows, {len(files)} picture files",))


def _by_relative_name(files: Sequence[Path], root: Path) -> dict[str, Path]:
    """Pictures by relative path, and by bare file name where only one has it."""
    by_name: dict[str, Path] = {}
    bare: dict[str, list[Path]] = {}
    for path in files:
        bare.setdefault(path.name, []).append(path)
        by_name[path.relative_to(root).as_posix()] = path
    return {**{name: paths[0] for name, paths in bare.items() if len(paths) == 1}, **by_name}


def _get(row: Row, options: TableOptions, role: str) -> str:
    column = options.columns.get(role)
    return row[column] if column else ""


def _add_row(
    number: int,
    row: Row,
    options: TableOptions,
    by_name: dict[str, Path],
    taken: set[Path],
    drafts: dict[tuple[str, str], _Draft],
    set_aside: list[SetAside],
) -> None:
    """One row: its picture and its text are an input each."""
    name, text = _get(row, options, "image"), _get(row, options, "text")
    patient = _get(row, options, "patient")
    patient = f"patient {patient}" if patient else f"row {number}"
    study = _get(row, options, "study") or (f"text {text}" if "study" not in options.columns and text else f"row {number}")
    if not name and not text:
        set_aside.append(SetAside(f"row {number}", "row", Reason.NOTHING_IN_ROW))
        return
    path = by_name.get(name.replace("\\", "/").removeprefix("./"))
    draft = drafts.setdefault((patient, study), _Draft())
    draft.rows.append(row)
    if name and path is None:
        set_aside.append(SetAside(f"row {number} image", "picture", Reason.MISSING_FILE))
    elif name and path in taken:
        set_aside.append(SetAside(f"row {number} image", "picture", Reason.DUPLICATE))
    elif path is not None:
        taken.add(path)
        view = normalise_view(_get(row, options, "view"))
        draft.images.append(ImageInput(f"row {number} image", path, "picture", f"row {number} {name}", view))
    if not text:
        return
    if is_empty(text):
        set_aside.append(SetAside(f"row {number} text", "report", Reason.EMPTY_REPORT))
    elif draft.report is None:
        draft.report = ReportInput(f"row {number} text", text)
    else:
        reason = Reason.DUPLICATE if draft.report.text == text else Reason.SUPERSEDED_REPORT
        set_aside.append(SetAside(f"row {number} text", "report", reason))


def _label_names(rows: Sequence[Row], options: TableOptions) -> list[str]:
    if "labels" not in options.columns:
        return []
    return sorted({label for row in rows for label in _labels(row, options)})


def _labels(row: Row, options: TableOptions) -> set[str]:
    cell = _get(row, options, "labels")
    return {label.strip() for label in cell.split(options.label_separator)} - {""}


def _day(draft: _Draft, options: TableOptions) -> int | None:
    days = [date.toordinal() for row in draft.rows if (date := parse_date(_get(row, options, "date")))]
    return min(days, default=None)


def _study(key: tuple[str, str], draft: _Draft, options: TableOptions, known: list[str], first: int | None) -> Study:
    patient, study = key
    present = {label for row in draft.rows for label in _labels(row, options)}
    ages = [_get(row, options, "age") for row in draft.rows]
    years = next((int(float(age)) for age in ages if re.fullmatch(r"\d{1,3}(\.\d*)?", age)), None)
    sexes = {sex_as_allowed(_get(row, options, "sex")) for row in draft.rows} - {None}
    identifiers = Identifiers()
    not_identifying = frozenset(
        options.columns[role] for role in ("text", "view", "age", "sex", "labels") if role in options.columns
    )
    for row in draft.rows:
        identifiers += row_identifiers(row, not_identifying)
    splits = {_get(row, options, "split").lower() for row in draft.rows} & {"train", "val", "test"}
    day = _day(draft, options)
    return Study(
        patient=patient,
        study=f"{patient}/{study}",
        images=tuple(draft.images),
        report=draft.report,
        # A row without labels is unknown, not healthy.
        labels={label: int(label in present) for label in known} if present else {},
        age=years_as_allowed(years),
        sex=sexes.pop() if len(sexes) == 1 else None,
        days=None if day is None or first is None else day - first,
        split=splits.pop() if len(splits) == 1 else None,
        identifiers=identifiers,
    )
