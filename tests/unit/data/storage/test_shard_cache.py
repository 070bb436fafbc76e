"""The cache of a node: one download a file, a bound that holds, nothing poisoned by a crash."""

import dataclasses
import fcntl
import hashlib
import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from cxrpt.data.storage import shard_cache
from cxrpt.data.storage.remote import TransferError
from cxrpt.data.storage.shard_cache import CacheFullError, RemoteFile, ShardCache, is_intact
from cxrpt.errors import InputError

from .cache_process import used_bytes
from .faulty_server import serving

ROOT = Path(__file__).parents[4]
SIZE = 200_000


@pytest.fixture
def server(tmp_path):
    root = tmp_path / "there"
    root.mkdir()
    for number in range(8):
        (root / f"s{number}.tar").write_bytes(os.urandom(SIZE))
    with serving(root) as running:
        yield running


def remote(server, number, **changes) -> RemoteFile:
    data = (server.root / f"s{number}.tar").read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    file = RemoteFile(f"{server.url}/s{number}.tar", f"s{number}.{digest[:32]}.tar", len(data), digest)
    return dataclasses.replace(file, **changes)


def cache_at(tmp_path, files=8.0) -> ShardCache:
    return ShardCache(str(tmp_path / "cache"), int(files * SIZE))


def listed(tmp_path):
    return sorted(path.name for path in (tmp_path / "cache").iterdir() if path.name != "lock")


