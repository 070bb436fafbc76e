"""A run on two nodes with two ranks each, undisturbed and disturbed in every way that a cluster knows.

However it is disturbed, it ends, its losses are bitwise those of four local ranks, and no step that was saved is made again.
"""

import sys
import time

import pytest

from cxrpt.attempts import read_attempts
from cxrpt.checkpoint.store import committed_steps

from .conftest import ClusterRuns
from .lab import Lab

pytestmark = pytest.mark.slurm

STEPS, LONG = 100, 400
SAME = (
    "train.checkpoint_every=20",
    "train.log_every=1",
    "train.keep_last=0",
    "optim.schedule=constant",
    "optim.warmup_steps=0",
)
LIKE = (f"train.steps={STEPS}", *SAME)


@pytest.fixture(scope="module")
def undisturbed(cluster_runs):
    """Losses of the run on four local ranks, step by step; a shorter one is its beginning."""
    cluster_runs.finish("local", f"train.steps={LONG}", *SAME, ranks=4)
    return cluster_runs.losses("local")


def test_four_ranks_of_two_nodes_train_as_four_local_ones(cluster_runs, undisturbed):
    cluster_runs.submit("plain", *LIKE)
    cluster_runs.wait_until_done("plain", STEPS)
    assert cluster_runs.losses("plain") == {step: undisturbed[step] for step in range(1, STEPS + 1)}
    assert [one.code for one in read_attempts(cluster_runs.folder("plain"))] == [0]


def requeue(lab: Lab, job: str) -> None:
    lab.run("scontrol", "requeue", job)


def user_signal(lab: Lab, job: str) -> None:
    lab.run("scancel", "--signal=USR2", job)


def preemption(lab: Lab, job: str) -> None:
    lab.run("sbatch", "-p", "high", "-N2", "--exclusive", "-o", "/dev/null", "--wrap", "sleep 3")


def time_limit(lab: Lab, job: str) -> None:
    lab.run("scontrol", "update", f"JobId={job}", "TimeLimit=1")
    until_it_goes(lab, job)
    lab.run("scontrol", "update", f"JobId={job}", "TimeLimit=60")


def until_it_goes(lab: Lab, job: str) -> None:
    until = time.monotonic() + 60
    while "RUNNING" in lab.run("squeue", "-h", "-j", job, "-o", "%T") and time.monotonic() < until:
        time.sleep(1)


def slurmd_killed(lab: Lab, job: str) -> None:
    lab.kill_daemon("n2")
    until_it_goes(lab, job)
    lab.let_daemon("n2")


def node_of_rank_0_off_and_on(lab: Lab, job: str) -> None:
    lab.switch_off("n1")
    time.sleep(2)
    lab.switch_on("n1")


def node_off_for_long(lab: Lab, job: str) -> None:
    lab.switch_off("n2")
    time.sleep(25)
    lab.switch_on("n2")


SAVES = {user_signal, preemption, time_limit}
"""What gives the run time to save."""
SLOW = {time_limit, slurmd_killed}
"""What SLURM takes its time to notice, while the ranks go on."""


@pytest.mark.parametrize(
    "disturb", [time_limit, user_signal, preemption, requeue, slurmd_killed, node_of_rank_0_off_and_on, node_off_for_long]
)
def test_a_disturbed_run_ends_the_same(cluster_runs, undisturbed, disturb):
    check(cluster_runs, undisturbed, disturb.__name__.replace("_", "-"), disturb)


def check(runs: ClusterRuns, undisturbed: dict, name: str, disturb) -> None:
    steps = LONG if disturb in SLOW else STEPS
    job = runs.submit(name, f"train.steps={steps}", *SAME)
    runs.wait(lambda: runs.last_step(name) >= 45, "step 45")
    disturb(runs.lab, job)
    runs.wait_until_done(name, steps)
    assert runs.losses(name) == {step: undisturbed[step] for step in range(1, steps + 1)}
    first, *others = read_attempts(runs.folder(name))
    assert others, "it was disturbed"
    assert others[-1].code == 0
    for before, after in zip([first, *others], others, strict=False):
        assert after.step >= 40, "what was saved is not made again"
        if disturb in SAVES:
            assert before.code == 75 and after.step >= 45, "it saved before it went"
    assert set(range(20, steps + 1, 20)) <= set(committed_steps(runs.folder(name)))


def test_preemption_without_a_user_signal(undisturbed, tmp_path_factory):
    with Lab(preempt_signal=False) as lab:
        runs = ClusterRuns(tmp_path_factory.mktemp("cluster"), lab)
        check(runs, undisturbed, "preemption", preemption)


def test_a_container_without_slurms_commands(cluster_runs, undisturbed, tmp_path):
    """An image that holds Python alone, played by a command that takes the rest away: the job's script queues it again."""
    apptainer = tmp_path / "bin" / "apptainer"
    apptainer.parent.mkdir()
    apptainer.write_text('#!/bin/sh\n# exec --nv IMAGE PYTHON ...\nshift 3\nPATH=/nowhere exec "$@"\n')
    apptainer.chmod(0o755)
    container = ("kind=apptainer", "image=cxrpt.sif", f"python={sys.executable}")
    words = [f"train.steps={STEPS}", *SAME, *(f"cluster.container.{word}" for word in container)]
    job = cluster_runs.submit("contained", *words, f"cluster.setup=['export PATH={apptainer.parent}:$PATH']")
    cluster_runs.wait(lambda: cluster_runs.last_step("contained") >= 45, "step 45")
    user_signal(cluster_runs.lab, job)
    cluster_runs.wait_until_done("contained", STEPS)
    assert cluster_runs.losses("contained") == {step: undisturbed[step] for step in range(1, STEPS + 1)}
    assert [one.code for one in read_attempts(cluster_runs.folder("contained"))] == [75, 0]
