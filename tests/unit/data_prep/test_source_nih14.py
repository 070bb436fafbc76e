"""ChestX-ray14: its tables of both years, official and given splits, and copies that hold a part of it."""

from collections import Counter
from pathlib import Path

import made_exports as made
import pytest
from made_pictures import lines, picture, samples

from cxrpt.data.manifest import read_manifest
from cxrpt.data.sample import Kind
from cxrpt.errors import InputError
from data_prep.build.run import build
from data_prep.inputs import Export
from data_prep.ledger import Reason
from data_prep.processes.scan import Reading
from data_prep.sources.nih14 import FINDINGS, Nih14Options, open_source

HEADERS = {
    "Data_Entry_2017_v2020.csv": "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Sex,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]",
    "Data_Entry_2017.csv": "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],",
}


def name(patient: int, number: int = 0) -> str:
    return f"{patient:08d}_{number:03d}.png"


def export_folder(root: Path, table: str = "Data_Entry_2017_v2020.csv", age: str = "50", flat: bool = False) -> Path:
    """Twelve patients with a picture each; the first is healthy and of an impossible age, the second picture is RGBA."""
    rows = [HEADERS[table]]
    for patient in range(1, 13):
        folder = root if flat else root / f"images_{patient:03d}" / "images"
        picture(folder / name(patient), patient, channels=4 if patient == 2 else 1)
        finding = "No Finding" if patient == 1 else "Effusion|Pleural_Thickening"
        rows.append(f"{name(patient)},{finding},0,{patient},{411 if patient == 1 else age},F,AP,2500,2048,0.168,0.168,")
    lines(root / table, *rows)
    lines(root / "BBox_List_2017.csv", "Image Index,Finding Label,Bbox [x,y,w,h],,,", f"{name(1)},Mass,1,2,3,4,,,")
    (root / "README_CHESTXRAY.pdf").write_bytes(b"%PDF")
    return root


def with_lists(root: Path) -> Path:
    lines(root / "train_val_list.txt", *(name(patient) for patient in range(1, 10)))
    lines(root / "test_list.txt", *(name(patient) for patient in range(10, 13)))
    return root


def read(src: Path, **options: Path) -> Export:
    return open_source(src, Nih14Options(**options)).collect(Reading())


def splits(export: Export) -> dict[str | None, int]:
    return dict(Counter(study.split for study in export.studies))


@pytest.mark.parametrize("lists", [True, False])
def test_nih14(tmp_path, lists):
    src = export_folder(tmp_path / "src")
    if lists:
        with_lists(src)
    summary = build(made.settings(src, tmp_path / "out", "nih14", split=(0.5, 0.5, 0.0)))
    found = samples(tmp_path / "out")
    assert len(found) == 12 and {sample.kind for sample in found} == {Kind.IMAGE} and summary.found == summary.kept == 12
    healthy = next(sample for sample in found if not any(sample.meta.labels.values()))
    assert set(healthy.meta.labels) == set(FINDINGS) and healthy.meta.age is None
    sick = next(sample for sample in found if sample is not healthy)
    assert [finding for finding, value in sick.meta.labels.items() if value] == ["Effusion", "Pleural_Thickening"]
    assert sick.meta.view == "AP" and sick.meta.sex == "F" and sick.meta.age == 50
    assert summary.splits["test"]["images"] == (3 if lists else 0)
    assert summary.splits["train"]["images"] and summary.splits["val"]["images"]
    assert any("official split;" in remark for remark in summary.remarks) == lists
    told = {read_manifest(summary.folder / split).settings["split_by"] for split in ("train", "val", "test")}
    assert told == {"official lists" if lists else "hash of the patient"}
    assert any("no official split: train_val_list.txt" in remark for remark in summary.remarks) == (not lists)


@pytest.mark.parametrize(("table", "age", "years"), [("Data_Entry_2017.csv", "058Y", 58), ("Data_Entry_2017.csv", "013M", 1)])
def test_the_older_table_and_a_flat_folder(tmp_path, table, age, years):
    export = read(export_folder(tmp_path / "src", table, age, flat=True))
    assert len(export.studies) == 12 and export.set_aside == ()
    assert {study.age for study in export.studies} == {None, years} and {study.sex for study in export.studies} == {"F"}


