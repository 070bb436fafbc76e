"""The linking of hospital reports, and a hospital's folders and tables, on small made files."""

import datetime
import warnings
from pathlib import Path

import made_exports as made
import made_reports
import pytest
from pydicom.dataset import Dataset

from cxrpt.data.sample import Kind
from cxrpt.data.shards import ShardReader
from cxrpt.errors import InputError
from data_prep.build.run import build
from data_prep.inputs import ImageInput, ReportInput, years_as_allowed
from data_prep.ledger import Reason
from data_prep.linking.link import LooseImage, LooseReport, link
from data_prep.linking.scan_dicom import header_age
from data_prep.sources import hospital


def samples(folder: Path) -> list:
    readers = [ShardReader(path) for path in sorted(folder.rglob("*.tar"))]
    return [reader.read(number) for reader in readers for number in range(len(reader))]


def loose(name: str, patient: str = "P1", study: str = "1.2", accession: str = "A1", date: int | None = None) -> LooseImage:
    day = None if date is None else datetime.date(2020, 1, date)
    return LooseImage(ImageInput(name, Path(name), "dicom", name), patient, study, accession, day)


def report(
    name: str, number: str = "A1", text: str = "IMPRESSION: Clear lungs.", patient: str = "", date: int | None = None
) -> LooseReport:
    day = None if date is None else datetime.date(2020, 1, date)
    return LooseReport(ReportInput(name, text), number, patient, day)


# ---- linking


def test_reports_find_studies_by_accession_number_or_uid():
    linked = link(
        [loose("a"), loose("b", study="1.3", accession="A2")], [report("r1"), report("r2", "1.3")], {"A1": {"Mass": 1}, "Z": {}}
    )
    by_image = {study.images[0].input_id: study for study in linked.studies}
    assert by_image["a"].report.input_id == "r1" and by_image["b"].report.input_id == "r2"
    assert by_image["a"].labels == {"Mass": 1} and linked.labels_without_study == 1


def test_an_accession_number_of_two_patients_pairs_with_neither():
    linked = link([loose("a"), loose("b", patient="P2", study="1.3")], [report("r")], {})
    assert [study.report for study in linked.studies] == [None, None]
    assert [(one.input_id, one.reason) for one in linked.set_aside] == [("r", Reason.AMBIGUOUS_REPORT)]


def test_a_report_goes_to_one_study_only_where_a_number_means_several():
    linked = link([loose("a"), loose("b", study="1.3"), loose("c", study="1.3")], [report("r")], {})
    assert [len(study.images) for study in linked.studies if study.report] == [2]


def test_of_several_reports_the_longest_stays():
    linked = link(
        [loose("a")], [report("prelim", text="Clear."), report("final", text="Clear lungs."), report("addendum", text="ok")], {}
    )
    assert linked.studies[0].report.input_id == "final"
    assert {one.input_id for one in linked.set_aside} == {"prelim", "addendum"}


def test_a_patient_with_two_numbers_is_one_patient():
    linked = link([loose("a", patient="H1")], [report("r", patient="C9"), report("t", "A7", patient="C9")], {})
    assert len(linked.studies) == 2 and len({study.patient for study in linked.studies}) == 1


def test_images_without_patient_take_that_of_their_study_else_stand_alone():
    linked = link([loose("a"), loose("b", patient=""), loose("c", patient="", study="1.9", accession="")], [], {})
    assert sorted(len(study.images) for study in linked.studies) == [1, 2]
    assert len({study.patient for study in linked.studies}) == 2


def test_days_count_from_the_first_study_of_the_patient():
    linked = link(
        [loose("a", date=20), loose("b", study="1.3", accession="A2", date=3)], [report("t", "A9", patient="P1", date=31)], {}
    )
    assert sorted(study.days for study in linked.studies) == [0, 17, 28]


# ---- hospital: folders of reports, other column names, texts or images only


def test_a_folder_of_report_files_named_by_number_or_uid(tmp_path):
    src = tmp_path / "src"
    first, second = made.dicom(src / "a", 1), made.dicom(src / "b", 2)
    (src / "reports").mkdir()
    (src / "reports" / f"{first.AccessionNumber}.txt").write_text(f"IMPRESSION: Clear. No. {first.AccessionNumber}")
    (src / "reports" / f"{second.StudyInstanceUID}.txt").write_bytes("IMPRESSION: Réduit.".encode("cp1252"))
    (src / "reports" / "binary.txt").write_bytes(b"\0\1\2")
    summary = build(made.settings(src, tmp_path / "out"))
    texts = sorted(sample.text for sample in samples(tmp_path / "out"))
    assert texts == ["IMPRESSION: Clear. No. ___\n", "IMPRESSION: Réduit.\n"]
    assert summary.reasons == {"broken_report": 1} and summary.found == 5


