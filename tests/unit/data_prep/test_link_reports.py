"""How reports find their studies, which of several counts, and what contradicts."""

import datetime
from pathlib import Path

import made_exports as exports
import pytest

from data_prep.build.run import build
from data_prep.inputs import Identifiers, ImageInput, ReportInput
from data_prep.ledger import Note, Reason
from data_prep.linking.link import Linked, link
from data_prep.linking.shared_images import SharedImages
from data_prep.loose import LooseImage, LooseReport, ReportStatus
from data_prep.privacy.deidentify import scrub
from data_prep.reports.sections import find_sections

DAY = datetime.date(2020, 3, 5)


def image(
    name: str, patient: str = "P1", study: str = "1.2", accession: str = "A1", day: datetime.date | None = DAY
) -> LooseImage:
    return LooseImage(ImageInput(name, Path(name), "dicom", name), patient, study, accession, day)


def report(name: str, number: str = "A1", text: str = "IMPRESSION: Clear lungs.", **fields: object) -> LooseReport:
    return LooseReport(ReportInput(name, text), number, **fields)  # type: ignore[arg-type]


def paired(linked: Linked) -> dict[str, str]:
    """Report by the first image of its study."""
    return {study.images[0].input_id: study.report.input_id for study in linked.studies if study.images and study.report}


def aside(linked: Linked) -> dict[str, Reason]:
    assert len({one.input_id for one in linked.set_aside}) == len(linked.set_aside)
    return {one.input_id: one.reason for one in linked.set_aside}


# ---- numbers


def test_a_number_is_matched_as_written_then_without_blanks_and_noughts():
    images = [
        image("a", accession="00123"),
        image("b", "P2", "1.3", "45 6"),
        image("c", "P3", "1.4", "0789"),
        image("d", "P4", "1.5", "789"),
    ]
    linked = link(images, [report("r", "123"), report("s", " 0456"), report("t", "789"), report("u", "00789")], {})
    # 00789 could be either of two, so it stands alone.
    assert paired(linked) == {"a": "r", "b": "s", "d": "t"} and not linked.set_aside


def test_two_written_forms_of_one_number_are_not_guessed():
    linked = link([image("a", accession="123")], [report("r", "0123"), report("s", "00123")], {})
    assert paired(linked) == {} and len(linked.studies) == 3


@pytest.mark.parametrize("cell", ["A1, A2", "A1;A2", "A1|A2", "A9, A2"])
def test_a_report_of_several_numbers_belongs_to_the_study_with_most_images(cell):
    images = [image("a"), image("b", study="1.3", accession="A2"), image("c", study="1.3", accession="A2")]
    linked = link(images, [report("r", cell)], {"A2": {"Mass": 1}})
    assert paired(linked) == {"b": "r"} and linked.labels_without_study == 0
    others = [image("a"), image("b", "P2", "1.3", "A2")]
    if "A9" not in cell:
        assert aside(link(others, [report("r", cell)], {})) == {"r": Reason.AMBIGUOUS_REPORT}


def test_other_numbers_are_tried_in_their_order():
    linked = link([image("a"), image("b", "P2", "1.3", "A2")], [report("r", "A7", other_numbers=("A8", "A2", "A1"))], {})
    assert paired(linked) == {"b": "r"}


# ---- patients and dates


def test_a_report_that_names_another_known_patient_is_contradictory():
    images = [image("a"), image("b", "P2", "1.3", "A2")]
    assert aside(link(images, [report("r", "A1", patient="P2")], {})) == {"r": Reason.CONTRADICTORY_REPORT}
    agreed = link(images, [report("r", "A1", patient="P1")], {})
    assert paired(agreed) == {"a": "r"}


def test_a_table_with_its_own_numbering_of_patients_contradicts_nothing():
    images = [image("a"), image("b", "P2", "1.3", "A2")]
    linked = link(images, [report("r", "A1", patient="X1"), report("s", "A2", patient="X2")], {})
    assert paired(linked) == {"a": "r", "b": "s"} and len({study.patient for study in linked.studies}) == 2


def test_a_named_patient_decides_a_number_of_two():
    images = [image("a"), image("b", "P2", "1.3")]
    assert paired(link(images, [report("r", "A1", patient="P2")], {})) == {"b": "r"}
    assert aside(link(images, [report("r", "A1", patient="X")], {})) == {"r": Reason.AMBIGUOUS_REPORT}


