"""What `cxrpt status` makes of SLURM's word and of a run directory."""

import json

import pytest

from cxrpt.attempts import STOP_FILE, recorded
from cxrpt.checkpoint.lease import hold_lease
from cxrpt.config import config_of
from launch.cli import main
from launch.cluster import new_job, note_job, slurm_folder, submitted_jobs
from launch.logs import log_files
from launch.run_state import status_of
from launch.slurm import GONE, JobState


@pytest.fixture
def run(make_run, tmp_path):
    folder = make_run(tmp_path / "r", "train.steps=30", "eval.tasks=[retrieve]", steps=(10, 20))
    slurm_folder(folder).mkdir()
    return folder


def ended(run, code: int, why: str = "", job: str = "7") -> None:
    with recorded(run, job, 2, 10) as record:
        record.code = code
    if why:
        lines = (run / "attempts.jsonl").read_text().splitlines()
        last = json.loads(lines[-1]) | {"why": why}
        (run / "attempts.jsonl").write_text("\n".join([*lines[:-1], json.dumps(last)]) + "\n")


def state(run, *jobs: JobState) -> tuple[str, str]:
    found = status_of(run, {job.job: job for job in jobs})
    return found.state, found.why


def test_a_run_without_slurm(run):
    assert state(run)[0] == "never started"
    with hold_lease(run):
        assert state(run) == ("running", "without SLURM")
    ended(run, 75, job="")
    assert state(run) == ("stopped", "after a save")
    ended(run, 2, "data.lanes=3: must divide", job="")
    assert state(run) == ("dead", "data.lanes=3: must divide")
    told = status_of(run, {})
    assert (told.checkpoint, told.step, told.steps, told.to_evaluate) == (20, 20, 30, 2)
    assert told.next == f"cxrpt logs {run}, then cxrpt pretrain {run}/config.yaml"


def test_slurm_is_believed_of_jobs_that_wait_or_run(run):
    note_job(run, new_job("train", "7", 2, 4))
    note_job(run, new_job("evaluate", "8"))
    assert [job.job for job in submitted_jobs(run)] == ["7", "8"]
    assert state(run, JobState("7", "PENDING", "Priority")) == ("queued", "Priority")
    assert state(run, JobState("7", "RUNNING", nodes="n[1-2]")) == ("running", "n[1-2]")
    ended(run, 75)
    assert state(run, JobState("7", "PENDING", "BeginTime")) == ("requeued", "BeginTime"), "though submitit would call it lost"
    found = status_of(run, {"7": JobState("7", "RUNNING"), "8": JobState("8", "RUNNING")})
    assert (found.evaluators, found.jobs) == (1, "7")
    (run / STOP_FILE).touch()
    assert state(run, JobState("7", "RUNNING"))[0] == "stopping"
    assert state(run, JobState("7", "COMPLETED")) == ("stopped", "after a save")


def test_why_a_job_is_dead(run):
    note_job(run, new_job("train", "7", 2, 4))
    assert state(run, JobState("7", "FAILED")) == ("dead", "FAILED"), "it ended before any rank had begun"
    ended(run, 75)
    assert state(run, JobState("7", "FAILED")) == ("dead", "FAILED"), "SLURM refused to queue it again"
    ended(run, 1, "SaveError: no space")
    assert state(run, JobState("7", "FAILED")) == ("dead", "FAILED SaveError: no space")
    assert state(run, JobState("7", GONE)) == ("dead", "SaveError: no space")
    assert state(run, JobState("7", "OUT_OF_MEMORY"))[1].startswith("OUT_OF_MEMORY")


def test_what_is_done_is_done(make_run, tmp_path, capsys, monkeypatch):
    run = make_run(tmp_path / "r", "train.steps=20", steps=(10, 20))
    assert status_of(run, {}).state == "done"
    monkeypatch.setattr("launch.slurm.has_slurm", lambda: False)
    main_ok(["status", str(run)])
    said = capsys.readouterr().out
    assert "done" in said and "20 / 20" in said
    main_ok(["status", str(run), "--json"])
    assert json.loads(capsys.readouterr().out)["state"] == "done"


def test_logs_are_those_of_the_newest_job(run, capsys):
    for job in ("7", "9"):
        note_job(run, new_job("train", job))
    assert log_files(run, 1, False) == [run / "logs" / "rank-1.log"]
    with pytest.raises(SystemExit):
        main(["logs", str(run)])
    assert "has written no such log yet" in capsys.readouterr().err
    note_job(run, new_job("train", "11"))  # cancelled while it waited
    for end in ("out", "err"):
        wanted = slurm_folder(run) / "9" / f"9_1_log.{end}"
        wanted.parent.mkdir(exist_ok=True)
        wanted.write_text(f"one\ntwo of {end}\n")
    main_ok(["logs", str(run), "--rank", "1", "--lines", "1"])
    said = capsys.readouterr().out
    assert "two of out" in said and "two of err" in said and "one" not in said


