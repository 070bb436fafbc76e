"""PDF and CDA documents to report text.

    PDF   text layer, page by page (a scanned page has none)
    CDA   recordTarget, author, ...  -> identifiers      section/title + section/text -> "TITLE:\\n" paragraphs

Both are bounded: PDFs in bytes, pages, and what their streams unpack to; XML in bytes, and no entity is ever expanded.
"""

import base64
import binascii
import io
import logging
import re
from collections.abc import Iterator
from typing import Any
from xml.etree.ElementTree import Element, ParseError

import pypdf
from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from data_prep.files.encodings import decode_text, with_plain_breaks
from data_prep.inputs import Identifiers, sex_as_allowed, years_as_allowed
from data_prep.ledger import Reason
from data_prep.loose import ReportStatus
from data_prep.pictures.refused import Refused
from data_prep.privacy.identifiers import parse_date
from data_prep.reports.found_report import MAX_TEXT, FoundReport, years_between

MAX_BYTES = 64 * 1024**2
MAX_XML_BYTES = 16 * 1024**2
MAX_PAGES = 40
MAX_UNPACKED = 16 * 1024**2
"""Bytes of one PDF stream once unpacked; a page of text has some ten thousand."""

_HL7 = "{urn:hl7-org:v3}"
_BLOCKS = frozenset({"paragraph", "item", "tr", "br", "list", "table", "thead", "tbody", "caption", "title", "text"})

_PERSONS = frozenset(
    f"{_HL7}{tag}"
    for tag in ("patient", "assignedPerson", "associatedPerson", "guardianPerson", "informationRecipient", "relatedPerson")
)


def read_pdf(content: bytes) -> FoundReport:
    """The text layer of a PDF, empty where it has none, and its author as a name to remove.

    Raises:
        Refused: it does not parse, is locked, or is larger than a report can be.
    """
    if len(content) > MAX_BYTES:
        raise Refused(Reason.BROKEN_REPORT)
    limits: dict[str, Any] = {
        "maximum_declared_stream_length": MAX_BYTES,
        "array_based_stream_maximum_output_length": MAX_UNPACKED,
        "lzw_maximum_output_length": MAX_UNPACKED,
        "run_length_maximum_output_length": MAX_UNPACKED,
        "zlib_maximum_output_length": MAX_UNPACKED,
        "stream_decoding_work_maximum_length": 4 * MAX_UNPACKED,
        "stream_parsing_work_maximum_count": 500_000,
        "page_tree_maximum_entries": 10_000,
        "xform_maximum_invocations_per_extraction": 500,
    }
    # The level holds for the loggers below it too, which quote the document.
    logger = logging.getLogger("pypdf")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        with pypdf.apply_configuration(**limits):
            reader = pypdf.PdfReader(io.BytesIO(content))
            if len(reader.pages) > MAX_PAGES:
                raise Refused(Reason.BROKEN_REPORT)
            pages: list[str] = []
            for page in reader.pages:
                pages.append(page.extract_text())
                if sum(map(len, pages)) > MAX_TEXT:
                    raise Refused(Reason.BROKEN_REPORT)
            author = str(reader.metadata.get("/Author") or "") if reader.metadata else ""
    except (Refused, MemoryError):
        raise
    except Exception:
        # Whatever a hostile or cut document makes of the parser; the message may quote it.
        raise Refused(Reason.BROKEN_REPORT) from None
    finally:
        logger.setLevel(level)
    text = with_plain_breaks("\n\n".join(pages)).strip()
    return FoundReport(text, identifiers=Identifiers(names=(author,) if author else ()))


def read_cda(content: bytes) -> FoundReport:
    """A CDA document: its narrative by section, numbers of its orders and study, patient, and all names in its header.

    Raises:
        Refused: it is no XML, declares entities, is no ClinicalDocument, or holds something broken.
    """
    if len(content) > MAX_XML_BYTES:
        raise Refused(Reason.BROKEN_REPORT)
    try:
        root = fromstring(content)
    except (ParseError, DefusedXmlException, ValueError, LookupError):
        raise Refused(Reason.BROKEN_REPORT) from None
    if root.tag != f"{_HL7}ClinicalDocument":
        raise Refused(Reason.BROKEN_REPORT)
    header = list(_header_elements(root))
    text, inner = _narrative(root)
    related = {element.get("typeCode", "") for element in root.findall(f"{_HL7}relatedDocument")}
    role = root.find(f"{_HL7}recordTarget/{_HL7}patientRole")
    patient_ids = [one.get("extension", "") for one in role.findall(f"{_HL7}id")] if role is not None else []
    service = root.find(f"{_HL7}documentationOf/{_HL7}serviceEvent")
    day = parse_date(_value(service, f"{_HL7}effectiveTime") or _value(service, f"{_HL7}effectiveTime/{_HL7}low"))
    person = role.find(f"{_HL7}patient") if role is not None else None
    born = parse_date(_value(person, f"{_HL7}birthTime"))
    signed = root.find(f"{_HL7}legalAuthenticator/{_HL7}signatureCode") is not None
    return FoundReport(
        text=text,
        numbers=_study_numbers(root, service),
        patient=next((one for one in patient_ids if one), ""),
        date=day,
        age=years_as_allowed(years_between(born, day)),
        sex=sex_as_allowed(_value(person, f"{_HL7}administrativeGenderCode", "code")),
        status=ReportStatus.CORRECTED if "RPLC" in related else ReportStatus.FINAL if signed else ReportStatus.UNKNOWN,
        issued=re.sub(r"\D.*", "", _value(root, f"{_HL7}effectiveTime")),
        is_addendum="APND" in related,
        identifiers=_identifiers(header) + inner,
    )


