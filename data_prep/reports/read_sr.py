"""DICOM objects that hold a report: structured reports as text, and encapsulated PDF and CDA documents.

    CONTAINER "Chest X-ray report"                     FINDINGS:
      CONTAINER "Findings"  TEXT "Finding": "Clear."   Clear.
      TEXT "Impression": "Normal."                 ->
      PNAME "Person Observer Name": a name             IMPRESSION:
                                                       Normal.          the name goes to the identifiers

Only TEXT that is content becomes text: codes, numbers, pictures and observation context do not.
"""

import datetime
from collections.abc import Iterator
from typing import Any

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from data_prep.files.encodings import with_plain_breaks
from data_prep.inputs import Identifiers, sex_as_allowed
from data_prep.ledger import Reason
from data_prep.loose import ReportStatus
from data_prep.pictures.elements import text
from data_prep.pictures.refused import Refused
from data_prep.privacy.identifiers import header_identifiers, parse_date
from data_prep.reports.found_report import MAX_TEXT, FoundReport
from data_prep.reports.read_document import read_cda, read_pdf

_REPORTS = "1.2.840.10008.5.1.4.1.1.88."
TEXT_REPORTS = frozenset(_REPORTS + last for last in ("1", "2", "3", "11", "22", "33", "34", "35"))
"""Basic text, enhanced, comprehensive, comprehensive 3D and extensible; 1 to 3 are retired trial classes."""
PDF_CLASS = "1.2.840.10008.5.1.4.1.1.104.1"
CDA_CLASS = "1.2.840.10008.5.1.4.1.1.104.2"
_DOSE_TITLES = frozenset({"113701", "113500", "126000", "126100", "DEV", "111036", "112023"})
"""Codes of document titles that name dose, measurements and detection results rather than a reading."""
_NO_CONTENT = frozenset({"HAS OBS CONTEXT", "HAS CONCEPT MOD", "HAS ACQ CONTEXT"})
MAX_ITEMS = 100_000


def holds_report(header: Dataset) -> bool:
    """Whether a DICOM object is a document: a report, or what shares its classes (dose, detection results, key objects)."""
    sop_class = text(header, "SOPClassUID")
    return sop_class.startswith(_REPORTS) or sop_class in (PDF_CLASS, CDA_CLASS)


def read_report_object(dataset: Dataset) -> FoundReport:
    """The report in a DICOM object, with the identifiers of its header and of its content.

    Raises:
        Refused: NOT_A_REPORT for dose reports, CAD, key objects and measurements; BROKEN_REPORT for what does not parse.
    """
    sop_class = text(dataset, "SOPClassUID")
    identifiers = header_identifiers(dataset) + _persons(dataset)
    if sop_class in (PDF_CLASS, CDA_CLASS):
        inner = _encapsulated(dataset, sop_class)
        words, identifiers, numbers = inner.text, identifiers + inner.identifiers, inner.numbers
    elif sop_class in TEXT_REPORTS:
        words, numbers = _text_of(dataset), ()
    else:
        raise Refused(Reason.NOT_A_REPORT)
    return FoundReport(
        text=words,
        numbers=tuple(dict.fromkeys(filter(None, (*_study_numbers(dataset), *numbers)))),
        patient=_exact(dataset, "PatientID"),
        date=parse_date(_exact(dataset, "StudyDate")) or parse_date(_exact(dataset, "ContentDate")),
        sex=sex_as_allowed(text(dataset, "PatientSex")),
        status=_status(dataset),
        issued=_issued(dataset),
        identifiers=identifiers,
    )


def _exact(dataset: Dataset, keyword: str) -> str:
    try:
        value = dataset.get(keyword)
    except Exception:
        # An element whose value breaks its own VR.
        return ""
    return "" if value is None else str(value).strip()


def _items(dataset: Dataset, keyword: str) -> list[Dataset]:
    try:
        return [item for item in dataset.get(keyword) or () if isinstance(item, Dataset)]
    except Exception:
        # A sequence whose bytes are cut.
        raise Refused(Reason.BROKEN_REPORT) from None


def _study_numbers(dataset: Dataset) -> Iterator[str]:
    """The study's UID, those of the requests and the evidence, and accession numbers."""
    yield _exact(dataset, "StudyInstanceUID")
    requests = _items(dataset, "ReferencedRequestSequence")
    evidence = [
        *_items(dataset, "CurrentRequestedProcedureEvidenceSequence"),
        *_items(dataset, "PertinentOtherEvidenceSequence"),
    ]
    yield from (_exact(item, "StudyInstanceUID") for item in (*requests, *evidence))
    yield _exact(dataset, "AccessionNumber")
    yield from (_exact(item, "AccessionNumber") for item in requests)


