import errno
import json
import math
import os
import random
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from cxrpt.errors import InputError
from cxrpt.track.journal import Journal, parse_lines, read_journal
from tests.small_disk import fill

ROOT = Path(__file__).parents[3]


def steps_of(path, kind="train"):
    return {entry.step: entry.metrics["loss"] for entry in read_journal(path) if entry.kind == kind}


def test_a_line_is_on_file_as_soon_as_it_is_written(tmp_path):
    journal = Journal(tmp_path / "j")
    journal.write(1, {"loss": 2.5, "lr": 1e-4})
    (entry,) = read_journal(tmp_path / "j")
    assert (entry.attempt, entry.step, entry.kind, entry.metrics) == (1, 1, "train", {"loss": 2.5, "lr": 1e-4})
    assert entry.time > 1.7e9
    journal.close()
    journal.close()


def test_non_finite_values_survive_as_strict_json(tmp_path):
    Journal(tmp_path / "j").write(1, {"a": math.nan, "b": math.inf, "c": -math.inf})

    def refuse(name):
        raise AssertionError(f"{name} is no JSON")

    json.loads((tmp_path / "j").read_text(), parse_constant=refuse)
    (entry,) = read_journal(tmp_path / "j")
    assert math.isnan(entry.metrics["a"]) and entry.metrics["b"] == math.inf and entry.metrics["c"] == -math.inf


def test_older_lines_hold_until_a_later_attempt_goes_its_own_way(tmp_path):
    path = tmp_path / "j"
    first = Journal(path)
    for step in range(90, 121):
        first.write(step, {"loss": 1.0})
    second = Journal(path)  # resumed from step 100
    assert second.attempt == 2
    for step in range(101, 111):
        second.write(step, {"loss": 2.0})
    seen = steps_of(path)
    assert sorted(seen) == list(range(90, 111)), "what the first one did after step 100 is no part of the run any more"
    assert [seen[step] for step in (100, 101, 110)] == [1.0, 2.0, 2.0]
    assert [entry.step for entry in read_journal(path)] == sorted(seen)


def test_kinds_do_not_overwrite_each_other(tmp_path):
    journal = Journal(tmp_path / "j")
    journal.write(5, {"loss": 1.0})
    journal.write(5, {"loss": 9.0}, kind="eval")
    assert steps_of(tmp_path / "j") == {5: 1.0} and steps_of(tmp_path / "j", "eval") == {5: 9.0}


def test_every_place_a_kill_can_tear_the_last_line_at(tmp_path):
    path = tmp_path / "j"
    journal = Journal(path)
    journal.write(1, {"loss": 1.0})
    whole = path.read_bytes()
    journal.write(2, {"loss": 2.0})
    both = path.read_bytes()
    for cut in range(len(whole), len(both) + 1):
        path.write_bytes(both[:cut])
        assert steps_of(path)[1] == 1.0
        again = Journal(path)
        assert again.attempt == 2
        again.write(3, {"loss": 3.0})
        seen = steps_of(path)
        assert seen[1] == 1.0 and seen[3] == 3.0
        assert seen.get(2, 2.0) == 2.0 and (2 in seen) == (cut >= len(both) - 1)


def test_no_journal_is_no_entries(tmp_path):
    assert read_journal(tmp_path / "none") == []


class Disk:
    """Stands in for `os.pwrite` and `os.fsync`: a disk that has room for `room` more bytes, or fails as it is told."""

    def __init__(self, monkeypatch):
        self.room = 1 << 60
        self.sync_error = None
        self.late = False
        self._pwrite, self._fsync = os.pwrite, os.fsync
        monkeypatch.setattr(os, "pwrite", self.pwrite)
        monkeypatch.setattr(os, "fsync", self.fsync)

    def pwrite(self, handle, data, offset):
        new = max(0, offset + len(data) - os.fstat(handle).st_size)
        if new <= self.room:
            self.room -= new
            return self._pwrite(handle, data, offset)
        done, self.room = len(data) - new + self.room, 0
        if done:
            self._pwrite(handle, bytes(data)[:done], offset)
        if done and not self.late:
            return done
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def fsync(self, handle):
        if self.sync_error:
            raise OSError(self.sync_error, os.strerror(self.sync_error))
        self._fsync(handle)


@pytest.fixture
def disk(monkeypatch):
    return Disk(monkeypatch)


