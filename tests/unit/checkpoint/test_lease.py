import errno
import json
import os
import subprocess
import sys
import time

import pytest

from cxrpt.checkpoint import lease as leases
from cxrpt.checkpoint.lease import LeaseLostError, hold_lease
from cxrpt.errors import InputError


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(leases, "BEAT_S", 0.05)


def holder(run_dir, **changes):
    path = run_dir / "lease.json"
    fields = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(fields | changes))
    return fields


def test_one_trainer_a_run_and_the_next_at_once(tmp_path):
    with hold_lease(tmp_path):
        with pytest.raises(InputError, match=r"another trainer on .* works on"), hold_lease(tmp_path, wait_s=0.1):
            pass
        assert holder(tmp_path)["number"] == 1
    assert holder(tmp_path)["released"]
    with hold_lease(tmp_path) as lease:
        assert holder(tmp_path)["number"] == 2
        lease.check()


def test_it_beats(tmp_path):
    with hold_lease(tmp_path):
        until = time.monotonic() + 10
        while holder(tmp_path)["beat"] < 3:
            assert time.monotonic() < until
            time.sleep(0.01)


def test_a_trainer_of_another_machine_is_taken_for_dead_when_its_beat_stops(tmp_path):
    holder(tmp_path, number=7, host="elsewhere", pid=1, beat=3, released=False)
    with hold_lease(tmp_path):
        assert holder(tmp_path)["number"] == 8


def test_one_that_beats_is_left_alone(tmp_path):
    beats = f"""
import json, pathlib, time
path = pathlib.Path({str(tmp_path / "lease.json")!r})
for beat in range(10000):
    draft = path.with_name("d")
    draft.write_text(json.dumps(dict(number=7, host="elsewhere", pid=1, beat=beat, released=False)))
    draft.replace(path)
    time.sleep(0.01)
"""
    process = subprocess.Popen([sys.executable, "-c", beats])
    try:
        while not (tmp_path / "lease.json").exists():
            time.sleep(0.01)
        with pytest.raises(InputError, match="another trainer on elsewhere"), hold_lease(tmp_path):
            pass
    finally:
        process.kill()
        process.wait()


def test_whoever_was_taken_for_dead_ends_and_commits_nothing(tmp_path):
    code = f"""
import pathlib, time
from cxrpt.checkpoint import lease
lease.BEAT_S = 0.2
with lease.hold_lease(pathlib.Path({str(tmp_path)!r})) as mine:
    print("holds", flush=True)
    time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "holds\n"
    holder(tmp_path, number=2, host="elsewhere")
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 1 and "another trainer (on elsewhere) has taken over" in errors
    assert holder(tmp_path)["number"] == 2


def test_a_check_before_a_commit_finds_the_other(tmp_path, monkeypatch):
    monkeypatch.setattr(leases, "BEAT_S", 60.0)
    with hold_lease(tmp_path) as lease:
        holder(tmp_path, number=2, host="elsewhere")
        with pytest.raises(LeaseLostError):
            lease.check()
    assert holder(tmp_path)["number"] == 2 and not holder(tmp_path)["released"]


def test_a_torn_file_is_no_holder(tmp_path):
    for text in ("", "{", '{"numbr": 1}'):
        (tmp_path / "lease.json").write_text(text)
        with hold_lease(tmp_path):
            assert holder(tmp_path)["pid"] == os.getpid()


def test_a_lease_that_cannot_be_read_is_not_taken_for_free(tmp_path, monkeypatch):
    holder(tmp_path, number=7, host="elsewhere", pid=1, beat=3, released=False)

    def stale(path):
        raise OSError(errno.ESTALE, "Stale file handle")

    monkeypatch.setattr(leases, "read_patiently", stale)
    with pytest.raises(OSError, match="Stale"), hold_lease(tmp_path):
        pass
    assert holder(tmp_path)["number"] == 7


def test_where_nothing_can_be_locked_the_beat_tells_of_a_trainer_of_this_machine_too(tmp_path, monkeypatch):
    def unlocked(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(leases.fcntl, "flock", unlocked)
    with hold_lease(tmp_path) as first:
        with pytest.raises(InputError, match=r"another trainer on .* works on"), hold_lease(tmp_path):
            pass
        first.check()
    with hold_lease(tmp_path):
        assert holder(tmp_path)["number"] == 2
