"""Ranks and workers as real processes: any shape reads the same sets in the same steps, with a kill -9 between shapes."""

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import time
import zlib
from collections import Counter
from pathlib import Path

import pytest

from cxrpt.config import load_config
from cxrpt.data.sample import Kind
from cxrpt.data.storage.open_shards import OpenShards
from cxrpt.preflight import prepare
from data_prep.train_tokenizer import train_tokenizer

from ..made_shards import make_shards

# Ranks and workers a rank; each shape goes on where the one before was killed.
SHAPES = [(2, 1), (1, 3), (4, 0), (1, 0), (4, 3), (2, 0), (1, 1), (4, 1), (2, 3)]
STEPS_A_SHAPE = 4

RANK = """
import json, sys, time, zlib
from contextlib import closing
from pathlib import Path
from cxrpt.config import load_config
from cxrpt.data.loading.lengths import measure_tokens_per_word
from cxrpt.data.loading.micro_batches import micro_batches
from cxrpt.preflight import prepare

config, out, rank, world, workers, slot = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])
prepared = prepare(load_config(Path(config)), rank, world)
dataset = prepared.micro_batches(slot, measure_tokens_per_word(prepared.sources, prepared.maker))
with closing(micro_batches(dataset, workers, 2, False)) as stream, open(out, "w") as file:
    while True:
        step = []
        for _ in range(prepared.step.accumulation):
            batch = next(stream)
            rows, places = batch.grid**2, batch.place_W.tolist()
            for first in range(0, len(batch.patches_PE), rows):
                image = batch.patches_PE[first : first + rows], batch.hidden_P[first : first + rows]
                step.append(zlib.crc32(b"".join(part.numpy().tobytes() for part in image)))
            starts = [n for n, place in enumerate(places) if place == 0] + [len(places)]
            for start, end in zip(starts, starts[1:]):
                step.append(zlib.crc32(batch.tokens_W[start:end].numpy().tobytes()))
        file.write(json.dumps(sorted(step)) + "\\n")
        file.flush()
        time.sleep(0.01)
"""


@pytest.fixture(scope="module")
def config_file(tmp_path_factory):
    root = tmp_path_factory.mktemp("worlds")
    for institution, kind, count in (("north", Kind.PAIR, 300), ("south", Kind.IMAGE, 120), ("west", Kind.TEXT, 120)):
        make_shards(root, institution, kind, count, seed=count, size=32)
    train_tokenizer([root / "north", root / "west"], root / "tok.model", vocab_size=600)
    sources = "".join(f"    {name}: {{path: {root}/{name}}}\n" for name in ("north", "south", "west"))
    (root / "c.yaml").write_text(
        f"data:\n  tokenizer: {root}/tok.model\n  image_size: 32\n  lanes: 8\n  max_text_tokens: 40\n  sources:\n{sources}"
        "train: {global_batch: 16}\nengine: {micro_batch: 2}\nmodel: {patch_size: 8}\n"
    )
    return root / "c.yaml"


class Ranks:
    """The processes of one shape, each writing a line a step."""

    def __init__(self, config: Path, out: Path, world: int, workers: int, slot: int):
        out.mkdir()
        self.workers, self.files = workers, [out / str(rank) for rank in range(world)]
        words = [[str(config), str(self.files[rank]), *map(str, (rank, world, workers, slot))] for rank in range(world)]
        self.processes = [subprocess.Popen([sys.executable, "-P", "-c", RANK, *line], stderr=subprocess.PIPE) for line in words]

    def steps(self) -> list[list[int]]:
        """What all ranks together read in each step that every one of them has finished."""
        lines = [file.read_text().split("\n")[:-1] if file.exists() else [] for file in self.files]
        return [sorted(itertools.chain.from_iterable(map(json.loads, parts))) for parts in zip(*lines, strict=False)]

    def wait_for(self, steps: int) -> None:
        until = time.monotonic() + 60
        while len(self.steps()) < steps:
            ended = [process for process in self.processes if process.poll() is not None]
            assert not ended, ended[0].stderr.read().decode()
            assert time.monotonic() < until
            time.sleep(0.02)

    def loader_workers(self) -> list[int]:
        children = [Path(f"/proc/{one.pid}/task/{one.pid}/children").read_text().split() for one in self.processes]
        assert [len(pids) for pids in children] == [self.workers] * len(self.processes)
        return [int(pid) for pids in children for pid in pids]

    def kill(self) -> None:
        """Kill the ranks, and see their workers end by themselves with nothing left in /dev/shm."""
        workers = self.loader_workers()
        for pid in (*workers, *(process.pid for process in self.processes)):
            # What has no name there cannot be left there.
            assert "/dev/shm" not in Path(f"/proc/{pid}/maps").read_text()
            assert not any(str(link.readlink()).startswith("/dev/shm") for link in Path(f"/proc/{pid}/fd").iterdir())
        for process in self.processes:
            process.send_signal(signal.SIGKILL)
        for process in self.processes:
            process.wait()
        until = time.monotonic() + 10
        while left := [pid for pid in workers if is_loader_worker(pid)]:
            assert time.monotonic() < until, f"workers {left} outlive their trainer"
            time.sleep(0.02)


