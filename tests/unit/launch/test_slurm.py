"""What SLURM's commands say, read."""

import pytest

from cxrpt.errors import InputError
from launch import slurm
from launch.cli import main


def test_squeue_is_believed_before_sacct(commands):
    commands("squeue", "7|PENDING|BeginTime|\n9_0|RUNNING|None|n1\n9_1|PENDING|Resources|\n55|RUNNING|None|n3")
    commands("sacct", "7|NODE_FAIL|n1\n8|CANCELLED by 0|n[1-2]\n6|FAILED|n1")
    found = slurm.states(["5", "6", "7", "8", "9"])
    assert set(found) == {"5", "6", "7", "8", "9_0", "9_1"}
    assert (found["7"].state, found["7"].reason, found["7"].is_active) == ("PENDING", "BeginTime", True)
    assert (found["8"].state, found["8"].is_active) == ("CANCELLED", False)
    assert (found["6"].state, found["5"].state) == ("FAILED", slurm.GONE)
    assert found["9_0"].nodes == "n1"


def test_without_accounting_squeue_remains(commands):
    commands("squeue", "7|RUNNING|None|n1")
    commands("sacct", "", 1)
    assert slurm.states(["7", "8"]) == {"7": slurm.JobState("7", "RUNNING", "", "n1"), "8": slurm.JobState("8", slurm.GONE)}
    assert slurm.states([]) == {}


def test_what_slurm_refuses_is_one_line(commands):
    commands("scontrol", "", 1)
    with pytest.raises(InputError, match="SLURM refused"):
        slurm.requeue("7")
    commands("scontrol", "JobId=7 JobName=a JobState=RUNNING Restarts=2 Requeue=1")
    assert slurm.restarts("7") == ("RUNNING", 2)


def test_without_slurm_submit_names_pretrain(commands, tmp_path, capsys):
    (tmp_path / "c.yaml").write_text("{}")
    with pytest.raises(SystemExit) as end:
        main(["submit", str(tmp_path / "c.yaml"), "--cluster", str(tmp_path / "c.yaml")])
    said = capsys.readouterr().err
    assert end.value.code == 2 and said.count("\n") == 1
    assert "no SLURM here" in said and "`cxrpt pretrain`" in said
