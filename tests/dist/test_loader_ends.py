"""Whole runs with loader workers: signals to process groups, workers that are killed, data that is bad."""

import os
import signal
import time
from pathlib import Path

import numpy as np

from cxrpt.checkpoint.store import committed_steps
from cxrpt.data.sample import Kind
from cxrpt.data.shards import index_path

from ..made_shards import make_shards
from ..small_runs import children


def wait_until_gone(pids: list[int]) -> None:
    until = time.monotonic() + 10
    while left := [pid for pid in pids if Path(f"/proc/{pid}").exists()]:
        assert time.monotonic() < until, f"{left} are left"
        time.sleep(0.05)


def test_a_stop_signal_to_whole_process_groups_saves(runs, undisturbed):
    process = runs.start("groups", "data.workers=2")
    runs.wait_for_step("groups", 5)
    ranks = children(process.pid, b"launch.rank")
    workers = [worker for rank in ranks for worker in children(rank, b"loader_worker")]
    assert len(ranks) == 2 and len(workers) == 4
    for rank in ranks:
        assert all(os.getpgid(worker) == rank for worker in children(rank, b"loader_worker"))
        os.killpg(rank, signal.SIGTERM)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 75 and "the same command resumes" in errors
    wait_until_gone(workers)
    runs.finish("groups", "data.workers=2")
    assert runs.losses("groups") == undisturbed


def test_a_worker_that_is_killed_is_one_line(runs):
    process = runs.start("worker", "data.workers=1", "data.prefetch=1")
    runs.wait_for_step("worker", 5)
    ranks = children(process.pid, b"launch.rank")
    workers = [worker for rank in ranks for worker in children(rank, b"loader_worker")]
    os.kill(workers[1], signal.SIGKILL)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "loader worker 0 (pid " in errors and "lower data.workers=1 or data.prefetch=1" in errors
    assert len(errors.splitlines()) == 1, "the other rank has nothing to add"
    wait_until_gone(workers)
    assert "WorkerEndedError" in (runs.root / "runs/worker/logs/rank-1.log").read_text()


def test_bad_samples_are_told_and_too_many_stop_a_run_that_loses_nothing(runs, tmp_path):
    north = make_shards(tmp_path, "north", Kind.PAIR, 100, seed=100, size=48)
    shard = north / "train" / "north-train-000001.tar"
    whole = shard.read_bytes()
    data, records = bytearray(whole), np.load(index_path(shard))
    for record in records[:12]:
        data[int(record["image"]["offset"]) + 20] ^= 255
    shard.write_bytes(data)
    words = (f"data.sources.north.path={north}", "data.workers=1", "train.checkpoint_every=100")
    errors = runs.finish("bad", *words, code=2)
    told = [line for line in errors.splitlines() if "are bad and were replaced" in line]
    assert told[0].startswith("cxrpt: source north: 1 of ") or told[0].startswith("cxrpt: source north: 2 of ")
    assert 2 <= len(told) <= 4 and all(f"run `cxrpt verify {north}/train`" in line for line in told), "at doublings, once each"
    stop = next(line for line in errors.splitlines() if "more than data.max_bad_fraction=0.01" in line)
    assert stop.startswith("cxrpt: source north: 1") and " in north-train-000001.tar" in stop
    step = committed_steps(runs.root / "runs/bad")[-1]
    assert f"all up to step {step} is saved" in stop and "Traceback" not in errors
    logs = "".join(log.read_text() for log in (runs.root / "runs/bad/logs").glob("rank-*.log"))
    keys = {record["key"].decode() for record in records[:12]}
    described = [line for line in logs.splitlines() if "bad sample of source north: north-train-000001.tar" in line]
    assert len(described) >= 11 and all(any(key in line for key in keys) for line in described)
    shard.write_bytes(whole)
    runs.finish("bad", *words)
    assert committed_steps(runs.root / "runs/bad")[-1] == 24 and step < 24
