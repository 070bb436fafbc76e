"""What `prep --cluster` refuses before it submits anything, as the same command without a cluster does; what it submits."""

import subprocess
import sys

import pytest

from launch.cli import main

SBATCH = """#!{python}
import pathlib, shutil, sys
scripts = pathlib.Path({folder!r})
number = 7 + len(list(scripts.iterdir()))
if number == {refused}:
    sys.exit("sbatch: error: Invalid job array specification")
shutil.copyfile(sys.argv[-1], scripts / str(number))
print("Submitted batch job", number)
"""


@pytest.fixture
def prep(tmp_path, commands):
    for name in ("srun", "squeue", "sacct", "sbatch"):
        commands(name, "Submitted batch job 7" if name == "sbatch" else "")
    (tmp_path / "cluster.yaml").write_text("prep: {tasks: 2}\n")
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("no folder")

    def run(*words: str) -> int:
        with pytest.raises(SystemExit) as end:
            main(["prep", "hospital", *words, "--institution", "north", "--cluster", str(tmp_path / "cluster.yaml")])
        return end.value.code

    return run


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["empty", "--out", "shards"], "empty"),
        (["file", "--out", "shards"], "folder"),
        (["nothing", "--out", "shards"], "does not exist"),
        (["empty", "--out", "file"], "file is a file there: name a folder"),
        (["empty", "--out", "file/deeper"], "file is a file there: name a folder"),
        (["empty", "--out", "shards", "--reports", "nosuch.csv"], "nosuch.csv"),
    ],
)
def test_what_cannot_be_built_is_not_submitted(prep, tmp_path, monkeypatch, capsys, words, says):
    monkeypatch.chdir(tmp_path)
    before = {path.name for path in tmp_path.iterdir()}
    assert prep(*words) == 2
    told = capsys.readouterr()
    assert says in told.err and told.err.count("\n") == 1
    assert {path.name for path in tmp_path.iterdir()} == before


@pytest.fixture
def export(tmp_path, monkeypatch):
    """A folder that is taken for an export, and where scripts go."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scripts").mkdir()
    (tmp_path / "export").mkdir()
    (tmp_path / "export" / "1.dcm").write_bytes(b"")

    def sbatch(refused: int) -> None:
        path = tmp_path / "bin" / "sbatch"
        path.write_text(SBATCH.format(python=sys.executable, folder=str(tmp_path / "scripts"), refused=refused))
        path.chmod(0o755)

    return sbatch


def test_the_limit_of_tasks_at_one_time(prep, export, tmp_path):
    export(refused=0)
    for at_once, most in ((0, 300), (20, 20)):
        (tmp_path / "cluster.yaml").write_text(f"prep: {{tasks: 300, at_once: {at_once}}}\n")
        assert prep("export", "--out", f"shards{at_once}") == 0
        scripts = sorted((tmp_path / "scripts").iterdir(), key=lambda path: int(path.name))
        assert f"#SBATCH --array=0-299%{most}\n" in scripts[-2].read_text()


@pytest.mark.parametrize(
    ("code", "restart", "again"), [(1, 0, True), (137, 1, True), (1, 2, False), (2, 0, False), (0, 0, False)]
)
def test_a_task_that_fails_is_queued_again_as_often_as_retries_say(prep, export, tmp_path, commands, code, restart, again):
    export(refused=0)
    (tmp_path / "cluster.yaml").write_text("prep: {tasks: 2, retries: 2}\n")
    assert prep("export", "--out", "shards") == 0
    told = tmp_path / "told"
    commands("srun", "", code)
    commands("sleep", "")
    (tmp_path / "bin" / "scontrol").write_text(f'#!/bin/sh\n[ "$1" = show ] && echo JobState=RUNNING || echo "$@" >> {told}\n')
    (tmp_path / "bin" / "scontrol").chmod(0o755)
    scripts = sorted((tmp_path / "scripts").iterdir(), key=lambda path: int(path.name))
    for script, place in zip(scripts, ({}, {"SLURM_ARRAY_JOB_ID": "8", "SLURM_ARRAY_TASK_ID": "1"}, {}), strict=True):
        told.unlink(missing_ok=True)
        here = {"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin", "SLURM_JOB_ID": "5", "SLURM_RESTART_COUNT": str(restart)}
        done = subprocess.run(["/bin/bash", str(script)], env=here | place, cwd=tmp_path, capture_output=True)
        assert done.returncode == code, done.stderr
        assert (told.read_text() if told.exists() else "") == (f"requeue {'8_1' if place else '5'}\n" if again else "")


@pytest.mark.parametrize("refused", [8, 9])
@pytest.mark.parametrize("taken_back", [True, False])
def test_jobs_before_one_that_is_refused_are_taken_back(prep, export, tmp_path, commands, capsys, refused, taken_back):
    told = tmp_path / "told"
    (tmp_path / "bin" / "scancel").write_text(f'#!/bin/sh\necho "$@" > {told}\nexit {int(not taken_back)}\n')
    (tmp_path / "bin" / "scancel").chmod(0o755)
    export(refused)
    assert prep("export", "--out", "shards") == 2
    queued = " ".join(map(str, range(7, refused)))
    said = capsys.readouterr().err
    assert "Invalid job array specification" in said and said.count("\n") == 1
    assert told.read_text() == f"{queued}\n"
    assert (f"scancel {queued}" in said) is not taken_back
    commands("squeue", "7|PENDING|Priority|")
    assert prep("export", "--out", "shards") == 2
    assert f"is being built by jobs {queued.replace(' ', ', ')}:" in capsys.readouterr().err
