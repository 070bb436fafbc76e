"""A run of two ranks whose MLflow server is killed for half of it: in the end the store holds every step once."""

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from pathlib import Path

import pytest

from cxrpt.track.journal import read_journal
from cxrpt.track.sink import fetch_metrics

from ..small_runs import ROOT, rank_processes

pytestmark = pytest.mark.long

STEPS = 120


class MlflowServer:
    """A real one, in a process group of its own, on a port that stays the same from start to start."""

    def __init__(self, folder: Path):
        self.store = folder / "mlflow.db"
        self.log = (folder / "server.log").open("ab")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self.port}"
        self.command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", f"sqlite:///{self.store}"]
        self.command += ["--artifacts-destination", str(folder / "artifacts"), "--host", "127.0.0.1", "--workers", "1"]
        self.command += ["--port", str(self.port)]
        self.process = None

    def start(self):
        environment = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true"}
        self.process = subprocess.Popen(
            self.command, stdout=self.log, stderr=self.log, start_new_session=True, env=environment, cwd=self.store.parent
        )

    def wait(self):
        for _ in range(600):
            assert self.process.poll() is None, Path(self.log.name).read_text()[-3000:]
            try:
                urllib.request.urlopen(f"{self.uri}/health", timeout=5).close()
                return
            except OSError:
                time.sleep(0.2)
        raise AssertionError("the server did not start")

    def kill(self):
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    def points(self):
        with sqlite3.connect(f"file:{self.store}?mode=ro", uri=True) as store:
            return store.execute("select run_uuid, key, step from metrics").fetchall()


@pytest.fixture
def server(tmp_path):
    server = MlflowServer(tmp_path)
    server.start()
    server.wait()
    yield server
    server.kill()
    server.log.close()


def wait_until(condition, what):
    until = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < until, what
        time.sleep(0.2)


def test_a_server_that_is_killed_for_half_of_a_run_holds_every_step_once(runs, server):
    journal = runs.root / "runs/tracked/journal.jsonl"
    words = (f"track.uri={server.uri}", f"train.steps={STEPS}", "train.log_every=1", "train.checkpoint_every=80")
    process = runs.start("tracked", *words)
    wait_until(lambda: len(read_journal(journal)) >= STEPS // 4, "the run has not begun")
    # The ranks stand still until the server has some steps, however fast they are.
    ranks = rank_processes(process)
    for pid in ranks:
        os.kill(pid, signal.SIGSTOP)
    wait_until(server.points, "nothing reached the server")
    server.kill()
    for pid in ranks:
        os.kill(pid, signal.SIGCONT)
    assert max(step for _, _, step in server.points()) < STEPS * 3 // 4, "the server was killed within the run"
    wait_until(lambda: len(read_journal(journal)) >= STEPS * 3 // 4, "the run waits for the server")
    server.start()
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    assert len(read_journal(journal)) == STEPS
    assert len([line for line in errors.splitlines() if "tracking" in line]) <= 2, errors
    assert "Traceback" not in errors

    server.wait()
    command = [sys.executable, "-m", "launch.cli", "metrics", str(journal.parent), "--sync", "--out", str(runs.root / "m.csv")]
    subprocess.run([*command, "--format", "csv"], cwd=ROOT, check=True, capture_output=True)
    logged = {(name, entry.step) for entry in read_journal(journal) for name in entry.metrics}
    points = server.points()
    assert len({run for run, _, _ in points}) == 1
    assert max(Counter(points).values()) == 1 and {(key, step) for _, key, step in points} == logged
    there = {entry.step: entry.metrics for entry in fetch_metrics(journal.parent)}
    assert there == {entry.step: entry.metrics for entry in read_journal(journal)}