def _value(element: Element | None, path: str, attribute: str = "value") -> str:
    found = element.find(path) if element is not None else None
    return found.get(attribute, "") if found is not None else ""


def _study_numbers(root: Element, service: Element | None) -> tuple[str, ...]:
    """The study's UID, then accession numbers, then orders."""
    found = []
    for one in service.findall(f"{_HL7}id") if service is not None else ():
        found.append(one.get("extension", "") or one.get("root", ""))
    accessions = [element for element in root.iter() if str(element.tag).endswith("}accessionNumber")]
    orders = root.findall(f"{_HL7}inFulfillmentOf/{_HL7}order/{_HL7}id")
    found += [one.get("extension", "") for one in (*accessions, *orders)]
    return tuple(dict.fromkeys(number.strip() for number in found if number.strip()))


def _header_elements(root: Element) -> Iterator[Element]:
    """Everything but the body."""
    for child in root:
        if child.tag != f"{_HL7}component":
            yield from child.iter()


def _identifiers(elements: list[Element]) -> Identifiers:
    names: list[str] = []
    ids: list[str] = []
    dates = []
    phrases: list[str] = []
    of_persons = {id(name) for element in elements if element.tag in _PERSONS for name in element.findall(f"{_HL7}name")}
    for element in elements:
        tag = str(element.tag).removeprefix(_HL7)
        words = " ".join(" ".join(element.itertext()).split())
        if tag == "name":
            # A person's stands word by word in a report, an institution's as a whole.
            (names if id(element) in of_persons else phrases).append(words)
        elif tag == "id":
            ids.append(element.get("extension", ""))
        elif tag == "telecom":
            phrases.append(re.sub(r"^\w+:", "", element.get("value", "")))
        elif tag == "addr":
            parts = {str(child.tag).removeprefix(_HL7): " ".join((child.text or "").split()) for child in element}
            phrases += [parts[part] for part in ("streetAddressLine", "postalCode", "city") if parts.get(part)]
            phrases.append(words)
        elif tag in ("birthTime", "effectiveTime", "time", "low", "high"):
            date = parse_date(element.get("value", ""))
            dates += [date] if date else []
    return Identifiers(tuple(filter(None, names)), tuple(filter(None, ids)), tuple(dates), tuple(filter(None, phrases)))


def _narrative(root: Element) -> tuple[str, Identifiers]:
    """The paragraphs of all sections in their order, or the text of an embedded document."""
    unstructured = root.find(f"{_HL7}component/{_HL7}nonXMLBody/{_HL7}text")
    if unstructured is not None:
        return read_embedded("".join(unstructured.itertext()), unstructured.get("representation", "") == "B64")
    parts = []
    for section in root.iter(f"{_HL7}section"):
        title = section.find(f"{_HL7}title")
        body = section.find(f"{_HL7}text")
        heading = " ".join("".join(title.itertext()).split()) if title is not None else ""
        text = _block_text(body) if body is not None else ""
        if heading or text:
            parts.append(f"{heading.rstrip(': ').upper()}:\n{text}" if heading else text)
        if sum(map(len, parts)) > MAX_TEXT:
            raise Refused(Reason.BROKEN_REPORT)
    return "\n\n".join(parts).strip(), Identifiers()


def read_embedded(content: str, is_base64: bool) -> tuple[str, Identifiers]:
    """The text of a document within another: PDF, CDA or plain.

    Raises:
        Refused: it is no base64 though it says so, or a broken document.
    """
    if not is_base64:
        return with_plain_breaks(content).strip(), Identifiers()
    try:
        data = base64.b64decode(re.sub(r"\s+", "", content), validate=True)
    except (binascii.Error, ValueError):
        raise Refused(Reason.BROKEN_REPORT) from None
    if data.lstrip().startswith(b"%PDF"):
        found = read_pdf(data.lstrip())
    elif data.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"<?xml") or b"<ClinicalDocument" in data[:2000]:
        found = read_cda(data)
    else:
        text = decode_text(data)
        if "\0" in text or text.lstrip().startswith("{\\rtf"):
            raise Refused(Reason.BROKEN_REPORT)
        return with_plain_breaks(text).strip(), Identifiers()
    return found.text, found.identifiers


def _block_text(top: Element) -> str:
    """The narrative of a section: blocks on lines of their own, blanks as a browser would show them."""
    parts: list[str] = []
    waiting: list[tuple[Element | None, str]] = [(top, "")]
    while waiting:
        element, words = waiting.pop()
        if element is None:
            parts.append(words)
            continue
        tag = str(element.tag).removeprefix(_HL7)
        edge = "\n" if tag in _BLOCKS else " " if tag in ("td", "th") else ""
        parts.append(edge + (element.text or "").replace("\n", " "))
        waiting.append((None, edge))
        for child in reversed(element):
            waiting.append((None, (child.tail or "").replace("\n", " ")))
            waiting.append((child, ""))
    lines = [" ".join(line.split()) for line in "".join(parts).split("\n")]
    return "\n".join(line for line in lines if line)
