"""What `cxrpt submit` hands to sbatch, and what it does the second time."""

import json
import sys

import pytest
from omegaconf import OmegaConf

from cxrpt.attempts import STOP_FILE
from cxrpt.config import config_of, to_yaml
from launch.cli import main
from launch.cluster import submitted_jobs

SBATCH = """#!{python}
import pathlib, shutil, sys
folder = pathlib.Path({folder!r})
number = 100 + len(list(folder.glob("*.sh")))
shutil.copyfile(sys.argv[-1], folder / f"{{number}}.sh")
print("Submitted batch job", number)
"""
CLUSTER = """
train: {partition: gpu, account: heart, nodes: 2, ranks_per_node: 4, gpus_per_node: 4, cpus_per_task: 3, mem_gb: 1.5,
        qos: long, constraint: a100, exclude: n9, reservation: night, time_min: 90, signal_delay_s: 200,
        options: {nodelist: n1}}
evaluate: {partition: cpu, workers: 2, time_min: 30}
environment: {NCCL_DEBUG: WARN, A_PATH: a b}
setup: [module load cuda]
"""


class Cluster:
    """A cluster that takes jobs and runs none."""

    def __init__(self, commands, make_run, folder):
        self._commands, self.folder = commands, folder
        config = config_of(make_run(folder / "shape", "train.steps=30", steps=()))
        (folder / "c.yaml").write_text(to_yaml(config))
        (folder / "cluster.yaml").write_text(CLUSTER)
        for name in ("srun", "squeue", "sacct"):
            commands(name, "")
        (folder / "bin" / "sbatch").write_text(SBATCH.format(python=sys.executable, folder=str(folder / "bin")))
        (folder / "bin" / "sbatch").chmod(0o755)
        self.run = folder / "runs" / "mine"

    def submit(self, *words: str) -> None:
        runs = [f"runs={self.folder}/runs", "name=mine", "data.lanes=8"]
        with pytest.raises(SystemExit) as end:
            main(["submit", str(self.folder / "c.yaml"), *runs, *words, "--cluster", str(self.folder / "cluster.yaml")])
        assert end.value.code == 0

    def script(self, job: str) -> str:
        return (self.folder / "bin" / f"{job}.sh").read_text()

    def says(self, squeue: str) -> None:
        """What squeue tells: a line of `job|STATE|reason|nodes` each."""
        self._commands("squeue", squeue)


@pytest.fixture
def cluster(commands, make_run, tmp_path):
    return Cluster(commands, make_run, tmp_path)


def test_the_script_asks_for_what_the_cluster_file_says(cluster, capsys):
    cluster.submit("--dry-run")
    script = capsys.readouterr().out
    options = {line.removeprefix("#SBATCH --") for line in script.splitlines() if line.startswith("#SBATCH")}
    assert options >= {
        "partition=gpu", "account=heart", "nodes=2", "ntasks-per-node=4", "gpus-per-node=4", "cpus-per-task=3", "mem=1536M",
        "qos=long", "constraint=a100", "exclude=n9", "reservation=night", "time=90", "signal=USR2@200", "nodelist=n1",
        "requeue", "dependency=singleton", "open-mode=append",
    }  # fmt: skip
    lines = script.splitlines()
    assert lines.index("module load cuda") < lines.index("export NCCL_DEBUG=WARN") and "export A_PATH='a b'" in lines
    assert "export OMP_NUM_THREADS=3" in lines
    assert "--kill-on-bad-exit=0" in script
    assert f'[ -e {cluster.run}/meeting/"$SLURM_JOB_ID-$restart.again" ]' in script and lines[-1] == "exit $code"
    assert not cluster.run.exists(), "a look leaves nothing behind"


@pytest.mark.parametrize(
    ("words", "inside"),
    [
        (
            ["kind=apptainer", "image=/img/cxrpt.sif", "mounts=[/data:/data]", "python=/opt/py"],
            "apptainer exec --nv --bind=/data:/data /img/cxrpt.sif /opt/py",
        ),
        (
            ["kind=pyxis", "image=reg/cxrpt", "mounts=[/data:/data,/runs:/runs]"],
            "--container-image=reg/cxrpt --container-mounts=/data:/data,/runs:/runs",
        ),
    ],
)
def test_containers(cluster, capsys, words, inside):
    cluster.submit("--dry-run", *(f"cluster.container.{word}" for word in words))
    srun = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("srun"))
    assert inside in srun


def test_a_submit_writes_the_run_its_code_and_its_jobs(cluster, capsys):
    cluster.submit()
    said = capsys.readouterr().out
    assert "training: job 100, 2 nodes x 4 ranks" in said and f"cxrpt status {cluster.run}" in said
    assert [(job.kind, job.job) for job in submitted_jobs(cluster.run)] == [
        ("train", "100"), ("evaluate", "101"), ("evaluate", "102")]  # fmt: skip
    assert OmegaConf.load(cluster.run / "cluster.yaml").train.account == "heart"
    (code,) = (cluster.run / "slurm" / "code").iterdir()
    assert {path.name for path in code.iterdir()} == {"cxrpt", "data_prep", "launch"}
    assert f"export PYTHONPATH={code}" in cluster.script("100")
    assert "dependency=singleton" not in cluster.script("101") and "partition=cpu" in cluster.script("101")


