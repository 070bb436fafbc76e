"""Section offsets."""

from data_prep.deidentify import scrub
from data_prep.inputs import Identifiers
from data_prep.reports import find_sections, is_empty


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


def test_a_report_without_titles_has_no_sections():
    assert find_sections("The lungs are clear.") == {} and find_sections("") == {}


def test_offsets_hold_in_the_scrubbed_text():
    text = scrub("INDICATION: Mr. John Smith, seen 3/4/2021\nFINDINGS: clear since 2019.", Identifiers(names=("Smith^John",)))
    assert bodies(text) == {"INDICATION": "___, seen ___", "FINDINGS": "clear since ___."}


def test_empty_reports():
    assert all(is_empty(text) for text in ("", " \n", "FINDINGS:\nIMPRESSION: ___", "___. 1"))
    assert not is_empty("IMPRESSION: Normal.")
