"""The perceptual hash of a picture, and near pairs of hashes."""

import csv
import json

import cv2
import made_exports as made
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxrpt.data.shards import ShardReader
from data_prep.build.run import build
from data_prep.pictures import near_copies
from data_prep.pictures.near_copies import HASH_BYTES, NEAR_DISTANCE, find_near, perceptual_hash
from data_prep.pictures.read_image import read_image
from data_prep.privacy.pseudonyms import Pseudonyms
from data_prep.synthetic.anatomy import draw_anatomy
from data_prep.synthetic.exposure import draw_exposure, expose
from data_prep.synthetic.frontal import draw_frontal


def distance(one: bytes, other: bytes) -> int:
    return (int.from_bytes(one) ^ int.from_bytes(other)).bit_count()


def shot(number: int) -> np.ndarray:
    """A made-up frontal picture of patient `number`."""
    taken = expose(draw_frontal(draw_anatomy(number, "F"), ()), draw_exposure(np.random.default_rng(number), 512, "PA"))
    return np.rint(taken * 255).astype(np.uint8)


def reencoded(pixels: np.ndarray) -> dict[str, np.ndarray]:
    values = np.arange(256)
    height, width = pixels.shape
    return {
        "jpeg": cv2.imdecode(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 50])[1], cv2.IMREAD_GRAYSCALE),
        "half": cv2.resize(pixels, (width // 2, height // 2), interpolation=cv2.INTER_AREA),
        "larger": cv2.resize(pixels, (width * 3 // 2, height * 3 // 2)),
        "gamma": cv2.LUT(pixels, np.rint(255 * (values / 255) ** 0.9).astype(np.uint8)),
        "contrast": cv2.LUT(pixels, np.rint(values * 0.8 + 20).astype(np.uint8)),
    }


def test_a_hash_stays_near_its_copies_and_far_from_others():
    pictures = [shot(number) for number in range(4)]
    hashes = [perceptual_hash(pixels) for pixels in pictures]
    assert all(len(value) == HASH_BYTES for value in hashes)
    for pixels, value in zip(pictures, hashes, strict=True):
        for name, copy in reencoded(pixels).items():
            assert distance(perceptual_hash(copy), value) <= NEAR_DISTANCE, name
    assert min(distance(a, b) for i, a in enumerate(hashes) for b in hashes[:i]) > NEAR_DISTANCE


@pytest.mark.parametrize("pixels", [np.full((300, 200), 7, np.uint8), np.zeros((128, 128), np.uint8)])
def test_no_picture_hashes_to_zeros(pixels):
    assert any(perceptual_hash(pixels))


def test_a_hash_is_the_same_for_a_view_of_memory():
    pixels = shot(5)
    assert perceptual_hash(pixels[:, ::-1]) == perceptual_hash(pixels[:, ::-1].copy())


def brute(left: np.ndarray, right: np.ndarray, max_distance: int) -> set[tuple[int, int, int]]:
    table = np.bitwise_count(left[:, None] ^ right[None]).sum(axis=-1)
    return {
        (i, j, int(table[i, j]))
        for i, j in np.argwhere(table <= max_distance).tolist()
        if left[i].any() and right[j].any()
    }  # fmt: skip


@st.composite
def hash_sets(draw) -> np.ndarray:
    """Few centres, rows near them, equal rows and rows of zeros."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    num_rows, num_centres = draw(st.integers(0, 60)), draw(st.integers(1, 5))
    centres = generator.integers(0, 256, (num_centres, HASH_BYTES), dtype=np.uint8)
    rows = centres[generator.integers(0, num_centres, num_rows)]
    flips = generator.random((num_rows, 8 * HASH_BYTES)) < draw(st.sampled_from([0.0, 0.002, 0.02, 0.06]))
    rows = rows ^ np.packbits(flips, axis=1)
    rows[generator.random(num_rows) < 0.1] = 0
    return rows


@settings(max_examples=60, deadline=None)
@given(hash_sets(), st.sampled_from([0, 1, 2, 7, NEAR_DISTANCE, 33]))
def test_near_pairs_are_those_of_brute_force(hashes, max_distance):
    found = find_near(hashes, max_distance)
    assert found.dtype == np.int64 and found.shape[1] == 3
    first = {row.tobytes(): place for place, row in reversed(list(enumerate(hashes)))}
    firsts = set(first.values())
    expected = {
        (i, j, d)
        for i, j, d in brute(hashes, hashes, max_distance)
        if i < j and ((i in firsts and j in firsts) if d else i in firsts)
    }
    assert [tuple(row) for row in found.tolist()] == sorted(expected)


def test_a_picture_that_comes_100_000_times_gives_a_pair_for_each_copy():
    hashes = np.full((100_000, HASH_BYTES), 5, np.uint8)
    hashes[-1, 3] = 6
    found = find_near(hashes)
    assert len(found) == 99_999 and set(found[:, 0].tolist()) == {0}
    assert found[-1].tolist() == [0, 99_999, 2]


def test_pairs_are_looked_for_in_pieces_and_up_to_a_limit(monkeypatch):
    hashes = np.zeros((60, HASH_BYTES), np.uint8)
    hashes[:, 0], hashes[:, 9] = np.arange(60), 1
    whole = find_near(hashes)
    assert len(whole) == 60 * 59 // 2
    monkeypatch.setattr(near_copies, "_CHUNK", 100)
    assert (find_near(hashes) == whole).all()
    monkeypatch.setattr(near_copies, "MAX_PAIRS", 1234)
    assert len(find_near(hashes)) == 1234


def patients_by_split(key: bytes) -> dict[str, list[str]]:
    """Numbers of patients whom a build with this key puts into each of two splits."""
    names = [f"P{number}" for number in range(40)]
    in_train = [name for name in names if Pseudonyms("north", key).fraction("split", f"patient {name}") < 0.5]
    return {"train": in_train, "test": [name for name in names if name not in in_train]}


def test_near_pairs_of_a_build_are_listed_and_counted(tmp_path):
    key = bytes(range(32))
    (tmp_path / "given.key").write_text(key.hex() + "\n")
    (tmp_path / "given.key").chmod(0o600)
    one, other = patients_by_split(key)["train"][:2]
    apart = patients_by_split(key)["test"][0]
    picture = shot(1)
    copies = [cv2.LUT(picture, np.rint(255 * (np.arange(256) / 255) ** power).astype(np.uint8)) for power in (0.6, 0.8, 1.3)]
    # Two studies of one patient, one of another in the same split, one of a third in another split; a picture unlike them.
    studies = [(one, picture), (one, copies[0]), (other, copies[1]), (apart, copies[2]), (apart, shot(2))]
    for number, (patient, pixels) in enumerate(studies):
        made.dicom(tmp_path / "src" / str(number), number, pixels, PatientID=patient, BitsStored=8)
    fields = {"key_file": tmp_path / "given.key", "split": (0.5, 0.0, 0.5), "processes": 1}
    built = made.settings(tmp_path / "src", tmp_path / "out", **fields)
    summary = build(built)
    found = {}
    for split in ("train", "test"):
        for path in (built.folder / split).glob("*.tar"):
            reader = ShardReader(path, "all")
            found |= {sample.key: (sample.meta.patient, split) for sample in map(reader.read, range(len(reader)))}
    assert sorted(split for _, split in found.values()) == ["test"] * 2 + ["train"] * 3
    lines = [json.loads(line) for line in (built.folder / "near.jsonl").read_text().splitlines()]
    assert [(line["a"], line["b"]) for line in lines] == sorted((line["a"], line["b"]) for line in lines)
    for line in lines:
        assert list(line) == ["a", "b", "distance", "same_patient", "splits"] and line["a"] < line["b"]
        (patient_a, split_a), (patient_b, split_b) = found[line["a"]], found[line["b"]]
        assert line["splits"] == [split_a, split_b] and line["same_patient"] == (patient_a == patient_b)
        assert 0 < line["distance"] <= NEAR_DISTANCE
    by_place = sorted((sorted(line["splits"]), line["same_patient"]) for line in lines)
    assert by_place == [(["test", "train"], False)] * 3 + [(["train", "train"], False)] * 2 + [(["train", "train"], True)]
    counts = {"pairs": 6, "other_patient": 5, "other_split": 3}
    assert json.loads((built.folder / "build.json").read_text())["near"] == counts == summary.near


@pytest.mark.realdata
def test_real_pictures_of_different_patients_stay_apart(real_data):
    with (real_data / "nih14" / "Data_Entry_2017_v2020.csv").open() as file:
        rows = list(csv.DictReader(file))[::4]
    pictures = [read_image(real_data / "nih14" / "images" / row["Image Index"]).pixels for row in rows]
    hashes = [perceptual_hash(pixels) for pixels in pictures]
    owners = [row["Patient ID"] for row in rows]
    pairs = [(i, j) for j in range(len(rows)) for i in range(j) if owners[i] != owners[j]]
    assert min(distance(hashes[i], hashes[j]) for i, j in pairs) > 2 * NEAR_DISTANCE
    for pixels, value in zip(pictures[:10], hashes, strict=False):
        for name, copy in reencoded(pixels).items():
            assert distance(perceptual_hash(copy), value) <= NEAR_DISTANCE, name
