"""Small made exports: DICOM files with canaries in their headers, pictures, report tables."""

import csv
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, generate_uid

from data_prep.build.settings import BuildSettings

CANARY = "QXCANARY"


def phantom(seed: int, size: tuple[int, int] = (160, 144)) -> np.ndarray:
    """A frontal chest in 12 bits, bright = dense: two dark lungs in a body, with a pattern of its own for each seed."""
    rows, columns = np.mgrid[0 : size[0], 0 : size[1]]
    y, x = rows / size[0], columns / size[1]
    body = np.full(size, 3000.0)
    for centre in (0.28, 0.72):
        body -= 2200 * (((x - centre) / 0.17) ** 2 + ((y - 0.47) / 0.33) ** 2 < 1)
    noise = np.random.default_rng(seed).normal(0, 40, size)
    return np.clip(body + noise, 0, 4095).astype(np.uint16)


def dicom(
    path: Path, seed: int = 0, pixels: np.ndarray | None = None, canaries: bool = False, big: bool = False, **tags: object
) -> FileDataset:
    """Write a chest radiograph; `tags` overrides elements, None removes one."""
    pixels = phantom(seed) if pixels is None else pixels
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRBigEndian if big else ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1"
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[f"image {seed} {path.name}"])
    dataset = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128, is_implicit_VR=False, is_little_endian=not big)
    dataset.SOPClassUID = meta.MediaStorageSOPClassUID
    dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    defaults = {
        "Modality": "DX",
        "BodyPartExamined": "CHEST",
        "ViewPosition": "PA",
        "PatientID": f"P{seed:06d}",
        "PatientName": f"Person{seed}^Given",
        "PatientBirthDate": "19500102",
        "PatientSex": "F",
        "StudyDate": "20200305",
        "StudyInstanceUID": generate_uid(entropy_srcs=[f"study {seed}"]),
        "AccessionNumber": f"ACC{seed:05d}",
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsStored": 12,
    }
    for keyword, value in {**defaults, **tags}.items():
        if value is not None:
            setattr(dataset, keyword, value)
    dataset.SamplesPerPixel = 1
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.BitsAllocated = pixels.dtype.itemsize * 8
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = 1 if pixels.dtype.kind == "i" else 0
    dataset.PixelData = (pixels.byteswap() if big else pixels).tobytes()
    if canaries:
        _plant(dataset)
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
    return dataset


def _plant(dataset: Dataset) -> None:
    """Canaries in names, ids, descriptions, private elements and nested sequences."""
    dataset.PatientName = f"{CANARY}NAME^Given"
    dataset.PatientID = f"{CANARY}ID"
    dataset.OtherPatientIDs = [f"{CANARY}OTHER"]
    dataset.AccessionNumber = f"{CANARY}AC"
    dataset.StudyID = f"{CANARY}SID"
    dataset.InstitutionName = f"{CANARY}HOSPITAL"
    dataset.InstitutionAddress = f"{CANARY} Road 7"
    dataset.ReferringPhysicianName = f"{CANARY}DOC^Who"
    dataset.OperatorsName = f"{CANARY}OP"
    dataset.StudyDescription = f"CHEST {CANARY}STUDY"
    dataset.SeriesDescription = f"PA {CANARY}SERIES"
    dataset.PatientComments = f"{CANARY}COMMENT"
    dataset.ImageComments = f"{CANARY}IMAGE"
    dataset.PatientSex = f"{CANARY}SEX"
    dataset.ViewPosition = f"{CANARY}VIEW"
    item = Dataset()
    item.PersonName = f"{CANARY}PERSON"
    inner = Dataset()
    inner.CodeMeaning = f"{CANARY}NESTED"
    item.PersonIdentificationCodeSequence = Sequence([inner])
    dataset.ReferringPhysicianIdentificationSequence = Sequence([item])
    block = dataset.private_block(0x0043, f"{CANARY}CREATOR", create=True)
    block.add_new(0x01, "LO", f"{CANARY}PRIVATE")
    block.add_new(0x02, "UT", f"{CANARY}UT" * 20)
    dataset.add_new(0x60003000, "OW", f"{CANARY}OVERLAY_".encode())


def table(path: Path, rows: list[dict[str, str]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def hospital(root: Path, num_studies: int = 6) -> Path:
    """An export with studies of one and two images, reports, a text-only report, a duplicate, a knee, and a file of noise."""
    for seed in range(num_studies):
        dicom(root / f"deep/er/f{seed}", seed)
        if seed % 3 == 0:
            dicom(root / f"side{seed}.bin", 100 + seed, **_of_study(seed), ViewPosition="LL")
    dicom(root / "copy.dcm", 0, pixels=phantom(1), **_of_study(0))
    dicom(root / "knee.dcm", 50, BodyPartExamined="KNEE")
    (root / "noise").write_bytes(b"not a picture at all")
    rows = [
        {
            "accession_number": f"ACC{seed:05d}",
            "report": f"FINDINGS: Lung number {seed} is clear.\n\nIMPRESSION: Normal.",
            "patient_id": "",
        }
        for seed in range(num_studies - 1)
    ]
    rows.append({"accession_number": "ACC77777", "report": "IMPRESSION: Old granuloma.", "patient_id": "P000000"})
    rows.append({"accession_number": "ACC88888", "report": "IMPRESSION:", "patient_id": "P000001"})
    table(root / "reports.csv", rows)
    table(root / "labels.csv", [{"accession_number": "ACC00000", "Effusion": "1", "Mass": "-1", "Edema": ""}])
    return root


def _of_study(seed: int) -> dict[str, str]:
    return {
        "PatientID": f"P{seed:06d}",
        "PatientName": f"Person{seed}^Given",
        "StudyInstanceUID": generate_uid(entropy_srcs=[f"study {seed}"]),
        "AccessionNumber": f"ACC{seed:05d}",
    }


def settings(src: Path, out: Path, source: str = "hospital", **fields: object) -> BuildSettings:
    return BuildSettings(source=source, src=src, out=out, institution="north", **{"max_failed": 0.5, **fields})  # type: ignore[arg-type]


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder by its relative path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
