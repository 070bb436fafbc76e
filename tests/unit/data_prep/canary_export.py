"""A hospital's export in which everything that may identify is a canary.

Every attribute of PS3.15 Table E.1-1 at the top level or two sequences deep, every VR, private elements, overlays, curves,
names of files and folders, reports by table or by file, and table columns; and files on every way to fail.
"""

import csv
import datetime
import tarfile
from dataclasses import dataclass
from pathlib import Path

import made_exports as made
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from data_prep.sources.hospital import HospitalOptions

TABLE = Path(__file__).parents[3] / "data_prep" / "privacy" / "annex_e.csv"
WORD = "QXCANARY"
NUM_FILES = 12
NOT_IN_A_FILE = ("0000", "0004", "FFFC")
"""Groups of commands, of media directories and of padding, which no data set of a picture may hold."""
NEVER_IN_A_REPORT = frozenset({"TM", "CS", "AS", "DS", "IS", "SQ", "OB", "US", "UN"})


@dataclass(frozen=True)
class Attribute:
    """A line of the table: `cxrpt` says what the build does with it."""

    tag: str
    keyword: str
    vr: str
    basic_profile: str
    cxrpt: str


@dataclass(frozen=True)
class CanaryExport:
    """The export, and the strings of which none may be found in what is made of it (in small letters)."""

    src: Path
    options: HospitalOptions
    needles: tuple[str, ...]


def read_annex_e() -> list[Attribute]:
    """The table: whole tags first, patterns ("60xx3000") last."""
    with TABLE.open(newline="") as file:
        return [Attribute(**row) for row in csv.DictReader(file)]


def plantable() -> list[Attribute]:
    """Attributes with a whole tag that a file of a picture can hold in its data set."""
    return [one for one in read_annex_e() if "x" not in one.tag and not one.tag.startswith((*NOT_IN_A_FILE, "0002"))]


def canary(vr: str, number: int) -> tuple[object, tuple[str, ...]]:
    """A value that suits the VR, and the strings that betray it."""
    word = f"{WORD}{number:04d}"
    date = datetime.date(1911, 1, 1) + datetime.timedelta(days=number)
    if vr == "SQ":
        inner, item = Dataset(), Dataset()
        inner.add_new(0x00081000, "AE", f"QXAE{number:04d}")
        item.PersonName = f"{word}^Nested"
        item.PersonIdentificationCodeSequence = Sequence([inner])
        return Sequence([item]), (word, f"QXAE{number:04d}")
    if vr in ("OB", "OW", "UN", "OB or OW"):
        return f"{word}OTHER!".encode(), (word,)
    if vr in ("US", "SS", "UL", "SL", "US or SS"):
        return 51_234, ()
    if vr == "AS":
        return f"{number % 40 + 50:03d}Y", (f"{number % 40 + 50:03d}Y",)
    values = {
        "UI": f"1.2.826.0.1.{77_000_000 + number}.4242",
        "DA": f"{date:%Y%m%d}",
        "DT": f"{date:%Y%m%d}235959.77{number:04d}",
        "TM": f"235959.77{number:04d}",
        "IS": f"91770{number:04d}",
        "DS": f"9177.0{number:04d}",
        "PN": f"{word}^Given",
        "UR": f"https://{word.lower()}.example.org/x",
    }
    value = values.get(vr, word)
    if vr in ("DA", "DT"):
        return value, (f"{date:%Y%m%d}", f"{date:%Y-%m-%d}", f"{date.month}/{date.day}/{date.year}")
    return value, (f"{77_000_000 + number}.4242",) if vr == "UI" else (word,) if vr == "PN" else (value,)


def make_canary_export(root: Path, nested: bool = False, reports: str = "csv") -> CanaryExport:
    """Write the export: `nested` puts the attributes two sequences deep, `reports` is "csv" or "files"."""
    src = root / f"{WORD}9001 export"
    needles: list[str] = [f"{WORD}9001", f"{WORD}9002"]
    rows = []
    attributes = plantable()
    numbered = list(enumerate(attributes))
    for file in range(NUM_FILES):
        path = src / f"{WORD}9002^folder" / f"{WORD}9002_{file}.dcm"
        dataset = made.dicom(path, file)
        target = _two_deep(dataset) if nested else dataset
        said = []
        for number, one in numbered[file::NUM_FILES]:
            value, strings = canary(one.vr, number)
            target.add_new(int(one.tag, 16), one.vr.split(" ")[0], value)
            needles += strings
            if one.cxrpt in ("scrub", "pseudonym") and one.vr not in NEVER_IN_A_REPORT:
                said.append(strings[-1] if one.vr in ("DA", "DT") else str(value).replace("^", ", "))
        needles += _plant_everywhere(dataset, 8000 + 20 * file)
        # Otherwise pydicom would put the SOP instance UID in place of the canary of the file meta.
        dataset.save_as(path, enforce_file_format=False)
        rows.append({
            "accession_number": str(dataset.AccessionNumber),
            "report": _report(said, 8500 + file),
            "physician": f"{WORD}{8600 + file}, Ann",
            "Zuweiser": f"{WORD}{8620 + file}",
            "mrn": f"{WORD}{8640 + file}",
        })  # fmt: skip
        needles += [f"{WORD}{start + file}" for start in (8500, 8520, 8540)]
        needles += [f"{WORD}{start + file}" for start in (8600, 8620, 8640)] if reports == "csv" else []
    _write_broken(src, rows[0]["report"])
    options = _write_reports(src, rows, reports)
    return CanaryExport(src, options, tuple(sorted({needle.lower() for needle in needles})))


