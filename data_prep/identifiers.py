"""What a header or a row of a table says about persons, numbers, dates and places: the list that the scrub removes."""

import datetime
import re
from typing import Any

from pydicom.dataset import Dataset

from data_prep.inputs import Identifiers
from data_prep.tables import Row

_PERSON_TAGS = (
    "PatientName",
    "OtherPatientNames",
    "PatientBirthName",
    "PatientMotherBirthName",
    "ResponsiblePerson",
    "ReferringPhysicianName",
    "ConsultingPhysicianName",
    "PerformingPhysicianName",
    "NameOfPhysiciansReadingStudy",
    "OperatorsName",
    "PhysiciansOfRecord",
    "RequestingPhysician",
    "ScheduledPerformingPhysicianName",
)
_NUMBER_TAGS = (
    "PatientID",
    "OtherPatientIDs",
    "IssuerOfPatientID",
    "AccessionNumber",
    "StudyID",
    "AdmissionID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SOPInstanceUID",
    "FillerOrderNumberImagingServiceRequest",
    "PlacerOrderNumberImagingServiceRequest",
    "RequestedProcedureID",
    "PerformedProcedureStepID",
    "MilitaryRank",
    "DeviceSerialNumber",
    "StationName",
)
_DATE_TAGS = (
    "PatientBirthDate",
    "StudyDate",
    "SeriesDate",
    "AcquisitionDate",
    "ContentDate",
    "PerformedProcedureStepStartDate",
    "AdmittingDate",
)
_PHRASE_TAGS = (
    "InstitutionName",
    "InstitutionAddress",
    "InstitutionalDepartmentName",
    "PatientAddress",
    "PatientTelephoneNumbers",
    "ReferringPhysicianAddress",
    "ReferringPhysicianTelephoneNumbers",
    "CountryOfResidence",
    "RegionOfResidence",
    "CurrentPatientLocation",
)
_SEQUENCES = (
    "ReferencedPatientSequence",
    "OtherPatientIDsSequence",
    "RequestAttributesSequence",
    "ReferringPhysicianIdentificationSequence",
    "PerformingPhysicianIdentificationSequence",
    "OperatorIdentificationSequence",
)
_PLAIN_PHRASES = frozenset(
    {"radiology", "department of radiology", "hospital", "clinic", "emergency", "x-ray", "xray", "icu", "ward"}
)


def header_identifiers(header: Dataset) -> Identifiers:
    """The identifiers of a header and of the sequences in it that name persons and numbers."""
    found = _level_identifiers(header)
    for keyword in _SEQUENCES:
        for item in _value(header, keyword) or ():
            if isinstance(item, Dataset):
                found += _level_identifiers(item)
    return found


def _level_identifiers(level: Dataset) -> Identifiers:
    return Identifiers(
        names=_texts(level, (*_PERSON_TAGS, "PersonName")),
        ids=_texts(level, _NUMBER_TAGS),
        dates=tuple(date for value in _texts(level, _DATE_TAGS) if (date := parse_date(value))),
        phrases=tuple(value for value in _texts(level, _PHRASE_TAGS) if value.lower() not in _PLAIN_PHRASES),
    )


def _value(level: Dataset, keyword: str) -> Any:
    try:
        return level.get(keyword)
    except Exception:
        # An element whose value breaks its own VR; the others still count.
        return None


def _texts(level: Dataset, keywords: tuple[str, ...]) -> tuple[str, ...]:
    texts = []
    for keyword in keywords:
        value = _value(level, keyword)
        if value is None or value == "":
            continue
        many = value if isinstance(value, (list, tuple)) or type(value).__name__ == "MultiValue" else [value]
        texts += [str(one).strip() for one in many]
    return tuple(text for text in dict.fromkeys(texts) if text)