def test_the_second_submit_attaches_and_a_later_one_resumes(cluster, capsys):
    cluster.submit("cluster.evaluate.workers=1")
    cluster.says("100|PENDING|Priority|\n101|RUNNING|None|n1")
    before = (cluster.run / "config.yaml").read_text()
    cluster.submit("cluster.evaluate.workers=1", "optim.lr=1e-5")
    assert "job 100 is at it (PENDING)" in capsys.readouterr().out
    with pytest.raises(SystemExit) as end:  # as `cxrpt status` says it
        main(["submit", str(cluster.run / "config.yaml"), "--cluster", str(cluster.run / "cluster.yaml")])
    assert end.value.code == 0 and "job 100 is at it" in capsys.readouterr().out
    assert len(submitted_jobs(cluster.run)) == 2 and (cluster.run / "config.yaml").read_text() == before
    cluster.says("101|RUNNING|None|n1")
    cluster.submit("cluster.evaluate.workers=2", "optim.lr=1e-5")
    err = capsys.readouterr().err
    assert "optim.lr" in err, "what changed is told"
    assert [(job.kind, job.job) for job in submitted_jobs(cluster.run)[2:]] == [("train", "102"), ("evaluate", "103")]
    assert len(list((cluster.run / "slurm" / "code").iterdir())) == 1, "equal code is kept once"


def test_a_run_that_is_done_is_only_evaluated(cluster, capsys, monkeypatch):
    for module in ("cxrpt.checkpoint.store", "cxrpt.eval.backlog"):
        monkeypatch.setattr(f"{module}.committed_steps", lambda run: [30])
    cluster.submit()
    assert "is done: 30 steps" in capsys.readouterr().out
    assert [job.kind for job in submitted_jobs(cluster.run)] == ["evaluate", "evaluate"]
    (cluster.run / "evals" / "step-00000030").mkdir(parents=True)
    (cluster.run / "evals" / "step-00000030" / "results.json").write_text("{}")
    cluster.submit()
    assert "is done and evaluated" in capsys.readouterr().out and len(submitted_jobs(cluster.run)) == 2


def test_credentials_are_in_no_file_of_the_run(cluster, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "hunter2-of-a-test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2-of-a-test")
    cluster.submit()
    files = [path for path in (*cluster.run.rglob("*"), *(cluster.folder / "bin").glob("*.sh")) if path.is_file()]
    assert not [path for path in files if b"hunter2-of-a-test" in path.read_bytes()]


def test_what_slurm_refuses_is_told(cluster, commands, capsys):
    commands("sbatch", "", 1)
    with pytest.raises(SystemExit) as end:
        main(["submit", str(cluster.folder / "c.yaml"), f"runs={cluster.folder}/runs", "name=mine", "data.lanes=8",
              "--cluster", str(cluster.folder / "cluster.yaml")])  # fmt: skip
    assert end.value.code == 2 and "SLURM refused the job" in capsys.readouterr().err
    assert submitted_jobs(cluster.run) == []


def test_a_refused_evaluation_does_not_hide_the_training_job(cluster, capsys):
    sbatch = cluster.folder / "bin" / "sbatch"
    refuse = 'if "evaluate" in open(sys.argv[-1]).read():\n    sys.exit("sbatch: error: invalid partition specified: cpu")\n'
    sbatch.write_text(sbatch.read_text().replace("folder =", f"{refuse}folder ="))
    with pytest.raises(SystemExit) as end:
        main(["submit", str(cluster.folder / "c.yaml"), f"runs={cluster.folder}/runs", "name=mine", "data.lanes=8",
              "--cluster", str(cluster.folder / "cluster.yaml")])  # fmt: skip
    said = capsys.readouterr().err
    assert end.value.code == 2 and said.count("\n") == 1
    assert "training goes on as job 100" in said and "invalid partition specified: cpu" in said
    assert [job.kind for job in submitted_jobs(cluster.run)] == ["train"]


def test_stop_ends_what_waits_and_signals_what_runs(cluster, commands, capsys):
    cluster.submit("cluster.evaluate.workers=0")
    told = cluster.folder / "bin" / "told"
    (cluster.folder / "bin" / "scancel").write_text(f'#!/bin/sh\necho "$@" >> {told}\n')
    (cluster.folder / "bin" / "scancel").chmod(0o755)
    cluster.says("100|RUNNING|None|n1")
    for command in ("stop", "cancel"):
        with pytest.raises(SystemExit) as end:
            main([command, str(cluster.run)])
        assert end.value.code == 0
    cluster.says("100|PENDING|Priority|")
    with pytest.raises(SystemExit) as end:
        main(["stop", str(cluster.run)])
    assert end.value.code == 0
    assert told.read_text().split("\n")[:3] == ["--signal=TERM 100", "100", "100"]
    assert (cluster.run / STOP_FILE).exists() and "it is cancelled" in capsys.readouterr().out
    cluster.says("")
    with pytest.raises(SystemExit) as end:
        main(["cancel", str(cluster.run)])
    assert end.value.code == 2 and json.loads((cluster.run / "slurm/jobs.jsonl").read_text())["job"] == "100"
    with pytest.raises(SystemExit) as end:
        main(["stop", str(cluster.run)])
    assert end.value.code == 2
