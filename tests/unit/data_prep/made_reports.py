"""Small made reports in every form: HL7 messages, DICOM structured reports, PDF and CDA documents."""

import base64
import io
import zlib
from pathlib import Path

from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

BASIC_TEXT_SR = "1.2.840.10008.5.1.4.1.1.88.11"
DOSE_SR = "1.2.840.10008.5.1.4.1.1.88.67"
KEY_OBJECTS = "1.2.840.10008.5.1.4.1.1.88.59"
PDF_OBJECT = "1.2.840.10008.5.1.4.1.1.104.1"
CDA_OBJECT = "1.2.840.10008.5.1.4.1.1.104.2"


def fields(name: str, **values: str) -> str:
    """A segment with some of its fields: fields("OBR", f3="A1") is OBR|||A1."""
    last = max(int(key[1:]) for key in values)
    return "|".join([name, *(values.get(f"f{number}", "") for number in range(1, last + 1))])


def message(
    accession: str = "A1",
    obx: tuple[str, ...] = ("FINDINGS: Clear.", "IMPRESSION: Normal."),
    patient: str = "P1",
    name: str = "Doe^Jane",
    status: str = "F",
    kind: str = "ORU^R01",
    charset: str = "UNICODE UTF-8",
    day: str = "20200305",
    issued: str = "20200306",
    more: tuple[str, ...] = (),
) -> str:
    segments = [
        "MSH|^~\\&|RIS|MERCYTOWN GENERAL|||20200306101500||" + f"{kind}|77|P|2.5||||||{charset}",
        fields(
            "PID",
            f3=f"{patient}^^^H^MR",
            f5=name,
            f7="19500102",
            f8="F",
            f11="12 Elmtree Road^^Xyville^IL^62701",
            f13="(217)555-1234",
        ),
        fields(
            "OBR",
            f3="FILLER9",
            f7=day,
            f16="4567^Referrerova^Rita",
            f18=accession,
            f22=issued,
            f25=status,
            f32="321&Readerman&Rudi",
        ),
        *(fields("OBX", f1=str(n), f2="TX", f3="REPORT", f5=text) for n, text in enumerate(obx, 1)),
        *more,
    ]
    return "\r".join(segments) + "\r"


def pdf(lines: list[str], author: str = "") -> bytes:
    """A PDF of one page with a text layer, or without one where there are no lines."""
    words = "".join(f"({line}) Tj T* " for line in lines)
    return pdf_of_stream(f"BT /F1 12 Tf 14 TL 40 700 Td {words}ET".encode() if lines else b"", author)


def pdf_of_stream(stream: bytes, author: str = "") -> bytes:
    packed = zlib.compress(stream)
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d /Filter /FlateDecode >>\nstream\n%s\nendstream" % (len(packed), packed),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        b"<< /Author (%s) >>" % author.encode(),
    ]
    out, places = io.BytesIO(b"%PDF-1.4\n"), []
    out.seek(0, 2)
    for number, content in enumerate(objects, 1):
        places.append(out.tell())
        out.write(b"%d 0 obj\n%s\nendobj\n" % (number, content))
    start = out.tell()
    out.write(b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1))
    out.write(b"".join(b"%010d 00000 n \n" % place for place in places))
    out.write(b"trailer\n<< /Size %d /Root 1 0 R /Info 6 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, start))
    return out.getvalue()


def cda(
    accession: str = "A1", study: str = "1.2.3", patient: str = "P1", family: str = "Doe", body: str = "", head: str = ""
) -> str:
    body = body or (
        "<component><structuredBody>"
        "<component><section><title>Findings</title><text><paragraph>Lungs <content>are</content> clear.</paragraph>"
        "<list><item>Heart normal.</item></list></text></section></component>"
        "<component><section><title>Impression</title><text>Normal.<br/>No change.</text></section></component>"
        "</structuredBody></component>"
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?><ClinicalDocument xmlns="urn:hl7-org:v3">'
        f'<effectiveTime value="20200306101500"/>{head}<recordTarget><patientRole><id extension="{patient}" root="1.9"/>'
        "<addr><streetAddressLine>12 Elmtree Road</streetAddressLine><city>Xyville</city></addr>"
        '<telecom value="tel:(217)555-1234"/>'
        f"<patient><name><given>Jane</given><family>{family}</family></name>"
        '<administrativeGenderCode code="F"/><birthTime value="19500102"/></patient></patientRole></recordTarget>'
        "<author><assignedAuthor><assignedPerson><name>Rudi Readerman</name></assignedPerson>"
        "<representedOrganization><name>Mercytown General</name></representedOrganization></assignedAuthor></author>"
        f'<inFulfillmentOf><order><id extension="{accession}" root="1.8"/></order></inFulfillmentOf>'
        f'<documentationOf><serviceEvent><id root="{study}"/><effectiveTime value="20200305"/></serviceEvent></documentationOf>'
        f"{body}</ClinicalDocument>"
    )


def cda_with(document: bytes, representation: str = "B64") -> str:
    content = base64.b64encode(document).decode() if representation == "B64" else document.decode()
    return cda(body=f'<component><nonXMLBody><text representation="{representation}">{content}</text></nonXMLBody></component>')


def item(kind: str, concept: str, inner: tuple[Dataset, ...] = (), relation: str = "CONTAINS", **values: object) -> Dataset:
    """A content item of a structured report."""
    one = Dataset()
    one.RelationshipType, one.ValueType = relation, kind
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "1", "99X", concept
    one.ConceptNameCodeSequence = Sequence([code])
    for keyword, value in values.items():
        setattr(one, keyword, value)
    if inner:
        one.ContentSequence = Sequence(inner)
    return one


FINDINGS_AND_IMPRESSION = (
    item("CONTAINER", "Findings", (item("TEXT", "Finding", TextValue="Lungs are clear."),)),
    item("TEXT", "Impression", TextValue="Normal."),
)


def document(path: Path, sop_class: str = BASIC_TEXT_SR, content: tuple[Dataset, ...] = (), **tags: object) -> FileDataset:
    """Write a DICOM object without pixels."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = sop_class
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[f"document {path.name}"])
    dataset = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class, meta.MediaStorageSOPInstanceUID
    defaults = {
        "Modality": "SR",
        "PatientID": "P1",
        "PatientName": "Doe^Jane",
        "PatientBirthDate": "19500102",
        "PatientSex": "F",
        "StudyDate": "20200305",
        "StudyInstanceUID": "1.2.3",
        "AccessionNumber": "A1",
        "ContentDate": "20200306",
        "ContentTime": "101500",
    }
    for keyword, value in {**defaults, **tags}.items():
        if value is not None:
            setattr(dataset, keyword, value)
    if content:
        dataset.ContentSequence = Sequence(content)
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
    return dataset
