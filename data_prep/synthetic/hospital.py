"""A made-up export of three institutions, for the demo and the tests.

    <out>/north/dicom/<patient>/<study>/<file>.dcm   pairs: pictures, reports.csv, labels.csv
    <out>/south/dicom/...                            pictures only: labels.csv
    <out>/west/reports/<accession>.txt               texts only
    <out>/CANARIES.txt                               every identifier in it, one a line

The same seed and numbers give the same bytes, whatever the number of processes.
"""

import csv
import shutil
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2

from cxrpt.errors import InputError
from data_prep.synthetic.anatomy import draw_anatomy
from data_prep.synthetic.canaries import canaries, date_forms
from data_prep.synthetic.dicom_files import draw_storage, make_dataset, write_file
from data_prep.synthetic.dirt import DIRT, STUDIES_PER_DIRT, write_dirt
from data_prep.synthetic.exposure import draw_exposure, expose
from data_prep.synthetic.findings import FINDINGS, labels_of
from data_prep.synthetic.frontal import draw_frontal
from data_prep.synthetic.lateral import draw_lateral
from data_prep.synthetic.study import INSTITUTIONS, SHARES, Study, draw_studies
from data_prep.synthetic.wording import write_report

MIN_STUDIES = 12
_MIN_EACH = 3
MIN_SIZE = 64
_ENCODINGS = ("utf-8",) * 7 + ("utf-8-sig", "cp1252", "latin-1")
_STUDIES_PER_EMPTY = 60
_FEW = 24
"""Fewer studies than this are made without worker processes, whose start would take longer."""


def make_hospital(
    out: Path, *, studies: int = 400, seed: int = 0, size: int = 512, shares: tuple[float, ...] = SHARES, processes: int = 2
) -> None:
    """Write the export; `studies` counts those of all institutions, `size` is the smallest short side of a picture.

    Raises:
        InputError: `out` holds something already, or a number makes no sense.
    """
    if studies < MIN_STUDIES or round(studies * min(shares)) < _MIN_EACH:
        raise InputError(
            f"{studies} studies in shares of {', '.join(f'{share:g}' for share in shares)}: at least {MIN_STUDIES} are needed, "
            f"and {_MIN_EACH} of each institution: give more --studies, or no institution a share so small"
        )
    if seed < 0:
        raise InputError(f"--seed {seed} is not 0 or more")
    if size < MIN_SIZE:
        raise InputError(f"--size {size} is not at least {MIN_SIZE}")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} is not empty: name a new folder for the synthetic export")
    building = out.with_name(f".{out.name}.part")
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(parents=True)
    drawn = {name: draw_studies(name, round(studies * share), seed) for name, share in zip(INSTITUTIONS, shares, strict=True)}
    _write_pictures([*drawn["north"], *drawn["south"]], building, size, processes)
    _write_reports_table(building / "north" / "reports.csv", drawn["north"])
    _write_labels(building / "north" / "labels.csv", drawn["north"])
    _write_labels(building / "south" / "labels.csv", drawn["south"])
    _write_report_files(building / "west" / "reports", drawn["west"])
    everyone = [study for name in INSTITUTIONS for study in drawn[name]]
    (building / "CANARIES.txt").write_text("".join(f"{line}\n" for line in export_canaries(everyone)), encoding="utf-8")
    if out.exists():
        out.rmdir()
    building.rename(out)


def export_canaries(studies: list[Study]) -> list[str]:
    """Every identifying string of an export: `canaries()` and the ids, UIDs, phones and dates in all their forms."""
    found = dict.fromkeys(canaries())
    for study in studies:
        patient = study.patient
        found.update(
            dict.fromkeys((patient.patient_id, patient.phone, patient.mail, patient.address, study.accession, study.uid))
        )
        found.update(dict.fromkeys((*date_forms(study.date), *date_forms(patient.birth))))
    return list(found)


