"""What leaves a report and what stays."""

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_prep.inputs import Identifiers
from data_prep.privacy.deidentify import scrub
from data_prep.privacy.identifiers import parse_date, row_identifiers

NOBODY = Identifiers()


@pytest.mark.parametrize(
    "identifying",
    [
        "3/4/2021", "03/04/21", "2021-03-04", "4 March 2021", "March 4, 2021", "04-Mar-2021", "20210304", "March 2021",
        "4th of March",
        "12.05.2020", "05.12.20", "2021-03-04T10:22:31", "3/2021",
        "(555) 123-4567", "555-123-4567", "+49 30 1234567", "jo.hill@north.example.org", "https://pacs.example.org/x?id=3",
        "123-45-6789", "12345678", "A1234567", "1.2.840.113619.2.55.3.604688", "10.1.22.3",
        "Dr. Adams", "Dr. Mary-Ann O'Neil", "Mr. de Boer", "Mrs. Long", "dr. adams", "John A. Miller, MD",
        "12 Oak Street, Salem, MA 01970",
        "St. Mary Hospital", "[**2101-3-4**]", "XXXX",
    ],
)  # fmt: skip
def test_shapes_that_identify_go(identifying):
    text = f"Clear lungs. Compared with {identifying} there is no change."
    scrubbed = scrub(text, NOBODY)
    assert "___" in scrubbed and scrubbed.startswith("Clear lungs. ") and scrubbed.endswith("there is no change.")
    for word in identifying.replace("(", " ").replace(",", " ").split():
        if len(word) > 3 and word.lower() not in ("hospital", "street"):
            assert word not in scrubbed


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("MRN: 12345", "MRN: ___"),
        ("Kein Erguss.\nWimmershöfer/kalt\n", "Kein Erguss.\n___\n"),
        ("No effusion.\nMüller-Lüde/sk", "No effusion.\n___"),
        ("Thorax/abd\nNo effusion.", "Thorax/abd\nNo effusion."),
        ("Accession number 5591A seen", "Accession number ___ seen"),
        ("Electronically signed by Jane Roe", "Electronically signed by ___"),
        ("Findings discussed with Alice Moss at 3:40 pm.", "Findings discussed with ___ at ___."),
        ("Attending: Bob Frost", "Attending: ___"),
        ("a x-XXXX of the chest", "a x-___ of the chest"),
        ("94-year-old woman", "___-year-old woman"),
        ("aged 103, 89 year old", "aged ___, 89 year old"),
        ("pager 4412", "pager ___"),
        ("since 2019", "since ___"),
        ("Seen on 3/4.", "Seen on ___."),
        ("DR. SMITH WAS NOTIFIED", "___ WAS NOTIFIED"),
    ],
)
def test_triggers_stay_and_values_go(text, expected):
    assert scrub(text, NOBODY) == expected


MEDICINE = """Kerley B lines. Hodgkin lymphoma, non-Hodgkin's lymphoma. Swan-Ganz catheter tip in the right pulmonary artery.
Hill-Sachs lesion. A 3 x 4 cm mass in the right upper lobe; 3.5.2 classification. Nodule of 1.2 cm, 12 mm from the hilum at T12.
Ratio 3/4 of the width. 2 views of the chest. Grade 2/6 murmur. BNP 2000 pg. 1500 mL of fluid. May represent atelectasis.
Dobhoff tube.
SpO2 92% on 4 L. The patient is 45 years old.
Status post CABG x 4. PA and lateral views. ARDS, COVID-19, IM-0001. No PTX.
Right-sided PICC line. Ghon complex. Marfan syndrome. March fracture. Elevated BNP."""


def test_medicine_stays_word_for_word():
    assert scrub(MEDICINE, NOBODY) == MEDICINE


@pytest.mark.parametrize("name", ["Hodgkin^Thomas", "Hill^Ann", "Swan^Peter", "Kerley^P", "Long^Mary", "Marfan^A", "Small^Joe"])
def test_medicine_stays_whoever_the_patient_is(name):
    text = (
        "Hodgkin lymphoma. Hill-Sachs lesion. "
        "Swan-Ganz catheter. Kerley B lines. Marfan syndrome. Long tube, small right effusion."
    )
    assert scrub(text, Identifiers(names=(name,))) == text


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("Hodgkin^Thomas", "Hodgkin was seen.", "___ was seen."),
        ("Hodgkin^Thomas", "Mr. Hodgkin lymphoma", "___ lymphoma"),
        ("SMITH^JOHN^A", "John A. Smith came", "___ came"),
        ("SMITH^JOHN^A", "smith, john came", "___ came"),
        ("SMITH^JOHN^A", "Smith's lungs", "___ lungs"),
        ("SMITH^JOHN", "SMITH IS WELL", "___ IS WELL"),
        ("Van der Berg^Ida", "Ida van der Berg is well, the lung of Berg", "___ is well, the lung of ___"),
        ("O'Neil^Pat", "Patient O'Neil has", "Patient ___ has"),
        ("Müller-Lüdenscheidt^Jörg", "Frau Müller und Lüdenscheidt", "___ und ___"),
        ("Long^Mary", "The tube is long. We told Long that", "The tube is long. We told ___ that"),
        ("In^An", "An effusion in the PA view. Asked An In again.", "An effusion in the PA view. Asked ___ again."),
        ("Long^Mary", "Mary Long has a long tube", "___ has a long tube"),
    ],
)
def test_known_names_go_in_any_order_and_part(name, text, expected):
    assert scrub(text, Identifiers(names=(name,))) == expected


