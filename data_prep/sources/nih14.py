"""NIH ChestX-ray14 as it is published: pictures and 14 labels, no text.

    Data_Entry_2017_v2020.csv           or Data_Entry_2017.csv: Image Index, Finding Labels, Follow-up #, Patient ID, ...
    images_001/images/00000001_000.png  anywhere below, in folders or flat
    train_val_list.txt test_list.txt    the official split, used where both are there

An input is a picture that is there. Rows whose picture is not are counted in a remark, never in the ledger: most copies of
the data set hold a part of it.
"""

import os
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from cxrpt.errors import InputError
from data_prep.files.cells import list_of, years_of
from data_prep.files.table_rows import read_values
from data_prep.inputs import SPLIT_BY_HASH, Export, ImageInput, SetAside, Study, sex_as_allowed, years_as_allowed
from data_prep.ledger import Reason
from data_prep.pictures.views import normalise_view
from data_prep.processes.scan import Reading
from data_prep.sources.official_split import OFFICIAL, split_by_patient
from data_prep.sources.opened import OpenedSource, fingerprint

FINDINGS = (
    "Atelectasis",
    "Cardiomegaly",
    "Consolidation",
    "Edema",
    "Effusion",
    "Emphysema",
    "Fibrosis",
    "Hernia",
    "Infiltration",
    "Mass",
    "Nodule",
    "Pleural_Thickening",
    "Pneumonia",
    "Pneumothorax",
)
NO_FINDING = "No Finding"
TABLE_NAMES = ("Data_Entry_2017_v2020.csv", "Data_Entry_2017.csv")
OFFICIAL_LISTS = {"train_val": "train_val_list.txt", "test": "test_list.txt"}
GIVEN_LISTS = {"train": "train_list.txt", "val": "val_list.txt", "test": "test_list.txt"}
_COLUMNS = (
    ("Image Index",),
    ("Finding Labels",),
    ("Follow-up #",),
    ("Patient ID",),
    ("Patient Age",),
    ("Patient Gender", "Patient Sex"),
    ("View Position",),
)


@dataclass(frozen=True)
class Nih14Options:
    """How ChestX-ray14 is split."""

    split_lists: Path | None = None
    """Folder of train_list.txt, val_list.txt and test_list.txt (a picture name a line), in place of the official split."""


@dataclass(frozen=True)
class _Found:
    pictures: tuple[Path, ...]
    table: Path
    lists: dict[str, Path] = field(default_factory=dict)
    """Split -> list; empty where there is no split but the hash's."""


def open_source(src: Path, options: Nih14Options) -> OpenedSource:
    """Find the pictures, the table and the lists.

    Raises:
        InputError: no folder, no table, no picture but archives, or a list that is not there.
    """
    found = _find(src, options)
    return OpenedSource(
        fingerprint(src, found.pictures, [found.table, *found.lists.values()], found.lists), partial(collect, src, found)
    )


def _find(src: Path, options: Nih14Options) -> _Found:
    pictures: list[Path] = []
    others: dict[str, Path] = {}
    for folder, folders, names in os.walk(src):
        folders.sort()
        for name in sorted(names):
            if name.lower().endswith(".png"):
                pictures.append(Path(folder) / name)
            else:
                others.setdefault(name, Path(folder) / name)
    table = next((others[name] for name in TABLE_NAMES if name in others), None)
    if table is None:
        raise InputError(f"{src} holds no {TABLE_NAMES[0]}: name the folder that ChestX-ray14 was put in")
    if not pictures:
        packed = next((name for name in sorted(others) if name.startswith("images") and ".tar" in name), None)
        mend = f"unpack {packed} and its like (tar xzf) and run again" if packed else "put its pictures below that folder"
        raise InputError(f"{src} holds no PNG picture: {mend}")
    return _Found(tuple(sorted(pictures)), table, _lists(others, options))


