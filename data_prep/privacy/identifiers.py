"""What a header or a row of a table says about persons, numbers, dates and places: the list that the scrub removes.

    header ─ every element, sequences and private ones too ─► kind by VR and keyword ─► names, ids, dates, phrases
    row    ─ every column ─► kind by the column's name                              ─► names, ids, dates, phrases

Nothing of a header leaves by this way: the list is used up in the worker that scrubs the report.
"""

import datetime
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from pydicom.datadict import dictionary_has_tag, dictionary_VR, keyword_for_tag
from pydicom.dataset import DataElement, Dataset

from data_prep.files.tables import Row
from data_prep.inputs import Identifiers
from data_prep.privacy.report_words import says_nothing

MAX_ELEMENTS = 5_000
MAX_DEPTH = 8
"""Of a header that is looked through; more is a broken or hostile file, and what identifies stands near the top."""
_LONGEST_VALUE = 1024
_TEXT_VRS = frozenset({"AE", "LO", "LT", "PN", "SH", "ST", "UC", "UI", "UR", "UT", "DA", "DT", "SQ", "UN"})
_DICOM_ROOT = "1.2.840.10008."

_KINDS = (
    ("phrases", re.compile(r"Address|Telephone|Telecom|PhoneNumber|Institution(Name|alDepartmentName)|Location|Residence|"
    r"Organization|"
                           r"IssuerOf|(Site|Center|Sponsor|Committee|Distribution)Name|IDIssuer|GPSAreaInformation")),
    ("names", re.compile(r"Author|OwnerName|Interpreter$|Originator")),
    ("ids", re.compile(
        r"IDs?$|UID|Identifi(er|cation)$|Identity$|Number(s|Trial|ImagingServiceRequest\w*)?$|Locator|AETitle|StationName|"
        r"Barcode|AEValue")),
)  # fmt: skip
_NO_KIND = re.compile(
    r"Sequence|ClassUID|TransferSyntax|CodingScheme|Version|ModelName|Description|Comments|ContextUID|ContextGroup"
)
_PLAIN_PHRASES = frozenset(
    {"radiology", "department of radiology", "hospital", "clinic", "emergency", "x-ray", "xray", "icu", "ward"}
)
_HOUSE_WORDS = re.compile(
    r"\b(?:university|general|memorial|regional|community|county|the|hospitals?|medical|cent(?:er|re)|clinics?|health|system|"
    r"universitätsklinikum|universitätsklinik|klinikum|klinik|krankenhaus|spital|centre|hospitalier|universitaire|"
    r"h[ôo]pital|ospedale|"
    r"policlinico|cl[ií]nica|hospital|universitario|ziekenhuis|radiology|radiologie|department|dept|institute?|of|de|di|"
    r"der|für|nhs|trust)\b",
    re.IGNORECASE,
)


@lru_cache(maxsize=8192)
def _feeds(tag: int, vr: str | None) -> bool:
    """Whether an element of the standard is worth its conversion: most of a header is not."""
    vr = vr or (dictionary_VR(tag) if dictionary_has_tag(tag) else "UN")
    return vr in ("SQ", "UN") or " or " in vr or kind_of(keyword_for_tag(tag), vr) is not None


def kind_of(keyword: str, vr: str) -> str | None:
    """What an element of the standard feeds: names, ids, dates or phrases; None where its value identifies nobody in a text."""
    if vr == "PN":
        return "names"
    if vr in ("DA", "DT"):
        return "dates"
    if vr not in _TEXT_VRS or vr == "SQ" or _NO_KIND.search(keyword):
        return None
    if vr == "UI":
        return "ids"
    return next((kind for kind, pattern in _KINDS if pattern.search(keyword)), None)


def header_identifiers(header: Dataset) -> Identifiers:
    """The identifiers of the whole header: sequences (at most MAX_DEPTH deep) and private elements are looked through."""
    found: dict[str, dict[Any, None]] = {kind: {} for kind in ("names", "ids", "dates", "phrases")}
    for element in _elements(header):
        kind = _private_kind(element) if element.tag.is_private else kind_of(keyword_for_tag(element.tag), element.VR)
        for value in _values(element) if kind else ():
            if kind == "dates":
                if date := parse_date(value):
                    found["dates"][date] = None
            elif kind == "phrases":
                found["phrases"].update(dict.fromkeys(_parts_of_place(value)))
            elif not (kind == "ids" and (value.startswith(_DICOM_ROOT) or (says_nothing(value) and not _has_digit(value)))):
                found[str(kind)][value] = None
    return Identifiers(**{kind: tuple(values) for kind, values in found.items()})


