"""HL7 v2 result messages (ORU, and MDM with its text in OBX) to reports, one for each order that has a text.

    MSH  type, character set        PID  patient, names, birth, address, telephone       PV1, ORC, NK1  more names
    OBR  order: accession number, dates, physicians, status      ZDS, IPC  study UID      OBX, NTE  the text

Orders without a text of their own are read in the one text of the message: its report may belong to any of their studies.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import hl7

from cxrpt.errors import InputError
from data_prep.inputs import Identifiers, sex_as_allowed, years_as_allowed
from data_prep.ledger import Reason
from data_prep.loose import ReportStatus
from data_prep.pictures.refused import Refused
from data_prep.privacy.identifiers import parse_date
from data_prep.privacy.report_words import REPORT_WORDS
from data_prep.reports.found_report import MAX_TEXT, FoundReport, years_between
from data_prep.reports.hl7_messages import parse_message, plain, split_messages
from data_prep.reports.read_document import read_embedded
from data_prep.reports.section_titles import name_of

ACCESSION_FIELDS = ("IPC-1", "OBR-18", "OBR-3", "OBR-20", "ORC-3")
"""Where the accession number stands, the most telling first: IHE puts it in IPC-1 and OBR-18, much of practice in OBR-3."""

_STATUS = {
    **dict.fromkeys("F", ReportStatus.FINAL),
    **dict.fromkeys("CK", ReportStatus.CORRECTED),
    **dict.fromkeys("PRSIOAYZMN", ReportStatus.PRELIMINARY),
    **dict.fromkeys("XDW", ReportStatus.WITHDRAWN),
}
"""HL7 tables 0123 (OBR-25) and 0085 (OBX-11)."""
_SECTION_CODES = {
    "GDT": "",
    "IMP": "IMPRESSION",
    "ADT": "ADDENDUM",
    "ADD": "ADDENDUM",
    "REC": "RECOMMENDATION",
    "TCM": "TECHNIQUE",
    "18782-3": "FINDINGS",
    "59776-5": "FINDINGS",
    "19005-8": "IMPRESSION",
    "55110-1": "IMPRESSION",
    "18785-6": "INDICATION",
    "59768-2": "INDICATION",
    "11329-0": "HISTORY",
    "18834-2": "COMPARISON",
    "55111-5": "TECHNIQUE",
    "18783-1": "RECOMMENDATION",
    "55107-7": "ADDENDUM",
}
"""HL7's suffixes of OBX-3 and LOINC's codes of sections; the general text has none."""
_PERSON_FIELDS = {
    "PID": (5, 6, 9),
    "NK1": (2, 30),
    "PV1": (7, 8, 9, 17, 52),
    "ORC": (10, 11, 12, 19),
    "OBR": (10, 16, 28, 32, 33, 34, 35),
    "OBX": (16,),
    "TXA": (5, 9, 10, 11, 22),
    "PD1": (4,),
}
_ID_FIELDS = {
    "PID": (2, 3, 4, 18, 19, 20),
    "PV1": (5, 19, 50),
    "ORC": (2, 3, 4),
    "OBR": (2, 3, 18, 19, 20, 21),
    "TXA": (12, 13),
}
_DATE_FIELDS = {
    "MSH": (7,),
    "PID": (7, 29),
    "PV1": (44, 45),
    "ORC": (9, 15),
    "OBR": (6, 7, 8, 14, 22, 36),
    "OBX": (14, 19),
    "TXA": (4, 6, 7, 8),
}
_PHONE_FIELDS = {"PID": (13, 14), "NK1": (5, 6), "OBR": (17,), "ORC": (14,)}
_ADDRESS_FIELDS = {"PID": (11,), "NK1": (4,), "ORC": (22, 24)}
_PLACE_FIELDS = {"MSH": (4, 6), "PV1": (3,), "ORC": (21,)}
_NO_PLACES = REPORT_WORDS | {"radiology", "hospital", "clinic", "emergency", "xray", "ward", "inpatient", "outpatient", "main"}


def read_hl7(content: bytes, accession_fields: tuple[str, ...] = ACCESSION_FIELDS) -> list[FoundReport | Reason]:
    """The reports of a file in their order; a message that holds none is the reason why.

    BROKEN_REPORT for one that cannot be taken apart, NOT_A_REPORT for messages of other kinds and cancelled orders,
    EMPTY_REPORT for results without a text.
    """
    found: list[FoundReport | Reason] = []
    for message in split_messages(content):
        try:
            found += _read_message(message, accession_fields)
        except Refused as refused:
            found.append(refused.reason)
        except Exception:
            # The library's errors quote the message.
            found.append(Reason.BROKEN_REPORT)
    return found or [Reason.BROKEN_REPORT]


@dataclass
class _Order:
    """One OBR with what stands around it."""

    segments: list[hl7.Segment] = field(default_factory=list)

    def of(self, name: str) -> list[hl7.Segment]:
        return [segment for segment in self.segments if str(segment[0]) == name]


@dataclass(frozen=True)
class _Reader:
    """A message, and how to get at its parts without its errors."""

    message: hl7.Message
    codec: str

    def whole(self, segment: hl7.Segment, number: int) -> str:
        """A field as it is written, escapes undone."""
        return plain(self.raw(segment, number), self.message, self.codec).strip()

    def raw(self, segment: hl7.Segment, number: int) -> str:
        # The library counts the separator of MSH as its first field, as HL7 does.
        return str(segment[number]) if number < len(segment) else ""

    def repetitions(self, segment: hl7.Segment, number: int) -> list[list[str]]:
        """Repetitions of components of a field."""
        _, _, repetition, component, _ = self.message.separators
        return [
            [plain(part, self.message, self.codec).strip() for part in one.split(component)]
            for one in self.raw(segment, number).split(repetition)
        ]

    def first(self, segments: list[hl7.Segment], number: int, part: int = 0) -> str:
        """The first value of a field's component over segments."""
        for segment in segments:
            for parts in self.repetitions(segment, number):
                if len(parts) > part and parts[part]:
                    return parts[part]
        return ""


