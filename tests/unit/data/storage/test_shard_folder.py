"""Shards behind URLs: manifests, indexes that can be trusted, the same samples as of a folder."""

import numpy as np
import pytest

from cxrpt.config import DataConfig
from cxrpt.data.manifest import NoManifestError
from cxrpt.data.sample import Kind
from cxrpt.data.shards import INDEX_DTYPE, index_path
from cxrpt.data.storage.shard_cache import ShardCache
from cxrpt.data.storage.shard_folder import cache_of, open_folder, open_shard, read_index
from cxrpt.errors import InputError

from ....made_shards import make_shards
from .faulty_server import serving


@pytest.fixture
def server(tmp_path):
    make_shards(tmp_path / "there", "north", Kind.PAIR, 80, size=48)
    with serving(tmp_path / "there") as running:
        yield running


@pytest.fixture
def cache(tmp_path):
    return ShardCache(str(tmp_path / "cache"), 10**8)


def test_a_url_a_command_and_a_folder_hold_the_same(server, cache):
    local = open_folder(str(server.root / "north"), "train", cache)
    for path in (
        f"{server.url}/north",
        f"pipe:cat {server.root}/north/{{}}",
        f"pipe:cat {server.root}/north",
        f"file://{server.root}/north",
    ):
        other = open_folder(path, "train", cache)
        assert other.manifest == local.manifest and len(other.shards) == 2
        for a, b in zip(local.shards, other.shards, strict=True):
            assert np.array_equal(read_index(a), read_index(b)) and a.name == b.name
            for use in ("all", "texts"):
                one, two = open_shard(a, use), open_shard(b, use)
                assert [one.read(n) for n in range(len(one))] == [two.read(n) for n in range(len(two))]
    downloads = server.downloads(".tar") | server.downloads(".npy")
    assert len(downloads) == 4 and set(downloads.values()) == {1}


def test_only_the_index_is_fetched_for_the_index(server, cache):
    read_index(open_folder(f"{server.url}/north", "train", cache).shards[0])
    assert len(server.downloads(".npy")) == 1 and not server.downloads(".tar")


def test_a_manifest_that_cannot_be_read_is_one_line(server, cache, monkeypatch):
    monkeypatch.setattr("cxrpt.data.storage.shard_folder._MANIFEST_PAUSES_S", (0.0, 0.0))
    monkeypatch.setattr("cxrpt.data.storage.shard_folder._MANIFEST_STALL_S", 0.3)
    url = server.url.replace("//", "//ward:hush-7391@") + "/north?sig=shh-5151"

    def said(faults, kind=InputError):
        server.faults["manifest.json"] = faults
        with pytest.raises(kind) as caught:
            open_folder(url, "train", cache)
        assert not server.faults["manifest.json"]
        message = str(caught.value)
        assert "\n" not in message and "hush" not in message and "shh" not in message and "/north?***" in message
        return message

    assert "holds no manifest.json" in said(["404"], NoManifestError) and "error: 404" in said(["404"], NoManifestError)
    assert "503" in said(["503"] * 3) and "sent nothing for 0.3 s" in said(["stall"] * 3)
    assert "is not a shard manifest" in said(["short"])
    server.faults["manifest.json"] = ["drop", "cut"]
    assert len(open_folder(url, "train", cache).shards) == 2, "one failure is no reason to end a thousand ranks"
    manifest = server.root / "north" / "train" / "manifest.json"
    good = manifest.read_text()
    manifest.write_text(good.replace("north-train-000001.tar", "../north-train-000001.tar"))
    assert "no plain file name" in said([])
    manifest.write_bytes(b"\xff\xfe\x00")
    assert "is not a shard manifest" in said([])
    manifest.write_text(good.replace('"sha256": "', '"sha256": "../'))
    assert "without a name and sha256" in said([])


@pytest.mark.parametrize("fault", ["cut short", "of another shard", "outside", "of another version", "of other kinds", "moved"])
def test_an_index_is_not_trusted_blindly(server, cache, fault):
    shard = open_folder(f"{server.url}/north", "train", cache).shards[0]
    file = index_path(server.root / "north" / "train" / shard.name)
    good, index = file.read_bytes(), np.load(file)
    if fault == "of another shard":
        file.write_bytes(index_path(server.root / "north" / "train" / "north-train-000001.tar").read_bytes())
    elif fault == "of another version":
        np.save(file, index[["key", "kind"]])
    elif fault == "cut short":
        file.write_bytes(good[: len(good) // 2])
    else:
        if fault == "outside":
            index["image"]["offset"][5] = shard.entry.num_bytes
        elif fault == "of other kinds":
            index["kind"][3] = Kind.TEXT
        else:
            for member in ("image", "text", "meta"):
                index[member]["offset"] -= 512
        np.save(file, index)
    with pytest.raises(InputError, match=r"north-train-000000\.idx\.npy of http.*copy or build the folder again") as caught:
        open_shard(shard)
    assert "\n" not in str(caught.value) and server.requests[f"north/train/{file.name}"] == 2
    file.write_bytes(good)
    assert len(open_shard(shard)) == 40, "what was refused is not kept"


def test_an_index_that_was_cut_in_transfer_is_fetched_again(server, cache):
    shard = open_folder(f"{server.url}/north", "train", cache).shards[0]
    server.faults[index_path(server.root / shard.name).name] = ["short"]
    assert len(read_index(shard)) == 40 and read_index(shard).dtype == INDEX_DTYPE


def test_a_copy_whose_content_the_disk_lost_is_fetched_again(server, cache):
    shard = open_folder(f"{server.url}/north", "train", cache).shards[0]
    open_shard(shard).close()
    with cache.held(shard.tar) as path:
        path.write_bytes(bytes(shard.entry.num_bytes))
    assert open_shard(shard).read(3)


def test_an_open_shard_is_kept_and_a_closed_one_may_go(server, tmp_path):
    shards = open_folder(f"{server.url}/north", "train", ShardCache(str(tmp_path / "cache"), 10**8)).shards
    size = max(shard.entry.num_bytes for shard in shards)
    shards = open_folder(f"{server.url}/north", "train", ShardCache(str(tmp_path / "cache"), int(size * 1.5))).shards
    first = open_shard(shards[0])
    with pytest.raises(OSError, match=r"data\.cache_gb"):
        open_shard(shards[1])
    first.close()
    assert open_shard(shards[1]).read(0)


def test_the_configuration_names_the_cache():
    assert cache_of(DataConfig(cache_dir="~/x", cache_gb=1.5)) == ShardCache("~/x", 1_500_000_000)