def _elements(header: Dataset) -> Iterator[DataElement]:
    """Every element that can be read and is short, the outermost first."""
    levels: list[tuple[Dataset, int]] = [(header, 0)]
    count = 0
    while levels:
        level, depth = levels.pop(0)
        for tag in sorted(level.keys()):
            count += 1
            if count > MAX_ELEMENTS:
                return
            element = _element(level, tag)
            if element is None:
                continue
            if element.VR != "SQ":
                yield element
            elif depth < MAX_DEPTH:
                levels += [(item, depth + 1) for item in element.value or () if isinstance(item, Dataset)]


def _element(level: Dataset, tag: Any) -> DataElement | None:
    """One element, or None where it is long, binary, or its value breaks its own VR; the others still count."""
    try:
        raw = level.get_item(tag)
        vr, value = raw.VR, raw.value
        if (vr is not None and vr not in _TEXT_VRS) or not (tag.is_private or _feeds(int(tag), vr)):
            return None
        if isinstance(value, (bytes, str)) and len(value) > _LONGEST_VALUE and vr not in ("SQ", "UN", None):
            return None
        element = level[tag]
        return element if element.VR in _TEXT_VRS else None
    except Exception:
        return None


def _private_kind(element: DataElement) -> str | None:
    """A private element has no keyword: a person or a date by its VR, a number by its digits."""
    if element.VR in ("PN", "DA", "DT"):
        return {"PN": "names"}.get(element.VR, "dates")
    if element.VR not in ("LO", "SH", "UI", "AE", "ST", "LT", "UN"):
        return None
    values = _values(element)
    return "ids" if values and all(len(value) <= 64 and sum(map(str.isdigit, value)) >= 4 for value in values) else None


def _values(element: DataElement) -> tuple[str, ...]:
    value = element.value
    if value is None or value == "":
        return ()
    if isinstance(value, bytes):
        if len(value) > 64 or not all(32 <= byte < 127 for byte in value.rstrip(b"\0 ")):
            return ()
        value = value.rstrip(b"\0 ").decode("ascii")
    many = value if isinstance(value, (list, tuple)) or type(value).__name__ == "MultiValue" else [value]
    texts = (str(one).strip() for one in many)
    return tuple(text for text in dict.fromkeys(texts) if text)


def _has_digit(value: str) -> bool:
    return any(char.isdigit() for char in value)


@lru_cache(maxsize=4096)
def _parts_of_place(value: str) -> tuple[str, ...]:
    """An address or institution as it stands, its lines, and a hospital's name without the words for its kind."""
    parts = [value, *re.split(r"[\n\r,;^]+", value)]
    parts += [_HOUSE_WORDS.sub(" ", part) for part in parts]
    cleaned = (" ".join(part.split()).strip(" .,-") for part in parts)
    return tuple(
        part
        for part in dict.fromkeys(cleaned)
        if len(part) >= 4 and part.lower() not in _PLAIN_PHRASES and (not says_nothing(part) or _has_digit(part))
    )


_NO_IDENTIFIERS = re.compile(r"file|path|url|folder|doi|licen[cs]e|procedure|exam_?name|modality|descri", re.IGNORECASE)
_COLUMN_KINDS = (
    ("dates", re.compile(r"date|dob|birth|_dt$", re.IGNORECASE)),
    (
        "phrases",
        re.compile(
            r"address|street|city|(^|_)zip|postal|phone|(^|_)tel|(^|_)fax|mail|hospital|institution|facility|(^|_)site|"
            r"location|(^|_)ward",
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
    found: dict[str, list[Any]] = {kind: [] for kind, _ in _COLUMN_KINDS}
    for column, value in row.items():
        kind = next((kind for kind, pattern in _COLUMN_KINDS if pattern.search(column)), None)
        if column in without or not value or kind is None or _NO_IDENTIFIERS.search(column):
            continue
        if kind == "phrases" and (value.lower() in _PLAIN_PHRASES or (says_nothing(value) and not _has_digit(value))):
            continue
        if kind != "dates":
            found[kind].append(value)
        elif date := parse_date(value):
            found["dates"].append(date)
    return Identifiers(**{kind: tuple(values) for kind, values in found.items()})


_CLINICAL = re.compile(
    r"find|diagn|label|impress|indicat|conclus|compar|techni|histor|view|posit|lateral|text|report|befund|sex|gender|"
    r"geschlecht|"
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
