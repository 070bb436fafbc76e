"""MIMIC-CXR in its official layouts: DICOM and JPG, reports beside or apart, all tables or none, whole or in part."""

import gzip
from collections import Counter
from pathlib import Path

import made_exports as made
import pytest
from made_pictures import lines, picture, samples

from cxrpt.data.sample import Kind
from cxrpt.errors import InputError
from data_prep.build.run import build
from data_prep.inputs import Export, Study
from data_prep.ledger import Reason
from data_prep.processes.scan import Reading
from data_prep.sources.mimic_cxr import MimicOptions, open_source

REPORT = "                                 FINAL REPORT\n EXAMINATION:  CHEST\n \n IMPRESSION:\n \n No change since ___.\n"
METADATA = (
    "dicom_id,subject_id,study_id,PerformedProcedureStepDescription,ViewPosition,Rows,Columns,StudyDate,StudyTime,"
    "ProcedureCodeSequence_CodeMeaning,ViewCodeSequence_CodeMeaning,PatientOrientationCodeSequence_CodeMeaning"
)
LABELS = (
    "subject_id,study_id,Atelectasis,Cardiomegaly,Consolidation,Edema,Enlarged Cardiomediastinum,Fracture,Lung Lesion,"
    "Lung Opacity,No Finding,Pleural Effusion,Pleural Other,Pneumonia,Pneumothorax,Support Devices"
)
IMAGES = (
    # dicom_id, patient, study, ViewPosition, view code, date, split
    ("aa", "10000032", "50414267", "PA", "postero-anterior", "21800506", "train"),
    ("bb", "10000032", "50414267", "", "lateral", "21800506", "train"),
    ("cc", "10000032", "53189527", "AP", "antero-posterior", "21800626", "train"),
    ("dd", "11000033", "50000001", "", "", "21500101", "validate"),
    ("ee", "12000034", "50000002", "SWIMMERS", "", "21500101", "test"),
)


def folder(root: Path, image: tuple[str, ...]) -> Path:
    return root / "files" / f"p{image[1][:2]}" / f"p{image[1]}" / f"s{image[2]}"


def jpgs(root: Path, images: tuple = IMAGES) -> Path:
    for seed, image in enumerate(images):
        picture(folder(root, image) / f"{image[0]}.jpg", seed)
    return root


def dicoms(root: Path, images: tuple = IMAGES, **tags: object) -> Path:
    for seed, image in enumerate(images):
        made.dicom(folder(root, image) / f"{image[0]}.dcm", seed, **{"ViewPosition": None, "PatientID": image[1], **tags})
    return root


def reports(root: Path, images: tuple = IMAGES) -> Path:
    for image in images:
        lines(folder(root, image).with_suffix(".txt"), REPORT + image[2])
    return root


def tables(root: Path, packed: bool = True, without: tuple[str, ...] = ()) -> Path:
    more = ("f9", "10000032", "59999999", "PA", "postero-anterior", "21800101", "train")
    every = (more, *IMAGES)
    labels = [
        "10000032,50414267,,1.0,,-1.0,,,,0.0,,,,,,",
        "12000034,50000002,,,,,,,,,1.0,,,,,",
        "19999999,59999998,bad,,,,,,,,,,,,,",
    ]
    found = {
        "mimic-cxr-2.0.0-metadata": [METADATA, *(f"{i},{p},{s},CHEST (PA AND LAT),{v},3056,2544,{d},213014.531,,{c},Erect"
                                                 for i, p, s, v, c, d, _ in every)],
        "mimic-cxr-2.0.0-split": ["dicom_id,study_id,subject_id,split", *(f"{i},{s},{p},{x}" for i, p, s, _, _, _, x in every)],
        "mimic-cxr-2.0.0-chexpert": [LABELS, *labels],
        "mimic-cxr-2.0.0-negbio": [LABELS, "10000032,50414267" + ",1.0" * 14],
        "cxr-record-list": ["subject_id,study_id,dicom_id,path", *(f"{p},{s},{i},files/x" for i, p, s, *_ in every)],
        "cxr-study-list": ["subject_id,study_id,path", "1,2,x", "1,3,x"],
    }  # fmt: skip
    root.mkdir(parents=True, exist_ok=True)
    for name, rows in found.items():
        if name.split("-")[-1] in without or name in without:
            continue
        text = "\n".join(rows) + "\n"
        (root / f"{name}.csv.gz").write_bytes(gzip.compress(text.encode())) if packed else lines(root / f"{name}.csv", *rows)
    return root


