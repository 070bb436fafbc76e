"""HL7 v2 messages to reports."""

import base64

import made_reports as made
import pytest

from data_prep.ledger import Reason
from data_prep.loose import ReportStatus
from data_prep.privacy.deidentify import scrub
from data_prep.reports.hl7_messages import is_hl7
from data_prep.reports.read_hl7 import accession_fields_of, read_hl7
from data_prep.reports.sections import find_sections


def one(text: str | bytes, **options):
    (found,) = read_hl7(text.encode() if isinstance(text, str) else text, **options)
    return found


def test_an_order_with_its_text_is_a_report():
    found = one(made.message())
    assert found.text == "FINDINGS: Clear.\nIMPRESSION: Normal."
    assert found.numbers == ("A1", "FILLER9") and found.patient == "P1"
    assert (found.date.isoformat(), found.age, found.sex) == ("2020-03-05", 70, "F")
    assert found.status == ReportStatus.FINAL and found.issued == "20200306"


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n"])
@pytest.mark.parametrize("frame", ["{}", "\x0b{}\x1c\r", "\n\n{}\n", "FHS|^~\\&|x\rBHS|^~\\&|y\r{}BTS|1\rFTS|1\r"])
def test_framing_and_ends_of_segments(frame, end):
    content = frame.format(made.message() + made.message("A2")).replace("\r", end).encode()
    assert is_hl7(content)
    assert [found.numbers[0] for found in read_hl7(content)] == ["A1", "A2"]


def test_escapes_repetitions_and_lines_that_open_no_segment():
    obx = ("a \\T\\ b \\F\\ c\\S\\d\\R\\e\\E\\f\\.br\\next\\X0D\\hex \\H\\loud\\N\\ C:\\dir 3^4~again", "end\nof it")
    assert one(made.message(obx=obx)).text == "a & b | c^d~e\\f\nnext\nhex loud C:\\dir 3^4\nagain\nend\nof it"


def test_sections_by_suffix_code_and_text():
    more = (
        made.fields("OBX", f2="TX", f3="71020&IMP", f4="1", f5="Normal."),
        made.fields("OBX", f2="TX", f3="71020&IMP", f4="1", f5="No change."),
        made.fields("OBX", f2="FT", f3="11329-0^History^LN", f5="Smoker."),
        made.fields("OBX", f2="ST", f3="X^Technique^L", f5="AP."),
        made.fields("NTE", f1="1", f3="A comment."),
        made.fields("OBX", f2="NM", f3="KV", f5="125"),
        made.fields("OBX", f2="TX", f3="71020&ADT", f5="Told by phone.", f11="F"),
        made.fields("OBX", f2="TX", f3="71020&IMP", f5="Of another patient.", f11="W"),
    )
    text = one(made.message(obx=("FINDINGS: Clear.",), more=more)).text
    bodies = {title: text[slice(*bounds)] for title, bounds in find_sections(text).items()}
    assert bodies == {
        "FINDINGS": "Clear.",
        "IMPRESSION": "Normal.\nNo change.",
        "HISTORY": "Smoker.",
        "TECHNIQUE": "AP.\nA comment.",
        "ADDENDUM": "Told by phone.",
    }


@pytest.mark.parametrize(
    ("charset", "encoding", "word"),
    [
        ("8859/1", "latin-1", "Réduit"),
        ("8859/2", "iso8859-2", "Łódź"),
        ("UNICODE UTF-8", "utf-8", "Łódź"),
        ("", "cp1252", "Réduit"),
    ],
)
def test_character_sets(charset, encoding, word):
    assert one(made.message(obx=(word,), charset=charset).encode(encoding)).text == word
    escaped = "".join(f"\\X{byte:02X}\\" for byte in "é".encode("latin-1"))
    assert one(made.message(obx=(escaped,), charset="8859/1")).text == "é"


def test_several_orders_share_one_text_or_have_their_own():
    silent = made.fields("OBR", f3="F2", f18="A2")
    assert one(made.message(more=(silent,))).numbers[0] == "A1;A2"
    own = made.fields("OBX", f2="TX", f3="R", f5="Another.")
    found = read_hl7(made.message(more=(silent, own)).encode())
    assert [(report.numbers[0], report.text.split()[-1]) for report in found] == [("A1", "Normal."), ("A2", "Another.")]


