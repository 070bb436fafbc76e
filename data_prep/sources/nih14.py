"""NIH ChestX-ray14 as it is published: pictures and 14 labels, no text.

Data_Entry_2017_v2020.csv       Image Index, Finding Labels, Follow-up #, Patient ID, Patient Age, ...
images*/**/00000001_000.png     anywhere below
train_val_list.txt test_list.txt    the official split, used where both are there
"""

import csv
import os
from collections.abc import Sequence
from pathlib import Path

from cxrpt.errors import InputError
from data_prep.chest import normalise_view
from data_prep.inputs import Export, ImageInput, SetAside, Study, sex_as_allowed, years_as_allowed
from data_prep.ledger import Reason

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
LIST_NAMES = {"train_val": "train_val_list.txt", "test": "test_list.txt"}


def files_of(src: Path) -> tuple[list[Path], Path, dict[str, Path]]:
    """The pictures, sorted; the table; and the lists of the official split, both or none.

    Raises:
        InputError: no folder, or no table in it.
    """
    found: list[Path] = []
    others: dict[str, Path] = {}
    for folder, folders, names in os.walk(src):
        folders.sort()
        for name in sorted(names):
            if name.lower().endswith(".png"):
                found.append(Path(folder) / name)
            else:
                others.setdefault(name, Path(folder) / name)
    table = next((others[name] for name in TABLE_NAMES if name in others), None)
    if table is None:
        raise InputError(f"{src} holds no {TABLE_NAMES[0]}: name the folder that ChestX-ray14 was unpacked in")
    lists = {split: others[name] for split, name in LIST_NAMES.items() if name in others}
    return sorted(found), table, lists if len(lists) == len(LIST_NAMES) else {}


def collect(src: Path, files: Sequence[Path], table: Path, lists: dict[str, Path], processes: int) -> Export:
    """Put pictures and rows together; the reading of pictures comes later, so that `processes` has no use here."""
    rows = _rows(table)
    split_of = {name: split for split, path in lists.items() for name in path.read_text().split()}
    by_name: dict[str, Path] = {}
    set_aside: list[SetAside] = []
    for path in files:
        input_id = str(path.relative_to(src))
        if path.name not in rows:
            set_aside.append(SetAside(input_id, "picture", Reason.NOT_IN_TABLE))
        elif path.name in by_name:
            set_aside.append(SetAside(input_id, "picture", Reason.DUPLICATE))
        else:
            by_name[path.name] = path
    absent = sorted(name for name in rows if name not in by_name)
    set_aside += [SetAside(f"row {name}", "picture", Reason.MISSING_FILE) for name in absent]
    studies = [_study(rows[name], path, str(path.relative_to(src)), split_of.get(name)) for name, path in by_name.items()]
    remarks = [f"{len(by_name)} of {len(rows)} rows have their picture"]
    if split_of:
        studies = [study for study in studies if study.split] + [_in_train(study) for study in studies if not study.split]
        remarks.append("official split; val is cut from its train_val list by patient")
    else:
        remarks.append("no official split: train_val_list.txt and test_list.txt are not both there; split by patient")
    studies.sort(key=lambda study: study.study)
    return Export(tuple(studies), tuple(set_aside), bool(split_of), tuple(remarks))


def _in_train(study: Study) -> Study:
    """A picture that no official list names: it must not enter the official test set."""
    return Study(**{**study.__dict__, "split": "train_val"})


def _rows(table: Path) -> dict[str, list[str]]:
    """Picture name -> the first seven values of its row; the header's later names hold unquoted commas.

    Raises:
        InputError: the columns are not those of the data set.
    """
    with table.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file)
        header = [name.strip() for name in next(reader, [])]
        expected = ["Image Index", "Finding Labels", "Follow-up #", "Patient ID", "Patient Age"]
        if header[:5] != expected:
            raise InputError(f"{table} does not start with the columns {', '.join(expected)}: it is no table of ChestX-ray14")
        return {values[0]: values[:7] for values in reader if len(values) >= 7}


def _study(row: list[str], path: Path, input_id: str, split: str | None) -> Study:
    name, cell, follow_up, patient, age, sex, view = row
    # Ages like 411 are months or typing errors: which, nobody knows.
    years = int(age.rstrip("Y")) if age.rstrip("Y").isdigit() else None
    return Study(
        patient=patient,
        study=f"{patient} {follow_up} {name}",
        images=(ImageInput(input_id, path, "picture", name, normalise_view(view)),),
        labels=_labels(cell),
        age=years_as_allowed(years),
        sex=sex_as_allowed(sex),
        split=split,
    )


def _labels(cell: str) -> dict[str, int]:
    present = {label.strip() for label in cell.split("|")} - {NO_FINDING, ""}
    if not cell.strip() or present - set(FINDINGS):
        return {}
    return {finding: int(finding in present) for finding in FINDINGS}
