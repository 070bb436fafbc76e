"""Section offsets."""

import pytest

from cxrpt.data.text import select_text
from data_prep.inputs import Identifiers
from data_prep.privacy.deidentify import scrub
from data_prep.reports.sections import LAST_PARAGRAPH, find_sections, is_empty


def bodies(text: str) -> dict[str, str]:
    return {title: text[start:end] for title, (start, end) in find_sections(text).items()}


def test_a_report_in_the_manner_of_mimic():
    text = (
        "                                 FINAL REPORT\n EXAMINATION:  CHEST (PA AND LAT)\n \n"
        " INDICATION:  ___F with cough // pneumonia?\n \n"
        " FINDINGS: \n \n The lungs are clear.\n Heart: normal.\n \n IMPRESSION: \n \n No acute process.\n"
    )
    assert bodies(text) == {
        "EXAMINATION": "CHEST (PA AND LAT)",
        "INDICATION": "___F with cough // pneumonia?",
        "FINDINGS": "The lungs are clear.\n Heart: normal.",
        "IMPRESSION": "No acute process.",
    }


def test_mixed_case_titles_synonyms_empty_and_repeated_ones():
    assert bodies("Findings: a b.\nConclusion: c.\nComparison:\nIMPRESSION: later") == {"FINDINGS": "a b.", "IMPRESSION": "c."}


def test_the_last_paragraph_stands_for_a_report_without_titles():
    assert bodies("The lungs are clear.") == {LAST_PARAGRAPH: "The lungs are clear."} and find_sections("") == {}
    assert bodies("Seen ___.\n \n Heart normal.\n No effusion.\n \n Electronically signed by ___") == {
        LAST_PARAGRAPH: "Heart normal.\n No effusion."
    }
    assert bodies("COMPARISON: None.\n \n The lungs are clear.") == {
        "COMPARISON": "None.",
        LAST_PARAGRAPH: "The lungs are clear.",
    }
    assert bodies("INDICATION: Cough.") == {"INDICATION": "Cough."}
    text = "The lungs are clear.\n\nADDENDUM: told."
    assert bodies(text) == {LAST_PARAGRAPH: "The lungs are clear.", "ADDENDUM": "told."}
    assert select_text(text, find_sections(text), ("FINDINGS", "IMPRESSION", LAST_PARAGRAPH)) == "The lungs are clear."


RULE = " " + "_" * 78


def test_addenda_never_take_the_place_of_the_report():
    above = (
        f" FINAL ADDENDUM\n ADDENDUM: One.\n IMPRESSION: Changed.\n{RULE}\n FINAL REPORT\n FINDINGS: a b\n \n IMPRESSION: c d\n"
    )
    assert bodies(above) == {"ADDENDUM": "One.\n IMPRESSION: Changed.", "FINDINGS": "a b", "IMPRESSION": "c d"}
    below = "FINDINGS: a b\nIMPRESSION: c d\n\nADDENDUM: One.\nIMPRESSION: Changed.\n\nADDENDUM 2: Two."
    assert bodies(below) == {
        "FINDINGS": "a b", "IMPRESSION": "c d", "ADDENDUM": "One.\nIMPRESSION: Changed.", "ADDENDUM 2": "Two.",
    }  # fmt: skip
    bare = "ADDENDUM: Told.\n\nFINDINGS: a b\nIMPRESSION: c d"
    assert bodies(bare) == {"ADDENDUM": "Told.", "FINDINGS": "a b", "IMPRESSION": "c d"}


