"""A run on two nodes with two ranks each, undisturbed and disturbed in every way that a cluster knows.

However it is disturbed, it ends, its losses are bitwise those of four local ranks, and no step that was saved is made again.
"""

import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from cxrpt.attempts import read_attempts
from cxrpt.checkpoint.store import committed_steps

from .conftest import ClusterRuns
from .lab import Lab

pytestmark = pytest.mark.slurm

STEPS = 100
RANK = b"submitit"
"""A word in the command of a rank, and of nothing else that a node runs."""
LIKE = (
    f"train.steps={STEPS}",
    "train.checkpoint_every=20",
    "train.log_every=1",
    "train.keep_last=0",
    "optim.schedule=constant",
    "optim.warmup_steps=0",
)


@pytest.fixture(scope="module")
def undisturbed(cluster_runs):
    """Losses of the run on four local ranks, step by step."""
    cluster_runs.finish("local", *LIKE, ranks=4)
    return cluster_runs.losses("local")


def test_four_ranks_of_two_nodes_train_as_four_local_ones(cluster_runs, undisturbed):
    cluster_runs.submit("plain", *LIKE)
    cluster_runs.wait_until_done("plain", STEPS)
    assert cluster_runs.losses("plain") == undisturbed
    assert [one.code for one in read_attempts(cluster_runs.folder("plain"))] == [0]


@contextmanager
def requeue(lab: Lab, job: str) -> Iterator[None]:
    lab.run("scontrol", "requeue", job)
    yield


@contextmanager
def user_signal(lab: Lab, job: str) -> Iterator[None]:
    lab.run("scancel", "--signal=USR2", job)
    yield


@contextmanager
def preemption(lab: Lab, job: str) -> Iterator[None]:
    lab.run("sbatch", "-p", "high", "-N2", "--exclusive", "-o", "/dev/null", "--wrap", "sleep 3")
    yield


@contextmanager
def time_limit(lab: Lab, job: str) -> Iterator[None]:
    lab.run("scontrol", "update", f"JobId={job}", "TimeLimit=1")
    yield
    wait_until(lambda: not is_running(lab, job), "the end of an attempt")
    lab.run("scontrol", "update", f"JobId={job}", "TimeLimit=60")


@contextmanager
def slurmd_killed(lab: Lab, job: str) -> Iterator[None]:
    lab.kill_daemon("n2")
    yield
    lab.let_daemon("n2")


@contextmanager
def node_of_rank_0_off_and_on(lab: Lab, job: str) -> Iterator[None]:
    lab.switch_off("n1")
    time.sleep(2)
    lab.switch_on("n1")
    yield


@contextmanager
def node_off_for_long(lab: Lab, job: str) -> Iterator[None]:
    lab.switch_off("n2")
    yield
    time.sleep(15)
    lab.switch_on("n2")


def disturb(lab: Lab, job: str, disturbance: Callable) -> None:
    """Disturb a job whose ranks stand still meanwhile on one node, lest the run end before SLURM has noticed."""
    ranks = lab.processes("n2", RANK).values()
    with ExitStack() as after, lab.stand_still("n2", RANK):
        after.enter_context(disturbance(lab, job))
        wait_until(lambda: any(is_told(pid) for pid in ranks) or not is_running(lab, job), "what disturbs")


def is_running(lab: Lab, job: str) -> bool:
    return "RUNNING" in lab.run("squeue", "-h", "-j", job, "-o", "%T")


def is_told(pid: int) -> bool:
    """Whether a process that stands still has been sent a signal, or has ended by one."""
    with suppress(OSError):
        told = re.search(r"^ShdPnd:\s*(\w+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
        return int(told[1], 16) != 0
    return True


def wait_until(is_so: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + 90
    while not is_so():
        assert time.monotonic() < end, f"{what} did not come"
        time.sleep(0.5)


SAVES = {user_signal, preemption, time_limit}
"""What gives the run time to save."""


@pytest.mark.parametrize(
    "disturbance", [time_limit, user_signal, preemption, requeue, slurmd_killed, node_of_rank_0_off_and_on, node_off_for_long]
)
def test_a_disturbed_run_ends_the_same(cluster_runs, undisturbed, disturbance):
    check(cluster_runs, undisturbed, disturbance.__name__.replace("_", "-"), disturbance)


def check(runs: ClusterRuns, undisturbed: dict, name: str, disturbance: Callable) -> None:
    job = runs.submit(name, *LIKE)
    runs.wait(lambda: runs.last_step(name) >= 45, "step 45")
    disturb(runs.lab, job, disturbance)
    runs.wait_until_done(name, STEPS)
    assert runs.losses(name) == undisturbed
    first, *others = read_attempts(runs.folder(name))
    assert others, "it was disturbed"
    assert others[-1].code == 0
    for before, after in zip([first, *others], others, strict=False):
        assert after.step >= 40, "what was saved is not made again"
        if disturbance in SAVES:
            assert before.code == 75 and after.step >= 45, "it saved before it went"
    assert set(range(20, STEPS + 1, 20)) <= set(committed_steps(runs.folder(name)))


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
    words = [*LIKE, *(f"cluster.container.{word}" for word in container)]
    job = cluster_runs.submit("contained", *words, f"cluster.setup=['export PATH={apptainer.parent}:$PATH']")
    cluster_runs.wait(lambda: cluster_runs.last_step("contained") >= 45, "step 45")
    disturb(cluster_runs.lab, job, user_signal)
    cluster_runs.wait_until_done("contained", STEPS)
    assert cluster_runs.losses("contained") == undisturbed
    assert [one.code for one in read_attempts(cluster_runs.folder("contained"))] == [75, 0]
