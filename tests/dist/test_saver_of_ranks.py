"""Saving on two ranks, one of which cannot write or is slow."""

import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from cxrpt.checkpoint.saver import SaveError, Saver
from cxrpt.checkpoint.shards import Piece, ShardBuffer, ShardReader
from cxrpt.checkpoint.store import check_files, committed_steps, step_folder
from cxrpt.dist.collectives import from_first_rank, sum_over_ranks
from cxrpt.dist.world import join_world, leave_world, local_environment

ROOT = Path(__file__).parents[2]


class Rank:
    """What each of the two processes does."""

    def __init__(self, run_dir: Path):
        self.world, self.run_dir, self.said = join_world("cpu", 0), run_dir, []
        self.saver = Saver(run_dir, self.world.rank, 1, lambda _: None, lambda: None, self.said.append)
        self.write = ShardBuffer.write

    def save(self, step):
        parts = tuple(torch.full((4,), float(step + n)) for n in range(3))
        self.saver.save(step, [Piece("w", (8,), 4 * self.world.rank, parts)], {"run.json": "{}"})

    def train(self):
        """One step; whether a save is still under way."""
        flags = torch.tensor([*map(float, self.saver.flags()), 1.0])
        self.saver.advance(*map(int, sum_over_ranks(flags).tolist()))
        time.sleep(0.01)
        return self.saver._step is not None


def fail_on(rank, number):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    ShardBuffer.write = full if rank.world.rank == number else rank.write


def one_rank_fails_and_the_other_is_slow(rank):
    rank.save(10)
    rank.saver.settle()
    assert committed_steps(rank.run_dir) == [10]
    go_on = rank.run_dir / "go-on"

    def slow(self, path):
        while not go_on.exists():
            time.sleep(0.01)
        return rank.write(self, path)  # raises if its folder were gone

    fail_on(rank, 1)
    if rank.world.rank == 0:
        ShardBuffer.write = slow
    rank.save(20)
    for _ in range(50):
        assert rank.train(), "a save was given up while a rank was writing"
    assert step_folder(rank.run_dir, 20).exists() and not rank.said
    go_on.touch()
    while rank.train():
        pass
    assert committed_steps(rank.run_dir) == [10] and not step_folder(rank.run_dir, 20).exists()
    assert rank.saver.failed_total == 1
    if rank.world.rank == 0:
        assert len(rank.said) == 1 and "rank 1: No space left on device); step 10 is the last" in rank.said[0], rank.said
    ShardBuffer.write = rank.write
    rank.save(30)
    rank.saver.finish(30)
    assert committed_steps(rank.run_dir) == [10, 30] and rank.saver.failed_in_row == 0
    whole = ShardReader(step_folder(rank.run_dir, 30)).weights()["w"]
    assert torch.equal(whole, torch.full((8,), 30.0))


def too_many_failures_end_all_ranks_alike(rank):
    rank.save(10)
    rank.saver.settle()
    for number, step in ((0, 20), (1, 30)):
        fail_on(rank, number)
        rank.save(step)
        if step == 20:
            rank.saver.settle()
    with pytest.raises(SaveError, match=r"save of step 30 .* \(rank 1: No space left"):
        rank.saver.settle()
    assert committed_steps(rank.run_dir) == [10]
    check_files(step_folder(rank.run_dir, 10))


def a_save_that_is_slower_than_the_next_is_waited_for(rank):
    def slow(self, path):
        time.sleep(0.2 * rank.world.rank)
        return rank.write(self, path)

    ShardBuffer.write = slow
    for step in (10, 20, 30):
        rank.save(step)
        if rank.world.rank:
            assert rank.saver._thread._work_queue.qsize() <= 1, "saves pile up"
        assert from_first_rank(committed_steps(rank.run_dir)) == [s for s in (10, 20) if s < step]
    rank.saver.finish(30)
    assert committed_steps(rank.run_dir) == [10, 20, 30]


CASES = (
    one_rank_fails_and_the_other_is_slow,
    too_many_failures_end_all_ranks_alike,
    a_save_that_is_slower_than_the_next_is_waited_for,
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_two_ranks(tmp_path, case):
    processes = []
    for rank in range(2):
        environment = os.environ | local_environment(rank, 2, f"file://{tmp_path}/meeting", 1)
        command = [sys.executable, "-m", "tests.dist.test_saver_of_ranks", case.__name__, str(tmp_path / "run")]
        processes.append(subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True))
    try:
        for process in processes:
            _, errors = process.communicate(timeout=100)
            assert process.returncode == 0, errors[-2000:]
    finally:
        for process in processes:
            process.kill()
            process.wait()


if __name__ == "__main__":
    one = Rank(Path(sys.argv[2]))
    globals()[sys.argv[1]](one)
    one.saver.close()
    leave_world()
