"""Which texts are no reports of their own."""

import pytest

from data_prep.ledger import Reason
from data_prep.reports.report_kinds import reason_against


@pytest.mark.parametrize("text", ["", " \n\t", "___", "___. 1", "-- 12/3 --"])
def test_empty(text):
    assert reason_against(text) == Reason.EMPTY_REPORT


@pytest.mark.parametrize(
    "text",
    [
        "FINDINGS:\nIMPRESSION: ___",
        "FINDINGS: [ ]",
        "LUNGS: [ ]\nHEART: [ ]",
        "Findings: ***\nImpression: ***",
        "<<template>>",
        "INDICATION: Cough for five days.\nFINDINGS: [ ]\nIMPRESSION: Report to follow.",
        "Dictated. See PACS.",
        "Dictated report. Please see dictated report in EPIC.",
        "Please see separate report",
        "Report to follow",
        "No report",
        "No formal report available.",
        "IMPRESSION: Pending.",
        "Test patient",
        "TEST REPORT - PLEASE IGNORE",
        "dummy report.",
        "Lorem ipsum dolor sit amet, consectetur",
        "Exam was cancelled.",
        "Befund folgt.",
        "Siehe gesonderten Befund.",
        "Compte-rendu à suivre",
        "Informe pendiente.",
    ],
)
def test_forms_that_nobody_filled_in(text):
    assert reason_against(text) == Reason.TEMPLATE_ONLY_REPORT


@pytest.mark.parametrize("text", ["ADDENDUM: Dr. X was told.", "Nachtrag:\nRundherd rechts.", "Addendum #2: c.f. CT of today"])
def test_addenda_alone(text):
    assert reason_against(text) == Reason.ADDENDUM_ONLY_REPORT


@pytest.mark.parametrize(
    "text",
    [
        "Normal chest.",
        "normal",
        "Clear.",
        "Kein Befund.",
        "No change.",
        "unremarkable study",
        "FINDINGS: None.\nIMPRESSION: No acute disease.",
        "FINDINGS: Lungs [clear].",
        "No report of pain. Lungs clear.",
        "IMPRESSION: Stable. Please see separate report for CT.",
        "Testing of line placement.",
        "ADDENDUM: Told.\n\nFINDINGS: Clear lungs.",
        "FINDINGS: Clear lungs.\n\nADDENDUM: Told.",
    ],
)
def test_short_reports_are_reports(text):
    assert reason_against(text) is None