def test_two_patients_named_for_one_study():
    linked = link(
        [image("a")], [report("r", patient="X1"), report("s", patient="X2"), report("t", text="IMPRESSION: Short.")], {}
    )
    assert aside(linked) == {"r": Reason.AMBIGUOUS_REPORT, "s": Reason.AMBIGUOUS_REPORT} and paired(linked) == {"a": "t"}


def test_words_for_an_unknown_patient_are_none():
    linked = link([], [report("r", "A1", patient="UNKNOWN"), report("s", "A2", patient="0000")], {})
    assert len({study.patient for study in linked.studies}) == 2
    assert all(study.report.notes == (Note.NO_PATIENT_ID,) for study in linked.studies)


@pytest.mark.parametrize(
    ("days", "fields", "reason", "notes"),
    [
        (31, {}, None, ()),
        (32, {}, None, (Note.REPORT_DATE_FAR,)),
        (365, {}, None, (Note.REPORT_DATE_FAR,)),
        (366, {}, Reason.CONTRADICTORY_REPORT, ()),
        (366, {"patient": "P1"}, None, (Note.REPORT_DATE_FAR,)),
        (366, {"patient": "X1"}, Reason.CONTRADICTORY_REPORT, ()),
    ],
)
def test_dates_that_are_far(days, fields, reason, notes):
    linked = link([image("a")], [report("r", date=DAY + datetime.timedelta(days), **fields)], {})
    assert aside(linked) == ({"r": reason} if reason else {})
    if reason is None:
        (study,) = linked.studies
        assert study.report.notes == notes and study.days == 0


def test_a_study_uid_is_not_used_again_and_shifted_dates_contradict_nothing():
    long_after = DAY + datetime.timedelta(4000)
    assert paired(link([image("a")], [report("r", "1.2", date=long_after)], {})) == {"a": "r"}
    images = [image(f"i{n}", f"P{n}", f"1.{n}", f"A{n}") for n in range(12)]
    linked = link(images, [report(f"r{n}", f"A{n}", date=long_after) for n in range(12)], {})
    assert len(paired(linked)) == 12


# ---- several reports of a study


def test_how_final_a_report_is_comes_before_its_length():
    long = "IMPRESSION: Clear lungs, by the look of it."
    reports = [report("p", text=long, status=ReportStatus.PRELIMINARY), report("f", status=ReportStatus.FINAL)]
    linked = link([image("a")], reports, {})
    assert paired(linked) == {"a": "f"} and aside(linked) == {"p": Reason.SUPERSEDED_REPORT}
    corrected = report("c", text="IMPRESSION: Mass.", status=ReportStatus.CORRECTED)
    assert paired(link([image("a")], [corrected, *reports], {})) == {"a": "c"}
    earlier = report("e", text=long, status=ReportStatus.FINAL, issued="20200301")
    later = report("l", status=ReportStatus.FINAL, issued="20200302")
    assert paired(link([image("a")], [later, earlier], {})) == {"a": "l"}


def test_copies_and_reports_found_by_different_numbers():
    linked = link([image("a")], [report("r"), report("s", "1.2", text="IMPRESSION:  Clear\nlungs.")], {})
    assert paired(linked) == {"a": "r"} and aside(linked) == {"s": Reason.DUPLICATE_REPORT}


def test_a_report_that_was_taken_back():
    taken = report("w", text="", status=ReportStatus.WITHDRAWN)
    linked = link([image("a")], [report("r"), taken, report("s", text="IMPRESSION: Mass.")], {})
    assert paired(linked) == {"a": "s"}
    assert aside(linked) == {"r": Reason.SUPERSEDED_REPORT, "w": Reason.NOT_A_REPORT}


def test_an_addendum_of_its_own_is_joined_below_its_report():
    names = Identifiers(names=("Quirrel",))
    addenda = [
        report("second", text="ADDENDUM: Two.", issued="2", identifiers=names),
        report("first", text="IMPRESSION: Changed.", issued="1", is_addendum=True),
    ]
    linked = link([image("a")], [*addenda, report("r", text="FINDINGS: aa bb\n\nIMPRESSION: cc dd")], {})
    (study,) = linked.studies
    assert study.report.text == "FINDINGS: aa bb\n\nIMPRESSION: cc dd\n\nADDENDUM:\nIMPRESSION: Changed.\n\nADDENDUM: Two.\n"
    assert {title: study.report.text[slice(*bounds)] for title, bounds in find_sections(study.report.text).items()} == {
        "FINDINGS": "aa bb", "IMPRESSION": "cc dd", "ADDENDUM": "IMPRESSION: Changed.", "ADDENDUM 2": "Two.",
    }  # fmt: skip
    assert study.report.notes == (Note.ADDENDUM_JOINED,) and "Quirrel" in study.identifiers.names
    assert [(one.reason, one.notes) for one in linked.set_aside] == [(Reason.ADDENDUM_ONLY_REPORT, (Note.ADDENDUM_JOINED,))] * 2


