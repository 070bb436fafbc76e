"""A run of two ranks whose journal lies on a disk that fills: training goes on, and the journal is whole in the end."""

import json

import pytest

from cxrpt.checkpoint.store import committed_steps
from tests.small_disk import fill, small_disk_at

from ..small_runs import Runs

pytestmark = pytest.mark.long

STEPS = [1, *range(3, 25, 3)]


@pytest.mark.parametrize("mended", [True, False])
def test_training_goes_on_without_its_journal(runs: Runs, tmp_path, mended):
    name = "mended" if mended else "unmended"
    run_dir = runs.root / "runs" / name
    run_dir.mkdir(parents=True)
    with small_disk_at(tmp_path / "small") as disk:
        journal = run_dir / "journal.jsonl"
        journal.symlink_to(disk / "journal.jsonl")
        (disk / "journal.jsonl").touch()
        fill(disk / "ballast")
        process = runs.start(name)
        runs.wait_for_step(name, 5)
        if mended:
            (disk / "ballast").unlink()
        _, errors = process.communicate(timeout=240)
        steps = [json.loads(line)["step"] for line in journal.read_bytes().splitlines() if line.endswith(b"}")]
    assert process.returncode == 0 and committed_steps(run_dir)[-1] == 24
    told = errors.splitlines()
    assert len(told) == 2 and "the journal cannot be written (No space left on device)" in told[0], errors
    if mended:
        assert "is written again" in told[1] and steps == STEPS
    else:
        assert f"{len(STEPS) - len(steps)} logged lines are lost" in told[1]
    assert "Logging error" not in errors