def test_a_wet_read_ends_at_the_final_report():
    text = f" WET READ: ___ 9:41 PM\n  No pneumonia.\n{RULE}\n  FINAL REPORT\n HISTORY: Cough.\n \n FINDINGS: Clear lungs.\n"
    assert bodies(text) == {"WET READ": "___ 9:41 PM\n  No pneumonia.", "HISTORY": "Cough.", "FINDINGS": "Clear lungs."}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("**FINDINGS**\na b\n\n## Impression\nc d", ("a b", "c d")),
        ("**Findings:** a b\n**Impression**: c d", ("a b", "c d")),
        ("FINDINGS - a b\nIMPRESSION -- c d", ("a b", "c d")),
        ("FINDINGS\n__________\na b\n\nIMPRESSION\n__________\nc d\n__________", ("a b", "c d")),
        ("EXAM: CHEST. FINDINGS: a b. IMPRESSION: c d", ("a b.", "c d")),
        ("EXAM CHEST PAIN FINDINGS: a b  IMPRESSION: c d", ("a b", "c d")),
        ("findings: a b. impression: c d", ("a b.", "c d")),
        ("RADIOGRAPHIC FINDINGS: a b\nPRELIMINARY IMPRESSION: c d", ("a b", "c d")),
        ("IMPRESSION(S):1. c d\nFINDINGS AND IMPRESSION: a b", ("a b", "1. c d")),
        ("Befund:\na b\nBeurteilung:\nc d", ("a b", "c d")),
        ("RÉSULTATS : a b\nSYNTHÈSE : c d", ("a b", "c d")),
        ("Hallazgos: a b\nIMPRESIÓN: c d", ("a b", "c d")),
        ("REPERTO: a b\nConclusioni: c d", ("a b", "c d")),
        ("ACHADOS: a b\nIMPRESSÃO: c d", ("a b", "c d")),
    ],
)
def test_titles_in_many_hands_and_languages(text, expected):
    found = bodies(text)
    assert (found["FINDINGS"], found["IMPRESSION"]) == expected


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("REASON FOR EXAMINATION", "INDICATION"),
        ("Reason for exam", "INDICATION"),
        ("FRAGESTELLUNG", "INDICATION"),
        ("CLINICAL HISTORY", "HISTORY"),
        ("COMPARISON STUDY", "COMPARISON"),
        ("VORAUFNAHMEN", "COMPARISON"),
        ("PROVISIONAL FINDINGS IMPRESSION (PFI)", "WET READ"),
        ("NOTIFICATION OF CRITICAL FINDINGS", "NOTIFICATION"),
        ("OPINION", "IMPRESSION"),
        ("RECOMMENDATION(S)", "RECOMMENDATION"),
        ("TÉCNICA", "TECHNIQUE"),
    ],
)
def test_names_of_titles(title, name):
    assert list(bodies(f"{title}: a b")) == [name]


def test_parts_of_the_body_belong_to_the_findings():
    assert bodies("FINDINGS:\nLUNGS: Clear.\nHEART: Normal.\nIMPRESSION: c d")["FINDINGS"] == "LUNGS: Clear.\nHEART: Normal."
    assert bodies("LUNGS: Clear.\nHEART: Normal.\nOPINION: c d") == {
        "FINDINGS": "LUNGS: Clear.\nHEART: Normal.",
        "IMPRESSION": "c d",
    }


def test_text_below_an_examination_is_the_findings_where_there_are_no_others():
    assert bodies("COMPARISON: ___.\n \n PORTABLE CHEST RADIOGRAPH: The lungs are clear.")["FINDINGS"] == "The lungs are clear."
    assert bodies("CHEST, TWO VIEWS: PA and lateral.\nFINDINGS: Clear lungs.") == {
        "EXAMINATION": "PA and lateral.", "FINDINGS": "Clear lungs.",
    }  # fmt: skip


def test_words_that_open_a_line_are_no_titles():
    text = "FINDINGS: No change since the last\nstudy: the lungs are clear.\nAT 3:15 PM told. SEE IMPRESSION: x\nSIGNED: ___"
    assert list(bodies(text)) == ["FINDINGS"]


def test_offsets_hold_in_the_scrubbed_text():
    text = scrub("INDICATION: Mr. John Smith, seen 3/4/2021\nFINDINGS: clear since 2019.", Identifiers(names=("Smith^John",)))
    assert bodies(text) == {"INDICATION": "___, seen ___", "FINDINGS": "clear since ___."}


def test_empty_reports():
    assert all(is_empty(text) for text in ("", " \n", "FINDINGS:\nIMPRESSION: ___", "___. 1"))
    assert not is_empty("IMPRESSION: Normal.")
