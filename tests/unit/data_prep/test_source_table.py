"""The table source: roles, options of the yaml file, and the example tables of CheXpert, PadChest and covid-chestxray."""

import csv
import gzip
import json
import os
from collections import Counter
from pathlib import Path

import cv2
import made_exports as made
import numpy as np
import pytest
from made_pictures import lines, picture, samples

from cxrpt.data.sample import Kind
from cxrpt.errors import InputError
from data_prep.build.run import build
from data_prep.files.cells import label_of, list_of, split_of, years_of
from data_prep.files.table_rows import read_rows
from data_prep.inputs import Export
from data_prep.ledger import Note, Reason
from data_prep.privacy.deidentify import scrub
from data_prep.processes.scan import Reading
from data_prep.sources.table import open_source
from data_prep.sources.table_options import TableOptions, read_options

CONFIGS = Path(__file__).parents[3] / "configs" / "prep"


def read(src: Path, options: TableOptions) -> Export:
    return open_source(src, options).collect(Reading())


def reasons(export: Export) -> list[str]:
    return sorted(one.reason for one in export.set_aside)


def written(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


# ---- roles


def table_export(root: Path) -> Path:
    picture(root / "images" / "a.jpg", 1)
    picture(root / "images" / "b.jpg", 2, channels=4).rename(root / "images" / "lie.jpg")
    picture(root / "images" / "sub" / "c.png", 3, channels=4)
    picture(root / "images" / "stray.png", 4)
    (root / "images" / "cut.png").write_bytes((root / "images" / "stray.png").read_bytes()[:2000])
    (root / "images" / "empty.png").touch()
    rows = [
        ("a.jpg", "Fever of Ann Hill.", "p1", "PA", "64", "M", "ARDS|Mass", "Ann Hill"),
        ("lie.jpg", "Fever of Ann Hill.", "p1", "L", "64", "M", "ARDS", "Ann Hill"),
        ("c.png", "", "p2", "?", "?", "", "", ""),
        ("gone.png", "Cough.", "p3", "AP Supine", "95", "F", "Mass", ""),
        ("../images/a.jpg", "", "p4", "", "", "", "", ""),
        ("cut.png", "", "p5", "", "", "", "", ""),
        ("empty.png", "", "p5", "", "", "", "", ""),
        ("", "", "p6", "", "", "", "", ""),
    ]
    names = ("file", "note", "who", "v", "y", "s", "d", "patient_name")
    return made.table(root / "table.csv", [dict(zip(names, row, strict=True)) for row in rows])


COLUMNS = "image=file,text=note,patient=who,view=v,age=y,sex=s,labels=d"


def test_a_table_of_pictures(tmp_path):
    path = table_export(tmp_path / "src")
    options = TableOptions(read_options(COLUMNS).columns, tmp_path / "src" / "images")
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
    assert summary.reasons == {"cannot_decode": 2, "duplicate": 1, "missing_file": 2, "not_in_table": 1, "nothing_in_row": 1}
    assert summary.found == summary.kept + summary.excluded + summary.failed


def test_a_part_of_a_data_set_is_no_failure(tmp_path):
    path = table_export(tmp_path / "src")
    options = TableOptions(read_options(COLUMNS).columns, tmp_path / "src" / "images", partial=True)
    export = read(path, options)
    assert reasons(export) == ["duplicate", "not_in_table", "nothing_in_row"]
    assert "2 rows whose picture is not there; they are no inputs" in export.remarks
    (told,) = [study.report for study in export.studies if study.report and not study.images]
    assert told.notes == (Note.IMAGE_MISSING,)


def test_a_wrong_folder_of_pictures_is_one_line(tmp_path):
    path = table_export(tmp_path / "src")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"none of the pictures that column 'file' names.*--images"):
        read(path, TableOptions(read_options(COLUMNS).columns, tmp_path / "empty"))


def test_json_lines_and_a_yaml_of_columns(tmp_path):
    picture(tmp_path / "src" / "a.png", 1)
    path = lines(tmp_path / "src" / "rows.jsonl", json.dumps({"img": "a.png", "age": 7, "x": None}))
    options = read_options(written(tmp_path / "columns.yaml", "image: img\nage: age\n"))
    build(made.settings(path, tmp_path / "out", "table", table=options))
    assert [sample.meta.age for sample in samples(tmp_path / "out")] == [7]


