"""Samples of an evaluation: the same whether their shards lie in a folder or behind a URL."""

from collections import Counter

import pytest

from cxrpt.config import load_config
from cxrpt.data.sample import Kind
from cxrpt.errors import InputError
from cxrpt.eval.samples import choose, open_split, read, require_split

from ..data.storage.faulty_server import serving


@pytest.fixture
def server(shards):
    with serving(shards) as running:
        yield running


def config_of(tmp_path, **paths):
    words = [f"data.sources.{name}.path={path}" for name, path in paths.items()]
    return load_config(None, ["name=t", f"data.cache_dir={tmp_path / 'cache'}", *words])


def raws(config, split, limit):
    bad = Counter()
    found = [(place.source, raw) for place, raw in read(choose(open_split(config, split), (Kind.PAIR, Kind.IMAGE), limit), bad)]
    assert not bad
    return found


def test_remote_splits_are_read_as_those_of_folders(shards, server, tmp_path):
    here = config_of(tmp_path, north=shards / "north", south=shards / "south")
    there = config_of(tmp_path, north=f"{server.url}/north", south=f"pipe:cat {shards}/south/{{}}")
    for split, limit in (("test", 1000), ("train", 25)):
        expected = raws(here, split, limit)
        assert raws(there, split, limit) == expected and len(expected) == min(limit, 40)
    assert set(server.downloads(".tar").values()) == {1}


def test_a_split_that_is_not_there_is_none_and_one_that_cannot_be_read_is_told(shards, server, tmp_path, monkeypatch):
    monkeypatch.setattr("cxrpt.data.storage.shard_folder._MANIFEST_PAUSES_S", (0.0, 0.0))
    url = server.url.replace("//", "//ward:hush-7391@")
    config = config_of(tmp_path, a=f"{url}/north", b=f"{url}/north", c=f"{url}/nowhere", d=f"pipe:cat {shards}/nowhere/{{}}")
    assert [folder.source for folder in open_split(config, "val")] == ["a"]
    assert open_split(config, "unheard") == []
    with pytest.raises(InputError, match=r"no source has the split 'unheard'.*http://\*\*\*@127.*north \(unheard\)") as caught:
        require_split([], config, "unheard")
    assert "hush" not in str(caught.value)
    server.faults["manifest.json"] = ["503"] * 3
    with pytest.raises(InputError, match=r"manifest\.json cannot be read"):
        open_split(config_of(tmp_path, a=f"{url}/north"), "val")


def test_sources_that_are_never_drawn_are_evaluated_by_request(shards, tmp_path):
    config = config_of(tmp_path, north=shards / "north", south=shards / "south")
    config.data.sources["south"].weight = 0
    assert [folder.source for folder in open_split(config, "test")] == ["north"]
    config.eval.sources = ["south"]
    assert [folder.source for folder in open_split(config, "test")] == ["south"]
    with pytest.raises(InputError, match=r"eval\.sources='sotuh': is no source: those are a, b"):
        load_config(None, ["name=t", "data.sources.a.path=x", "data.sources.b.path=y", "eval.sources=[sotuh]"])