def test_logs_of_evaluation_are_those_of_all_workers_and_of_no_rank(run, capsys):
    for job, kind in (("7", "train"), ("8", "evaluate"), ("9", "evaluate")):
        note_job(run, new_job(kind, job))
    (run / "logs").mkdir(exist_ok=True)
    (run / "logs" / "rank-0.log").write_text("of rank 0\n")
    with pytest.raises(SystemExit):
        main(["logs", str(run), "--evaluate"])
    assert "has written no such log yet" in capsys.readouterr().err
    for job in "789":
        (slurm_folder(run) / job).mkdir(exist_ok=True)
        (slurm_folder(run) / job / f"{job}_0_log.err").write_text(f"said by {job}\n")
    main_ok(["logs", str(run), "--evaluate"])
    said = capsys.readouterr().out
    assert "said by 8" in said and "said by 9" in said
    assert "said by 7" not in said and "of rank 0" not in said
    main_ok(["logs", str(run)])
    said = capsys.readouterr().out
    assert "said by 7" in said and "of rank 0" in said and "said by 9" not in said


@pytest.mark.parametrize("before", [b"\xff\xfe", b"10 %\r\n20 %\r\n", b"\xc3", b""])
def test_followed_logs_skip_and_repeat_nothing(run, capsys, monkeypatch, before):
    log = run / "logs" / "rank-0.log"
    log.parent.mkdir(exist_ok=True)
    log.write_bytes(before + b"begin\n")
    lines = iter([b"one\n", b"two\n"])

    def write_more(seconds):
        with log.open("ab") as file:
            if not file.write(next(lines, b"")):
                raise KeyboardInterrupt

    monkeypatch.setattr("launch.logs.time.sleep", write_more)
    with pytest.raises(SystemExit):
        main(["logs", str(run), "-f"])
    assert capsys.readouterr().out.endswith("begin\none\ntwo\n")


def test_a_job_that_was_stopped_while_it_waited(run):
    note_job(run, new_job("train", "7"))
    (run / STOP_FILE).touch()
    assert state(run, JobState("7", "CANCELLED")) == ("stopped", "before it began")
    assert status_of(run, {"7": JobState("7", "CANCELLED")}).next == (
        f"cxrpt submit {run}/config.yaml --cluster {run}/cluster.yaml"
    )


def test_one_broken_run_does_not_hide_the_others(run, tmp_path, capsys):
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "config.yaml").write_text("train: {steps: many}\n")
    with pytest.raises(SystemExit) as end:
        main(["status", str(tmp_path / "torn"), str(run), str(tmp_path / "none")])
    told = capsys.readouterr()
    assert end.value.code == 2 and "never started" in told.out and told.out.count("unreadable") == 2
    assert f"{tmp_path}/torn: " in told.err and "train.steps" in told.err and told.err.count("\n") == 1
    with pytest.raises(SystemExit) as end:
        main(["status", str(tmp_path / "torn"), str(run), "--json"])
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert end.value.code == 2 and second["state"] == "never started"
    assert (first["run"], first["state"]) == (f"{tmp_path}/torn", "unreadable") and "train.steps" in first["why"]


def test_a_run_that_belongs_to_another_does_not_hide_the_others(make_run, run, tmp_path, capsys, monkeypatch):
    theirs = make_run(tmp_path / "theirs", steps=())

    def config(folder):
        if folder == theirs:
            raise PermissionError(13, "Permission denied", str(folder / "config.yaml"))
        return config_of(folder)

    monkeypatch.setattr("launch.run_state.config_of", config)
    with pytest.raises(SystemExit) as end:
        main(["status", str(theirs), str(run)])
    told = capsys.readouterr()
    assert end.value.code == 2 and "unreadable (Permission denied)" in told.out and "never started" in told.out
    assert told.err == f"cxrpt: {theirs}: Permission denied\n"


@pytest.mark.parametrize("command", ["status", "logs", "stop", "cancel"])
def test_a_folder_that_is_not_there_is_told_from_one_that_is_no_run(tmp_path, capsys, command):
    for folder, says in (("none", "none does not exist"), (".", "is no run directory: it holds no config.yaml")):
        with pytest.raises(SystemExit) as end:
            main([command, str(tmp_path / folder)])
        assert end.value.code == 2 and says in capsys.readouterr().err


def test_what_ended_a_run_is_shown_as_it_is(run, capsys):
    ended(run, 2, "data.sources=[/a]: mend it", job="")
    main_ok(["status", str(run)])
    assert "dead (data.sources=[/a]: mend it)" in capsys.readouterr().out


def test_slurm_that_does_not_answer_leaves_the_run_directory(run, commands, capsys):
    note_job(run, new_job("train", "7"))
    commands("squeue", "", 1)
    ended(run, 75)
    main_ok(["status", str(run)])
    told = capsys.readouterr()
    assert "unknown" in told.out and "SLURM" in told.err and "20 / 30" in told.out


def main_ok(words: list[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(words)
    assert not end.value.code