_NO_IDENTIFIERS = re.compile(r"file|path|url|folder|doi|licen[cs]e|procedure|exam_?name|modality|descri", re.IGNORECASE)
_COLUMN_KINDS = (
    ("dates", re.compile(r"date|dob|birth|_dt$", re.IGNORECASE)),
    (
        "phrases",
        re.compile(
            r"address|street|city|(^|_)zip|postal|phone|(^|_)tel|(^|_)fax|mail|hospital|institution|facility|(^|_)site|location|(^|_)ward",
            re.IGNORECASE,
        ),
    ),
    (
        "ids",
        re.compile(
            r"(^|[_ ])(id|uid|mrn|no|nr|num|number|acc|ssn|nhs)([_ ]|$)|patientid|studyid|subjectid|accession|uid$",
            re.IGNORECASE,
        ),
    ),
    (
        "names",
        re.compile(
            r"(patient|last|first|family|given|full|middle|sur|maiden|father|mother)[_ ]?name|^name$|physician|doctor|"
            r"radiologist|author|"
            r"signed|referr|attending|resident|operator|technolog|(^|_)reader|contact",
            re.IGNORECASE,
        ),
    ),
)


def row_identifiers(row: Row, without: frozenset[str] = frozenset()) -> Identifiers:
    """The identifiers of a row, told by the names of its columns; `without` names columns that hold none (text, picture)."""
    found: dict[str, list] = {kind: [] for kind, _ in _COLUMN_KINDS}
    for column, value in row.items():
        kind = next((kind for kind, pattern in _COLUMN_KINDS if pattern.search(column)), None)
        if column in without or not value or kind is None or _NO_IDENTIFIERS.search(column):
            continue
        if kind == "phrases" and value.lower() in _PLAIN_PHRASES:
            continue
        if kind != "dates":
            found[kind].append(value)
        elif date := parse_date(value):
            found["dates"].append(date)
    return Identifiers(**{kind: tuple(values) for kind, values in found.items()})


_CLINICAL = re.compile(
    r"find|diagn|label|impress|indicat|conclus|compar|techni|histor|view|posit|lateral|text|report|befund|sex|gender|geschlecht|"
    r"(^|_)age|alter|split|qualit|status|body",
    re.IGNORECASE,
)
_LONGEST_NAME = 60


def unknown_identifiers(row: Row, without: frozenset[str | None]) -> Identifiers:
    """What may identify in columns whose name tells neither a kind of identifier nor something clinical."""
    names, ids, dates = [], [], []
    for column, value in row.items():
        told = column in without or _NO_IDENTIFIERS.search(column) or any(kind.search(column) for _, kind in _COLUMN_KINDS)
        if told or not value or len(value) > _LONGEST_NAME or _CLINICAL.search(column):
            continue
        if date := parse_date(value):
            dates.append(date)
        elif any(char.isdigit() for char in value):
            ids.append(value)
        elif value[0].isupper():
            names.append(value)
    return Identifiers(names=tuple(names), ids=tuple(ids), dates=tuple(dates))


def parse_date(written: str) -> datetime.date | None:
    """A date from `YYYYMMDD`, `YYYY-MM-DD` (with or without a time), `DD.MM.YYYY` or `MM/DD/YYYY`; None else.

    Slashed dates are read month first unless that is no date: both orders are removed from text in any case.
    """
    written = written.strip()
    shapes = (
        (r"(\d{4})[-./]?(\d{2})[-./]?(\d{2})(?:\D.*|\d{6}.*)?", (0, 1, 2)),
        (r"(\d{1,2})\.(\d{1,2})\.(\d{4})(?:\D.*)?", (2, 1, 0)),
        (r"(\d{1,2})[-/](\d{1,2})[-/](\d{4})(?:\D.*)?", (2, 0, 1)),
        (r"(\d{1,2})[-/](\d{1,2})[-/](\d{4})(?:\D.*)?", (2, 1, 0)),
    )
    for shape, (year, month, day) in shapes:
        if match := re.fullmatch(shape, written):
            parts = [int(part) for part in match.groups()]
            try:
                return datetime.date(parts[year], parts[month], parts[day])
            except ValueError:
                continue
    return None
