"""What real exports hold beside good studies; shard building must account for each of them in its ledger.

A hand, a hip, a file without pixels, a truncated one, one that is no DICOM, a copy of a picture, a secondary capture with a
name burned into it.
"""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
from pydicom.uid import (
    BasicTextSRStorage,
    ExplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
)

from data_prep.synthetic.dicom_files import draw_storage, header, make_dataset, set_pixels, stored_values, write_file
from data_prep.synthetic.exposure import draw_exposure, expose, write_text
from data_prep.synthetic.limbs import draw_hand, draw_hip
from data_prep.synthetic.study import Study

DIRT = ("hand", "hip", "no_pixels", "truncated", "no_dicom", "copy", "burned_in")
"""Kinds; each comes once for every STUDIES_PER_DIRT studies of an institution, and at least once."""

STUDIES_PER_DIRT = 80


def write_dirt(kind: str, study: Study, folder: Path, picture: Path, size: int) -> Path:
    """Put one piece of dirt into a study's folder; `picture` is the study's own first file. Returns what was written."""
    path = folder / f"{kind.upper()}_{study.patient.surname}_{study.accession}.dcm"
    if kind in ("hand", "hip"):
        _write_limb(kind, study, path, size)
    elif kind == "no_pixels":
        _write_report_object(study, path)
    elif kind == "truncated":
        data = picture.read_bytes()
        path.write_bytes(data[: len(data) * 2 // 5])
    elif kind == "no_dicom":
        path = path.with_suffix(".dat")
        path.write_bytes(f"Thumbs of {study.patient.surname} {study.patient.patient_id}\n".encode() * 9)
    elif kind == "copy":
        _write_copy(study, picture, path)
    else:
        _write_burned_in(study, picture, path)
    return path


def _write_limb(kind: str, study: Study, path: Path, size: int) -> None:
    generator = study.generator(7)
    drawn = draw_hand(study.place) if kind == "hand" else draw_hip(study.place)
    taken = expose(drawn, replace(draw_exposure(generator, size, "PA"), markers=()))
    dataset = make_dataset(study, 71 if kind == "hand" else 72, "AP", taken, draw_storage(generator))
    dataset.BodyPartExamined = kind.upper()
    dataset.StudyDescription = dataset.SeriesDescription = f"XR {kind.upper()}"
    write_file(dataset, path)


def _write_report_object(study: Study, path: Path) -> None:
    dataset = header(study, 73, BasicTextSRStorage)
    dataset.Modality = "SR"
    content = pydicom.Dataset()
    content.ValueType = "TEXT"
    content.TextValue = f"Dose report of {study.patient.given} {study.patient.surname}, {study.patient.patient_id}"
    dataset.ContentSequence = pydicom.Sequence([content])
    write_file(dataset, path)


def _write_copy(study: Study, picture: Path, path: Path) -> None:
    """The same picture sent twice: other instance UID, equal pixels."""
    dataset = pydicom.dcmread(io.BytesIO(picture.read_bytes()))
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"{study.uid}.1.74"
    dataset.save_as(path)


def _write_burned_in(study: Study, picture: Path, path: Path) -> None:
    """A screenshot of the picture, with name and id in the corner."""
    source = pydicom.dcmread(io.BytesIO(picture.read_bytes()))
    values = source.pixel_array.astype(np.float32) / (2**source.BitsStored - 1)
    taken = 1 - values if source.PhotometricInterpretation == "MONOCHROME1" else values
    write_text(taken, f"{study.patient.surname} {study.patient.patient_id}", 0.03, 0.06, 0.7)
    write_text(taken, study.date.isoformat(), 0.03, 0.95, 0.6)
    storage = replace(draw_storage(study.generator(8)), inverted=False, syntax=str(ExplicitVRLittleEndian), bits=12)
    dataset = header(study, 75, SecondaryCaptureImageStorage)
    dataset.Modality, dataset.ConversionType, dataset.BurnedInAnnotation = "OT", "WSD", "YES"
    dataset.ImageType = ["DERIVED", "SECONDARY", "SCREEN SAVE"]
    dataset.BodyPartExamined = "CHEST"
    set_pixels(dataset, stored_values(taken, storage), storage)
    write_file(dataset, path)
