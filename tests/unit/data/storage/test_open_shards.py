"""Shards held open by a process: failures that pass, failures that stay, and what is fetched ahead."""

import errno
import logging
import os
import pickle
import time

import numpy as np
import pytest

from cxrpt.config import load_config
from cxrpt.data.sample import Kind
from cxrpt.data.shards import BadSampleError, index_path
from cxrpt.data.storage import open_shards
from cxrpt.data.storage.open_shards import OpenShards
from cxrpt.data.storage.shard_folder import read_index
from cxrpt.data.storage.sources import open_sources
from cxrpt.errors import InputError

from ....made_shards import make_shards
from .faulty_server import serving


@pytest.fixture
def server(tmp_path):
    make_shards(tmp_path / "there", "north", Kind.PAIR, 160, size=48)
    with serving(tmp_path / "there") as running:
        yield running


@pytest.fixture
def pauses(monkeypatch):
    """The pauses that are made, without waiting; those shorter than a second are others' (subprocess polls)."""
    made, sleep = [], time.sleep
    monkeypatch.setattr(open_shards.time, "sleep", lambda pause: made.append(pause) if pause >= 1 else sleep(pause))
    return made


def sources_at(path, tmp_path, *words):
    usual = ["name=t", f"data.sources.north.path={path}", f"data.cache_dir={tmp_path / 'cache'}"]
    return open_sources(load_config(None, [*usual, *words]).data)


def local(server, tmp_path):
    return OpenShards(sources_at(server.root / "north", tmp_path))


def over_http(server, tmp_path, *words):
    return OpenShards(sources_at(f"{server.url}/north", tmp_path, *words))


def cached(tmp_path):
    return sorted(path.name.split(".")[0] for path in (tmp_path / "cache").glob("*.tar"))


def until(condition):
    end = time.monotonic() + 10
    while not condition() and time.monotonic() < end:
        time.sleep(0.005)
    assert condition()


def test_a_read_error_is_waited_for_with_the_shard_opened_anew(server, tmp_path, pauses, monkeypatch):
    shards = local(server, tmp_path)
    expected = shards.read(0, 1, 5)
    handle, pread = shards.reader(0, 1).fileno(), os.pread
    left = [errno.ESTALE, errno.EIO, errno.EIO]

    def failing(file, size, offset):
        if left:
            raise OSError(left.pop(), "the network file system failed")
        return pread(file, size, offset)

    first = shards.reader(0, 1)
    monkeypatch.setattr(os, "pread", failing)
    assert shards.read(0, 1, 5) == expected
    assert pauses == [1.0, 2.0, 4.0] and shards.reader(0, 1) is not first and handle >= 0
    assert first.fileno() == -1, "a stale handle never heals"


def test_an_index_that_cannot_be_read_is_waited_for(server, tmp_path, pauses, monkeypatch):
    shards = local(server, tmp_path)
    expected, left = shards.index(0, 1), [errno.ESTALE, errno.EIO]

    def failing(shard):
        if left:
            raise OSError(left.pop(), "the network file system failed")
        return read_index(shard)

    monkeypatch.setattr(open_shards, "read_index", failing)
    assert np.array_equal(shards.index(0, 1), expected) and pauses == [1.0, 2.0]


def test_patience_ends_in_one_line_that_names_the_shard(server, tmp_path, pauses, monkeypatch, caplog):
    shards = local(server, tmp_path)

    def failing(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "pread", failing)
    caplog.set_level(logging.INFO, "cxrpt")
    with pytest.raises(
        OSError, match=r"source 'north': north-train-000002\.tar cannot be read \(.*Input/output error\)"
    ) as caught:
        shards.read(0, 2, 0)
    assert "\n" not in str(caught.value) and pauses == sorted(pauses) and 60 < sum(pauses) < 300
    assert all("north-train-000002.tar" in record.message for record in caplog.records) and len(caplog.records) == len(pauses)
    told = [record.levelno >= logging.WARNING for record in caplog.records]
    assert told == sorted(told) and any(told) and not told[0], "short waits are of no interest on the terminal"