def _lists(others: dict[str, Path], options: Nih14Options) -> dict[str, Path]:
    if options.split_lists is None:
        lists = {split: others[name] for split, name in OFFICIAL_LISTS.items() if name in others}
        return lists if len(lists) == len(OFFICIAL_LISTS) else {}
    given = {split: options.split_lists / name for split, name in GIVEN_LISTS.items()}
    for path in given.values():
        if not path.is_file():
            raise InputError(f"--split-lists: there is no {path}: the folder must hold {', '.join(GIVEN_LISTS.values())}")
    return given


def collect(src: Path, found: _Found, reading: Reading) -> Export:
    """Put pictures and rows together; the reading of pictures comes later, so that `reading` has no use here."""
    rows = _rows(found.table)
    by_name: dict[str, Path] = {}
    set_aside: list[SetAside] = []
    for path in found.pictures:
        input_id = os.path.relpath(path, src)
        if path.name not in rows:
            set_aside.append(SetAside(input_id, "picture", Reason.NOT_IN_TABLE))
        elif path.name in by_name:
            set_aside.append(SetAside(input_id, "picture", Reason.DUPLICATE))
        else:
            by_name[path.name] = path
    if not by_name:
        raise InputError(f"no row of {found.table} names a picture below {src}: the pictures keep their published names")
    studies = sorted(
        (_study(rows[name], path, os.path.relpath(path, src)) for name, path in by_name.items()), key=lambda one: one.study
    )
    remarks = [f"{len(by_name)} of {len(rows)} rows have their picture; those without are no inputs"]
    studies, split_by, remark = _split(studies, found.lists)
    return Export(tuple(studies), tuple(set_aside), split_by, (*remarks, remark))


def _split(studies: list[Study], lists: dict[str, Path]) -> tuple[list[Study], str, str]:
    """Studies with their split, what made it, and the line that says so."""
    if not lists:
        remark = "no official split: train_val_list.txt and test_list.txt are not both there; split by patient"
        return studies, SPLIT_BY_HASH, remark
    split_of = {name: split for split, path in lists.items() for name in path.read_text(errors="replace").split()}
    rest = next(iter(lists))
    listed = [(study.patient, split_of.get(study.images[0].image_id)) for study in studies]
    splits = split_by_patient(listed, rest)
    num_unlisted = sum(split is None for _, split in listed)
    remark = (
        "official split; val is cut from its train_val list by patient" if rest == "train_val" else "split by --split-lists"
    )
    remark += f"; no list names {num_unlisted} pictures: each with its patient, else in {rest}" if num_unlisted else ""
    split_by = OFFICIAL if rest == "train_val" else "lists of --split-lists"
    return [replace(study, split=splits[study.patient]) for study in studies], split_by, remark


def _rows(table: Path) -> dict[str, list[str]]:
    """Picture name -> the values of _COLUMNS; the header's later names hold unquoted commas, so rows are read by place.

    Raises:
        InputError: the columns are not those of the data set.
    """
    header, rows = read_values(table, "table")
    names = [next((name for name in either if name in header), None) for either in _COLUMNS]
    absent = [either[0] for either, name in zip(_COLUMNS, names, strict=True) if name is None]
    if absent:
        raise InputError(f"{table} has no column {absent[0]!r}: it is no table of ChestX-ray14")
    places = [header.index(name) for name in names if name is not None]
    picked = ([row[place].strip() for place in places] for row in rows if len(row) > max(places))
    return {values[0]: values for values in picked if values[0]}


def _study(row: list[str], path: Path, input_id: str) -> Study:
    name, cell, follow_up, patient, age, sex, view = row
    return Study(
        patient=patient,
        study=f"{patient} {follow_up} {name}",
        images=(ImageInput(input_id, path, "picture", name, normalise_view(view)),),
        labels=_labels(cell),
        # Ages like 411 are months or typing errors, nobody knows which; `years_as_allowed` drops them.
        age=years_as_allowed(years_of(age)),
        sex=sex_as_allowed(sex),
    )


def _labels(cell: str) -> dict[str, int]:
    present = list_of(cell, "|") - {NO_FINDING}
    if not cell or present - set(FINDINGS):
        return {}
    return {finding: int(finding in present) for finding in FINDINGS}
