import csv
import hashlib
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import ExplicitVRLittleEndian

from cxrpt.errors import InputError
from data_prep.synthetic import canaries, make_hospital
from data_prep.synthetic.anatomy import X, Y, draw_anatomy
from data_prep.synthetic.dicom_files import SYNTAXES, draw_storage, make_dataset, stored_values, write_file
from data_prep.synthetic.dirt import DIRT
from data_prep.synthetic.findings import FINDINGS, Finding, draw_findings, labels_of
from data_prep.synthetic.frontal import draw_frontal, lung_cavity, zone_centre
from data_prep.synthetic.lateral import draw_lateral
from data_prep.synthetic.study import draw_studies
from data_prep.synthetic.wording import write_report

STUDIES = 60


@pytest.fixture(scope="module")
def hospital(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("synthetic") / "hospital"
    make_hospital(out, studies=STUDIES, seed=3, size=128, processes=1)
    return out


def read_table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def digest(folder: Path) -> str:
    whole = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        whole.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return whole.hexdigest()


def displayed(dataset: pydicom.Dataset) -> np.ndarray:
    """Display values 0..1, by the tags alone."""
    values = dataset.pixel_array.astype(np.float64)
    values = (values - values.min()) / (values.max() - values.min())
    return 1 - values if dataset.PhotometricInterpretation == "MONOCHROME1" else values


def good_files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*.dcm") if not p.name.startswith(tuple(kind.upper() for kind in DIRT)))


def test_the_same_seed_gives_the_same_bytes_whatever_the_number_of_processes(hospital, tmp_path):
    make_hospital(tmp_path / "again", studies=STUDIES, seed=3, size=128, processes=2)
    assert digest(tmp_path / "again") == digest(hospital)
    make_hospital(tmp_path / "other", studies=12, seed=4, size=64, processes=1)
    make_hospital(tmp_path / "another", studies=12, seed=5, size=64, processes=1)
    assert digest(tmp_path / "other") != digest(tmp_path / "another")


def test_institutions_hold_what_they_promise(hospital):
    assert sorted(p.name for p in hospital.iterdir()) == ["CANARIES.txt", "north", "south", "west"]
    north = read_table(hospital / "north" / "reports.csv")
    accessions = {pydicom.dcmread(p, stop_before_pixels=True).AccessionNumber for p in good_files(hospital / "north")}
    paired = accessions & {row["accession_number"] for row in north}
    assert len(paired) >= 25
    assert {row["accession_number"] for row in read_table(hospital / "north" / "labels.csv")} >= accessions
    assert not (hospital / "south" / "reports.csv").exists() and good_files(hospital / "south")
    texts = sorted((hospital / "west" / "reports").iterdir())
    assert len(texts) == 15 and all(p.stem.startswith("QX77A") for p in texts)
    undecodable = 0
    for path in texts:
        try:
            path.read_bytes().decode("utf-8")
        except UnicodeDecodeError:
            undecodable += 1
    assert undecodable <= 4  # mostly UTF-8


def test_every_kind_of_dirt_lies_in_each_picture_tree(hospital):
    for institution in ("north", "south"):
        names = [p.name for p in (hospital / institution / "dicom").rglob("*") if p.is_file()]
        for kind in DIRT:
            assert any(name.startswith(kind.upper()) for name in names), (institution, kind)
    rows = read_table(hospital / "north" / "reports.csv")
    assert any(not row["report"].strip() for row in rows)
    truncated = next((hospital / "north").rglob("TRUNCATED*"))
    with pytest.raises((ValueError, AttributeError, EOFError, RuntimeError)):
        pydicom.dcmread(truncated, force=True).pixel_array  # noqa: B018
    assert "PixelData" not in pydicom.dcmread(next((hospital / "north").rglob("NO_PIXELS*")))
    assert pydicom.dcmread(next((hospital / "south").rglob("BURNED_IN*"))).BurnedInAnnotation == "YES"
    copy = next((hospital / "north").rglob("COPY*"))
    same = [
        p for p in good_files(copy.parent) if np.array_equal(pydicom.dcmread(p).pixel_array, pydicom.dcmread(copy).pixel_array)
    ]
    assert len(same) == 1


def test_canaries_are_in_every_place(hospital):
    listed = (hospital / "CANARIES.txt").read_text(encoding="utf-8").splitlines()
    assert set(canaries()) <= set(listed)

    def found(text: str) -> bool:
        return any(canary.lower() in text.lower() for canary in listed)

    representations, private, nested, overlay, preamble = set(), 0, 0, 0, 0
    files = good_files(hospital / "north")
    for path in files:
        relative = path.relative_to(hospital / "north" / "dicom").parts
        assert all(found(part) for part in relative), relative
        dataset = pydicom.dcmread(path)
        preamble += found(dataset.preamble.decode("latin-1"))
        for element in dataset.iterall():
            text = element.value.decode("latin-1") if isinstance(element.value, bytes) else str(element.value)
            if element.VR == "SQ" or element.tag == (0x7FE0, 0x0010) or not found(text):
                continue
            representations.add(element.VR)
            private += element.tag.is_private
            overlay += element.tag.group == 0x6000
        nested += found(str(dataset.OriginalAttributesSequence[0].ModifiedAttributesSequence[0].PatientName))
    assert representations >= {"PN", "LO", "SH", "DA", "DT", "ST", "LT", "UT", "UI", "UR"}
    assert nested == preamble == len(files) and private > 5 * len(files) and overlay
    body = [row["report"] for row in read_table(hospital / "north" / "reports.csv") if row["report"].strip()]
    assert sum(found(text) for text in body) > 0.7 * len(body)
    for path in (hospital / "west" / "reports").iterdir():
        text = path.read_bytes().decode("latin-1")
        assert not text.strip() or found(text)


def test_no_word_of_medicine_is_a_canary():
    words = {word.lower() for study in draw_studies("north", 200, 1) for word in re.findall(r"[A-Za-z]+", write_report(study))}
    ordinary = {word for word in words if not word.startswith(("zq", "qx"))}
    assert len(ordinary) > 120
    assert not [canary for canary in canaries() if canary.lower() in ordinary]


def test_syntaxes_and_photometric_interpretations_vary(hospital):
    headers = [pydicom.dcmread(p, stop_before_pixels=True) for p in good_files(hospital)]
    assert len({h.file_meta.TransferSyntaxUID for h in headers}) >= 5
    assert {h.PhotometricInterpretation for h in headers} == {"MONOCHROME1", "MONOCHROME2"}
    assert {h.Modality for h in headers} == {"DX", "CR"}
    assert {h.ViewPosition for h in headers} == {"PA", "AP", "LL"}
    assert any("WindowCenter" not in h for h in headers) and any("WindowCenter" in h for h in headers)
    assert len({h.PatientID for h in headers}) < len({h.StudyInstanceUID for h in headers}) < len(headers)


@pytest.mark.parametrize("syntax", [str(s) for s in SYNTAXES])
def test_every_syntax_decodes_to_the_values_that_went_in(syntax, tmp_path):
    study = draw_studies("north", 10, 0)[5]  # one whose header also holds invalid values
    picture = np.clip(draw_frontal(draw_anatomy(1, "M"), ())[::4, ::3], 0, 1)
    storage = replace(draw_storage(np.random.default_rng(0)), syntax=syntax, bits=12)
    write_file(make_dataset(study, 1, "PA", picture, storage), tmp_path / "a.dcm")
    read = pydicom.dcmread(tmp_path / "a.dcm")
    assert read.file_meta.TransferSyntaxUID == syntax
    assert np.array_equal(read.pixel_array, stored_values(picture, storage))
    assert read.PatientID == study.patient.patient_id


def test_both_monochromes_display_the_same(tmp_path):
    study = draw_studies("north", 10, 0)[1]
    picture = draw_frontal(draw_anatomy(1, "M"), ())[::4, ::4]
    shown = []
    for inverted in (False, True):
        storage = replace(draw_storage(np.random.default_rng(1)), syntax=str(ExplicitVRLittleEndian), inverted=inverted)
        write_file(make_dataset(study, 1, "PA", picture, storage), tmp_path / f"{inverted}.dcm")
        dataset = pydicom.dcmread(tmp_path / f"{inverted}.dcm")
        assert dataset.PresentationLUTShape == ("INVERSE" if inverted else "IDENTITY")
        shown.append(displayed(dataset))
    assert np.abs(shown[0] - shown[1]).max() < 0.005
    assert np.corrcoef(shown[0].ravel(), picture.ravel())[0, 1] > 0.999


def test_a_chest_has_dark_lungs_beside_a_bright_middle():
    for seed in range(6):
        anatomy = draw_anatomy(seed, "FM"[seed % 2])
        picture = draw_frontal(anatomy, ())
        lungs = np.concatenate([picture[lung_cavity(anatomy, side) > 0.9] for side in ("left", "right")])
        middle = picture[(np.abs(X - 0.5) < 0.03) & (np.abs(Y - 0.6) < 0.1)]
        assert np.median(lungs) < 0.45 < 0.55 < middle.mean()
        assert picture[:60, :60].mean() < 0.05  # air around the body


CASES = [
    (Finding("effusion", "small", "left"), "left", 1),
    (Finding("effusion", "large", "bilateral"), "right", 1),
    (Finding("pneumothorax", "small", "right"), "right", -1),
    (Finding("consolidation", "small", "left", "upper"), "left", 1),
    (Finding("nodule", "", "right", "mid", diameter_mm=8), "right", 1),
]


@pytest.mark.parametrize(("finding", "side", "sign"), CASES, ids=lambda v: getattr(v, "name", None))
def test_a_finding_changes_the_picture_on_its_side_only(finding, side, sign):
    for seed in range(4):
        anatomy = draw_anatomy(seed, "MF"[seed % 2])
        change = draw_frontal(anatomy, (finding,)) - draw_frontal(anatomy, ())
        here = change[lung_cavity(anatomy, side) > 0.5]
        assert sign * here[np.abs(here) > 0.03].mean() > 0.05
        assert (np.abs(here) > 0.05).sum() > 60
        if finding.side != "bilateral":
            other = "left" if side == "right" else "right"
            assert np.abs(change[lung_cavity(anatomy, other) > 0.99]).max() < 0.01


def test_zones_lie_where_the_words_say():
    anatomy = draw_anatomy(2, "F")
    base = draw_frontal(anatomy, ())
    for side in ("left", "right"):
        heights = []
        for zone in ("upper", "mid", "lower"):
            change = np.abs(draw_frontal(anatomy, (Finding("nodule", "", side, zone, 20),)) - base)
            x, y = float((change * X).sum() / change.sum()), float((change * Y).sum() / change.sum())
            assert np.hypot(x - zone_centre(anatomy, side, zone)[0], y - zone_centre(anatomy, side, zone)[1]) < 0.06
            assert (x < 0.5) == (side == "right")  # the patient's right is on the picture's left
            heights.append(y)
        assert heights == sorted(heights)


@pytest.mark.parametrize("name", ["effusion", "cardiomegaly", "consolidation", "pneumothorax"])
def test_sizes_grow_with_their_words(name):
    anatomy = draw_anatomy(5, "M")
    for draw in (draw_frontal, draw_lateral):
        base = draw(anatomy, ())
        changes = [
            np.abs(draw(anatomy, (Finding(name, size, "left", "mid"),)) - base).sum() for size in ("small", "moderate", "large")
        ]
        assert 0 < changes[0] < 0.9 * changes[1] < 0.9 * 0.9 * changes[2]


def test_report_and_labels_say_what_is_drawn():
    for study in [*draw_studies("north", 150, 2), *draw_studies("west", 50, 2)]:
        text = write_report(study).lower()
        assert "{" not in text
        for finding in study.findings:
            if finding.name == "nodule":
                assert f"{finding.diameter_mm} mm" in text and finding.zone in text
            if finding.side in ("left", "right"):
                assert finding.side in text, (finding, text)
        names = {finding.name for finding in study.findings}
        if "effusion" not in names:
            assert not re.search(r"(small|moderate|large) (left|right|bilateral|pleural) ?\S* effusion", text)
        assert labels_of(study.findings) == {name: int(name in names) for name in FINDINGS}


def test_findings_come_with_the_promised_frequency():
    generator = np.random.default_rng(0)
    drawn = [labels_of(draw_findings(generator)) for _ in range(2000)]
    for name in FINDINGS:
        assert 0.18 < np.mean([labels[name] for labels in drawn]) < 0.26


def test_input_errors(tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("")
    for path, options in ((tmp_path / "full", {}), (tmp_path / "a", {"studies": 3}), (tmp_path / "a", {"seed": -1})):
        with pytest.raises(InputError) as caught:
            make_hospital(path, **{"studies": 12} | options)
        assert "\n" not in str(caught.value)