def test_a_shard_cut_while_it_is_open_is_no_bad_sample(server, tmp_path, pauses):
    shards, path = local(server, tmp_path), server.root / "north" / "train" / "north-train-000000.tar"
    last = len(shards.reader(0, 0)) - 1
    whole = shards.read(0, 0, last)
    data = path.read_bytes()
    with path.open("r+b") as file:
        file.truncate(len(data) // 2)
    with pytest.raises(InputError, match=r"north-train-000000\.tar is truncated"):
        shards.read(0, 0, last)
    pauses.clear()
    path.unlink()
    with pytest.raises(InputError, match="is missing"):
        shards.read(0, 0, last)
    assert len(pauses) == len(open_shards.PAUSES_S)
    path.write_bytes(data)
    assert shards.read(0, 0, last) == whole


def test_a_server_that_is_away_for_a_while(server, tmp_path, pauses):
    shards = over_http(server, tmp_path)
    server.faults["north-train-000003.tar"] = ["drop", "503", "cut"]
    assert shards.read(0, 3, 1) == local(server, tmp_path).read(0, 3, 1)
    assert pauses == [1.0, 2.0, 4.0]
    (server.root / "north" / "train" / "north-train-000002.tar").unlink()
    with pytest.raises(OSError, match=r"source 'north': north-train-000002\.tar cannot be read \(http.*404"):
        shards.read(0, 2, 0)


def test_a_shard_that_changed_there_stops_at_once(server, tmp_path, pauses):
    shards = over_http(server, tmp_path)
    server.faults["north-train-000001.tar"] = ["wrong"] * 3
    with pytest.raises(InputError, match=r"north-train-000001\.tar of http.*its manifest says"):
        shards.read(0, 1, 0)
    assert not pauses


def test_a_copy_gone_bad_is_told_from_a_bad_sample(server, tmp_path, caplog):
    shards = over_http(server, tmp_path)
    good = shards.read(0, 0, 7)
    record = np.load(index_path(server.root / "north" / "train" / "north-train-000000.tar"))[7]
    (copy,) = (tmp_path / "cache").glob("*.tar")
    with copy.open("r+b") as file:
        file.seek(int(record["image"]["offset"]) + 20)
        file.write(b"rotten")
    with caplog.at_level(logging.WARNING):
        assert shards.read(0, 0, 7) == good
    assert "north-train-000000.tar went bad in the cache" in caplog.text
    assert server.requests["north/train/north-train-000000.tar"] == 2
    (copied_index,) = (tmp_path / "cache").glob("*.idx.npy")
    index = np.load(copied_index)
    index["image"]["crc32"][9] ^= 1
    np.save(copied_index, index)
    again = over_http(server, tmp_path)
    assert again.read(0, 0, 9).key == index["key"][9].decode(), "of an index gone bad, too"
    assert server.requests["north/train/north-train-000000.tar"] == 2


def test_a_sample_that_is_bad_everywhere_is_bad(tmp_path):
    make_shards(tmp_path / "there", "north", Kind.PAIR, 40, size=48)
    file = index_path(tmp_path / "there" / "north" / "train" / "north-train-000000.tar")
    index = np.load(file)
    index["image"]["crc32"][9] ^= 1
    np.save(file, index)
    with serving(tmp_path / "there") as server:
        shards = over_http(server, tmp_path)
        for _ in range(3):
            with pytest.raises(BadSampleError, match="does not match its checksum"):
                shards.read(0, 0, 9)
        assert shards.read(0, 0, 8)
        assert server.requests["north/train/north-train-000000.tar"] == 1


def test_what_is_wanted_is_there_before_it_is_read(server, tmp_path):
    shards = pickle.loads(pickle.dumps(over_http(server, tmp_path)))
    assert shards.any_remote and not local(server, tmp_path).any_remote
    server.faults["north-train-000001.tar"] = ["404"]
    shards.want([(0, 1), (0, 3), (0, 0)])
    shards.want([(0, 3), (0, 2)])
    until(lambda: cached(tmp_path) == ["north-train-000000", "north-train-000002", "north-train-000003"])
    before = dict(server.requests)
    assert shards.read(0, 3, 0) and shards.read(0, 0, 0) and server.requests == before
    assert shards.read(0, 1, 0), "what failed ahead is met again, and tried again"
    until(lambda: not shards._on_list)
    pickle.dumps(shards)


def test_wanting_never_raises(server, tmp_path):
    shards = over_http(server, tmp_path, "data.cache_gb=1e-6")
    shards.want([(0, 1)])
    until(lambda: not shards._on_list)
    with pytest.raises(InputError, match=r"data\.cache_gb=1e-06: .*raise it"):
        shards.read(0, 1, 0)
    local(server, tmp_path).want([(0, 1)])


def test_shards_that_lanes_have_left_are_let_go(server, tmp_path, monkeypatch):
    shards = over_http(server, tmp_path)
    old = shards.reader(0, 0)
    monkeypatch.setattr(open_shards, "_IDLE_S", 0.05)
    time.sleep(0.1)
    kept = shards.reader(0, 1)
    assert old.fileno() == -1 and kept.fileno() >= 0
    time.sleep(0.1)
    shards.want([])
    assert kept.fileno() == -1
    here = local(server, tmp_path)
    kept = here.reader(0, 0)
    time.sleep(0.1)
    here.want([])
    assert kept.fileno() >= 0, "of a file system, they cost nobody anything"


def test_a_full_cache_is_waited_for_and_what_is_open_here_is_closed(server, tmp_path, pauses):
    size = (server.root / "north" / "train" / "north-train-000000.tar").stat().st_size
    shards = over_http(server, tmp_path, f"data.cache_gb={1.6 * size / 1e9}")
    first = shards.read(0, 0, 0)
    assert shards.read(0, 1, 0) and shards.read(0, 0, 0) == first
    assert len(cached(tmp_path)) == 1


def test_the_number_of_open_shards_is_bounded(server, tmp_path, monkeypatch):
    monkeypatch.setattr(open_shards, "_MOST_OPEN_SHARDS", 2)
    for shards in (local(server, tmp_path), over_http(server, tmp_path)):
        readers = [shards.reader(0, number) for number in range(4)]
        assert [reader.fileno() >= 0 for reader in readers] == [False, False, True, True]
        assert len(shards._last_use) <= 2