def test_rows_are_read_whatever_their_dress(tmp_path):
    plain = 'name;note\r\nM\u00fcller;"one\r\ntwo"\r\n;\r\nFull;\r\nShort\r\nToo;many;values\r\n'
    (tmp_path / "old.csv").write_bytes(plain.encode("cp1252"))
    (tmp_path / "new.csv").write_bytes(plain.encode("utf-8-sig"))
    (tmp_path / "new.csv.gz").write_bytes(gzip.compress(plain.encode()))
    (tmp_path / "new.tsv").write_text(plain.replace(";", "\t"))
    for name in ("old.csv", "new.csv", "new.csv.gz", "new.tsv"):
        rows = list(read_rows(tmp_path / name, "SRC"))
        assert [row["name"] for row in rows if row] == ["M\u00fcller", "Full"] and rows[0]["note"] == "one\r\ntwo", name
        assert rows[1]["note"] == "" and rows[2:] == [None, None], name


def test_a_row_that_does_not_fit_its_columns_is_accounted_for(tmp_path):
    picture(tmp_path / "a.png", 1)
    lines(tmp_path / "t.csv", "file,notes", "a.png,Clear lungs.", "b.png,Clear, and shifted.")
    export = open_source(tmp_path / "t.csv", read_options("image=file,text=notes")).collect(Reading())
    assert [(one.input_id, one.reason) for one in export.set_aside] == [("row 2", Reason.BROKEN_ROW)]
    assert [study.report.text for study in export.studies] == ["Clear lungs."]


def test_a_quote_that_never_ends_swallows_no_other_row(tmp_path):
    rows = ['a.png,"Clear lungs. P1', "b.png,Effusion.", 'c.png,He said "hi" there.', "d.png,Normal."]
    lines(tmp_path / "t.csv", "file,notes", *rows)
    export = read(tmp_path / "t.csv", read_options("text=notes"))
    assert [(one.input_id, one.reason) for one in export.set_aside] == [("row 1", Reason.BROKEN_ROW)]
    assert sorted(study.report.text for study in export.studies) == ["Effusion.", 'He said "hi" there.', "Normal."]


def test_columns_that_share_a_name_lose_no_cell(tmp_path):
    lines(tmp_path / "t.csv", "name,notes,name,", "Ann Hill,Clear.,Bo Wood,Cy Stone")
    (row,) = read_rows(tmp_path / "t.csv", "SRC")
    assert row == {"name": "Ann Hill", "notes": "Clear.", "name 2": "Bo Wood", "": "Cy Stone"}


# ---- what must not stand in a report or be a label


def reports_of(export: Export) -> list[str]:
    return sorted(scrub(study.report.text, study.identifiers) for study in export.studies if study.report)


def test_cells_of_known_roles_and_of_unknown_headings_are_scrubbed(tmp_path):
    row = {
        "kennung": "KX4711", "fall": "QZ-0815", "wann": "2020-03-05", "geboren": "1950-01-02", "zuweiser": "Torvald Quist",
        "befund": "KX4711 QZ-0815 am 5.3. on 3/5, geb. 1950 01 02, Gruss an Quist. Erguss.",
    }  # fmt: skip
    made.table(tmp_path / "t.csv", [row])
    export = read(tmp_path / "t.csv", read_options("text=befund,patient=kennung,study=fall,date=wann,birth=geboren"))
    (text,) = reports_of(export)
    assert not [word for word in ("KX4711", "0815", "3/5", "1950", "Quist") if word in text] and text.endswith("Erguss.")


def test_what_a_path_says_of_the_patient_is_scrubbed(tmp_path):
    picture(tmp_path / "AB-77431" / "a.png", 1)
    made.table(tmp_path / "t.csv", [{"file": "AB-77431/a.png", "note": "Patient AB-77431 with effusion."}])
    columns = "image: file\ntext: note\npath_pattern: '(?P<patient>[^/]+)/'\n"
    export = read(tmp_path / "t.csv", read_options(written(tmp_path / "c.yaml", columns)))
    assert reports_of(export) == ["Patient ___ with effusion."]