def test_study_uids_and_configured_fields():
    zds = "ZDS|1.2.840.9^Application^DICOM"
    assert one(made.message(more=(zds,))).numbers == ("1.2.840.9", "A1", "FILLER9")
    told = made.fields("OBX", f2="HD", f3="113014^DICOM Study^DCM", f5="1.2.840.8")
    found = one(made.message(more=(told, "IPC|A7|RP1|1.2.840.7")))
    assert found.numbers == ("1.2.840.8;1.2.840.7", "A7", "A1", "FILLER9") and "1.2.840" not in found.text
    assert one(made.message(), accession_fields=("OBR-3",)).numbers == ("FILLER9",)
    assert accession_fields_of("obr-3, ORC-3") == ("OBR-3", "ORC-3")
    with pytest.raises(ValueError, match="accession"):
        accession_fields_of("accession")


def test_the_record_number_of_several_identifiers():
    text = made.message().replace("P1^^^H^MR", "X9^^^S^SS~P1^^^H^MR~Q2")
    assert one(text).patient == "P1" and {"X9", "P1", "Q2"} <= set(one(text).identifiers.ids)


@pytest.mark.parametrize(
    ("letter", "status"),
    [("P", "preliminary"), ("R", "preliminary"), ("C", "corrected"), ("F", "final"), ("", ""), ("W", "withdrawn")],
)
def test_status(letter, status):
    assert one(made.message(status=letter)).status == status


def test_embedded_documents_where_there_is_no_text():
    def ed(kind: str, data: bytes) -> str:
        return made.fields("OBX", f2="ED", f3="PDF", f5=f"^{kind}^^Base64^{base64.b64encode(data).decode()}")

    assert one(made.message(obx=(), more=(ed("TEXT", b"Clear."),))).text == "Clear."
    assert one(made.message(obx=(), more=(ed("application^pdf", made.pdf(["FINDINGS: Clear."])),))).text == "FINDINGS: Clear."
    assert one(made.message(more=(ed("application^pdf", made.pdf(["again"])),))).text.endswith("Normal.")
    assert one(made.message(obx=(), more=(made.fields("OBX", f2="ED", f3="P", f5="^A^^Base64^!!"),))) == Reason.BROKEN_REPORT


def test_messages_that_hold_no_report():
    assert one(made.message(kind="ADT^A08")) == Reason.NOT_A_REPORT
    assert one(made.message(kind="ORM^O01")) == Reason.NOT_A_REPORT
    assert one(made.message(obx=())) == Reason.EMPTY_REPORT
    assert one("MSH|^~\\&|\r") == Reason.BROKEN_REPORT and one("MSH\x00\x01") == Reason.BROKEN_REPORT
    mixed = made.message() + "MSH|^\rgarbage" + made.message("A2").replace("MSH", "\rMSH")
    assert [isinstance(found, Reason) for found in read_hl7(mixed.encode())] == [False, True, False]
    assert one(made.message(obx=("x" * 2**21,))) == Reason.BROKEN_REPORT


def test_persons_numbers_places_and_dates_of_a_message_leave_its_text():
    words = (
        "Quirrelbach, Adelgunde (PZ41001) of 12 Elmtree Road, born 01/02/1950, phone (217)555-1234, seen 03/05/2020 "
        "at Mercytown General. "
        "Referrerova wrote; Readerman read. Attendling asked. Order FILLER9. Lungs clear."
    )
    pv1 = made.fields("PV1", f7="88^Attendling^Ann")
    found = one(made.message(name="Quirrelbach^Adelgunde", patient="PZ41001", obx=(words,), more=(pv1,)))
    scrubbed = scrub(found.text, found.identifiers)
    for name in (
        "Quirrel",
        "Adelgunde",
        "PZ41001",
        "Elmtree",
        "1950",
        "555",
        "2020",
        "Mercytown",
        "Referrer",
        "Readerman",
        "Attend",
        "FILLER",
    ):
        assert name not in scrubbed, scrubbed
    assert "Lungs clear." in scrubbed
