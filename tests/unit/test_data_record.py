"""What a run notes of its data, so that it can be told when the shards are gone."""

import json
import shutil

import pytest

from cxrpt.config import load_config
from cxrpt.data.manifest import read_manifest
from cxrpt.data.storage.sources import open_sources
from cxrpt.data_record import read_data_record, read_tokenizer_record, write_data_record


@pytest.fixture
def data(shards, tmp_path):
    for name in ("north", "west"):
        shutil.copytree(shards / name, tmp_path / name)
    (tmp_path / "run").mkdir()
    words = [f"data.sources.{name}.path={tmp_path / name}" for name in ("north", "west")]
    return load_config(None, ["name=run", "data.sources.north.use=images", *words]).data


def note(data, tmp_path, shards):
    sources = open_sources(data)
    write_data_record(tmp_path / "run", sources, shards / "tok.model")
    record = read_data_record(tmp_path / "run")
    return {source.name: record[source.plan.fingerprint] for source in sources}


def build_of(folder, **changes):
    manifest = read_manifest(folder / "train")
    split = {"pairs": manifest.count("pairs"), "images": 0, "texts": 0, "patients": 120}
    about = {
        "settings": {},
        "found": 200,
        "kept": 190,
        "excluded": 7,
        "failed": 3,
        "reasons": {"duplicate": 7},
        "splits": {"train": split},
    }
    (folder / "build.json").write_text(json.dumps(about | changes))


def test_counts_of_the_manifest_and_of_the_build_that_made_it(data, tmp_path, shards):
    build_of(tmp_path / "north")
    found = note(data, tmp_path, shards)
    north, west = found["north"], found["west"]
    assert (north.institution, north.use, north.pairs, north.images, north.texts) == ("north", "images", 160, 0, 0)
    assert (west.use, west.texts, west.shards, west.build) == ("all", 80, 2, {})
    assert north.build == {
        "found": 200, "kept": 190, "excluded": 7, "failed": 3, "reasons": {"duplicate": 7}, "patients": 120,
    }  # fmt: skip
    # One of other settings or counts made other shards.
    for changes in (
        {"settings": {"store_size": 1}},
        {"splits": {"train": {"pairs": 1, "images": 0, "texts": 0, "patients": 1}}},
    ):
        build_of(tmp_path / "north", **changes)
        assert note(data, tmp_path, shards)["north"].build == {}
    (tmp_path / "north" / "build.json").write_text("{")
    assert note(data, tmp_path, shards)["north"].build == {}


def test_a_manifest_may_tell_more_than_its_build_was_told(data, tmp_path, shards):
    path = tmp_path / "north" / "train" / "manifest.json"
    fields = json.loads(path.read_text())
    path.write_text(json.dumps(fields | {"settings": {"store_size": 512, "split_by": "official lists"}}))
    build_of(tmp_path / "north", settings={"store_size": 512})
    assert note(data, tmp_path, shards)["north"].build["patients"] == 120


def test_what_an_earlier_start_saw_stays(data, tmp_path, shards):
    note(data, tmp_path, shards)
    data.sources["north"].use = "texts"
    note(data, tmp_path, shards)
    assert sorted((one.institution, one.use) for one in read_data_record(tmp_path / "run").values()) == [
        ("north", "images"), ("north", "texts"), ("west", "all"),
    ]  # fmt: skip
    assert str(tmp_path) not in (tmp_path / "run" / "data.json").read_text()


def test_the_tokenizer_is_known_by_its_fingerprint(data, tmp_path, shards):
    note(data, tmp_path, shards)
    fingerprint = json.loads((shards / "tok.model.json").read_text())["fingerprint"]
    made = read_tokenizer_record(tmp_path / "run", fingerprint)
    assert made["institutions"] == ["north", "west"] and made["num_texts"] == 240 and made["min_patients"] == 3
    assert read_tokenizer_record(tmp_path / "run", "another") == {}
    for text in ("{", "[]", '{"contents": 3, "tokenizer": 4}'):
        (tmp_path / "run" / "data.json").write_text(text)
        assert read_data_record(tmp_path / "run") == {} and read_tokenizer_record(tmp_path / "run", fingerprint) == {}
    shutil.rmtree(tmp_path / "run")
    assert read_data_record(tmp_path / "run") == {}