def _read_message(content: bytes, accession_fields: tuple[str, ...]) -> list[FoundReport | Reason]:
    message, codec = parse_message(content)
    reader = _Reader(message, codec)
    kind = reader.repetitions(message[0], 9)[0][0].upper()
    if kind not in ("ORU", "MDM"):
        return [Reason.NOT_A_REPORT]
    common, orders = _orders(message)
    common_ids = _identifiers(reader, common)
    read: list[tuple[_Order, str, Identifiers]] = []
    silent: list[_Order] = []
    for order in orders:
        text, inner = _text_of(reader, order)
        if text:
            read.append((order, text, inner))
        else:
            silent.append(order)
    if not read and _is_withdrawn(reader, orders):
        # It has nothing to say but that what was sent before does not hold.
        return [_report(reader, common, orders[0], orders[1:], "", common_ids, accession_fields)]
    if not read:
        return [Reason.NOT_A_REPORT if kind == "MDM" else Reason.EMPTY_REPORT]
    return [
        _report(reader, common, order, silent if len(read) == 1 else [], text, inner + common_ids, accession_fields)
        for order, text, inner in read
    ]


def _is_withdrawn(reader: _Reader, orders: list[_Order]) -> bool:
    return all(_status(reader, order) == ReportStatus.WITHDRAWN for order in orders)


def _orders(message: hl7.Message) -> tuple[list[hl7.Segment], list[_Order]]:
    """What stands above the first order, and the orders; an ORC belongs to the OBR below it."""
    common: list[hl7.Segment] = []
    orders: list[_Order] = []
    waiting: list[hl7.Segment] = []
    for segment in message:
        name = str(segment[0])
        if name == "ORC":
            waiting.append(segment)
        elif name == "OBR":
            orders.append(_Order([*waiting, segment]))
            waiting = []
        elif orders and not waiting:
            orders[-1].segments.append(segment)
        elif waiting:
            waiting.append(segment)
        else:
            common.append(segment)
    if not orders:
        # A document without an order: MDM, or an ORU of a simple system.
        orders.append(_Order([*waiting, *(one for one in common if str(one[0]) in ("OBX", "NTE", "TXA", "ZDS"))]))
    elif waiting:
        orders[-1].segments += waiting
    return common, orders