def _status(dataset: Dataset) -> ReportStatus:
    if text(dataset, "PreliminaryFlag") == "PRELIMINARY" or text(dataset, "CompletionFlag") == "PARTIAL":
        return ReportStatus.PRELIMINARY
    if text(dataset, "VerificationFlag") == "VERIFIED" or text(dataset, "PreliminaryFlag") == "FINAL":
        return ReportStatus.FINAL
    return ReportStatus.UNKNOWN


def _issued(dataset: Dataset) -> str:
    verified = [_exact(item, "VerificationDateTime") for item in _items(dataset, "VerifyingObserverSequence")]
    written = max(verified, default="") or _exact(dataset, "ContentDate") + _exact(dataset, "ContentTime")
    return "".join(char for char in written.split(".")[0] if char.isdigit())[:14]


def _encapsulated(dataset: Dataset, sop_class: str) -> FoundReport:
    content = dataset.get("EncapsulatedDocument")
    if not isinstance(content, bytes) or not content.strip(b"\0"):
        raise Refused(Reason.BROKEN_REPORT)
    return read_pdf(content) if sop_class == PDF_CLASS else read_cda(content.rstrip(b"\0"))


def _text_of(dataset: Dataset) -> str:
    """The TEXT items in their order, each below the heading of its container, else its own."""
    titles = _items(dataset, "ConceptNameCodeSequence")
    if titles and text(titles[0], "CodeValue") in _DOSE_TITLES:
        raise Refused(Reason.NOT_A_REPORT)
    parts: list[tuple[str, str]] = []
    num_items, num_numbers = 0, 0
    waiting = [(item, "") for item in reversed(_items(dataset, "ContentSequence"))]
    while waiting:
        item, heading = waiting.pop()
        num_items += 1
        kind = text(item, "ValueType")
        if num_items > MAX_ITEMS:
            raise Refused(Reason.BROKEN_REPORT)
        if text(item, "RelationshipType") in _NO_CONTENT:
            continue
        name = _meaning(item)
        num_numbers += kind == "NUM"
        if kind == "TEXT" and (words := with_plain_breaks(_exact(item, "TextValue")).strip()):
            parts.append((heading or name, words))
        inner = (name or heading) if kind == "CONTAINER" else heading
        waiting += [(child, inner) for child in reversed(_items(item, "ContentSequence"))]
    if not parts and num_numbers:
        raise Refused(Reason.NOT_A_REPORT)
    return _joined(parts)


def _joined(parts: list[tuple[str, str]]) -> str:
    lines: list[str] = []
    last = None
    for heading, words in parts:
        if heading and heading != last and not words.upper().startswith(heading):
            lines.append(f"\n{heading}:" if lines else f"{heading}:")
        elif heading != last and lines:
            lines.append("")
        lines.append(words)
        last = heading
    joined = "\n".join(lines)
    if len(joined) > MAX_TEXT:
        raise Refused(Reason.BROKEN_REPORT)
    return joined


def _meaning(item: Dataset) -> str:
    names = _items(item, "ConceptNameCodeSequence")
    return " ".join(text(names[0], "CodeMeaning").replace(":", " ").split()) if names else ""


def _persons(dataset: Dataset) -> Identifiers:
    """Every person named anywhere in the object, and dates, numbers and texts of the observation context."""
    names: list[str] = []
    ids: list[str] = []
    dates: list[datetime.date] = []
    levels = [dataset]
    num_levels = 0
    while levels:
        level = levels.pop()
        num_levels += 1
        if num_levels > MAX_ITEMS:
            raise Refused(Reason.BROKEN_REPORT)
        for tag in level:
            if tag.VR == "SQ":
                levels += [item for item in tag.value or () if isinstance(item, Dataset)]
            elif tag.VR == "PN":
                names += _values(tag.value)
            elif tag.VR in ("DA", "DT"):
                dates += [date for value in _values(tag.value) if (date := parse_date(value))]
        if text(level, "RelationshipType") == "HAS OBS CONTEXT":
            value = _exact(level, "TextValue")
            (ids if any(map(str.isdigit, value)) else names).append(value)
    return Identifiers(tuple(filter(None, names)), tuple(filter(None, ids)), tuple(dict.fromkeys(dates)))


def _values(value: Any) -> list[str]:
    many = value if isinstance(value, (list, tuple, MultiValue)) else [value]
    return [str(one).strip() for one in many if one]