def leaks(content: bytes, needles: tuple[str, ...]) -> list[str]:
    """The needles that stand in a content, whatever their case; also as UTF-16."""
    lowered = content.lower()
    return [needle for needle in needles if needle.encode() in lowered or needle.encode("utf-16-le") in lowered]


def leaks_below(folder: Path, needles: tuple[str, ...]) -> dict[str, list[str]]:
    """File or member -> needles in its name or content, over every file below a folder and every member of every tar."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        hits = leaks(name.encode(), needles)
        if path.is_file():
            hits += leaks(path.read_bytes(), needles)
            if path.suffix == ".tar":
                with tarfile.open(path) as tar:
                    hits += [hit for member in tar for hit in leaks(member.name.encode(), needles)]
        if hits:
            found[name] = sorted(set(hits))
    return found


def _two_deep(dataset: Dataset) -> Dataset:
    inner, outer = Dataset(), Dataset()
    outer.ReferencedPerformedProcedureStepSequence = Sequence([inner])
    dataset.RequestAttributesSequence = Sequence([outer])
    return inner


def _plant_everywhere(dataset: Dataset, number: int) -> list[str]:
    """Private elements of every kind, overlays, curves and comments; returns the strings that betray them."""
    word = f"{WORD}{number}"
    block = dataset.private_block(0x0043, f"{word}A", create=True)
    for offset, vr in enumerate(("LO", "SH", "PN", "UT", "LT", "ST", "CS", "AE", "UC", "UR", "OB", "UN"), 1):
        block.add_new(offset, vr, f"{word}P{offset}".encode() if vr in ("OB", "UN") else f"{word}P{offset}")
    inner = Dataset()
    inner.PatientName = f"{word}Q"
    block.add_new(0x20, "SQ", Sequence([inner]))
    dataset.add_new(0x60003000, "OW", f"{word}OVERLAY_".encode())
    dataset.add_new(0x60004000, "LT", f"{word}OVERLAYTEXT")
    dataset.add_new(0x60000022, "LO", f"{word}OVERLAYNAME")
    dataset.add_new(0x60023000, "OW", f"{word}OVERLAY2".encode())
    dataset.add_new(0x50003000, "OW", f"{word}CURVE!!!".encode())
    dataset.add_new(0x50000022, "LO", f"{word}CURVENAME")
    dataset.add_new(0x50020030, "SH", f"{word}AXIS")
    dataset.file_meta.SourceApplicationEntityTitle = f"QXMETA{number}"
    dataset.file_meta.PrivateInformationCreatorUID = f"1.2.826.0.1.{78_000_000 + number}.4242"
    dataset.file_meta.PrivateInformation = f"{word}META".encode()
    dataset.file_meta.MediaStorageSOPInstanceUID = f"1.2.826.0.1.{79_000_000 + number}.4242"
    return [word, f"QXMETA{number}", f"{78_000_000 + number}.4242", f"{79_000_000 + number}.4242"]


def _report(said: list[str], number: int) -> str:
    """Identifiers of the header in the head, the body and under the signature; and three that only the report names."""
    third = len(said) // 3
    return (
        f"Patient Name: {WORD}{number}, Ann\nRef: {'; '.join(said[:third])}\n\n"
        f"FINDINGS: Clear lungs number {number}. Noted for {'. Seen with '.join(said[third : 2 * third])}. "
        f"Her husband {WORD}{number + 20} was told by Dr. {WORD}{number + 40}.\n\n"
        f"IMPRESSION: Normal chest. {' and '.join(said[2 * third :])} know.\n\nSigned by: {WORD}{number}, MD\n"
    )


def _write_reports(src: Path, rows: list[dict[str, str]], reports: str) -> HospitalOptions:
    if reports == "csv":
        made.table(src / "reports.csv", rows)
        return HospitalOptions()
    folder = src / "reports"
    folder.mkdir()
    for row in rows:
        (folder / f"{row['accession_number']}.txt").write_text(row["report"])
    (folder / f"{WORD}9002.txt").write_bytes(b"\0" + rows[0]["report"].encode())
    return HospitalOptions()


def _write_broken(src: Path, report: str) -> None:
    """Files on every way to fail: cut pixels, a broken header, no DICOM at all, another body part."""
    whole = sorted(src.rglob("*.dcm"))[0].read_bytes()
    folder = src / f"{WORD}9001 broken"
    folder.mkdir()
    (folder / f"{WORD}9002 cut.dcm").write_bytes(whole[: len(whole) - 20_000] + WORD.encode())
    (folder / f"{WORD}9002 torn.dcm").write_bytes(whole[:700] + b"\xff" * 40 + f"{WORD}9001".encode() * 50)
    (folder / f"{WORD}9002 text").write_text(report)
    (folder / f"{WORD}9002 short.dcm").write_bytes(whole[:3000])
    made.dicom(folder / f"{WORD}9002 knee.dcm", 90, BodyPartExamined=f"KNEE {WORD}9001"[:16], PatientName=f"{WORD}9001^X")
    made.dicom(folder / f"{WORD}9002 date.dcm", 91, StudyDate=f"{WORD}9001", PatientAge=f"{WORD}9001", WindowCenter=None)
