"""The table, NIH14 and OpenI sources and the linking of hospital reports, on small made files."""

import datetime
import json
import tarfile
import warnings
from pathlib import Path

import cv2
import made_exports as made
import numpy as np
import pytest
from pydicom.dataset import Dataset

from cxrpt.data.sample import Kind
from cxrpt.data.shards import ShardReader
from cxrpt.errors import InputError
from data_prep.inputs import ImageInput, ReportInput, years_as_allowed
from data_prep.ledger import Reason
from data_prep.link import LooseImage, LooseReport, link
from data_prep.run import build
from data_prep.sources import hospital, nih14
from data_prep.sources.table import TableOptions, read_columns


def picture(path: Path, seed: int, channels: int = 1) -> Path:
    pixels = (made.phantom(seed) // 16).astype(np.uint8)
    if channels > 1:
        pixels = np.dstack([pixels] * 3 + [np.full_like(pixels, 255)] * (channels - 3))
    path.parent.mkdir(parents=True, exist_ok=True)
    suffix = ".png" if path.suffix not in (".jpg", ".png") else path.suffix
    path.write_bytes(cv2.imencode(suffix, pixels)[1].tobytes())
    return path


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


def test_of_two_reports_the_longer_and_then_the_later_stays():
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


def test_labels_must_be_labels(tmp_path):
    src = made.hospital(tmp_path / "src", 1)
    made.table(src / "labels.csv", [{"accession_number": "ACC00000", "Mass": "yes"}])
    with pytest.raises(InputError, match="line 2, column 'Mass'"):
        build(made.settings(src, tmp_path / "out"))


@pytest.mark.parametrize(("age", "expected"), [("045Y", 45), ("095Y", "90+"), ("006M", 0), ("411Y", None), ("", 70), ("X", 70)])
def test_ages(age, expected):
    header = Dataset()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        header.PatientAge, header.PatientBirthDate = age, "19500102"
    assert years_as_allowed(hospital.header_age(header, datetime.date(2020, 3, 5))) == expected


# ---- table


def table_export(root: Path) -> Path:
    picture(root / "images" / "a.jpg", 1)
    picture(root / "images" / "b.jpg", 2, channels=4).rename(root / "images" / "lie.jpg")
    picture(root / "images" / "sub" / "c.png", 3, channels=4)
    picture(root / "images" / "stray.png", 4)
    (root / "images" / "cut.png").write_bytes((root / "images" / "stray.png").read_bytes()[:2000])
    rows = [
        {
            "file": "a.jpg",
            "note": "Fever of Ann Hill.",
            "who": "p1",
            "v": "PA",
            "y": "64",
            "s": "M",
            "d": "ARDS|Mass",
            "patient_name": "Ann Hill",
        },
        {
            "file": "lie.jpg",
            "note": "Fever of Ann Hill.",
            "who": "p1",
            "v": "L",
            "y": "64",
            "s": "M",
            "d": "ARDS",
            "patient_name": "Ann Hill",
        },
        {"file": "c.png", "note": "", "who": "p2", "v": "?", "y": "?", "s": "", "d": "", "patient_name": ""},
        {
            "file": "gone.png",
            "note": "Cough.",
            "who": "p3",
            "v": "AP Supine",
            "y": "95",
            "s": "F",
            "d": "Mass",
            "patient_name": "",
        },
        {"file": "../images/a.jpg", "note": "", "who": "p4", "v": "", "y": "", "s": "", "d": "", "patient_name": ""},
        {"file": "cut.png", "note": "", "who": "p5", "v": "", "y": "", "s": "", "d": "", "patient_name": ""},
        {"file": "", "note": "", "who": "p6", "v": "", "y": "", "s": "", "d": "", "patient_name": ""},
    ]
    return made.table(root / "table.csv", rows)


COLUMNS = "image=file,text=note,patient=who,view=v,age=y,sex=s,labels=d"


def test_a_table_of_pictures(tmp_path):
    path = table_export(tmp_path / "src")
    options = TableOptions(read_columns(COLUMNS), tmp_path / "src" / "images")
    summary = build(made.settings(path, tmp_path / "out", "table", table=options))
    found = samples(tmp_path / "out")
    assert sorted(sample.kind for sample in found) == [Kind.PAIR, Kind.PAIR, Kind.IMAGE, Kind.TEXT]
    pairs = [sample for sample in found if sample.kind == Kind.PAIR]
    assert {sample.text for sample in pairs} == {"Fever of ___.\n"} and len({sample.meta.study for sample in pairs}) == 1
    assert sorted(sample.meta.view for sample in pairs) == ["LATERAL", "PA"]
    assert pairs[0].meta.labels == {"ARDS": 1, "Mass": 1} and pairs[0].meta.age == 64
    alone = next(sample for sample in found if sample.kind == Kind.IMAGE)
    assert alone.meta.labels == {} and alone.meta.age is None and alone.meta.view == "UNKNOWN"
    assert next(sample for sample in found if sample.kind == Kind.TEXT).meta.age == "90+"
    assert summary.reasons == {"cannot_decode": 1, "duplicate": 1, "missing_file": 2, "not_in_table": 1, "nothing_in_row": 1}
    assert summary.found == summary.kept + summary.excluded + summary.failed


def test_json_lines_and_a_yaml_of_columns(tmp_path):
    picture(tmp_path / "src" / "a.png", 1)
    path = tmp_path / "src" / "rows.jsonl"
    path.write_text(json.dumps({"img": "a.png", "age": 7, "x": None}) + "\n")
    (tmp_path / "columns.yaml").write_text("image: img\nage: age\n")
    build(made.settings(path, tmp_path / "out", "table", table=TableOptions(read_columns(str(tmp_path / "columns.yaml")))))
    assert [sample.meta.age for sample in samples(tmp_path / "out")] == [7]


@pytest.mark.parametrize(
    ("written", "message"),
    [("picture=a", "roles are"), ("view=a", "neither"), ("image=", "roles are"), ("no.yaml", "cannot be read")],
)
def test_columns_that_cannot_be_meant(written, message):
    with pytest.raises(InputError, match=message):
        read_columns(written)


def test_a_column_that_is_not_there(tmp_path):
    path = table_export(tmp_path / "src")
    with pytest.raises(InputError, match="image=nope"):
        build(made.settings(path, tmp_path / "out", "table", table=TableOptions({"image": "nope"})))


# ---- nih14


def nih_export(root: Path, lists: bool) -> Path:
    header = (
        "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
        "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],"
    )
    rows = [header]
    for patient in range(1, 13):
        name = f"{patient:08d}_000.png"
        picture(root / f"images_{patient:03d}" / "images" / name, patient, channels=4 if patient == 2 else 1)
        finding = "No Finding" if patient == 1 else "Effusion|Pleural_Thickening"
        rows.append(f"{name},{finding},0,{patient},{411 if patient == 1 else 50},F,AP,2500,2048,0.168,0.168,")
    (root / "Data_Entry_2017_v2020.csv").write_text("\n".join(rows) + "\n")
    if lists:
        (root / "train_val_list.txt").write_text("\n".join(f"{patient:08d}_000.png" for patient in range(1, 10)))
        (root / "test_list.txt").write_text("\n".join(f"{patient:08d}_000.png" for patient in range(10, 13)))
    return root


@pytest.mark.parametrize("lists", [True, False])
def test_nih14(tmp_path, lists):
    summary = build(made.settings(nih_export(tmp_path / "src", lists), tmp_path / "out", "nih14", split=(0.5, 0.5, 0.0)))
    found = samples(tmp_path / "out")
    assert len(found) == 12 and {sample.kind for sample in found} == {Kind.IMAGE}
    healthy = next(sample for sample in found if not any(sample.meta.labels.values()))
    assert set(healthy.meta.labels) == set(nih14.FINDINGS) and healthy.meta.age is None
    sick = next(sample for sample in found if sample is not healthy)
    assert [finding for finding, value in sick.meta.labels.items() if value] == ["Effusion", "Pleural_Thickening"]
    assert sick.meta.view == "AP" and sick.meta.sex == "F" and sick.meta.age == 50
    assert summary.splits["test"]["images"] == (3 if lists else 0)
    assert summary.splits["train"]["images"] and summary.splits["val"]["images"]
    assert any("official split;" in remark for remark in summary.remarks) == lists


def test_a_folder_that_is_not_nih14(tmp_path):
    (tmp_path / "src").mkdir()
    with pytest.raises(InputError, match="Data_Entry_2017_v2020"):
        build(made.settings(tmp_path / "src", tmp_path / "out", "nih14"))
    (tmp_path / "src" / "Data_Entry_2017_v2020.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="Image Index"):
        build(made.settings(tmp_path / "src", tmp_path / "out", "nih14"))


# ---- openi

XML = """<?xml version="1.0" encoding="utf-8"?><eCitation><uId id="CXR{n}"/><MedlineCitation><Article><Abstract>
<AbstractText Label="COMPARISON"></AbstractText><AbstractText Label="INDICATION">XXXX-year-old &amp;amp; cough</AbstractText>
<AbstractText Label="FINDINGS">{findings}</AbstractText><AbstractText Label="IMPRESSION"/></Abstract>
</Article></MedlineCitation>
<MeSH><major>{major}</major></MeSH>{images}</eCitation>"""


def openi_export(root: Path) -> Path:
    images = '<parentImage id="CXR1_1_IM-0001-3001"/><parentImage id="CXR1_1_IM-0001-4001"/>'
    documents = {
        "1": XML.format(n=1, findings="Clear x-XXXX.", major="normal", images=images),
        "2": XML.format(n=2, findings="", major="Opacity", images="").replace("XXXX-year-old &amp;amp; cough", ""),
        "3": XML.format(n=3, findings="Mass.", major="Mass", images='<parentImage id="CXR3_IM-9"/>'),
        "4": "<eCitation><broken",
        "5": '<!DOCTYPE a [<!ENTITY b "c">]><eCitation><uId id="CXR5"/>&b;</eCitation>',
    }
    folder = root / "ecgen-radiology"
    folder.mkdir(parents=True)
    for name, document in documents.items():
        (folder / f"{name}.xml").write_text(document)
    picture(root / "png" / "CXR1_1_IM-0001-3001.png", 1)
    picture(root / "png" / "CXR1_1_IM-0001-4001.png", 2)
    rows = [{"uid": "1", "filename": f"1_IM-0001-{n}001.dcm.png", "projection": p} for n, p in ((3, "Lateral"), (4, "Frontal"))]
    made.table(root / "indiana_projections.csv", rows)
    return root


def test_openi(tmp_path):
    src = openi_export(tmp_path / "src")
    summary = build(made.settings(src, tmp_path / "out", "openi"))
    found = samples(tmp_path / "out")
    assert sorted(sample.kind for sample in found) == [Kind.PAIR, Kind.PAIR, Kind.TEXT]
    pair = found[[sample.kind for sample in found].index(Kind.PAIR)]
    assert pair.text == "INDICATION: ___-year-old & cough\n\nFINDINGS: Clear x-___.\n" and pair.meta.labels == {"normal": 1}
    assert sorted(pair.meta.sections) == ["FINDINGS", "INDICATION"]
    assert sorted(sample.meta.view for sample in found) == ["LATERAL", "UNKNOWN", "UNKNOWN"]
    assert summary.reasons == {"broken_report": 2, "empty_report": 1}


def test_openi_from_its_archive(tmp_path):
    src = openi_export(tmp_path / "src")
    archive = tmp_path / "NLMCXR_reports.tgz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(src / "ecgen-radiology", "ecgen-radiology")
    summary = build(made.settings(archive, tmp_path / "out", "openi"))
    assert {sample.kind for sample in samples(tmp_path / "out")} == {Kind.TEXT} and summary.kept == 2
    archive.write_bytes(archive.read_bytes()[:300])
    with pytest.raises(InputError, match="no whole tar"):
        build(made.settings(archive, tmp_path / "out2", "openi"))


@pytest.mark.realdata
def test_the_public_samples_come_through(real_data, tmp_path):
    assert build(made.settings(real_data / "openi", tmp_path / "out", "openi")).kept == 2588
    nih = made.settings(real_data / "nih14", tmp_path / "nih", "nih14", processes=2)
    assert build(nih).kept == 139
    columns = "image=filename,text=clinical_notes,patient=patientid,view=view,age=age,sex=sex,labels=finding"
    covid = real_data / "covid-chestxray"
    options = TableOptions(read_columns(columns), covid / "images")
    summary = build(made.settings(covid / "metadata.csv", tmp_path / "covid", "table", table=options, processes=2))
    assert sum(counts["pairs"] for counts in summary.splits.values()) > 120 and summary.failed == 0