def has_report(study: Study) -> bool:
    """Whether a study of "north" has a row in the table; a few were never reported."""
    return study.number % 50 != 17


def has_pictures(study: Study) -> bool:
    """Whether a study of "north" has pictures; a few were never sent."""
    return study.institution != "north" or study.number % 50 != 31


def _write_pictures(studies: list[Study], out: Path, size: int, processes: int) -> None:
    jobs = [study for study in studies if has_pictures(study)]
    work = partial(write_study, out=out, size=size, dirt=_dirt_of(jobs))
    if processes <= 1 or len(studies) < _FEW:
        for study in jobs:
            work(study)
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        for _ in pool.map(work, jobs, chunksize=4):
            pass


def _dirt_of(studies: list[Study]) -> dict[int, str]:
    """Place of a study -> the kind of dirt that lies in its folder; spread over each institution's studies."""
    found = {}
    for institution in INSTITUTIONS:
        own = [study.place for study in studies if study.institution == institution]
        rounds = max(1, len(own) // STUDIES_PER_DIRT)
        kinds = [kind for _ in range(rounds) for kind in DIRT]
        for number, kind in enumerate(kinds[: len(own)]):
            found[own[number * len(own) // len(kinds) if len(own) >= len(kinds) else number]] = kind
    return found


def write_study(study: Study, out: Path, size: int, dirt: dict[int, str]) -> None:
    """The pictures of one study, and the dirt beside them."""
    cv2.setNumThreads(1)
    patient = study.patient
    who = f"{patient.surname}_{patient.given}_{patient.patient_id}".upper()
    folder = out / study.institution / "dicom" / who / f"{study.accession}_{study.date.isoformat()}"
    folder.mkdir(parents=True, exist_ok=True)
    anatomy = draw_anatomy(patient.number * 1000 + study.seed % 1000, patient.sex)
    first = None
    for number, view in enumerate(study.views, 1):
        generator = study.generator(10 + number)
        phantom = (draw_lateral if view == "LATERAL" else draw_frontal)(anatomy, study.findings)
        taken = expose(phantom, draw_exposure(generator, size, view))
        path = folder / f"{patient.surname}_{view}_{number}.dcm"
        write_file(make_dataset(study, number, view, taken, draw_storage(generator)), path)
        first = first or path
    if study.place in dirt:
        assert first is not None
        write_dirt(dirt[study.place], study, folder, first, size)


def _is_empty_report(study: Study) -> bool:
    return study.number % _STUDIES_PER_EMPTY == 2


def _report_text(study: Study) -> str:
    return "  \n" if _is_empty_report(study) else write_report(study)


def _write_reports_table(path: Path, studies: list[Study]) -> None:
    columns = (
        "accession_number",
        "patient_id",
        "patient_name",
        "birth_date",
        "sex",
        "study_date",
        "referring_physician",
        "report",
    )
    rows = (
        (
            study.accession, study.patient.patient_id, f"{study.patient.surname}, {study.patient.given}",
            study.patient.birth.isoformat(), study.patient.sex, study.date.isoformat(), study.referrer, _report_text(study),
        )
        for study in studies
        if has_report(study)
    )  # fmt: skip
    _write_table(path, columns, rows)


def _write_labels(path: Path, studies: list[Study]) -> None:
    rows = ((study.accession, *labels_of(study.findings).values()) for study in studies)
    _write_table(path, ("accession_number", *FINDINGS), rows)


def _write_table(path: Path, columns: tuple[str, ...], rows: Iterator[tuple[Any, ...]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(rows)


def _write_report_files(folder: Path, studies: list[Study]) -> None:
    folder.mkdir(parents=True)
    for study in studies:
        text = _report_text(study)
        encoding = _ENCODINGS[study.number % len(_ENCODINGS)]
        if encoding == "cp1252":
            text = text.replace(" - ", " \u2013 ").replace("No acute", "\u201cNo acute\u201d")
        (folder / f"{study.accession}.txt").write_bytes(text.encode(encoding, "strict"))
