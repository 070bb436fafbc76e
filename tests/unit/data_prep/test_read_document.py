"""PDF and CDA documents to reports."""

import re

import made_reports as made
import pytest

from data_prep.ledger import Reason
from data_prep.loose import ReportStatus
from data_prep.pictures.refused import Refused
from data_prep.privacy.deidentify import scrub
from data_prep.reports import read_document
from data_prep.reports.read_document import read_cda, read_pdf
from data_prep.reports.sections import find_sections


def reason(read, content) -> Reason:
    with pytest.raises(Refused) as caught:
        read(content)
    return caught.value.reason


def test_the_text_layer_of_a_pdf():
    found = read_pdf(
        made.pdf(["Patient: Quirrelbach", "FINDINGS: Clear.", "IMPRESSION: Normal. Xylander."], author="Xylander Xaver")
    )
    assert found.text.splitlines()[1:] == ["FINDINGS: Clear.", "IMPRESSION: Normal. Xylander."]
    scrubbed = scrub(found.text, found.identifiers)
    assert "Quirrelbach" not in scrubbed and "Xylander" not in scrubbed
    assert read_pdf(made.pdf([])).text.strip() == ""


def test_pdfs_that_are_none_or_too_much(monkeypatch):
    whole = made.pdf(["FINDINGS: Clear."])
    assert reason(read_pdf, b"%PDF-1.4 nothing else") == Reason.BROKEN_REPORT
    bomb = made.pdf_of_stream(b"BT /F1 12 Tf (x) Tj ET " + b" " * (read_document.MAX_UNPACKED + 1))
    assert len(bomb) < 100_000 and reason(read_pdf, bomb) == Reason.BROKEN_REPORT
    monkeypatch.setattr(read_document, "MAX_PAGES", 0)
    assert reason(read_pdf, whole) == Reason.BROKEN_REPORT
    monkeypatch.setattr(read_document, "MAX_BYTES", 10)
    assert reason(read_pdf, whole) == Reason.BROKEN_REPORT


def test_what_the_library_says_of_a_document_is_not_heard(capfd, caplog):
    displaced = re.sub(rb"startxref\n\d+", b"startxref\n7", made.pdf(["Quirrelbach"]))
    assert read_pdf(displaced).text == "Quirrelbach"
    assert not caplog.records and "".join(capfd.readouterr()) == ""


def test_a_cda_document():
    found = read_cda(made.cda().encode())
    assert found.text == "FINDINGS:\nLungs are clear.\nHeart normal.\n\nIMPRESSION:\nNormal.\nNo change."
    assert found.numbers == ("1.2.3", "A1") and found.patient == "P1"
    assert (found.date.isoformat(), found.age, found.sex, found.issued) == ("2020-03-05", 70, "F", "20200306101500")
    assert set(find_sections(found.text)) == {"FINDINGS", "IMPRESSION"}


def test_persons_and_places_of_a_cda_header_leave_its_text():
    found = read_cda(made.cda(family="Quirrelbach", patient="PZ41001").encode())
    text = "Jane Quirrelbach (PZ41001), 12 Elmtree Road, Xyville, (217)555-1234. By Readerman, Mercytown General. Lungs clear."
    scrubbed = scrub(text, found.identifiers)
    for word in ("Jane", "Quirrel", "PZ41001", "Elmtree", "Xyville", "555", "Readerman", "Mercytown"):
        assert word not in scrubbed, scrubbed
    assert "Lungs clear." in scrubbed


def test_addenda_corrections_and_embedded_documents():
    addendum = read_cda(made.cda(head='<relatedDocument typeCode="APND"/>').encode())
    assert addendum.is_addendum and not read_cda(made.cda().encode()).is_addendum
    assert read_cda(made.cda(head='<relatedDocument typeCode="RPLC"/>').encode()).status == ReportStatus.CORRECTED
    assert read_cda(made.cda_with(made.pdf(["FINDINGS: Clear."])).encode()).text == "FINDINGS: Clear."
    assert read_cda(made.cda_with(b"Plain.").encode()).text == "Plain."
    assert read_cda(made.cda_with(b"Plain.", "TXT").encode()).text == "Plain."
    assert reason(read_cda, made.cda_with(b"{\\rtf1 x}").encode()) == Reason.BROKEN_REPORT


def test_xml_that_is_no_report_or_means_harm():
    bomb = '<!DOCTYPE a [<!ENTITY b "c">]><ClinicalDocument xmlns="urn:hl7-org:v3">&b;</ClinicalDocument>'
    outside = (
        '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><ClinicalDocument xmlns="urn:hl7-org:v3">&b;</ClinicalDocument>'
    )
    for content in (bomb, outside, "<a>", "<letter>Dear Sir</letter>", made.cda()[:-30]):
        assert reason(read_cda, content.encode()) == Reason.BROKEN_REPORT
    deep = "<content>" * 3000 + "Clear." + "</content>" * 3000
    body = (
        f"<component><structuredBody><component><section><text>{deep}</text></section></component></structuredBody></component>"
    )
    assert read_cda(made.cda(body=body).encode()).text == "Clear."
