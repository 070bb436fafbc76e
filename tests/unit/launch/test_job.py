"""What tasks of a job do at its start and end, with SLURM's answers made up; tests/slurm asks the real one."""

from pathlib import Path

import pytest

from cxrpt.attempts import LOST_ANOTHER, STOP_FILE, recorded
from cxrpt.errors import InputError
from launch import job, slurm
from launch.job import EvaluateJob, TrainJob, again_note


class Ended(BaseException):
    """Instead of the end of this process."""


class Task:
    """A task of job 7 that SLURM has queued again once; what it told SLURM."""

    def __init__(self, run: Path):
        self.run = run
        self.asked: list[str] = []
        self.state: tuple[str, int] | None = ("RUNNING", 1)
        """None for a SLURM that refuses."""
        self.trained = 0
        self.code = 0

    def restarts(self, name: str) -> tuple[str, int]:
        assert name == "7"
        if self.state is None:
            raise InputError("SLURM refused (scontrol): no")
        return self.state

    def train(self, *arguments: object) -> int:
        self.trained += 1
        return self.code

    def ends(self, call: TrainJob | EvaluateJob) -> int:
        """The code of the process, be it by a return or by `_end`; any but 0 is lost on submitit by a return."""
        try:
            code = call()
        except Ended as end:
            return int(str(end))
        assert code == 0
        return code


@pytest.fixture
def task(make_run, tmp_path, monkeypatch):
    made = Task(make_run(tmp_path / "r", "track.uri=none", steps=()))

    def end(code: int) -> None:
        raise Ended(code)

    for name, value in (("SLURM_JOB_ID", "7"), ("SLURM_PROCID", "0"), ("SLURM_RESTART_COUNT", "1")):
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.setattr(job, "_end", end)
    monkeypatch.setattr(job, "_WAITS_FOR_ITS_END_S", 0.0)
    monkeypatch.setattr(job.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(slurm, "restarts", made.restarts)
    monkeypatch.setattr(slurm, "requeue", made.asked.append)
    monkeypatch.setattr("launch.rank.run_rank", made.train)
    monkeypatch.setattr("cxrpt.preempt.StopFlag.install", lambda self, stop_signals: None)
    return made


def trains(task: Task, max_restarts: int = 3) -> int:
    return task.ends(TrainJob(task.run, False, False, max_restarts))


def start_in_vain(task: Task, name: str = "7", step: int = 0) -> None:
    with recorded(task.run, name, 1, step):
        pass


def test_a_job_ends_after_max_restarts_without_a_checkpoint(task, capsys):
    start_in_vain(task, "6")  # another job's count for nothing
    for _ in range(3):
        start_in_vain(task)
        assert trains(task, max_restarts=3) == 0
    start_in_vain(task)
    assert trains(task, max_restarts=3) == 1 and task.trained == 3, "the first start and three more were in vain"
    assert task.asked == [], "it is not queued again"
    said = capsys.readouterr().err
    assert "4 starts in a row ended without a new checkpoint" in said and f"`cxrpt logs {task.run}`" in said


def test_a_checkpoint_since_then_begins_the_count_anew(task, make_run, tmp_path):
    task.run = make_run(tmp_path / "saved", "track.uri=none", steps=(10,))
    for _ in range(2):
        start_in_vain(task, step=0)
    start_in_vain(task, step=10)
    assert trains(task, max_restarts=1) == 0 and task.trained == 1
    start_in_vain(task, step=10)
    assert trains(task, max_restarts=1) == 1 and task.trained == 1


def test_only_rank_0_counts_starts(task, monkeypatch):
    monkeypatch.setenv("SLURM_PROCID", "1")
    monkeypatch.setenv("SLURM_NTASKS", "2")
    start_in_vain(task)
    assert trains(task, max_restarts=0) == 0 and task.trained == 1


@pytest.mark.parametrize(
    ("code", "rank", "ends", "asked"),
    [
        (0, 0, 0, []),
        (75, 0, 75, ["7"]),
        (75, 1, 0, []),  # rank 0 sees to it
        (LOST_ANOTHER, 1, 1, ["7"]),
        (1, 0, 1, []),
        (2, 0, 2, []),
    ],
)
def test_what_queues_a_job_again_and_its_code(task, monkeypatch, code, rank, ends, asked):
    monkeypatch.setenv("SLURM_PROCID", str(rank))
    monkeypatch.setenv("SLURM_NTASKS", "2")
    task.code = code
    assert (trains(task), task.asked) == (ends, asked)


def test_a_rank_that_fails_keeps_those_that_lose_it_from_queueing_the_job(task):
    task.code = 1
    assert trains(task) == 1
    task.code = LOST_ANOTHER
    assert trains(task) == 1 and task.asked == []


def test_a_run_that_was_stopped_is_not_queued_again(task):
    (task.run / STOP_FILE).touch()
    task.code = 75
    assert trains(task) == 0 and task.asked == []


@pytest.mark.parametrize("state", [("CANCELLED", 1), ("RUNNING", 2)])
def test_a_job_that_was_cancelled_or_started_again_is_let_be(task, state):
    task.state, task.code = state, 75
    assert trains(task) == 75 and task.asked == []


@pytest.mark.parametrize(("code", "ends"), [(75, 75), (LOST_ANOTHER, 1)])
def test_a_slurm_that_refuses_is_told_of(task, capsys, code, ends):
    task.state, task.code = None, code
    assert trains(task) == ends
    assert "the job could not be queued again: SLURM refused" in capsys.readouterr().err


def test_without_scontrol_a_note_for_the_script_is_left(task, monkeypatch):
    monkeypatch.setattr(job.shutil, "which", lambda name: None)
    task.code = 75
    assert trains(task) == 75 and task.asked == []
    assert again_note(task.run, "7", "1").exists()


@pytest.mark.parametrize(("code", "asked"), [(0, []), (1, []), (75, ["7"])])
def test_the_code_of_an_evaluation_worker_and_what_queues_it_again(task, monkeypatch, code, asked):
    monkeypatch.setattr("cxrpt.eval.watch.watch_run", lambda run_dir, stopped: code)
    assert (task.ends(EvaluateJob(task.run)), task.asked) == (code, asked)


def test_an_evaluation_worker_refuses_bad_input_with_2(task, monkeypatch, capsys):
    def watch_run(run_dir, stopped):
        raise InputError("no run directory")

    monkeypatch.setattr("cxrpt.eval.watch.watch_run", watch_run)
    assert task.ends(EvaluateJob(task.run)) == 2 and task.asked == []
    assert capsys.readouterr().err == "cxrpt: no run directory\n"
