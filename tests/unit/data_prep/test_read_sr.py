"""DICOM structured reports and encapsulated documents to reports."""

import made_reports as made
import pytest
from pydicom.dataset import Dataset

from data_prep.ledger import Reason
from data_prep.loose import ReportStatus
from data_prep.pictures.read_dicom import read_header
from data_prep.pictures.refused import Refused
from data_prep.privacy.deidentify import scrub
from data_prep.reports.read_sr import holds_report, read_report_object


def read(path, *arguments, **tags):
    made.document(path, *arguments, **tags)
    header = read_header(path)
    assert holds_report(header)
    return read_report_object(header)


def reason(path, *arguments, **tags) -> Reason:
    with pytest.raises(Refused) as caught:
        read(path, *arguments, **tags)
    return caught.value.reason


def test_headings_and_texts_become_titled_paragraphs(tmp_path):
    found = read(tmp_path / "a", content=made.FINDINGS_AND_IMPRESSION)
    assert found.text == "FINDINGS:\nLungs are clear.\n\nIMPRESSION:\nNormal."
    assert found.numbers == ("1.2.3", "A1") and (found.patient, found.sex, found.date.isoformat()) == ("P1", "F", "2020-03-05")
    assert found.issued == "20200306101500"


def test_persons_in_the_content_are_removed_and_context_is_no_text(tmp_path):
    content = (
        made.item("PNAME", "Person Observer Name", relation="HAS OBS CONTEXT", PersonName="Readerman^Rudi"),
        made.item("TEXT", "Observer", relation="HAS OBS CONTEXT", TextValue="Workstation XK12345"),
        made.item("TEXT", "Finding", TextValue="Jane Quirrelbach (PZ41001): clear, said Readerman and Verifierova, XK12345."),
    )
    verifier = Dataset()
    verifier.VerifyingObserverName, verifier.VerifyingOrganization = "Verifierova^Vera", "Mercytown"
    found = read(
        tmp_path / "a",
        content=content,
        PatientName="Quirrelbach^Jane",
        PatientID="PZ41001",
        VerifyingObserverSequence=[verifier],
    )
    scrubbed = scrub(found.text, found.identifiers)
    for word in ("Quirrel", "Jane", "PZ41001", "Readerman", "XK12345", "Verifier", "Rudi"):
        assert word not in scrubbed, scrubbed
    assert "clear" in scrubbed and "Workstation" not in found.text


def test_deep_content_is_read_without_recursion(tmp_path):
    one = made.item("TEXT", "Finding", TextValue="Deep.")
    for level in range(60):
        one = made.item("CONTAINER", f"Level {level}", (one,))
    assert read(tmp_path / "a", content=(one,)).text == "LEVEL 0:\nDeep."


def test_dose_detection_and_key_objects_are_no_reports(tmp_path):
    assert reason(tmp_path / "a", made.DOSE_SR) == Reason.NOT_A_REPORT
    assert (
        reason(tmp_path / "b", made.KEY_OBJECTS, (made.item("TEXT", "Key", TextValue="For teaching"),)) == Reason.NOT_A_REPORT
    )
    numbers = (made.item("NUM", "Dose"),)
    assert reason(tmp_path / "c", "1.2.840.10008.5.1.4.1.1.88.22", numbers) == Reason.NOT_A_REPORT
    title = Dataset()
    title.CodeValue, title.CodingSchemeDesignator, title.CodeMeaning = "113701", "DCM", "X-Ray Radiation Dose Report"
    old = reason(tmp_path / "d", "1.2.840.10008.5.1.4.1.1.88.22", made.FINDINGS_AND_IMPRESSION, ConceptNameCodeSequence=[title])
    assert old == Reason.NOT_A_REPORT


@pytest.mark.parametrize(
    ("flags", "status"),
    [
        ({"PreliminaryFlag": "PRELIMINARY", "CompletionFlag": "COMPLETE"}, ReportStatus.PRELIMINARY),
        ({"CompletionFlag": "PARTIAL"}, ReportStatus.PRELIMINARY),
        ({"CompletionFlag": "COMPLETE", "VerificationFlag": "VERIFIED"}, ReportStatus.FINAL),
        ({"CompletionFlag": "COMPLETE", "VerificationFlag": "UNVERIFIED"}, ReportStatus.UNKNOWN),
    ],
)
def test_flags_tell_how_final_a_report_is(tmp_path, flags, status):
    assert read(tmp_path / "a", content=made.FINDINGS_AND_IMPRESSION, **flags).status == status


def test_encapsulated_documents(tmp_path):
    pdf = read(tmp_path / "a", made.PDF_OBJECT, Modality="DOC", EncapsulatedDocument=made.pdf(["FINDINGS: Clear."]) + b"\0")
    assert pdf.text == "FINDINGS: Clear." and pdf.numbers == ("1.2.3", "A1")
    cda = read(tmp_path / "b", made.CDA_OBJECT, EncapsulatedDocument=made.cda("A5").encode(), StudyInstanceUID="1.2.9")
    assert cda.text.startswith("FINDINGS:\nLungs") and cda.numbers == ("1.2.9", "A1", "1.2.3", "A5")
    assert "Readerman" not in scrub("Rudi Readerman", cda.identifiers)
    assert reason(tmp_path / "c", made.PDF_OBJECT, EncapsulatedDocument=b"%PDF-1.4 ..") == Reason.BROKEN_REPORT
    assert reason(tmp_path / "d", made.PDF_OBJECT) == Reason.BROKEN_REPORT