def read(src: Path, **options: Path) -> Export:
    return open_source(src, MimicOptions(**options)).collect(Reading())


def by_study(export: Export) -> dict[str, Study]:
    return {study.study: study for study in export.studies}


@pytest.mark.parametrize("packed", [True, False])
def test_the_jpg_layout_with_its_tables(tmp_path, packed):
    src = tables(reports(jpgs(tmp_path / "mimic-cxr-jpg"), IMAGES[:3]), packed)
    export = read(src)
    told = by_study(export)
    assert sorted(told) == ["50000001", "50000002", "50414267", "53189527"] and export.set_aside == ()
    first = told["50414267"]
    assert first.patient == "10000032" and first.report.text.startswith("    ") and first.report.text.endswith("50414267\n")
    assert [(image.image_id, image.view, image.type) for image in first.images] == [
        ("aa", "PA", "picture"),
        ("bb", "LATERAL", "picture"),
    ]
    assert first.labels == {"Cardiomegaly": 1, "Edema": -1, "Lung Opacity": 0} and told["53189527"].labels == {}
    # The patient's first study is one that was not fetched.
    assert (first.days, told["53189527"].days, told["50000001"].days) == (126, 177, 0)
    assert {name: study.split for name, study in told.items()} == {
        "50414267": "train", "53189527": "train", "50000001": "val", "50000002": "test",
    }  # fmt: skip
    assert told["50000001"].report is None and told["50000002"].images[0].view == "UNKNOWN"
    assert {study.age for study in export.studies} == {None} and export.split_by == "official lists"
    assert "5 files of pictures; 6 are listed: those that are not there are no inputs" in export.remarks
    assert "2 files of reports; 2 are listed: those that are not there are no inputs" in export.remarks
    assert "labels of chexpert for 2 of 4 studies" in export.remarks


def test_a_build_of_the_dicom_layout_with_parts_that_lie_apart(tmp_path):
    src = dicoms(tmp_path / "mimic-cxr", PatientAge="067Y", PatientSex="F")
    apart = reports(tmp_path / "unpacked", (*IMAGES[:1], ("", "13000035", "50000003")))
    listed = tables(tmp_path / "jpg")
    settings = made.settings(src, tmp_path / "out", "mimic-cxr", mimic_cxr=MimicOptions(apart, listed), max_failed=0.0)
    summary = build(settings)
    found = samples(tmp_path / "out")
    assert Counter(sample.kind for sample in found) == {Kind.PAIR: 2, Kind.IMAGE: 3, Kind.TEXT: 1}
    assert (summary.found, summary.kept, summary.reasons) == (7, 7, {})
    assert Counter(sample.meta.view for sample in found) == {"PA": 1, "LATERAL": 1, "AP": 1, "UNKNOWN": 3}
    pairs = [sample for sample in found if sample.kind == Kind.PAIR]
    assert {(sample.meta.age, sample.meta.sex, sample.meta.days) for sample in pairs} == {(67, "F", 126)}
    assert {split: counts["patients"] for split, counts in summary.splits.items()} == {"train": 2, "val": 1, "test": 1}
    assert "official split (validate is val); 1 studies whose patient it does not name went to train" in summary.remarks


def test_without_tables_the_split_is_by_the_hash_and_says_so(tmp_path):
    src = dicoms(tmp_path / "src", IMAGES[:1], ViewPosition="AP")
    (study,) = read(src).studies
    assert (study.split, study.days, study.labels, study.images[0].view) == (None, None, {}, "AP")
    remarks = read(src).remarks
    assert any("no official split: mimic-cxr-2.0.0-split.csv(.gz) is not there" in remark for remark in remarks)
    assert any(remark.startswith("no labels") for remark in remarks) and "1 files of pictures" in remarks


def test_negbio_stands_in_for_chexpert(tmp_path):
    src = tables(jpgs(tmp_path / "src"), without=("chexpert",))
    assert len(by_study(read(src))["50414267"].labels) == 14 and "labels of negbio for 1 of 4 studies" in read(src).remarks


