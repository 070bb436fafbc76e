"""Runs of two ranks whose checkpoints lie on a disk that fills: what is saved stays whole, and what comes after is policy."""

import resource
from contextlib import contextmanager

import pytest

from cxrpt.checkpoint.store import check_files, committed_steps, step_folder
from cxrpt.track.journal import read_journal
from tests.small_disk import fill, small_disk_at

from ..small_runs import rank_processes

pytestmark = pytest.mark.long

SHARD_SHARE = 4 / 3
"""A save asks for so much more room than its shards take."""


def sizes(folder):
    """Bytes of a checkpoint on a disk of 4 KiB blocks, and of its shards alone."""
    taken = {path: -(-path.stat().st_size // 4096) * 4096 for path in folder.rglob("*") if path.is_file()}
    return sum(taken.values()), sum(path.stat().st_size for path in folder.glob("shards/rank-*"))


@pytest.fixture(scope="module")
def checkpoint(runs, undisturbed):
    return sizes(step_folder(runs.folder("undisturbed"), 24))


@contextmanager
def run_on_small_disk(runs, name, disk, leave, only_checkpoints=True):
    """A run whose folder, or whose checkpoints, lie on a disk with so much room."""
    with small_disk_at(disk, "8m"):
        run_dir = runs.folder(name)
        run_dir.parent.mkdir(exist_ok=True)
        if only_checkpoints:
            run_dir.mkdir()
            (run_dir / "checkpoints").symlink_to(disk)
        else:
            (disk / "run").mkdir()
            run_dir.symlink_to(disk / "run")
        fill(disk / "ballast", leave)
        yield run_dir


def start(runs, name, *words):
    """A run with its journal written at every step."""
    return runs.start(name, "train.log_every=1", "train.keep_last=1", *words)


def line_with(process, part):
    """The next line on stderr, which must hold some words."""
    line = process.stderr.readline()
    assert part in line, line + process.stderr.read()
    return line


def end_of(process):
    # Not by `communicate`, which passes over what reading by lines has left.
    errors = process.stderr.read()
    process.wait(timeout=60)
    return errors


def stop(process):
    if process.poll() is None:
        process.kill()
        process.wait()


def all_whole(run_dir):
    for step in committed_steps(run_dir):
        check_files(step_folder(run_dir, step))
    assert len(list((run_dir / "checkpoints").glob("step-*"))) == len(committed_steps(run_dir)), "a failed save left files"


def test_a_run_goes_on_without_saves_and_without_its_journal_until_there_is_room(runs, tmp_path, checkpoint):
    whole, shards = checkpoint
    with run_on_small_disk(runs, "goes-on", tmp_path / "small", int(whole + SHARD_SHARE * shards / 2), False) as run_dir:
        process = start(runs, "goes-on", "train.steps=200", "train.max_failed_saves=100")
        try:
            line = line_with(process, "cxrpt: the save of step 10 ")
            needed = SHARD_SHARE * shards / 1e6
            assert f"needs {needed:.1f} MB" in line and "MB are free" in line and "failure 1 of 100" in line
            assert "step 5 is the last that is saved" in line and committed_steps(run_dir) == [5]
            check_files(step_folder(run_dir, 5))
            fill(tmp_path / "small" / "more")
            told = [line]
            while "the journal cannot be written" not in told[-1]:
                assert "the save of step" in told[-1], told
                told.append(process.stderr.readline())
            for name in ("more", "ballast"):
                (tmp_path / "small" / name).unlink()
            errors = end_of(process)
        finally:
            stop(process)
        assert process.returncode == 0 and committed_steps(run_dir) == [200], errors
        all_whole(run_dir)
        entries = read_journal(run_dir / "journal.jsonl")
        assert [entry.step for entry in entries] == list(range(1, 201))
        failed = [entry.metrics["save/failed"] for entry in entries]
        assert failed == sorted(failed) and failed[0] == 0
        assert failed[-1] == ("".join(told) + errors).count("the save of step")


@pytest.mark.parametrize("full", ["before the save", "in the middle of the save"])
def test_a_run_ends_with_its_checkpoints_whole_and_resumes_when_there_is_room(runs, undisturbed, tmp_path, checkpoint, full):
    whole, shards = checkpoint
    asked = SHARD_SHARE * shards
    # The room that is asked for leaves out small files such as the tokenizer, which here are no smaller than the shards.
    assert whole > asked + 64 * 4096, "this test fills the disk between what is asked for and what is taken"
    leave = asked / 2 if full == "before the save" else (asked + whole) / 2
    name = f"ends-{full.split()[0]}"
    with run_on_small_disk(runs, name, tmp_path / "small", int(whole + leave)) as run_dir:
        words = ("train.keep_last=1", "train.max_failed_saves=0")
        errors = runs.finish(name, *words, code=1)
        assert len(errors.splitlines()) == 1 and "cxrpt: the save of step 10 " in errors, errors
        assert f"needs {asked / 1e6:.1f} MB" in errors and "step 5 is the last that is saved: make room" in errors
        assert ("MB are free" if full == "before the save" else "rank 0: No space left on device") in errors
        assert committed_steps(run_dir) == [5]
        all_whole(run_dir)
        (tmp_path / "small" / "ballast").unlink()
        assert runs.finish(name, *words) == f"cxrpt: {run_dir} goes on after step 5\n"
        assert committed_steps(run_dir) == [24] and runs.losses(name) == undisturbed
        all_whole(run_dir)


def test_a_run_whose_last_save_fails_has_failed(runs, tmp_path, checkpoint):
    whole, _ = checkpoint
    with run_on_small_disk(runs, "last", tmp_path / "small", int(whole * 1.3)) as run_dir:
        told = runs.finish("last", "train.steps=10", code=1).splitlines()
        assert len(told) == 2 and "the save of step 10 " in told[0] and "failure 1 of 3" in told[0], told
        assert "cxrpt: the state after step 10 could not be saved: make room; the same command resumes" in told[1]
        assert committed_steps(run_dir) == [5]
        all_whole(run_dir)


def test_one_rank_that_cannot_write_costs_saves_and_no_more(runs):
    process = start(runs, "one-rank", "train.steps=150", "train.max_failed_saves=100")
    try:
        runs.wait_for_step("one-rank", 5)
        rank_1 = rank_processes(process)[1]
        before = resource.prlimit(rank_1, resource.RLIMIT_FSIZE)
        resource.prlimit(rank_1, resource.RLIMIT_FSIZE, (100_000, before[1]))  # its part of a checkpoint takes 340 kB
        line = line_with(process, "(rank 1: File too large)")
        resource.prlimit(rank_1, resource.RLIMIT_FSIZE, before)
        errors = end_of(process)
    finally:
        stop(process)
    run_dir = runs.folder("one-rank")
    assert process.returncode == 0 and committed_steps(run_dir) == [150], line + errors
    all_whole(run_dir)
    assert read_journal(run_dir / "journal.jsonl")[-1].metrics["save/failed"] >= 1