def is_loader_worker(pid: int) -> bool:
    try:
        return b"loader_worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False


def read_alone(config: Path, steps: int) -> list[list[int]]:
    """As the ranks, in one process that nobody disturbs, by another way: sample by sample."""
    prepared = prepare(load_config(config), 0, 1)
    shards, found = OpenShards(prepared.sources), []
    for step in range(steps):
        lane, slot = prepared.plan.step_slots(step * prepared.step.slots, prepared.step.slots, 0, 1)
        places = prepared.plan.places(lane, slot)
        crcs = []
        for source, epoch, shard, sample in zip(places.source, places.epoch, places.shard, places.sample, strict=True):
            raw = shards.read(int(source), int(shard), int(sample))
            example = prepared.maker.make(raw, int(source), int(epoch))
            if example.patches is not None:
                crcs.append(zlib.crc32(example.patches.tobytes() + example.hidden.tobytes()))
            if example.text is not None:
                crcs.append(zlib.crc32(example.text.tokens.astype("int64").tobytes()))
        found.append(sorted(crcs))
    return found


def test_every_shape_goes_on_where_another_was_killed(config_file, tmp_path):
    found: list[list[int]] = []
    for world, workers in SHAPES:
        slot = len(found) * (16 // 8)
        ranks = Ranks(config_file, tmp_path / f"{world}x{workers}", world, workers, slot)
        try:
            ranks.wait_for(STEPS_A_SHAPE)
            ranks.kill()
        finally:
            for process in ranks.processes:
                process.kill()
                process.wait()
        found += ranks.steps()
    expected = read_alone(config_file, len(found))
    wrong = [step for step, (a, b) in enumerate(zip(found, expected, strict=True)) if a != b]
    assert not wrong, f"steps {wrong} of {len(found)} differ"
    counts = Counter(crc for step in found for crc in step)
    assert len(found) >= STEPS_A_SHAPE * len(SHAPES) and len(counts) > 300


def test_a_worker_that_waits_for_its_file_system_ends_with_its_trainer(config_file, tmp_path):
    make_shards(tmp_path, "north", Kind.PAIR, 300, size=32)
    (config := tmp_path / "c.yaml").write_text(
        config_file.read_text().replace(f"{config_file.parent}/north", f"{tmp_path}/north")
    )
    pipe = tmp_path / "north" / "train" / "north-train-000007.idx.npy"
    pipe.unlink()
    os.mkfifo(pipe)
    ranks = Ranks(config, tmp_path / "one", 1, 1, 0)
    writer, until = -1, time.monotonic() + 60
    try:
        while writer < 0:
            # Nobody reads from the pipe before the worker does; from then on it waits for what never comes.
            assert time.monotonic() < until and ranks.processes[0].poll() is None
            with contextlib.suppress(OSError):
                writer = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
            time.sleep(0.02)
        ranks.kill()
    finally:
        ranks.processes[0].kill()
        ranks.processes[0].wait()
        os.close(writer)


def test_a_worker_that_is_killed_ends_its_rank_and_nothing_is_left(config_file, tmp_path):
    ranks = Ranks(config_file, tmp_path / "one", 1, 3, 0)
    try:
        ranks.wait_for(2)
        first, *others = ranks.loader_workers()
        os.kill(first, signal.SIGKILL)
        _, errors = ranks.processes[0].communicate(timeout=30)
        assert b"WorkerEndedError: loader worker" in errors and b"was killed" in errors
        assert not [pid for pid in others if is_loader_worker(pid)], "the rank ended before its workers"
    finally:
        ranks.processes[0].kill()
        ranks.processes[0].wait()
