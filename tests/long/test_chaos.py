"""Thirty kills of one run, of a rank or of all, also while it saves: it ends in the bits of an undisturbed one."""

import json
import os
import random
import signal
import time

import pytest

from cxrpt.checkpoint.store import COMMITTED, check_files, committed_steps, step_folder
from cxrpt.track.journal import parse_lines

from ..small_runs import Runs, children, rank_processes

pytestmark = pytest.mark.long

KILLS, STEPS = 30, 240
WORDS = (
    f"train.steps={STEPS}",
    "train.checkpoint_every=3",
    "train.log_every=1",
    "train.keep_last=2",
    "data.workers=1",
    "engine.micro_batch=4",
)
# A kill may follow a start or a step; a save may be under way.
WAYS = ("rank -9", "all -9", "launcher -9", "TERM", "USR1", "saving -9")


def last_logged(runs, name):
    """The last step in the journal's last line that is whole."""
    path = runs.folder(name) / "journal.jsonl"
    entries = parse_lines(path.read_bytes()[-20_000:]) if path.exists() else []
    return entries[-1].step if entries else 0


def wait_for(condition, process):
    until = time.monotonic() + 120
    while not condition() and process.poll() is None:
        assert time.monotonic() < until
        time.sleep(0.005)


def saves(runs, name):
    return any(not (folder / COMMITTED).exists() for folder in (runs.folder(name) / "checkpoints").glob("step-*"))


def kill(runs, process, way, draw):
    ranks = rank_processes(process)
    workers = [worker for rank in ranks for worker in children(rank, b"loader_worker")]
    if way == "rank -9" and ranks:
        os.kill(draw.choice(ranks), signal.SIGKILL)
    elif way in ("all -9", "saving -9"):
        for pid in [process.pid, *ranks, *workers]:
            os.kill(pid, signal.SIGKILL)
    elif way == "launcher -9":
        process.kill()
    else:
        process.send_signal(signal.SIGUSR1 if way == "USR1" else signal.SIGTERM)
    process.communicate(timeout=120)


def contents(runs, name):
    folder = step_folder(runs.folder(name), STEPS)
    check_files(folder)
    return {entry["name"]: entry["sha256"] for entry in json.loads((folder / COMMITTED).read_text())["files"]}


def test_thirty_kills_leave_no_trace(tmp_path):
    draw, runs = random.Random(0), Runs(tmp_path)
    runs.finish("undisturbed", *WORDS)
    ways = [WAYS[number % len(WAYS)] for number in range(KILLS)]
    draw.shuffle(ways)
    codes = []
    for way in ways:
        before = last_logged(runs, "chaos")
        process = runs.start("chaos", *WORDS)
        if draw.random() < 0.15:
            time.sleep(draw.uniform(0, 6))  # while it starts
        else:
            target = before + draw.randint(1, 9)
            wait_for(lambda target=target: last_logged(runs, "chaos") >= target, process)
        if way == "saving -9":
            wait_for(lambda: saves(runs, "chaos"), process)
        assert process.poll() is None, f"the run ended before it was killed: {process.communicate()}"
        kill(runs, process, way, draw)
        codes.append(process.returncode)
        for step in committed_steps(runs.folder("chaos")):
            check_files(step_folder(runs.folder("chaos"), step))
    assert 75 in codes and -9 in codes and 1 in codes
    runs.finish("chaos", *WORDS)
    assert contents(runs, "chaos") == contents(runs, "undisturbed")
    assert runs.losses("chaos") == runs.losses("undisturbed")
