"""One cluster for all tests of this folder, and runs on it."""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cxrpt.checkpoint.store import committed_steps
from cxrpt.track.journal import read_journal

from ..small_runs import ROOT, Runs
from .lab import Lab, what_is_missing

CLUSTER = """
train: {partition: main, nodes: 2, ranks_per_node: 2, time_min: 60, signal_delay_s: 60}
evaluate: {partition: aside, workers: 0, time_min: 60}
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = what_is_missing() if os.environ.get("CXRPT_SLURM_TESTS") else "CXRPT_SLURM_TESTS is not set"
    for item in items:
        if missing and item.get_closest_marker("slurm"):
            item.add_marker(pytest.mark.skip(reason=missing))


class ClusterRuns(Runs):
    """Runs of the small model, submitted to a cluster."""

    def __init__(self, root: Path, lab: Lab):
        super().__init__(root)
        self.lab = lab
        (root / "cluster.yaml").write_text(CLUSTER)

    cwd = ROOT

    def submit_words(self, name: str, *words: str) -> list[str]:
        return [sys.executable, "-m", "launch.cli", "submit", str(self.root / "c.yaml"), f"name={name}",
                f"runs={self.root}/runs", *words, "--cluster", str(self.root / "cluster.yaml")]  # fmt: skip

    def submit(self, name: str, *words: str) -> str:
        """The number of the training job, if there is one."""
        said = self.lab.run(*self.submit_words(name, *words), cwd=ROOT)
        return next((line.split()[2].strip(",") for line in said.splitlines() if line.startswith("training: job")), "")

    def cxrpt(self, *words: str) -> str:
        return self.lab.run(sys.executable, "-m", "launch.cli", *words, cwd=ROOT)

    def last_step(self, name: str) -> int:
        entries = read_journal(self.folder(name) / "journal.jsonl")
        return entries[-1].step if entries else 0

    def wait(self, is_so: Callable[[], bool], what: str, seconds: float = 240) -> None:
        until = time.monotonic() + seconds
        while not is_so():
            assert time.monotonic() < until, f"{what} did not come: {self.lab.run('squeue', '-a')}{self.said()}"
            time.sleep(0.2)

    def wait_until_done(self, name: str, steps: int = 24) -> None:
        """Until the last step is committed and no job is left."""
        self.wait(lambda: steps in committed_steps(self.folder(name)), f"step {steps} of {name}")
        self.wait(lambda: not self.jobs(), "the end of its job", 60)

    def jobs(self) -> list[str]:
        return self.lab.run("squeue", "-h", "-o", "%i %T").split("\n")[:-1]

    def said(self) -> str:
        logs = sorted((self.root / "runs").glob("*/slurm/*/*_log.err"), key=lambda path: path.stat().st_mtime)
        return "\n".join(f"{log}: {log.read_text(errors='replace')[-1500:]}" for log in logs[-4:])


@pytest.fixture(scope="session")
def lab():
    with Lab() as made:
        yield made


@pytest.fixture(scope="session")
def cluster_runs(lab, tmp_path_factory):
    return ClusterRuns(tmp_path_factory.mktemp("cluster"), lab)
