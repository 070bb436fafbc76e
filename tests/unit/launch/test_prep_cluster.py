"""What `prep --cluster` refuses before it submits anything, as the same command without a cluster does."""

import pytest

from launch.cli import main


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
