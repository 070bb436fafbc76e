"""DICOM files of made-up studies, as varied as real archives are, with identities all over the header.

picture 0..1 ─► stored values (12 of 16 bits; MONOCHROME1 inverted) ─► header ─► one of SYNTAXES ─► file
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    DeflatedExplicitVRLittleEndian,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from data_prep.synthetic.canaries import MAIL_DOMAIN, PLACES, UID_ROOT
from data_prep.synthetic.study import Study

SYNTAXES = {
    ExplicitVRLittleEndian: 0.30,
    ImplicitVRLittleEndian: 0.25,
    ExplicitVRBigEndian: 0.05,
    DeflatedExplicitVRLittleEndian: 0.05,
    RLELossless: 0.12,
    JPEG2000Lossless: 0.11,
    JPEGLSLossless: 0.12,
}
"""Transfer syntax -> share of the files."""

_ENCODERS = {JPEG2000Lossless: "pylibjpeg", JPEGLSLossless: "pyjpegls", RLELossless: "pylibjpeg"}
_STATION = "ZQROOM1"


@dataclass(frozen=True)
class Storage:
    """How a picture is stored."""

    syntax: str
    sop_class: str
    inverted: bool
    """MONOCHROME1: low stored values are white."""
    bits: int
    lowest: float
    highest: float
    """Stored values of black and white, in parts of the range; the other way about where inverted."""
    slope: float
    intercept: float
    window: str
    """good, absent, or off: a centre outside of the data."""


def draw_storage(generator: np.random.Generator) -> Storage:
    """One of the ways in which archives store radiographs."""
    syntaxes = list(SYNTAXES)
    bits = int(generator.choice((12, 12, 12, 10, 14)))
    rescaled = generator.random() < 0.15
    return Storage(
        syntax=str(syntaxes[int(generator.choice(len(syntaxes), p=list(SYNTAXES.values())))]),
        sop_class=str(DigitalXRayImageStorageForPresentation if generator.random() < 0.5 else ComputedRadiographyImageStorage),
        inverted=bool(generator.random() < 0.45),
        bits=bits,
        lowest=generator.uniform(0.0, 0.08),
        highest=generator.uniform(0.85, 1.0),
        slope=0.5 if rescaled else 1.0,
        intercept=-100.0 if rescaled else 0.0,
        window=str(generator.choice(("good", "absent", "off"), p=(0.65, 0.3, 0.05))),
    )


def stored_values(picture: np.ndarray, storage: Storage) -> np.ndarray:
    """uint16 [height, width] of display values 0..1."""
    values = storage.lowest + picture * (storage.highest - storage.lowest)
    return np.round((1 - values if storage.inverted else values) * (2**storage.bits - 1)).astype(np.uint16)


def make_dataset(study: Study, number: int, view: str, picture: np.ndarray, storage: Storage) -> FileDataset:
    """Header and pixels of one picture, not yet encoded."""
    dataset = header(study, number, storage.sop_class)
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.UID(storage.syntax)
    dataset.Modality = "DX" if storage.sop_class == DigitalXRayImageStorageForPresentation else "CR"
    dataset.BodyPartExamined = "CHEST"
    dataset.ViewPosition = "LL" if view == "LATERAL" else view
    dataset.SeriesDescription = f"CHEST {view}"
    dataset.StudyDescription = "XR CHEST"
    set_pixels(dataset, stored_values(picture, storage), storage)
    return dataset


def set_pixels(dataset: Dataset, values: np.ndarray, storage: Storage) -> None:
    """Pixels and all that says how to show them."""
    big = storage.syntax == ExplicitVRBigEndian
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME1" if storage.inverted else "MONOCHROME2"
    dataset.PresentationLUTShape = "INVERSE" if storage.inverted else "IDENTITY"
    dataset.Rows, dataset.Columns = values.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, storage.bits, storage.bits - 1
    dataset.PixelRepresentation = 0
    dataset.PixelSpacing = [0.5, 0.5]
    dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType = storage.slope, storage.intercept, "US"
    if storage.window != "absent":
        low, high = np.percentile(values, (1, 99)) * storage.slope + storage.intercept
        centre = (low + high) / 2 if storage.window == "good" else 4 * 2**storage.bits
        dataset.WindowCenter, dataset.WindowWidth = round(float(centre)), max(2, round(float(high - low)))
    dataset.LossyImageCompression = "00"
    dataset.add_new(0x7FE00010, "OW", values.astype(">u2" if big else "<u2").tobytes())


def header(study: Study, number: int, sop_class: str) -> FileDataset:
    """What stands in the header beside the pixels: identities in every value representation, nested and private."""
    patient = study.patient
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = sop_class
    meta.MediaStorageSOPInstanceUID = f"{study.uid}.1.{number}"
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.SourceApplicationEntityTitle = _STATION
    meta.ImplementationClassUID = f"{UID_ROOT}.1"
    preamble = f"{patient.surname} {patient.patient_id}".encode("latin-1", "replace").ljust(128, b"\0")
    dataset = FileDataset("", {}, preamble=preamble, file_meta=meta)
    dataset.SpecificCharacterSet = "ISO_IR 192" if number % 2 or study.number % 3 == 0 else "ISO_IR 100"
    day = study.date.strftime("%Y%m%d")
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class, meta.MediaStorageSOPInstanceUID
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study.uid, f"{study.uid}.1"
    dataset.StudyDate = dataset.SeriesDate = dataset.AcquisitionDate = dataset.ContentDate = day
    dataset.StudyTime = dataset.ContentTime = f"{8 + study.number % 10:02d}{study.number % 60:02d}17"
    dataset.AcquisitionDateTime = f"{day}101112.000000"
    dataset.AccessionNumber, dataset.StudyID = study.accession, f"{study.accession}S"
    dataset.InstanceNumber, dataset.SeriesNumber = number, 1
    dataset.PatientName, dataset.PatientID = patient.dicom_name, patient.patient_id
    dataset.PatientBirthDate, dataset.PatientSex, dataset.PatientAge = (
        patient.birth.strftime("%Y%m%d"), patient.sex, f"{study.age:03d}Y",
    )  # fmt: skip
    dataset.ReferringPhysicianName = f"{study.referrer}^^^Dr"
    _identify(dataset, study)
    _nest(dataset, study)
    _hide(dataset, study, number)
    return dataset


def _identify(dataset: Dataset, study: Study) -> None:
    """Identities in ordinary fields."""
    patient = study.patient
    dataset.NameOfPhysiciansReadingStudy = study.reader
    dataset.OperatorsName = study.reader.upper()
    dataset.InstitutionName, dataset.InstitutionAddress = PLACES[0], f"1 {PLACES[1]}, {PLACES[2]}"
    dataset.StationName = _STATION
    dataset.PatientAddress, dataset.PatientTelephoneNumbers = patient.address, patient.phone
    dataset.PatientMotherBirthName = f"{patient.surname}^{study.reader}"
    dataset.OtherPatientIDs = [patient.patient_id, f"{patient.patient_id}B"]
    dataset.PatientComments = f"Daughter of {patient.surname}, call {patient.phone} or {patient.mail}"
    dataset.AdditionalPatientHistory = f"{patient.given} {patient.surname}, seen on {study.date.isoformat()}"
    dataset.ImageComments = f"{patient.patient_id} {patient.surname}"
    dataset.RetrieveAETitle = _STATION
    dataset.LastMenstrualDate = study.date.strftime("%Y%m%d")
    dataset.RetrieveURL = f"https://{MAIL_DOMAIN}/{patient.patient_id}"
    dataset.ProtocolName = f"Chest {study.accession}"


def _nest(dataset: Dataset, study: Study) -> None:
    """Identities three sequences deep."""
    patient = study.patient
    reference = Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = dataset.SOPClassUID, f"{study.uid}.9"
    person = Dataset()
    person.PersonName, person.PersonTelephoneNumbers = f"{study.reader}^M", f"977-707-{study.number % 10000:04d}"
    other = Dataset()
    other.PatientID, other.IssuerOfPatientID = f"{patient.patient_id}C", PLACES[0].replace(" ", "_")
    original = Dataset()
    original.PatientName, original.PatientBirthDate = patient.dicom_name, patient.birth.strftime("%Y%m%d")
    original.ReferencedImageSequence = Sequence([reference])
    changed = Dataset()
    changed.ModifiedAttributesSequence = Sequence([original])
    changed.ModifyingSystem, changed.SourceOfPreviousValues = _STATION, f"{study.accession} {patient.surname}"
    changed.AttributeModificationDateTime = study.date.strftime("%Y%m%d") + "120000"
    changed.ReasonForTheAttributeModification = "CORRECT"
    request = Dataset()
    request.RequestedProcedureID, request.ScheduledProcedureStepID = study.accession, study.accession
    request.RequestingPhysicianIdentificationSequence = Sequence([person])
    dataset.OtherPatientIDsSequence = Sequence([other])
    dataset.OriginalAttributesSequence = Sequence([changed])
    dataset.RequestAttributesSequence = Sequence([request])


def _hide(dataset: Dataset, study: Study, number: int) -> None:
    """Identities in private elements, an overlay, the padding, and in values that break their own rules."""
    patient = study.patient
    block = dataset.private_block(0x0029, f"ZQVENDOR {patient.surname[:4]}".strip(), create=True)
    values = {
        "PN": patient.dicom_name, "LO": patient.surname, "SH": patient.patient_id, "DA": study.date.strftime("%Y%m%d"),
        "DT": study.date.strftime("%Y%m%d") + "0800", "TM": "080910", "ST": f"{patient.given} {patient.surname}",
        "LT": f"{patient.surname} {patient.phone}", "UT": patient.address, "UC": patient.mail, "UR": f"https://{MAIL_DOMAIN}",
        "UI": f"{study.uid}.77", "AE": _STATION, "AS": f"{study.age:03d}Y", "IS": str(patient.number),
        "DS": str(patient.number),
        "CS": "ZQCODE", "OB": _even(patient.surname), "OW": _even(patient.patient_id), "UN": _even(patient.mail),
    }  # fmt: skip
    for place, (representation, value) in enumerate(values.items(), 1):
        block.add_new(place, representation, value)
    inner = Dataset()
    inner.PatientName = patient.dicom_name
    block.add_new(0x40, "SQ", Sequence([inner]))
    if number == 1 and study.number % 4 == 0:
        dataset.add_new(0x60000010, "US", 8)
        dataset.add_new(0x60000011, "US", 64)
        dataset.add_new(0x60000022, "LO", f"{patient.surname} overlay")
        dataset.add_new(0x60000040, "CS", "G")
        dataset.add_new(0x60000050, "SS", [1, 1])
        dataset.add_new(0x60000100, "US", 1)
        dataset.add_new(0x60000102, "US", 0)
        dataset.add_new(0x60001500, "LO", patient.patient_id)
        dataset.add_new(0x60003000, "OW", _even(f"{patient.surname} {patient.patient_id}").ljust(64, b" ")[:64])
    if study.number % 5 == 0:
        # Real headers hold such values; pydicom quotes them in its warnings.
        for tag, representation, value in (
            (0x00081150, "UI", f"{UID_ROOT}.007.{patient.patient_id}"),
            (0x00181200, "DA", f"{study.date.isoformat()} {patient.surname}"),
            (0x00181160, "IS", f"{patient.patient_id}"),
            (0x00189004, "CS", f"{patient.surname} in small letters"),
        ):
            dataset.add(DataElement(tag, representation, value, validation_mode=pydicom.config.IGNORE, already_converted=True))
    dataset.add_new(0xFFFCFFFC, "OB", _even(f"{patient.surname} {patient.patient_id}"))


def write_file(dataset: FileDataset, path: Path) -> None:
    """Encode as the file meta says, and write."""
    syntax = dataset.file_meta.TransferSyntaxUID
    pydicom.config.settings.writing_validation_mode = pydicom.config.IGNORE
    if syntax in _ENCODERS:
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.compress(syntax, encoding_plugin=_ENCODERS[syntax], generate_instance_uid=False)
    written = dataset.file_meta.TransferSyntaxUID
    dataset.set_original_encoding(written.is_implicit_VR, written.is_little_endian, "utf-8")
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)


def _even(text: str) -> bytes:
    data = text.encode()
    return data + b" " * (len(data) % 2)