def test_a_part_of_the_pictures_is_no_failure(tmp_path):
    src = with_lists(export_folder(tmp_path / "src"))
    for patient in range(3, 12):
        (src / f"images_{patient:03d}" / "images" / name(patient)).unlink()
    picture(src / "images_001" / "images" / "stray.png", 40)
    picture(src / "again" / name(1), 1)
    export = read(src)
    assert "3 of 12 rows have their picture; those without are no inputs" in export.remarks
    assert splits(export) == {"train_val": 2, "test": 1}
    assert sorted(one.reason for one in export.set_aside) == [Reason.DUPLICATE, Reason.NOT_IN_TABLE]
    summary = build(made.settings(src, tmp_path / "out", "nih14", max_failed=0.0))
    assert (summary.found, summary.kept, summary.excluded, summary.failed) == (5, 3, 2, 0)


def test_what_no_list_names_keeps_out_of_the_test_set(tmp_path):
    src = export_folder(tmp_path / "src")
    with (src / "Data_Entry_2017_v2020.csv").open("a") as table:
        table.write(f"{name(12, 1)},No Finding,1,12,50,F,PA,1,1,1,1\n")
    picture(src / name(12, 1), 77)
    lines(src / "train_val_list.txt", *(name(patient) for patient in range(1, 9)))
    lines(src / "test_list.txt", name(12))
    export = read(src)
    assert splits(export) == {"train_val": 11, "test": 2}
    assert "no list names 4 pictures" in export.remarks[-1]


def test_a_patient_in_two_official_splits_is_in_train(tmp_path):
    src = with_lists(export_folder(tmp_path / "src"))
    with (src / "Data_Entry_2017_v2020.csv").open("a") as table:
        table.write(f"{name(12, 1)},No Finding,1,12,50,F,PA,1,1,1,1\n")
    picture(src / name(12, 1), 77)
    with (src / "train_val_list.txt").open("a") as listed:
        listed.write(name(12, 1))
    assert {study.split for study in read(src).studies if study.patient == "12"} == {"train"}


def test_given_lists_take_the_place_of_the_official_ones(tmp_path):
    src, folder = with_lists(export_folder(tmp_path / "src")), tmp_path / "lists"
    lines(folder / "train_list.txt", *(f"{name(patient)} 0 1" for patient in range(1, 8)))
    lines(folder / "val_list.txt", name(8), name(9))
    with pytest.raises(InputError, match=r"--split-lists: there is no .*test_list.txt"):
        read(src, split_lists=folder)
    lines(folder / "test_list.txt", name(10), name(11))
    export = read(src, split_lists=folder)
    assert splits(export) == {"train": 8, "val": 2, "test": 2} and export.split_by == "lists of --split-lists"
    assert export.remarks[-1] == "split by --split-lists; no list names 1 pictures: each with its patient, else in train"
    official, given = open_source(src, Nih14Options()), open_source(src, Nih14Options(folder))
    assert official.fingerprint != given.fingerprint


def test_folders_that_cannot_be_meant_are_one_line(tmp_path):
    src = tmp_path / "src"
    src.mkdir()
    with pytest.raises(InputError, match="holds no Data_Entry_2017_v2020"):
        read(src)
    lines(src / "Data_Entry_2017_v2020.csv", "a,b", "1,2")
    with pytest.raises(InputError, match="holds no PNG picture: put its pictures"):
        read(src)
    (src / "images_002.tar.gz").touch()
    with pytest.raises(InputError, match=r"unpack images_002.tar.gz and its like \(tar xzf\)"):
        read(src)
    picture(src / "other.png", 1)
    with pytest.raises(InputError, match="no column 'Image Index'"):
        read(src)
    lines(src / "Data_Entry_2017_v2020.csv", HEADERS["Data_Entry_2017_v2020.csv"], f"{name(1)},Mass,0,1,5,F,AP,1,1,1,1")
    with pytest.raises(InputError, match=r"no row of .* names a picture"):
        read(src)


@pytest.mark.realdata
def test_the_public_sample_comes_through(real_data, tmp_path):
    export = read(real_data / "nih14")
    assert len(export.studies) == 139 and export.set_aside == () and splits(export) == {None: 139}
    assert Counter(image.view for study in export.studies for image in study.images) == {"PA": 72, "AP": 67}
    assert Counter(study.sex for study in export.studies) == {"M": 81, "F": 58}
    found = Counter(finding for study in export.studies for finding, value in study.labels.items() if value)
    assert found["Pneumonia"] == 84 and found["Infiltration"] == 32 and found["Hernia"] == 0
    assert build(made.settings(real_data / "nih14", tmp_path / "nih", "nih14", processes=2)).kept == 139
