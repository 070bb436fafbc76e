"""A checkpoint that does not match its checksums is named; the one before it is taken if the user asks."""

import shutil

import pytest

from cxrpt.checkpoint.store import committed_steps


@pytest.fixture
def damaged(runs, undisturbed):
    """The undisturbed run, not yet at its end, with a byte of its last checkpoint turned."""
    folder = runs.folder("damaged")
    shutil.copytree(runs.folder("undisturbed"), folder)
    shutil.rmtree(folder / "checkpoints/step-00000024")
    shard = folder / "checkpoints/step-00000020/shards/rank-00001.safetensors"
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(content)
    yield folder
    shutil.rmtree(folder)


def test_it_is_named_and_stays_unless_the_last_good_is_asked_for(runs, undisturbed, damaged):
    errors = runs.finish("damaged", code=2)
    assert "step-00000020: shards/rank-00001.safetensors does not match its checksum" in errors
    assert "--resume=last-good" in errors and len(errors.splitlines()) == 1
    assert committed_steps(damaged)[-1] == 20
    runs.finish("damaged", "--resume=last-good")
    assert runs.losses("damaged") == undisturbed
    assert committed_steps(damaged)[-2:] == [20, 24]
    assert (damaged / "checkpoints/step-00000020.damaged/shards/rank-00001.safetensors").is_file()


def test_without_any_that_is_whole_it_says_so_and_touches_none(runs, undisturbed, damaged):
    steps = committed_steps(damaged)
    for step in steps:
        (damaged / f"checkpoints/step-{step:08d}/run.json").write_text("")
    errors = runs.finish("damaged", "--resume=last-good", code=2)
    assert "holds no checkpoint that is whole" in errors and "start anew" in errors
    assert "step-00000015: run.json has 0 bytes instead of" in errors and committed_steps(damaged) == steps