def _report(
    reader: _Reader,
    common: list[hl7.Segment],
    order: _Order,
    silent: list[_Order],
    text: str,
    identifiers: Identifiers,
    accession_fields: tuple[str, ...],
) -> FoundReport:
    pid = [segment for segment in common if str(segment[0]) == "PID"]
    day = next((day for number in (7, 6, 14, 22) if (day := parse_date(reader.first(order.of("OBR"), number)))), None)
    issued = reader.first(order.of("OBR"), 22) or reader.first(order.of("TXA"), 7) or reader.first([reader.message[0]], 7)
    born = parse_date(reader.first(pid, 7))
    for one in (order, *silent):
        identifiers += _identifiers(reader, one.segments)
    return FoundReport(
        text=text,
        numbers=_numbers(reader, common, [order, *silent], accession_fields),
        patient=_patient(reader, pid),
        date=day,
        age=years_as_allowed(years_between(born, day)),
        sex=sex_as_allowed(reader.first(pid, 8)),
        status=_status(reader, order),
        issued=re.sub(r"\D.*", "", issued)[:14],
        identifiers=identifiers,
    )


def _patient(reader: _Reader, pid: list[hl7.Segment]) -> str:
    """Of the identifiers in PID-3 the medical record number, else the first; else PID-2."""
    ids = [parts for segment in pid for parts in reader.repetitions(segment, 3) if parts[0]]
    for kind in ("MR", "PI", "PT"):
        for parts in ids:
            if len(parts) > 4 and parts[4].upper() == kind:
                return parts[0]
    return ids[0][0] if ids else reader.first(pid, 2)


def _numbers(
    reader: _Reader, common: list[hl7.Segment], orders: list[_Order], accession_fields: tuple[str, ...]
) -> tuple[str, ...]:
    """Study UIDs, then accession numbers field by field, those of several orders joined."""
    everything = [*common, *(segment for order in orders for segment in order.segments)]
    uids = []
    for segment in everything:
        name = str(segment[0])
        if name == "ZDS":
            uids.append(reader.first([segment], 1))
        elif name == "IPC":
            uids.append(reader.first([segment], 3))
        elif name == "OBX" and reader.first([segment], 3) in ("113014", "110180"):
            uids.append(reader.first([segment], 5))
    found = [";".join(dict.fromkeys(uid for uid in uids if uid))]
    for place in accession_fields:
        segment_name, _, number = place.partition("-")
        values = [reader.first([one], int(number)) for one in everything if str(one[0]) == segment_name]
        found.append(";".join(dict.fromkeys(value for value in values if value)))
    return tuple(dict.fromkeys(one for one in found if one))


def _status(reader: _Reader, order: _Order) -> ReportStatus:
    written = reader.first(order.of("OBR"), 25) or reader.first(order.of("OBX"), 11)
    if not written and order.of("TXA"):
        # TXA-17: AU, LA authenticated; DI, PA, IN not yet.
        done = reader.first(order.of("TXA"), 17).upper()
        return ReportStatus.FINAL if done in ("AU", "LA") else ReportStatus.PRELIMINARY if done else ReportStatus.UNKNOWN
    return _STATUS.get(written[:1].upper(), ReportStatus.UNKNOWN)


def _text_of(reader: _Reader, order: _Order) -> tuple[str, Identifiers]:
    """The sections of an order's OBX and NTE, a title where OBX-3 tells one; an embedded document where there is no text."""
    parts: list[str] = []
    documents: list[hl7.Segment] = []
    title: str | None = None
    for segment in order.segments:
        name = str(segment[0])
        if name == "NTE":
            parts.append(_lines(reader, segment, 3))
        if name != "OBX":
            continue
        kind = reader.first([segment], 2).upper()
        if kind == "ED":
            documents.append(segment)
        if kind not in ("", "TX", "FT", "ST", "CE", "CWE", "TN") or reader.first([segment], 11).upper() in ("D", "W", "X"):
            continue
        if reader.first([segment], 3) in ("113014", "110180"):
            continue
        section, text = _section(reader, segment), _lines(reader, segment, 5)
        if section and section != title and name_of(text.split(":")[0].split("\n")[0]) is None:
            parts.append(f"\n{section}:")
        title = section
        parts.append(text)
        if sum(map(len, parts)) > MAX_TEXT:
            raise Refused(Reason.BROKEN_REPORT)
    text = "\n".join(parts).strip("\n")
    if text.strip() or not documents:
        return (text if text.strip() else ""), Identifiers()
    return _embedded(reader, documents)