def test_known_numbers_dates_and_places_go():
    known = Identifiers(
        ids=("AB 12-7", "77", "Q4711"), dates=(datetime.date(2020, 3, 5),), phrases=("North Clinic Ward 3", "Elm Alley 9, Town")
    )
    text = "ab 12-7; q4711; 5/3; 03 05 2020; 5.3.2020; 05032020; on 3/5; north clinic  ward 3; Elm Alley 9 Town; 77 mm"
    assert scrub(text, known) == "___; ___; 5/3; ___; ___; ___; on ___; ___; ___; 77 mm"


@given(st.text(max_size=200))
def test_what_is_known_goes_from_any_text(text):
    known = Identifiers(names=("Zyxwv^Qrst",), ids=("ID99881",))
    scrubbed = scrub(f"{text} Zyxwv {text} ID99881 ", known)
    assert "zyxwv" not in scrubbed.lower() and "ID99881" not in scrubbed


@given(st.text(max_size=60), st.text(max_size=40), st.text(max_size=30), st.dates())
def test_no_name_number_or_text_breaks_the_scrub(text, name, number, date):
    known = Identifiers(names=(name, f"{name}^{number}"), ids=(number,), dates=(date,), phrases=(name,))
    assert isinstance(scrub(f"{text} {name} {number} {text}", known), str)


def test_row_identifiers_take_columns_by_their_names():
    row = {
        "patient_name": "Ann Hill",
        "mrn": "4711x",
        "dob": "1950-01-02",
        "phone": "0123",
        "report": "free",
        "filename": "hill.png",
        "view": "PA",
    }
    known = row_identifiers(row, frozenset({"report"}))
    assert known == Identifiers(("Ann Hill",), ("4711x",), (datetime.date(1950, 1, 2),), ("0123",))


@pytest.mark.parametrize(
    ("written", "date"),
    [
        ("20200305", (2020, 3, 5)),
        ("2020-03-05 10:11", (2020, 3, 5)),
        ("5.3.2020", (2020, 3, 5)),
        ("3/5/2020", (2020, 3, 5)),
        ("13/5/2020", (2020, 5, 13)),
    ],
)
def test_dates_are_read(written, date):
    assert parse_date(written) == datetime.date(*date)


@pytest.mark.parametrize("written", ["", "2020", "20201340", "soon", "May 10, 2015"])
def test_what_is_no_date_is_none(written):
    assert parse_date(written) is None


def test_a_name_that_the_report_announces_goes_everywhere():
    text = """Patient Name: Abbott, Ferdinand
Referring Physician: Dr. Joubert

INDICATION: Cough. Patient Ferdinand Abbott, DOB 3/4/1950.
FINDINGS: Discussed with Joubert. Mr Abbott was informed; ABBOTT, F. agrees. Small effusion.
Electronically signed by Drummond, M.D.
Drummond will call again."""
    scrubbed = scrub(text, NOBODY)
    for name in ("abbott", "ferdinand", "joubert", "drummond"):
        assert name not in scrubbed.lower(), scrubbed
    assert "Small effusion." in scrubbed and "INDICATION: Cough. Patient ___" in scrubbed


def test_a_patient_in_a_sentence_is_a_trigger_only_before_what_identifies():
    assert scrub("Patient Jane Roe, DOB 3/4/1950, coughs.", NOBODY) == "Patient ___, DOB ___, coughs."
    assert scrub("Patient Jane Roe, 54 years old.", NOBODY) == "___, 54 years old."
    for harmless in ("Patient rotated, rib fractures.", "Patient Position: supine.", "Patient Rotated, low volumes."):
        assert scrub(harmless, NOBODY) == harmless


def test_columns_that_the_user_names_and_columns_that_tell_nothing_are_removed(tmp_path):
    from data_prep.processes.scan import Reading
    from data_prep.sources.hospital import HospitalOptions, _read_reports

    text = "FINDINGS: Adelgunde Wolkenstein (PZID41001) clear lungs, born 04.03.1950. Ref Quirrelbach. acc ACZ1. Pneumonie?"
    table = tmp_path / "r.csv"
    table.write_text(
        "Fallnummer,PatNr,PatName,GebDat,sex,Datum,Zuweiser,Diagnose,Befund\n"
        f'ACZ1,PZID41001,"Wolkenstein, Adelgunde",04.03.1950,F,2019-02-03,Quirrelbach,Pneumonie,"{text}"\n'
    )
    options = HospitalOptions(table, None, "Fallnummer", "Befund", "PatNr", "Datum")
    ((report,), _) = _read_reports(options, Reading())
    scrubbed = scrub(report.report.text, report.identifiers)
    for word in ("Wolkenstein", "Adelgunde", "PZID41001", "Quirrelbach", "ACZ1", "1950"):
        assert word not in scrubbed, scrubbed
    assert "clear lungs" in scrubbed and "Pneumonie?" in scrubbed


def test_a_pdf_or_rtf_among_the_text_files_is_no_report(tmp_path):
    from data_prep.processes.scan import Reading
    from data_prep.sources.hospital import HospitalOptions, _read_reports

    (tmp_path / "A1.txt").write_text("FINDINGS: Clear.")
    (tmp_path / "A2.rtf").write_text("{\\rtf1\\ansi Clear.}")
    (tmp_path / "A3.pdf").write_text("%PDF-1.4 /Author (Xylander)")
    reports, broken = _read_reports(HospitalOptions(tmp_path, None, None, None, None, None), Reading())
    assert [report.study_number for report in reports] == ["A1"] and len(broken) == 2