class Follower:
    """Reads the file by offset as the sink does."""

    def __init__(self, path):
        self.path, self.offset, self.steps = path, 0, []

    def look(self):
        data = self.path.read_bytes()
        if self.offset > len(data):
            self.offset = 0
        new = data[self.offset : data.rfind(b"\n") + 1]
        self.offset += len(new)
        self.steps += [e.step for e in parse_lines(new) if e.step > max(self.steps, default=0)]


def told(caplog):
    return [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize("late", [False, True])
def test_a_full_disk_costs_no_line_wherever_it_tears_one(tmp_path, disk, caplog, late):
    path = tmp_path / "j"
    journal = Journal(path)
    journal.write(1, {"loss": 1.0})
    length = path.stat().st_size
    journal.close()
    disk.late = late
    for room in range(length + 2):
        path.unlink()
        disk.room = 1 << 60
        journal, follower = Journal(path), Follower(path)
        caplog.clear()
        journal.write(1, {"loss": 1.0})
        disk.room = room
        for step in (2, 3, 4):
            journal.write(step, {"loss": float(step)})
            follower.look()
        disk.room = 1 << 60
        journal.write(5, {"loss": 5.0})
        follower.look()
        journal.close()
        assert [entry.step for entry in parse_lines(path.read_bytes())] == [1, 2, 3, 4, 5] == follower.steps
        assert path.read_bytes().count(b"\n") == 5
        assert len(told(caplog)) == 2 and "No space left" in told(caplog)[0] and "written again" in told(caplog)[1]


def test_a_sync_that_fails_writes_the_same_bytes_again(tmp_path, disk, caplog):
    path = tmp_path / "j"
    journal, follower = Journal(path), Follower(path)
    journal._synced = -1e9
    disk.sync_error = errno.EIO
    journal.write(1, {"loss": 1.0})
    path.write_bytes(bytes(path.stat().st_size))  # what a page that could not be written back may hold afterwards
    journal.write(2, {"loss": 2.0})
    follower.look()
    disk.sync_error = None
    journal.write(3, {"loss": 3.0})
    follower.look()
    assert [entry.step for entry in parse_lines(path.read_bytes())] == [1, 2, 3] == follower.steps
    assert len(told(caplog)) == 2 and "Input/output error" in told(caplog)[0]


def test_a_folder_that_goes_away_and_comes_back(tmp_path, caplog, monkeypatch):
    """As of a file server that restarts: the handle is stale, what was not synced is gone."""
    path = tmp_path / "run" / "j"
    path.parent.mkdir()
    journal, follower = Journal(path), Follower(path)
    for step in (1, 2, 3):
        journal.write(step, {"loss": 1.0})
        follower.look()
    cut = len(path.read_bytes()) // 2
    path.parent.rename(tmp_path / "away")
    (tmp_path / "away" / "j").write_bytes((tmp_path / "away" / "j").read_bytes()[:cut])

    def stale(handle):
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fstat", stale)
        journal.write(4, {"loss": 1.0})
        journal.write(5, {"loss": 1.0})
    (tmp_path / "away").rename(path.parent)
    journal.write(6, {"loss": 1.0})
    follower.look()
    assert [entry.step for entry in parse_lines(path.read_bytes())] == [1, 2, 3, 4, 5, 6] == follower.steps
    assert len(told(caplog)) == 2 and "tale" in told(caplog)[0]


def test_lines_of_another_hand_are_not_overwritten(tmp_path):
    path = tmp_path / "j"
    journal = Journal(path)
    journal.write(1, {"loss": 1.0})
    with path.open("ab") as file:
        file.write(b'{"attempt": 9, "step": 7, "time": 0, "kind": "train", "metrics": {}}\n')
    journal.write(2, {"loss": 1.0})
    path.write_bytes(path.read_bytes()[:-5])
    journal.close()
    journal.write(3, {"loss": 1.0})
    assert sorted({entry.step for entry in parse_lines(path.read_bytes())}) == [1, 2, 3, 7]


def test_memory_is_bounded_and_the_curve_stays_whole(tmp_path, disk, caplog, monkeypatch):
    monkeypatch.setattr("cxrpt.track.journal._MOST_BYTES", 20_000)
    path = tmp_path / "j"
    journal = Journal(path)
    journal.write(1, {"loss": 1.0})
    disk.room = 30
    for step in range(2, 2002):
        journal.write(step, {"loss": float(step)})
        assert sum(map(len, journal._lines)) <= 20_000
    disk.room = 1 << 60
    journal.write(2002, {"loss": 1.0})
    steps = [entry.step for entry in parse_lines(path.read_bytes())]
    assert steps[:2] == [1, 2], "the line that was torn is whole"
    assert steps[-1] == 2002 and steps == sorted(set(steps)) and len(steps) > 80
    gaps = [b - a for a, b in pairwise(steps)]
    assert max(gaps) <= 33
    assert f"{2002 - len(steps)} were dropped" in told(caplog)[1]


def test_what_is_lost_in_the_end_is_told_and_is_no_error(tmp_path, disk, caplog):
    journal = Journal(tmp_path / "j")
    journal.write(1, {"loss": 1.0})
    disk.room = 100
    for step in range(2, 6):
        journal.write(step, {"loss": 1.0})
    journal.close()
    journal.close()
    there = [entry.step for entry in parse_lines((tmp_path / "j").read_bytes())]
    assert len(told(caplog)) == 2 and f"{5 - len(there)} logged lines are lost" in told(caplog)[1]
    assert "No space left" in told(caplog)[1]


def test_any_sequence_of_troubles_leaves_every_line_once(tmp_path, disk):
    for seed in range(150):
        rng = random.Random(seed)
        path = tmp_path / f"j{seed}"
        journal, follower = Journal(path), Follower(path)
        for step in range(1, 25):
            disk.room, disk.late = rng.choice([1 << 60, 1 << 60, 0, rng.randrange(300)]), rng.random() < 0.5
            disk.sync_error = rng.choice([None, None, errno.EIO])
            if rng.random() < 0.3:
                journal._synced = -1e9
            if rng.random() < 0.1 and path.stat().st_size > journal._safe:  # a server forgets what was not synced
                os.truncate(path, rng.randrange(journal._safe, path.stat().st_size))
            journal.write(step, {"loss": rng.random()})
            if rng.random() < 0.5:
                follower.look()
        disk.room, disk.sync_error = 1 << 60, None
        journal.close()
        follower.look()
        assert [entry.step for entry in parse_lines(path.read_bytes())] == list(range(1, 25)) == follower.steps, seed
        assert path.read_bytes().count(b"\n") == 24


@pytest.mark.parametrize("make", [lambda path: path.mkdir(), lambda path: path.parent.rmdir()])
def test_a_journal_that_cannot_be_opened_is_bad_input(tmp_path, make):
    path = tmp_path / "run" / "j"
    path.parent.mkdir()
    make(path)
    with pytest.raises(InputError, match="cannot be written"):
        Journal(path)


def test_no_room_at_the_start_is_bad_input_and_leaves_the_journal_as_it_was(tmp_path, disk):
    Journal(tmp_path / "j").write(1, {"loss": 1.0})
    before = (tmp_path / "j").read_bytes()
    disk.sync_error = errno.EDQUOT
    with pytest.raises(InputError, match="quota"):
        Journal(tmp_path / "j")
    assert (tmp_path / "j").read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["j"]


def test_an_unreadable_journal_is_bad_input(tmp_path):
    (tmp_path / "j").mkdir()
    with pytest.raises(InputError, match="cannot be read"):
        read_journal(tmp_path / "j")


LIMITED = """
import logging, resource, sys
from pathlib import Path
from cxrpt.track.journal import Journal
logging.basicConfig(format="%(message)s")
journal = Journal(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, resource.RLIM_INFINITY))
for step in range(1, 200):
    if step == 150:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    journal.write(step, {"loss": 1.0})
journal.close()
"""


def test_a_real_limit_on_the_file_s_size(tmp_path):
    done = subprocess.run([sys.executable, "-c", LIMITED, tmp_path / "j"], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert [entry.step for entry in parse_lines((tmp_path / "j").read_bytes())] == list(range(1, 200))
    assert "File too large" in done.stderr and len(done.stderr.splitlines()) == 2


def test_a_real_full_disk(tmp_path, small_disk, caplog):
    path = small_disk / "j"
    journal = Journal(path)
    journal.write(1, {"loss": 1.0})
    ballast = small_disk / "ballast"
    fill(ballast)
    for step in range(2, 200):
        journal.write(step, {"loss": 1.0})
    with pytest.raises(InputError, match="No space"):
        Journal(path)
    ballast.unlink()
    journal.write(200, {"loss": 1.0})
    journal.close()
    assert [entry.step for entry in parse_lines(path.read_bytes())] == list(range(1, 201))
    assert len(told(caplog)) == 2
