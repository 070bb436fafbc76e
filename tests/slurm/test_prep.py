"""Shards built by a job array are those of one machine."""

import subprocess
import sys

import pytest

from ..small_runs import ROOT
from ..unit.data_prep.made_exports import tree

pytestmark = pytest.mark.slurm


def test_an_array_builds_the_same_bytes(lab, tmp_path):
    cxrpt = [sys.executable, "-m", "launch.cli"]
    export, key = tmp_path / "export", tmp_path / "key"
    subprocess.run([*cxrpt, "synth", str(export), "--studies", "60"], check=True, cwd=ROOT, capture_output=True)
    key.write_text("ab" * 32 + "\n")
    key.chmod(0o600)
    (tmp_path / "cluster.yaml").write_text("prep: {partition: main, tasks: 3, time_min: 30, options: {begin: now+1hour}}\n")

    def words(out: str) -> list[str]:
        return [*cxrpt, "prep", "hospital", str(export / "north"), "--out", str(tmp_path / out), "--institution", "north",
                "--key", str(key), "--shard-samples", "20"]  # fmt: skip

    subprocess.run(words("alone"), check=True, cwd=ROOT, capture_output=True)
    said = lab.run(*words("array"), "--cluster", str(tmp_path / "cluster.yaml"), cwd=ROOT)
    assert "in 3 tasks" in said
    again = lab.start(*words("array"), "--cluster", str(tmp_path / "cluster.yaml"), cwd=ROOT)
    assert "is being built by jobs" in again.communicate(timeout=120)[1] and again.returncode == 2
    for job in (tmp_path / "array.north.slurm" / "jobs").read_text().split():
        lab.run("scontrol", "update", f"JobId={job}", "StartTime=now")
    for _ in range(600):
        if not lab.run("squeue", "-h"):
            break
        lab.run("sleep", "0.5")
    assert tree(tmp_path / "array" / "north") == tree(tmp_path / "alone" / "north")