def test_reports_alone_with_columns_of_other_names(tmp_path):
    src = tmp_path / "src"
    src.mkdir()
    rows = [
        {"visit": f"v{n}", "words": f"Lungs clear {n} times.", "who": "one", "years": "", "age": "93", "sex": "male"}
        for n in range(3)
    ]
    path = made.table(tmp_path / "texts.csv", rows)
    options = hospital.HospitalOptions(reports=path, number_column="visit", report_column="words", patient_column="who")
    summary = build(made.settings(src, tmp_path / "out", hospital=options))
    found = samples(tmp_path / "out")
    assert (
        summary.kept == 3
        and {sample.kind for sample in found} == {Kind.TEXT}
        and len({sample.meta.patient for sample in found}) == 1
    )
    assert {(sample.meta.age, sample.meta.sex) for sample in found} == {("90+", "M")}
    with pytest.raises(InputError, match="--number-column") as caught:
        build(made.settings(src, tmp_path / "out2", hospital=hospital.HospitalOptions(reports=path)))
    assert "clear" not in str(caught.value)


REFUSED = {
    "burned_in_text": {"BurnedInAnnotation": "YES"},
    "other_body_part": {"BodyPartExamined": "KNEE"},
    "not_radiograph": {"Modality": "CT"},
    "multi_frame": {"NumberOfFrames": "4"},
}
"""Tags for which no pixel is looked at, by the reason that the ledger gives."""


@pytest.mark.parametrize("reason", REFUSED)
def test_a_picture_that_is_refused_by_its_tags_still_names_whom_the_report_must_not(reason, tmp_path):
    src = tmp_path / "src"
    # Several of a study, the first of which says all; and one that is kept, of the same patient in another study.
    for number in range(3):
        tags = {"PatientID": "P1", "AccessionNumber": "ACC4711", "StudyInstanceUID": "1.2.3", "StudyDate": "20200305"}
        made.dicom(src / f"{number}.dcm", number, **{**tags, "PatientName": "Brandstoetterl^Xaver", **REFUSED[reason]})
    made.dicom(src / "kept.dcm", 9, PatientID="P1", PatientName="Brandstoetterl^Xaver", StudyDate="20200315")
    rows = [{"accession_number": "ACC4711", "report": "IMPRESSION: Clear. Brandstoetterl was here on 05.03.2020, no. ACC4711."}]
    made.table(src / "reports.csv", rows)
    made.table(src / "labels.csv", [{"accession_number": "ACC4711", "Effusion": "1"}])
    summary = build(made.settings(src, tmp_path / "out", split=(1.0, 0.0, 0.0)))
    assert summary.reasons == {reason: 3} and summary.kept == 2
    text, image = sorted(samples(tmp_path / "out"), key=lambda sample: sample.kind == Kind.IMAGE)
    assert (text.kind, image.kind) == (Kind.TEXT, Kind.IMAGE)
    assert "Brandstoetterl" not in text.text and "2020" not in text.text and "ACC4711" not in text.text
    assert text.meta.patient == image.meta.patient, "the header tells whose report it is"
    assert (text.meta.days, image.meta.days) == (0, 10) and text.meta.labels == {"Effusion": 1}


def test_columns_that_no_table_of_a_folder_has_are_a_slip(tmp_path):
    src = tmp_path / "src"
    made.dicom(src / "a", 1)
    (src / "reports").mkdir()
    (src / "reports" / "letter.txt").write_text("IMPRESSION: Clear.")
    texts = [made_reports.message(f"ACC0009{n}", ("IMPRESSION: Clear.",)) for n in range(2)]
    (src / "reports" / "batch.hl7").write_text("".join(texts))
    made.table(src / "reports" / "codes.csv", [{"code": "R91", "meaning": "shadow"}])
    made.table(src / "reports" / "list.csv", [{"visit": "ACC00001", "words": "IMPRESSION: Normal."}])
    for named in ({"number_column": "visits", "report_column": "words"}, {"report_column": "word"}):
        options = hospital.HospitalOptions(src / "reports", **named)
        with pytest.raises(InputError, match=r"2 tables .* none has both: mend --") as caught:
            build(made.settings(src, tmp_path / "out", hospital=options))
        assert named["report_column"] in str(caught.value) and "R91" not in str(caught.value)
    assert not list((tmp_path / "out").rglob("*.tar")), (
        "it is found before anything is built, and nothing is in the way of a mend"
    )
    options = hospital.HospitalOptions(src / "reports", number_column="visit", report_column="words")
    summary = build(made.settings(src, tmp_path / "out", hospital=options))
    assert any("1 tables among the reports" in line for line in summary.remarks) and summary.kept == 5


def test_labels_must_be_labels(tmp_path):
    src = made.hospital(tmp_path / "src", 1)
    made.table(src / "labels.csv", [{"accession_number": "ACC00000", "Mass": "yes"}])
    with pytest.raises(InputError, match=r"row 1 below the header, column 'Mass'.*taken out"):
        build(made.settings(src, tmp_path / "out"))


@pytest.mark.parametrize(("age", "expected"), [("045Y", 45), ("095Y", "90+"), ("006M", 0), ("411Y", None), ("", 70), ("X", 70)])
def test_ages(age, expected):
    header = Dataset()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        header.PatientAge, header.PatientBirthDate = age, "19500102"
    assert years_as_allowed(header_age(header, datetime.date(2020, 3, 5))) == expected
