"""Shards built by a job array are those of one machine, though a task of it fails."""

import subprocess
import sys

import pytest

from ..small_runs import ROOT
from ..unit.data_prep.made_exports import tree

pytestmark = pytest.mark.slurm

# Too little memory for one task, the first time.
CLUSTER = """
prep: {{partition: main, tasks: 3, time_min: 30, options: {{begin: now+1hour}}}}
setup:
  - if [ "$SLURM_ARRAY_TASK_ID" = 1 ] && mkdir {root}/failed-once; then ulimit -Sv 300000; fi
"""


def test_an_array_builds_the_same_bytes(lab, tmp_path):
    cxrpt = [sys.executable, "-m", "launch.cli"]
    export, key = tmp_path / "export", tmp_path / "key"
    subprocess.run([*cxrpt, "synth", str(export), "--studies", "60"], check=True, cwd=ROOT, capture_output=True)
    key.write_text("ab" * 32 + "\n")
    key.chmod(0o600)
    (tmp_path / "cluster.yaml").write_text(CLUSTER.format(root=tmp_path))

    def words(out: str) -> list[str]:
        return [*cxrpt, "prep", "hospital", str(export / "north"), "--out", str(tmp_path / out), "--institution", "north",
                "--key", str(key), "--shard-samples", "20"]  # fmt: skip

    subprocess.run(words("alone"), check=True, cwd=ROOT, capture_output=True)
    said = lab.run(*words("array"), "--cluster", str(tmp_path / "cluster.yaml"), cwd=ROOT)
    assert "in 3 tasks" in said
    again = lab.start(*words("array"), "--cluster", str(tmp_path / "cluster.yaml"), cwd=ROOT)
    assert "is being built by jobs" in again.communicate(timeout=120)[1] and again.returncode == 2
    jobs = (tmp_path / "array.north.slurm" / "jobs").read_text().split()
    for job in jobs:
        lab.run("scontrol", "update", f"JobId={job}", "StartTime=now")
    for _ in range(600):  # SLURM holds a job that was queued again back for some time, or until it is told otherwise
        lab.run("scontrol", "update", f"JobId={jobs[1]}_1", "StartTime=now", check=False)
        if not lab.run("squeue", "-h"):
            break
        lab.run("sleep", "0.5")
    assert tree(tmp_path / "array" / "north") == tree(tmp_path / "alone" / "north")
    told = lab.run("sacct", "-n", "-P", "-X", "-D", "-j", ",".join(jobs), "-o", "JobID,State,ExitCode").splitlines()
    starts = [line.split("|")[0] for line in told if "PENDING" not in line]
    assert sorted(starts) == sorted([jobs[0], f"{jobs[1]}_0", *[f"{jobs[1]}_1"] * 2, f"{jobs[1]}_2", jobs[2]]), told
    assert (tmp_path / "failed-once").exists()
    account = (tmp_path / "array.north.slurm" / jobs[2] / f"{jobs[2]}_0_log.out").read_text()
    assert "kept" in account and "pairs" in account
