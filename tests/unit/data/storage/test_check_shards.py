"""What is found at launch: shards that are missing or wrong, servers that are dead, a cache that is too small."""

import shutil

import pytest

from cxrpt.config import load_config
from cxrpt.data.sample import Kind
from cxrpt.data.shards import index_path
from cxrpt.data.storage.check_shards import check_shards
from cxrpt.data.storage.sources import open_sources
from cxrpt.errors import InputError

from ....made_shards import make_shards
from .faulty_server import serving


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("shards")
    make_shards(root, "north", Kind.PAIR, 320, size=48)
    return root


@pytest.fixture
def folder(made, tmp_path):
    shutil.copytree(made, tmp_path / "there")
    return tmp_path / "there" / "north" / "train"


def sources_at(path, tmp_path, *words):
    usual = ["name=t", f"data.sources.north.path={path}", f"data.cache_dir={tmp_path / 'cache'}"]
    return open_sources(load_config(None, [*usual, *words]).data)


def refused(sources, lanes=8, nodes=1):
    with pytest.raises(InputError) as caught:
        check_shards(sources, lanes, nodes)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def shard(folder, number):
    return folder / f"north-train-{number:06d}.tar"


def test_missing_and_truncated_shards_are_named(folder, tmp_path):
    sources = sources_at(folder.parent, tmp_path)
    check_shards(sources, 8)
    whole = shard(folder, 1).read_bytes()
    shard(folder, 1).write_bytes(whole[:1000])
    said = refused(sources)
    assert "source 'north': 1 of 8 shards" in said
    assert f"north-train-000001.tar is truncated (1000 bytes, by its manifest {len(whole)})" in said
    shard(folder, 1).write_bytes(whole + b"\0" * 512)
    assert "north-train-000001.tar is changed" in refused(sources)
    shard(folder, 1).unlink()
    assert "north-train-000001.tar is missing" in refused(sources)


def test_indexes_are_looked_at_too(folder, tmp_path):
    sources = sources_at(folder.parent, tmp_path)
    index = index_path(shard(folder, 2))
    index.write_bytes(index.read_bytes()[:-1])
    assert "north-train-000002.idx.npy is truncated" in refused(sources)
    index.write_bytes(b"")
    assert "north-train-000002.idx.npy is no index" in refused(sources)
    index.unlink()
    assert "north-train-000002.idx.npy is missing" in refused(sources)
    index.mkdir()
    assert "north-train-000002.idx.npy cannot be opened (Is a directory)" in refused(sources)


def test_the_first_few_are_named_and_all_are_counted(folder, tmp_path):
    sources = sources_at(folder.parent, tmp_path)
    for number in range(1, 7):
        shard(folder, number).unlink()
    said = refused(sources)
    assert "6 of 8 shards" in said and "and 3 more: copy or build them again" in said
    assert [f"{number:06d}.tar" in said for number in range(8)] == [False, True, True, True, False, False, False, False]


def test_opening_sources_looks_at_no_shard(folder, tmp_path):
    for number in range(8):
        shard(folder, number).unlink()
    assert len(sources_at(folder.parent, tmp_path)[0].shards) == 8


def test_a_remote_source_is_tried(folder, tmp_path):
    with serving(folder.parents[1]) as server:
        url = server.url.replace("//", "//ward:hush-7391@") + "/north?sig=shh-5151"
        sources = sources_at(url, tmp_path)
        server.faults["north-train-000000.idx.npy"] = ["503", "404", "cut"]
        for reason in ("503", "404", "transfer closed"):
            said = refused(sources)
            assert said.startswith("source 'north': north-train-000000.tar: its index cannot be fetched (http://***@")
            assert reason in said and "hush" not in said and "shh" not in said
        check_shards(sources, 8)
        assert not server.downloads(".tar"), "a launch fetches no shards"
        check_shards(sources, 8)
        assert server.requests["north/train/north-train-000000.idx.npy"] == 4
        assert "hush" not in repr(sources) and "shh" not in repr(sources)
        (tmp_path / "file").write_text("")
        assert "data.cache_dir" in refused(sources_at(url, tmp_path, f"data.cache_dir={tmp_path / 'file'}"))


def test_the_cache_must_hold_what_a_node_has_open(folder, tmp_path, monkeypatch):
    url = f"pipe:cat {folder.parents[1]}/north/{{}}"
    total = sum(path.stat().st_size for path in folder.glob("north-*"))
    small = sources_at(url, tmp_path, f"data.cache_gb={total * 0.9 / 1e9}")
    said = refused(small)
    assert said.startswith("data.cache_gb=") and "the 8 lanes of a node hold" in said and "raise it to" in said
    check_shards(sources_at(url, tmp_path, f"data.cache_gb={total * 1.1 / 1e9}"), 8)
    check_shards(sources_at(folder.parent, tmp_path, f"data.cache_gb={total * 0.1 / 1e9}"), 8)
    monkeypatch.setattr("cxrpt.data.storage.check_shards.SMALL_SOURCE_LANES", 1000)
    assert "the 1 lanes" in refused(small, lanes=1), "the samples of a small source come from any of its shards"
    # A source whose shards the lanes do not share needs two shards a lane.
    monkeypatch.setattr("cxrpt.data.storage.check_shards.SMALL_SOURCE_LANES", 1)
    check_shards(small, 1)
    assert "the 8 lanes" in refused(small)
    assert "the 4 lanes" in refused(small, nodes=2)
    check_shards(small, 8, nodes=4)
    assert "shards" in refused(sources_at(url, tmp_path, f"data.cache_gb={total * 0.4 / 1e9}"), nodes=4)