def test_an_addendum_alone_and_one_that_the_report_holds():
    alone = link([image("a")], [report("x", text="ADDENDUM: Told.")], {})
    assert aside(alone) == {"x": Reason.ADDENDUM_ONLY_REPORT} and paired(alone) == {}
    assert not link([], [report("x", text="ADDENDUM: Told.")], {}).studies
    whole = report("r", text="IMPRESSION: aa bb\n\nADDENDUM: Told.")
    assert aside(link([image("a")], [whole, report("x", text="ADDENDUM: Told.")], {})) == {"x": Reason.DUPLICATE_REPORT}


def test_forms_and_empty_reports_leave_the_field_to_others():
    reports = [
        report("e", text=" "),
        report("t", text="FINDINGS: [ ]\nIMPRESSION: [ ] and so on [ ]"),
        report("r", text="OK now."),
    ]
    linked = link([image("a")], [*reports, report("u", text="Report to follow")], {})
    assert paired(linked) == {"a": "t"}, "the longer of those that say something"
    assert aside(linked)["e"] == Reason.EMPTY_REPORT and aside(linked)["u"] == Reason.TEMPLATE_ONLY_REPORT


def test_text_only_reports_of_two_patients_under_one_number_are_two_studies():
    linked = link([], [report("r", patient="X1"), report("s", patient="X2"), report("t", "A2", patient="X1")], {})
    assert len(linked.studies) == 3 and len({study.patient for study in linked.studies}) == 2


# ---- what many images share


def test_images_of_a_study_keep_what_they_share_once_and_the_study_has_all_of_it():
    shared = SharedImages(Path("/src"))
    images = []
    for n in range(3):
        one = image(f"f{n}")
        names = Identifiers(
            (f"Operator{n}", "Quirrel"),
            ("P1", f"series{n}", f"1.2.3.4.5.6.{n}"),
            (DAY, DAY + datetime.timedelta(n)),
            ("Mercytown", f"Desk {n}"),
        )
        one = LooseImage(one.image, "".join("P1"), "".join(["1.", "2"]), "A1", DAY, identifiers=names)
        images.append(shared.take(one, f"f{n}"))
    assert images[1].study_uid is images[0].study_uid and images[1].identifiers.names == ("Operator1",)
    other = shared.take(LooseImage(image("z").image, "P9", "1.2", "A1", identifiers=Identifiers(("Quirrel",))), "z")
    assert other.identifiers.names == ("Quirrel",)
    (study,) = link(images, [report("r")], {}).studies
    # A UID needs no known number to be found.
    assert scrub("UID 1.2.3.4.5.6.1.", Identifiers()) == "UID ___."
    assert set(study.identifiers.names) == {"Operator0", "Operator1", "Operator2", "Quirrel"}
    assert set(study.identifiers.ids) == {"P1", "series0", "series1", "series2", "f0", "f1", "f2"}
    assert len(study.identifiers.dates) == 3 and set(study.identifiers.phrases) == {"Mercytown", "Desk 0", "Desk 1", "Desk 2"}


def test_a_patient_whom_no_header_knows_contradicts_where_all_others_are_known(tmp_path):
    for seed in range(3):
        exports.dicom(tmp_path / "src" / f"{seed}.dcm", seed, PatientID=f"000{seed + 1}")
    rows = [{"accession_number": f"ACC0000{seed}", "report": "Clear lungs.", "patient_id": f"{seed + 1}"} for seed in range(2)]
    exports.table(tmp_path / "src" / "reports.csv", [*rows, {**rows[0], "accession_number": "ACC00002", "patient_id": "P999"}])
    summary = build(exports.settings(tmp_path / "src", tmp_path / "out"))
    assert summary.reasons == {"contradictory_report": 1}
    assert sum(counts["pairs"] for counts in summary.splits.values()) == 2