def test_keys_that_only_later_json_rows_have_count(tmp_path):
    rows = [{"note": "Clear."}, {"note": "Quist has an effusion.", "patient_name": "Torvald Quist", "age": 50}]
    lines(tmp_path / "t.jsonl", *map(json.dumps, rows))
    export = read(tmp_path / "t.jsonl", read_options("text=note,age=age"))
    assert reports_of(export) == ["Clear.", "___ has an effusion."]
    with pytest.raises(InputError, match="no column 'years'"):
        read(tmp_path / "t.jsonl", read_options("text=note,age=years"))


@pytest.mark.parametrize(
    "cells",
    [
        ["Mass|effusion, seen by the family doctor who asks whether it has grown since last year"],
        ["Seen by Dr. Quist"],
        ["Mass 4711081"],
        [f"finding {chr(97 + n // 26)}{chr(97 + n % 26)}" for n in range(300)],
    ],
)
def test_free_text_is_no_label(tmp_path, cells):
    made.table(tmp_path / "t.csv", [{"n": f"Text {n}.", "diagnosis": cell} for n, cell in enumerate(cells)])
    with pytest.raises(InputError, match=r"labels.*diagnosis.*label_names") as caught:
        read(tmp_path / "t.csv", read_options("text=n,labels=diagnosis"))
    assert not [cell for cell in cells if cell in str(caught.value)] and "Quist" not in str(caught.value)
    yaml = written(tmp_path / "c.yaml", "text: n\nlabels: diagnosis\nlabel_names: [Mass]\n")
    assert {name for study in read(tmp_path / "t.csv", read_options(yaml)).studies for name in study.labels} == {"Mass"}


def test_findings_of_published_tables_are_labels(tmp_path):
    cells = ["Pneumonia/Viral/COVID-19", "Pneumonia/Fungal/Pneumocystis", "No Finding", "ARDS", "Fracture T12"]
    made.table(tmp_path / "t.csv", [{"n": f"Text {n}.", "d": cell} for n, cell in enumerate(cells)])
    assert set(read(tmp_path / "t.csv", read_options("text=n,labels=d")).studies[0].labels) == set(cells)


