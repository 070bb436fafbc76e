"""Runs of two gloo ranks in which one hangs or dies: the other says which, with stacks, and everything ends."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from cxrpt.attempts import LOST_ANOTHER
from cxrpt.config import load_config
from cxrpt.preflight import check_launch
from cxrpt.rundir import write_run_files

from ..small_runs import ROOT, rank_processes

pytestmark = pytest.mark.long

WORDS = ("train.steps=100000", "engine.hang_timeout_s=5")

HANGS = """
import ctypes, sys, time
import cxrpt.train
from cxrpt.train import agree as agreement
from launch.rank import main

seen = 0

def agree(*arguments):
    global seen
    seen += 1
    if seen == 4 and "RANK" == "HANGS":
        hang_here()
    return agreement(*arguments)

def hang_here():
    HOW

cxrpt.train.agree = agree
import os
os._exit(main())
"""
IN_PYTHON = "time.sleep(600)"
IN_NATIVE_CODE = "ctypes.PyDLL(None).sleep(600)  # which holds the interpreter's lock"


def start_without_launcher(runs, name, hanging="", how="pass"):
    """Two ranks, as torchrun or SLURM starts them: by environment variables only."""
    config = load_config(runs.root / "c.yaml", [f"name={name}", f"runs={runs.root}/runs", *WORDS])
    prepared = check_launch(config, 2, False)
    write_run_files(config, prepared.plan.fingerprint(), prepared.sources)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    processes = []
    for rank in range(2):
        script = HANGS.replace("RANK", str(rank)).replace("HANGS", str(hanging)).replace("HOW", how)
        place = {"RANK": rank, "WORLD_SIZE": 2, "LOCAL_RANK": rank, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        processes.append(
            subprocess.Popen(
                [sys.executable, "-c", script, str(config.run_dir), "--rank", str(rank)],
                cwd=ROOT, env=os.environ | {k: str(v) for k, v in place.items()} | {"OMP_NUM_THREADS": "1"},
                stderr=subprocess.PIPE, text=True,
            )
        )  # fmt: skip
    return processes, config.run_dir


def finish(processes):
    try:
        errors = [process.communicate(timeout=100)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [process.returncode for process in processes], errors


def stacks(run_dir, rank):
    return (run_dir / "logs" / f"rank-{rank}.stacks").read_text()


def test_a_stopped_rank_is_named_and_the_launcher_ends_it(runs):
    process = runs.start("stopped-rank", *WORDS)
    runs.wait_for_step("stopped-rank", 5)
    ranks = rank_processes(process)
    os.kill(ranks[1], signal.SIGSTOP)
    try:
        _, errors = process.communicate(timeout=100)
        assert process.returncode == 1
        told = errors.splitlines()
        assert len(told) == 1 and "rank 1 does not answer" in told[0] and "resumes from the last checkpoint" in told[0], errors
        assert "Current thread" in stacks(runs.root / "runs/stopped-rank", 0)
        assert not any(Path(f"/proc/{pid}").exists() for pid in ranks)
    finally:
        for pid in ranks:
            if Path(f"/proc/{pid}").exists():
                os.kill(pid, signal.SIGKILL)


def test_a_rank_that_hangs_in_python_is_named_with_its_step(runs):
    processes, run_dir = start_without_launcher(runs, "sleeps", hanging=1, how=IN_PYTHON)
    codes, errors = finish(processes)
    assert codes == [1, 1]
    lines = "".join(errors).splitlines()
    assert len(lines) == 1 and "rank 1 hangs in 'agree' of step 4, and 1 of 2 wait" in lines[0], errors
    assert "hang_here" in stacks(run_dir, 1) and "all_reduce" in stacks(run_dir, 0)


def test_a_rank_that_holds_the_interpreter_is_named_and_ends(runs):
    processes, run_dir = start_without_launcher(runs, "stuck", hanging=0, how=IN_NATIVE_CODE)
    codes, errors = finish(processes)
    assert codes == [1, 1]
    assert "rank 0 does not answer" in errors[1] and len(errors[1].splitlines()) == 1, errors
    assert "hang_here" in stacks(run_dir, 0) and "all_reduce" in stacks(run_dir, 1)


def test_a_rank_that_is_killed_without_our_launcher_ends_the_other(runs):
    processes, _ = start_without_launcher(runs, "killed-alone")
    runs.wait_for_step("killed-alone", 5)
    processes[0].kill()
    assert processes[1].wait(60) == LOST_ANOTHER
    codes, errors = finish(processes)
    assert codes[0] == -signal.SIGKILL
    assert "rank 1: ends, as another rank has ended" in errors[1] and len(errors[1].splitlines()) == 1, errors