def start(cache, files, rounds=1, seed=0, hold_s=0.0):
    fields = json.dumps([dataclasses.astuple(file) for file in files])
    words = [cache.folder, str(cache.max_bytes), fields, str(rounds), str(seed), str(hold_s)]
    return subprocess.Popen(
        [sys.executable, "-m", "tests.unit.data.storage.cache_process", *words],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def go(*processes):
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()


def results(*processes):
    found = [json.loads(process.communicate()[0]) for process in processes]
    assert all(process.returncode == 0 for process in processes)
    return found


def test_fetched_once_verified_and_named_by_content(server, tmp_path):
    cache, file = pickle.loads(pickle.dumps(cache_at(tmp_path))), remote(server, 0)
    for _ in range(3):
        with cache.held(file) as path:
            assert path.read_bytes() == (server.root / "s0.tar").read_bytes()
            assert is_intact(file, os.open(path, os.O_RDONLY))
    assert server.requests["s0.tar"] == 1 and listed(tmp_path) == [file.name]
    assert (tmp_path / "cache").stat().st_mode & 0o777 == 0o700 and path.stat().st_mode & 0o777 == 0o600
    (server.root / "s0.tar").write_bytes(os.urandom(SIZE))
    with cache.held(remote(server, 0)) as path:
        assert path.read_bytes() == (server.root / "s0.tar").read_bytes(), "a stale copy of a shard that changed"


def test_what_comes_between_looking_and_locking(server, tmp_path, monkeypatch):
    cache, file = cache_at(tmp_path), remote(server, 0)
    with cache.held(file) as path, path.open("rb") as second:
        fcntl.flock(second, fcntl.LOCK_SH | fcntl.LOCK_NB)  # of those who fetch, too, the lock is a shared one
        assert cache._fetch(path, file, 5.0, wait=True) is None, "another process fetched it just now"
    assert server.requests["s0.tar"] == 1 and listed(tmp_path) == [file.name]
    lock = shard_cache._lock

    def evicted_first(handle, how):
        monkeypatch.setattr(shard_cache, "_lock", lock)
        path.unlink()
        return lock(handle, how)

    monkeypatch.setattr(shard_cache, "_lock", evicted_first)
    with cache.held(file) as path:
        assert path.exists()
    assert server.requests["s0.tar"] == 2


def test_wrong_content_is_fetched_again_and_then_named(server, tmp_path):
    cache, file = cache_at(tmp_path), remote(server, 0)
    server.faults["s0.tar"] = ["wrong", "short"]
    with cache.held(file) as path:
        assert path.read_bytes() == (server.root / "s0.tar").read_bytes()
    assert server.requests["s0.tar"] == 3
    for fault, found in (
        ("wrong", f"has {SIZE} bytes of sha256"),
        ("short", f"has {SIZE // 2} bytes"),
        ("longer", "more than"),
    ):
        other = remote(server, 1)
        server.faults["s1.tar"] = [fault] * 3
        with pytest.raises(
            InputError, match=rf"s1\.tar of http.*{found}.*its manifest says {SIZE} bytes of sha256 .*again"
        ) as caught:
            cache.held(other).__enter__()
        assert "\n" not in str(caught.value)
    assert listed(tmp_path) == [file.name], "nothing of it is left"


def test_a_transfer_that_fails_leaves_nothing(server, tmp_path):
    cache = cache_at(tmp_path)
    for fault in ("cut", "drop", "404", "stall"):
        server.faults["s0.tar"] = [fault]
        with pytest.raises(TransferError), cache.held(remote(server, 0), stall_s=0.3):
            pass
        assert listed(tmp_path) == []
    with cache.held(remote(server, 0)):
        pass


def test_a_copy_that_lost_its_end_is_fetched_again(server, tmp_path):
    cache, file = cache_at(tmp_path), remote(server, 0)
    with cache.held(file) as path:
        pass
    path.write_bytes(path.read_bytes()[:1000])
    with cache.held(file) as path:
        assert path.stat().st_size == SIZE
    assert server.requests["s0.tar"] == 2


def test_many_processes_download_each_file_once(server, tmp_path):
    server.faults["*"] = ["slow"] * 100
    cache, files = cache_at(tmp_path), [remote(server, number) for number in range(3)]
    processes = [start(cache, [file], rounds=2) for file in files for _ in range(5)]
    go(*processes)
    results(*processes)
    assert server.downloads(".tar") == {"s0.tar": 1, "s1.tar": 1, "s2.tar": 1}


def test_a_download_that_is_killed_hinders_nobody(server, tmp_path):
    server.faults["s0.tar"] = ["stall"]
    cache, file = cache_at(tmp_path), remote(server, 0)
    victim = start(cache, [file])
    go(victim)
    part = tmp_path / "cache" / f"{file.name}.part"
    until = time.monotonic() + 10
    while not server.requests["s0.tar"] and time.monotonic() < until:
        time.sleep(0.01)
    waiting = [start(cache, [file]) for _ in range(4)]
    go(*waiting)
    time.sleep(0.3)
    assert part.exists() and all(process.poll() is None for process in waiting), "they wait for the one that fetches"
    victim.send_signal(signal.SIGKILL)
    results(*waiting)
    assert server.requests["s0.tar"] == 2 and listed(tmp_path) == [file.name]
    victim.communicate()


def test_what_dead_writers_left_is_swept_and_what_the_living_write_is_not(server, tmp_path):
    cache = cache_at(tmp_path, files=3)
    folder = cache.path()
    dead, alive = (folder / f"{name}.{'0' * 32}.tar.part" for name in ("dead", "alive"))
    for part in (dead, alive):
        part.write_bytes(b"x" * SIZE)
    mine = folder / "notes.tar"
    mine.write_bytes(b"x" * 5 * SIZE)
    with alive.open("r+b") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        for number in range(4):
            with cache.held(remote(server, number)):
                pass
        assert not dead.exists() and alive.exists() and mine.exists()
        assert len(list(folder.glob("s*.tar"))) == 2, "what is being written counts"


def test_the_least_recently_opened_goes_and_what_is_open_stays(server, tmp_path):
    cache, files = cache_at(tmp_path, files=3.5), [remote(server, number) for number in range(6)]
    with cache.held(files[0]):
        for number in (1, 2, 1, 3):
            time.sleep(0.01)
            with cache.held(files[number]):
                pass
        assert listed(tmp_path) == [files[0].name, files[1].name, files[3].name]
        with cache.held(files[4]), cache.held(files[5]):
            assert listed(tmp_path) == [files[0].name, files[4].name, files[5].name]
            with pytest.raises(CacheFullError, match=r"data\.cache_gb=0\.0007.*hold all 0\.0006 GB.*raise it") as caught:
                cache.held(files[1]).__enter__()
            assert "\n" not in str(caught.value)
        with cache.held(files[1]):
            assert files[0].name in listed(tmp_path)


def test_an_index_stays_with_its_open_tar(server, tmp_path):
    cache, files = cache_at(tmp_path, files=2.5), [remote(server, number) for number in range(3)]
    index = RemoteFile(f"{server.url}/s7.tar", files[0].name.replace(".tar", ".idx.npy"), SIZE)
    with cache.held(files[0]):
        with cache.held(index):
            pass
        with pytest.raises(CacheFullError):
            cache.held(files[1]).__enter__()
    with cache.held(files[1]):
        assert not (tmp_path / "cache" / index.name).exists() or not (tmp_path / "cache" / files[0].name).exists()


def test_the_bound_holds_with_processes_that_evict_each_other(server, tmp_path):
    cache, files = cache_at(tmp_path, files=5), [remote(server, number) for number in range(8)]
    processes = [start(cache, files, rounds=25, seed=seed, hold_s=0.001) for seed in range(4)]
    go(*processes)
    most = 0
    while any(process.poll() is None for process in processes):
        most = max(most, used_bytes(cache.path()))
        time.sleep(0.002)
    found = results(*processes)
    assert most <= cache.max_bytes and all(one["most"] <= cache.max_bytes for one in found)
    assert not any(one["full"] for one in found), "four processes never hold more than four of the five there is room for"
    assert sum(server.downloads(".tar").values()) > 8, "the cache was too large to show anything"


def test_two_threads_of_a_process_fetch_once_and_a_prefetch_never_waits(server, tmp_path):
    server.faults["s0.tar"] = ["slow"]
    cache, file = cache_at(tmp_path), remote(server, 0)
    thread = threading.Thread(target=cache.prefetch, args=(file,))
    thread.start()
    while not server.requests["s0.tar"]:
        time.sleep(0.005)
    cache.prefetch(file)
    assert thread.is_alive(), "the second prefetch waited for the first"
    with cache.held(file):
        pass
    thread.join()
    assert server.requests["s0.tar"] == 1


def test_a_file_too_large_and_folders_that_will_not_do(server, tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"data\.cache_gb=0\.0001: s0\..*alone has 0\.0002 GB: raise it"):
        cache_at(tmp_path, files=0.5).held(remote(server, 0)).__enter__()
    (tmp_path / "open").mkdir(mode=0o777)
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(InputError, match="others can write to it"):
        ShardCache(str(tmp_path / "open"), 10).path()
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"data\.cache_dir: .*cannot be made"):
        ShardCache(str(tmp_path / "file" / "x"), 10).path()
    with pytest.raises(InputError, match="names a variable that is not set"):
        ShardCache("$NOT_SET_ANYWHERE/x", 10).path()
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert ShardCache("", 10).path() == tmp_path / f"cxrpt-cache-{os.getuid()}"
    assert ShardCache("$TMPDIR/own", 10).path() == tmp_path / "own"
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    with pytest.raises(InputError, match="is not yours"):
        ShardCache(str(tmp_path / "own"), 10).path()


def test_a_full_disk_is_one_clear_line(server, tmp_path, monkeypatch):
    cache = cache_at(tmp_path)
    with cache.held(remote(server, 0)):
        pass
    room = SIZE

    def allocate(handle, offset, size):
        used = sum(path.stat().st_size for path in (tmp_path / "cache").glob("s*.tar"))
        if used + size > room:
            raise OSError(28, "No space left on device")
        os.ftruncate(handle, size)

    monkeypatch.setattr(os, "posix_fallocate", allocate)
    with cache.held(remote(server, 1)):
        assert listed(tmp_path) == [remote(server, 1).name], "what is in no use gives way before the disk is called full"
        with pytest.raises(CacheFullError, match=r"cache is full \(No space left on device\).*lower data\.cache_gb") as caught:
            cache.held(remote(server, 2)).__enter__()
        assert "\n" not in str(caught.value)
    assert listed(tmp_path) == [remote(server, 1).name]