def test_a_patient_in_two_official_splits_is_in_train(tmp_path):
    src = tables(jpgs(tmp_path / "src"), without=("split",))
    lines(src / "mimic-cxr-2.0.0-split.csv", "dicom_id,study_id,subject_id,split", "aa,50414267,10000032,test",
          "cc,53189527,10000032,train", "ee,50000002,12000034,test")  # fmt: skip
    splits = {name: study.split for name, study in by_study(read(src)).items()}
    assert splits == {"50414267": "train", "53189527": "train", "50000001": "train", "50000002": "test"}


def test_both_layouts_in_one_folder_and_files_outside_them(tmp_path):
    src = tmp_path / "src"
    jpgs(src / "a", IMAGES[:2])
    dicoms(src / "b", IMAGES[:1])
    made.dicom(folder(src, IMAGES[3]) / "knee.dcm", 7, BodyPartExamined="KNEE")
    picture(src / "loose.jpg", 9)
    reports(src, IMAGES[:2])
    reports(src / "again", IMAGES[:1])
    folder(src, IMAGES[4]).parent.mkdir(parents=True)
    folder(src, IMAGES[4]).with_suffix(".txt").write_bytes(b"\0\1")
    folder(src, IMAGES[2]).with_suffix(".txt").symlink_to(tmp_path / "nowhere")
    export = read(src)
    assert [image.type for study in export.studies for image in study.images] == ["dicom", "picture"]
    assert Counter((one.type, one.reason) for one in export.set_aside) == {
        ("picture", Reason.DUPLICATE): 1,
        ("picture", Reason.NOT_IN_TABLE): 1,
        ("dicom", Reason.OTHER_BODY_PART): 1,
        ("report", Reason.DUPLICATE_REPORT): 1,
        ("report", Reason.BROKEN_REPORT): 1,
        ("report", Reason.CANNOT_READ): 1,
    }
    assert len(export.studies) == 1


def test_a_later_report_or_table_is_another_source(tmp_path):
    src = reports(jpgs(tmp_path / "src"), IMAGES[:1])
    before = open_source(src, MimicOptions()).fingerprint
    tables(src)
    with_tables = open_source(src, MimicOptions()).fingerprint
    reports(src)
    assert len({before, with_tables, open_source(src, MimicOptions()).fingerprint}) == 3


def test_what_cannot_be_meant_is_one_line(tmp_path):
    src = tmp_path / "src"
    src.mkdir()
    with pytest.raises(InputError, match="holds no files/p10"):
        read(src)
    (src / "mimic-cxr-reports.zip").touch()
    with pytest.raises(InputError, match=r"mimic-cxr-reports.zip is still packed: unpack it"):
        read(src)
    (src / "mimic-cxr-reports.zip").unlink()
    jpgs(src, IMAGES[:1])
    with pytest.raises(InputError, match=r"--reports .* holds no files/p10"):
        read(src, reports=src)
    with pytest.raises(InputError, match=r"--tables .* holds no mimic-cxr-2.0.0"):
        read(src, tables=src)
    with pytest.raises(InputError, match=r"--tables .* is no folder"):
        read(src, tables=src / "no")
    lines(src / "mimic-cxr-2.0.0-metadata.csv", "dicom_id,ViewPosition", "aa,PA")
    with pytest.raises(InputError, match="has no column 'ViewCodeSequence_CodeMeaning'"):
        read(src)
    (src / "mimic-cxr-2.0.0-metadata.csv").unlink()
    lines(src / "mimic-cxr-2.0.0-chexpert.csv", LABELS, "10000032,50414267,perhaps" + "," * 13)
    with pytest.raises(InputError, match="line 2, column 'Atelectasis'") as caught:
        read(src)
    assert "perhaps" not in str(caught.value)


def test_a_jpg_takes_the_place_of_a_dicom_file_that_cannot_be_read(tmp_path):
    src = jpgs(tmp_path / "src", IMAGES[:2])
    lines(folder(src, IMAGES[0]) / "aa.dcm", "no DICOM at all")
    made.dicom(folder(src, IMAGES[1]) / "bb.dcm", 2, BodyPartExamined="KNEE")
    export = read(src)
    (one,) = export.studies
    assert [(image.image_id, image.type) for image in one.images] == [("aa", "picture")]
    assert sorted(one.reason for one in export.set_aside) == [Reason.DUPLICATE, Reason.NOT_DICOM, Reason.OTHER_BODY_PART]
