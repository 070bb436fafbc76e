"""Saving beside training, of one rank."""

import errno
import json
import threading

import pytest
import torch

from cxrpt.checkpoint.saver import SaveError, Saver
from cxrpt.checkpoint.shards import Piece, ShardBuffer, ShardReader
from cxrpt.checkpoint.store import check_files, commit, committed_steps, step_folder
from cxrpt.dist.world import join_world, leave_world


@pytest.fixture(autouse=True)
def world():
    yield join_world("cpu", 0)
    leave_world()


@pytest.fixture
def said():
    return []


@pytest.fixture
def saver(tmp_path, said):
    after = lambda: said.append(f"after {committed_steps(tmp_path)[-1]}")  # noqa: E731
    saver = Saver(tmp_path, 0, 1, lambda folder: (folder / "model.json").write_text("{}"), after, said.append)
    yield saver
    saver.close()


def pieces(value):
    return [Piece("w", (2, 3), 0, tuple(torch.full((6,), float(value + n)) for n in range(3)))]


def saved_value(run_dir, step):
    return float(ShardReader(step_folder(run_dir, step)).weights()["w"][0, 0])


def test_a_save_is_committed_whole_while_training_goes_on(tmp_path, saver, said, monkeypatch):
    gate, write = threading.Event(), ShardBuffer.write
    monkeypatch.setattr(ShardBuffer, "write", lambda self, path: gate.wait(30) and write(self, path))
    mine = pieces(1)
    saver.save(10, mine, {"run.json": '{"step": 10}'})
    mine[0].tensors[0].fill_(99)  # training goes on
    assert saver.flags() == (False, False) and committed_steps(tmp_path) == []
    gate.set()
    saver.settle()
    assert committed_steps(tmp_path) == [10] and said == ["after 10"]
    folder = step_folder(tmp_path, 10)
    check_files(folder)
    names = {entry["name"] for entry in json.loads((folder / "COMMITTED").read_text())["files"]}
    assert names == {"shards/rank-00000.safetensors", "shards/index.json", "run.json", "model.json"}
    assert saved_value(tmp_path, 10) == 1


def test_the_next_save_waits_for_the_one_under_way(tmp_path, saver):
    for step in (10, 20, 30):
        saver.save(step, pieces(step), {"run.json": "{}"})
    saver.finish(30)
    assert committed_steps(tmp_path) == [10, 20, 30]
    assert [saved_value(tmp_path, step) for step in (10, 20, 30)] == [10, 20, 30]


def test_a_step_that_is_there_is_not_written_again(tmp_path, saver):
    for value in (1, 2):
        saver.save(10, pieces(value), {"run.json": "{}"})
    saver.finish(10)
    assert saved_value(tmp_path, 10) == 1


@pytest.mark.parametrize("broken", ["write", "finish", "room"])
def test_a_failed_save_leaves_the_earlier_ones_and_says_so(tmp_path, saver, said, monkeypatch, broken):
    saver.save(10, pieces(1), {"run.json": "{}"})
    saver.settle()
    said.clear()

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        if broken == "write":
            patch.setattr(ShardBuffer, "write", full)
        elif broken == "finish":
            patch.setattr(saver, "_finish", full)
        else:
            patch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 0}))
        saver.save(20, pieces(2), {"run.json": "{}"})
        saver.settle()
        assert committed_steps(tmp_path) == [10] and not step_folder(tmp_path, 20).exists()
        assert len(said) == 1 and "the save of step 20" in said[0] and "failure 1 of 1 in a row" in said[0]
        assert "step 10 is the last that is saved" in said[0] and "MB" in said[0]
        assert ("0.0 MB are free" if broken == "room" else "No space left on device") in said[0]
        with pytest.raises(SaveError, match=r"the save of step 30 .* make room"):
            saver.save(30, pieces(3), {"run.json": "{}"})
            saver.settle()
    check_files(step_folder(tmp_path, 10))
    saver.save(40, pieces(4), {"run.json": "{}"})
    saver.finish(40)
    assert committed_steps(tmp_path) == [10, 40] and saver.failed_total == 2 and saver.failed_in_row == 0
    assert "step 40 is saved: saving works again" in said


def test_the_last_save_must_not_fail(saver, monkeypatch):
    def full(*_):
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    monkeypatch.setattr(ShardBuffer, "write", full)
    saver.save(20, pieces(2), {"run.json": "{}"})
    with pytest.raises(SaveError, match="after step 20 could not be saved"):
        saver.finish(20)


def test_what_fails_after_the_commit_costs_no_checkpoint(tmp_path, saver, said, monkeypatch):
    def stuck():
        raise OSError(errno.ENOTEMPTY, "Directory not empty")

    monkeypatch.setattr(saver, "_after", stuck)
    saver.save(10, pieces(1), {"run.json": "{}"})
    saver.finish(10)
    assert committed_steps(tmp_path) == [10] and saver.failed_total == 0
    check_files(step_folder(tmp_path, 10))
    assert len(said) == 1 and "step 10 is saved, but older checkpoints could not be removed (Directory not empty)" in said[0]


def test_a_commit_that_fails_at_its_end_leaves_nothing_that_looks_like_a_checkpoint(tmp_path, saver, said, monkeypatch):
    def at_the_end(folder, entries):
        commit(folder, entries)
        raise OSError(errno.EIO, "Input/output error")

    removed = []
    monkeypatch.setattr("cxrpt.checkpoint.saver.commit", at_the_end)
    monkeypatch.setattr("shutil.rmtree", lambda folder, **_: removed.append((folder / "COMMITTED").exists()))
    saver.save(10, pieces(1), {"run.json": "{}"})
    saver.settle()
    assert removed == [False], "files went before COMMITTED did"
    assert committed_steps(tmp_path) == [] and "Input/output error" in said[0] and "nothing is saved yet" in said[0]