def _embedded(reader: _Reader, documents: list[hl7.Segment]) -> tuple[str, Identifiers]:
    texts, identifiers = [], Identifiers()
    for segment in documents:
        for parts in reader.repetitions(segment, 5):
            # The fourth says how the fifth is written; senders shift them.
            written = [part.upper() for part in parts]
            place = next((written.index(name) for name in ("BASE64", "A") if name in written), len(parts))
            if place + 1 >= len(parts):
                raise Refused(Reason.BROKEN_REPORT)
            text, inner = read_embedded(parts[place + 1], written[place] == "BASE64")
            texts.append(text)
            identifiers += inner
    return "\n\n".join(text for text in texts if text), identifiers


def _lines(reader: _Reader, segment: hl7.Segment, number: int) -> str:
    """A text field, its repetitions as lines; a component that nobody escaped stays as it is written."""
    repetition = reader.message.separators[2]
    raw = reader.raw(segment, number)
    if reader.first([segment], 2).upper() in ("CE", "CWE") and str(segment[0]) == "OBX":
        return "\n".join(parts[1] if len(parts) > 1 and parts[1] else parts[0] for parts in reader.repetitions(segment, number))
    return "\n".join(plain(line, reader.message, reader.codec).rstrip() for line in raw.split(repetition))


def _section(reader: _Reader, segment: hl7.Segment) -> str:
    """The name of the section that OBX-3 tells, by suffix, code or text; empty for the body."""
    for part in reader.repetitions(segment, 3)[0]:
        for word in reversed(part.split(reader.message.separators[4])):
            if word.upper() in _SECTION_CODES:
                return _SECTION_CODES[word.upper()]
            if (name := name_of(word)) is not None and word.upper() != "REPORT":
                return name
    return ""


def _identifiers(reader: _Reader, segments: list[hl7.Segment]) -> Identifiers:
    """Names, numbers, dates and places of segments, by the field that they stand in."""
    names, ids, dates, phrases = [], [], [], []
    for segment, parts in _fields(reader, segments, _PERSON_FIELDS):
        # Of persons with a number it stands first; OBR-32 and its like put all of it into the first component.
        inner = parts[0].split(reader.message.separators[4])
        parts = inner if len(inner) > 1 else parts
        numbered = str(segment[0]) not in ("PID", "NK1")
        ids += parts[:1] if numbered else []
        names.append(" ".join(filter(None, parts[1:4] if numbered and len(parts) > 1 else parts[:3])))
    for _, parts in _fields(reader, segments, _ID_FIELDS):
        ids.append(parts[0])
    for _, parts in _fields(reader, segments, _DATE_FIELDS):
        date = parse_date(parts[0])
        dates += [date] if date else []
    for _, parts in _fields(reader, segments, _PHONE_FIELDS):
        phrases += [part for part in parts if sum(map(str.isdigit, part)) >= 5]
    for _, parts in _fields(reader, segments, _ADDRESS_FIELDS):
        street = parts[0].split(reader.message.separators[4])[0]
        phrases += [street, *parts[2:3], *parts[4:5], " ".join(filter(None, (street, *parts[2:5])))]
    for _, parts in _fields(reader, segments, _PLACE_FIELDS):
        phrases += parts
    kept = tuple(phrase for phrase in phrases if phrase.lower() not in _NO_PLACES)
    return Identifiers(tuple(filter(None, names)), tuple(filter(None, ids)), tuple(dates), tuple(filter(None, kept)))


def _fields(
    reader: _Reader, segments: list[hl7.Segment], which: dict[str, tuple[int, ...]]
) -> Iterator[tuple[hl7.Segment, list[str]]]:
    for segment in segments:
        for number in which.get(str(segment[0]), ()):
            for parts in reader.repetitions(segment, number):
                if any(parts):
                    yield segment, parts


def accession_fields_of(written: str) -> tuple[str, ...]:
    """Fields such as `OBR-18,OBR-3`.

    Raises:
        InputError: one is no field of a segment.
    """
    fields = tuple(part.strip().upper() for part in written.split(","))
    if not all(re.fullmatch(r"[A-Z][A-Z0-9]{2}-\d{1,2}", one) for one in fields):
        raise InputError(f"--hl7-accession {written!r}: fields of segments, as in OBR-18,OBR-3")
    return fields