@pytest.mark.parametrize("cut", [True, False])
def test_a_gzip_file_that_is_not_whole(tmp_path, cut):
    whole = gzip.compress(os.urandom(5000).hex().encode())
    (tmp_path / "t.csv.gz").write_bytes(whole[: len(whole) // 2] if cut else b"no gzip at all")
    with pytest.raises(InputError, match="no whole gzip file"):
        list(read_rows(tmp_path / "t.csv.gz", "SRC"))


def test_rows_that_are_no_radiographs_are_set_aside(tmp_path):
    for seed, name in enumerate(("a.png", "slice.png")):
        picture(tmp_path / name, seed)
    rows = [{"f": "a.png", "t": "Clear.", "m": "x-ray"}, {"f": "slice.png", "t": "CT of it.", "m": "CT"}]
    options = read_options(written(tmp_path / "c.yaml", "image: f\ntext: t\nonly: { m: [X-ray] }\n"))
    export = read(made.table(tmp_path / "t.csv", rows), options)
    assert [study.report.text for study in export.studies] == ["Clear."]
    assert [(one.input_id, one.reason) for one in export.set_aside] == [
        ("row 2 image", Reason.NOT_RADIOGRAPH), ("row 2 text", Reason.NOT_RADIOGRAPH),
    ]  # fmt: skip


def test_dicom_files_of_a_table_are_asked_by_their_headers(tmp_path):
    made.dicom(tmp_path / "one.dicom", 1, ViewPosition="AP", PatientAge="044Y")
    made.dicom(tmp_path / "two.dicom", 2, BodyPartExamined="KNEE")
    rows = [{"image_id": "one", "Mass": "1"}, {"image_id": "two", "Mass": "0"}]
    options = read_options(written(tmp_path / "c.yaml", "image: image_id\nlabel_columns: [Mass]\n"))
    export = read(made.table(tmp_path / "t.csv", rows), options)
    (study,) = export.studies
    assert study.images[0].type == "dicom" and study.images[0].view == "AP" and not study.images[0].by_content
    assert study.age == 44 and study.labels == {"Mass": 1}
    assert [(one.input_id, one.reason) for one in export.set_aside] == [("row 2 image", Reason.OTHER_BODY_PART)]


def test_an_official_split_of_a_part_keeps_others_out_of_its_test_set(tmp_path):
    split = ["test", "", "holdout", "train", "", "val", "train"]
    patients = ["a", "a", "b", "c", "d", "e", "e"]
    rows = [{"p": patient, "s": word, "t": f"Text {n}."} for n, (patient, word) in enumerate(zip(patients, split, strict=True))]
    yaml = "text: t\npatient: p\nsplit: s\nvalues: { split: { holdout: test } }\n"
    export = read(made.table(tmp_path / "t.csv", rows), read_options(written(tmp_path / "c.yaml", yaml)))
    splits = {(study.patient, study.split) for study in export.studies}
    assert splits == {
        (f"patient {name}", word) for name, word in zip("abcde", ("test", "test", "train", "train", "train"), strict=True)
    }
    assert export.split_by == "the table's column" and "1 patients whom it gives none went to train" in export.remarks[-1]


# ---- what may be written


@pytest.mark.parametrize(
    ("given", "message"),
    [("picture=a", "roles are"), ("view=a", "neither"), ("image=", "roles are"), ("no.yaml", "cannot be read")],
)
def test_columns_that_cannot_be_meant(given, message):
    with pytest.raises(InputError, match=message):
        read_options(given)


@pytest.mark.parametrize(
    ("yaml", "message"),
    [
        ("image: a\nlabel_colums: [b]\n", "no key 'label_colums'; the closest key is 'label_columns'"),
        ("imag: a\n", "no key 'imag'; the closest key is 'image'"),
        ("image: [a, {b: c}]\n", "image takes a name or a list"),
        ("image: a\nlabel_columns: {a: b}\n", "label_columns takes a name or a list"),
        ("image: a\npartial: sometimes\n", "partial is true or false"),
        ("image: a\ndrop_folders: -1\n", "drop_folders takes a number"),
        ("image: a\npath_pattern: '(?P<patient>'\n", "path_pattern is no regular expression"),
        ("image: a\npath_pattern: '(?P<age>.*)'\n", "path_pattern needs named groups out of patient, study"),
        ("image: a\npath_pattern: 'p.*'\n", "path_pattern needs named groups"),
        ("image: a\nvalues: {splt: {a: b}}\n", "names the role 'splt'"),
        ("image: a\nvalues: [a]\n", "values takes a map a role"),
        ("image: a\nonly: [a]\n", "only takes cells a column"),
        ("- a\n", "holds no keys"),
        ("a: [\n", "cannot be read as yaml"),
    ],
)
def test_a_yaml_file_that_cannot_be_meant_is_one_line(tmp_path, yaml, message):
    with pytest.raises(InputError, match=message) as caught:
        read_options(written(tmp_path / "c.yaml", yaml))
    assert "\n" not in str(caught.value)


def test_a_column_that_is_not_there(tmp_path):
    path = table_export(tmp_path / "src")
    with pytest.raises(InputError, match="image: nope"):
        read(path, TableOptions({"image": ("nope",)}))
    with pytest.raises(InputError, match="label_columns: nope"):
        read(path, TableOptions({"image": ("file",)}, label_columns=("nope",)))


def test_a_cell_that_is_no_label_is_named_by_its_place_alone(tmp_path):
    rows = [{"f": "a.png", "Mass": "1"}, {"f": "b.png", "Mass": "Ann Hill"}]
    with pytest.raises(InputError, match=r"row 2 below the header, column 'Mass'.*label_columns") as caught:
        read(made.table(tmp_path / "t.csv", rows), TableOptions({"image": ("f",)}, label_columns=("Mass",)))
    assert "Ann" not in str(caught.value)


def test_cells():
    assert [years_of(age) for age in ("058Y", "45.0", "7", "013M", "030M", "012D", "x", "", "-4", "411")] == [
        58, 45, 7, 1, 2, 0, None, None, None, 411,
    ]  # fmt: skip
    assert [split_of(word) for word in ("validate", "Valid", "TRAIN", "test", "holdout", "")] == [
        "val", "val", "train", "test", None, None,
    ]  # fmt: skip
    assert [label_of(cell) for cell in ("1.0", "0.0", "-1.0", "", "nan", "1")] == [1, 0, -1, None, None, 1]
    assert list_of("['a', ' b c ', '']", "|") == {"a", "b c"} and list_of("nan", "|") == set() == list_of("[]", "|")
    assert list_of("a|b c", "|") == {"a", "b c"} and list_of("['a', nan", "|") == {"a"}
    with pytest.raises(ValueError, match="1, 0, -1"):
        label_of("2")


# ---- CheXpert

CHEXPERT = (
    "Path,Sex,Age,Frontal/Lateral,AP/PA,No Finding,Enlarged Cardiomediastinum,Cardiomegaly,Lung Opacity,Lung Lesion,Edema,"
    "Consolidation,Pneumonia,Atelectasis,Pneumothorax,Pleural Effusion,Pleural Other,Fracture,Support Devices"
)


def chexpert(root: Path) -> Path:
    base = "CheXpert-v1.0-small"
    train = [
        f"{base}/train/patient00001/study1/view1_frontal.jpg,Female,68,Frontal,AP,1.0,,,,,,,,,0.0,,,,1.0",
        f"{base}/train/patient00002/study1/view1_frontal.jpg,Unknown,90,Frontal,PA,,,-1.0,1.0,,-1.0,-1.0,,-1.0,,-1.0,,1.0,",
        f"{base}/train/patient00002/study1/view2_lateral.jpg,Unknown,90,Lateral,,,,-1.0,1.0,,-1.0,-1.0,,-1.0,,-1.0,,1.0,",
        f"{base}/train/patient00002/study2/view1_frontal.jpg,Male,88,Frontal,LL,,,,,,,,,,,,,,",
        f"{base}/train/patient00003/study1/view1_frontal.jpg,Male,41,Frontal,AP,,,,,,1.0,,,,0.0,,,,",
    ]
    valid = [f"{base}/valid/patient64541/study1/view1_frontal.jpg,Male,73,Frontal,AP,0.0,1.0,1.0,1.0," + "0.0," * 9 + "1.0"]
    lines(root / "train.csv", CHEXPERT, *train)
    lines(root / "valid.csv", CHEXPERT, *valid)
    for seed, row in enumerate([*train, *valid]):
        if "patient00003" not in row:
            picture(root / row.split(",")[0].removeprefix(f"{base}/"), seed)
    return root


def test_chexpert(tmp_path):
    export = read(chexpert(tmp_path / "renamed"), read_options(str(CONFIGS / "chexpert.yaml")))
    told = {
        (study.patient.removeprefix("patient "), study.study.rsplit("/")[-1]): study
        for study in export.studies
    }  # fmt: skip
    assert set(told) == {
        ("patient00001", "study1"), ("patient00002", "study1"), ("patient00002", "study2"), ("patient64541", "study1"),
    }  # fmt: skip
    first, second = told["patient00001", "study1"], told["patient00002", "study1"]
    assert first.labels == {"No Finding": 1, "Pneumothorax": 0, "Support Devices": 1}
    assert (first.sex, first.age, first.split) == ("F", 68, "train")
    assert [image.view for image in second.images] == ["PA", "LATERAL"] and (second.sex, second.age) == (None, "90+")
    assert second.labels["Cardiomegaly"] == -1 and second.labels["Fracture"] == 1 and "Support Devices" not in second.labels
    assert told["patient00002", "study2"].labels == {} and told["patient00002", "study2"].images[0].view == "LATERAL"
    valid = told["patient64541", "study1"]
    assert valid.split == "val" and len(valid.labels) == 14 and valid.labels["Edema"] == 0
    assert export.set_aside == () and "1 rows whose picture is not there; they are no inputs" in export.remarks


def test_chexpert_of_one_table_and_of_none(tmp_path):
    root = chexpert(tmp_path / "c")
    options = read_options(str(CONFIGS / "chexpert.yaml"))
    (root / "train.csv").unlink()
    export = read(root, options)
    assert [study.split for study in export.studies] == ["val"] and len(export.set_aside) == 4
    (root / "valid.csv").unlink()
    with pytest.raises(InputError, match=r"holds none of train.csv, valid.csv"):
        read(root, options)


# ---- PadChest

PADCHEST = (
    "ImageID", "ImageDir", "StudyDate_DICOM", "StudyID", "PatientID", "PatientBirth", "PatientSex_DICOM",
    "ViewPosition_DICOM", "Projection", "MethodProjection", "Pediatric", "Modality_DICOM", "PhotometricInterpretation_DICOM",
    "ReportID", "Report", "MethodLabel", "Labels", "Localizations",
)  # fmt: skip


def padchest(root: Path) -> Path:
    shared = ("20140213", "S1", "P1", "1930.0", "F")
    text = "sin hallazg patolog"
    rows = [
        ("a_1.png", "0", *shared, "POSTEROANTERIOR", "PA", "", "No", "CR", "MONOCHROME2", "1", text, "", "['normal']", "[]"),
        ("a_2.png", "0", *shared, "", "L", "", "No", "CR", "MONOCHROME1", "1", text, "Physician", "['normal']", "[]"),
        ("b_1.png", "7", "20150213", "S2", "P1", "1930.0", "F", "", "AP_horizontal", "", "No", "DX", "MONOCHROME2", "2",
         "marcapas . cardiomegali", "RNN_model", "['pacemaker', ' cardiomegaly', 'something rare', '']", "['loc heart']"),
        ("c_1.png", "7", "20150213", "S3", "P2", "nan", "None", "", "COSTAL", "", "No", "DX", "MONOCHROME2", "3", "nan", "",
         "nan", ""),
        ("d_1.png", "9", "20150213", "S4", "P3", "1990.0", "M", "", "PA", "", "No", "DX", "MONOCHROME2", "4", "", "",
         "['mass']", ""),
    ]  # fmt: skip
    picture(root / "images" / "0" / "a_1.png", 1, bits=16)
    picture(root / "images" / "0" / "a_2.png", 2, bits=16, inverted=True)
    picture(root / "images" / "7" / "b_1.png", 3, bits=16)
    (root / "images" / "7" / "c_1.png").touch()
    path = root / "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("", *PADCHEST), *((str(n), *row) for n, row in enumerate(rows))])
    return root


def test_padchest(tmp_path):
    root = padchest(tmp_path / "padchest")
    options = read_options(str(CONFIGS / "padchest.yaml"))
    export = read(root, options)
    one, two, three = export.studies
    assert [(image.view, image.inverted) for image in one.images] == [("PA", False), ("LATERAL", True)]
    assert one.report.text == "sin hallazg patolog" and one.labels["normal"] == 1 and sum(one.labels.values()) == 1
    assert (one.age, one.sex, one.days, two.age, two.days) == (84, "F", 0, 85, 365)
    assert {name for name, value in two.labels.items() if value} == {"pacemaker", "cardiomegaly"}
    assert two.images[0].view == "AP" and set(two.labels) == set(options.label_names)
    assert three.labels == {} and three.report is None and (three.age, three.sex) == (None, None)
    assert reasons(export) == [Reason.DUPLICATE]
    summary = build(made.settings(root, tmp_path / "out", "table", table=options))
    assert summary.reasons == {"cannot_decode": 1, "duplicate": 1} and summary.kept == 5
    built = samples(tmp_path / "out")
    assert {sample.kind for sample in built} == {Kind.PAIR}
    pictures = [cv2.imdecode(np.frombuffer(sample.image, np.uint8), cv2.IMREAD_GRAYSCALE) for sample in built]
    assert all(one[60:80, 70:74].mean() > one[60:80, 35:45].mean() + 50 for one in pictures), "spine bright, lungs dark"


# ---- real data


@pytest.mark.realdata
def test_covid_chestxray_comes_through(real_data, tmp_path):
    covid = real_data / "covid-chestxray"
    options = read_options(str(CONFIGS / "covid-chestxray.yaml"))
    options = TableOptions(**{**options.__dict__, "images": covid / "images"})
    export = read(covid / "metadata.csv", options)
    assert len([image for study in export.studies for image in study.images]) == 148
    assert len(export.studies) == 123 and len([study for study in export.studies if study.report]) == 110
    assert Counter((one.type, one.reason) for one in export.set_aside) == {
        ("report", Reason.DUPLICATE): 27,
        ("picture", Reason.DUPLICATE): 2,
    }
    views = Counter(image.view for study in export.studies for image in study.images)
    assert views == {"PA": 67, "AP": 30, "LATERAL": 22, "UNKNOWN": 29}
    summary = build(made.settings(covid / "metadata.csv", tmp_path / "out", "table", table=options, processes=2))
    assert summary.failed == 0 and summary.found == 148 + 110 + 29
    # Fifteen carry writing.
    assert summary.reasons["burned_in_text"] == 15 and sum(counts["pairs"] for counts in summary.splits.values()) > 110
