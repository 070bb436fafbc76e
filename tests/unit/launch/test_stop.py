"""What `cxrpt stop` and `cxrpt cancel` make of a run that goes on without SLURM."""

import os
import signal

import pytest

from cxrpt.checkpoint.lease import hold_lease
from launch.cli import main
from launch.cluster import new_job, note_job, slurm_folder


@pytest.fixture
def run(make_run, tmp_path):
    """A run that a cluster has begun."""
    folder = make_run(tmp_path / "r", steps=())
    slurm_folder(folder).mkdir()
    note_job(folder, new_job("train", "7"))
    return folder


@pytest.fixture
def sent(monkeypatch):
    """The signals that would have been sent, by process."""
    told = []
    monkeypatch.setattr(os, "kill", lambda pid, number: told.append((pid, number)))
    return told


def end_of(*words) -> int:
    with pytest.raises(SystemExit) as end:
        main([*map(str, words)])
    return end.value.code or 0


def test_a_run_of_a_cluster_that_goes_on_without_slurm_is_stopped(run, commands, sent, capsys):
    with hold_lease(run):
        assert end_of("stop", run) == 0
    assert sent == [(os.getpid(), signal.SIGTERM)] and "saves and ends" in capsys.readouterr().out


def test_where_nothing_is_seen_it_is_told_what_was_looked_at(run, commands, sent, capsys):
    for command in ("stop", "cancel"):
        assert end_of(command, run) == 2
        assert "from this machine, which has no SLURM" in capsys.readouterr().err
    for name in ("squeue", "sacct"):
        commands(name, "")
    for command in ("stop", "cancel"):
        assert end_of(command, run) == 2
        assert capsys.readouterr().err.endswith("from this machine\n")
    assert sent == []


def test_cancel_names_stop_for_a_run_without_jobs(run, commands, sent, capsys):
    with hold_lease(run):
        assert end_of("cancel", run) == 2
    assert f"`cxrpt stop {run}`" in capsys.readouterr().err and sent == []
