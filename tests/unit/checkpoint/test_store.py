import json

import pytest

from cxrpt.checkpoint.lease import take_lease
from cxrpt.checkpoint.state import RunState, check_resumable
from cxrpt.checkpoint.store import (
    COMMITTED,
    begin_save,
    check_files,
    commit,
    committed_steps,
    remove_uncommitted,
    seal_files,
    step_folder,
    withdraw_old,
)
from cxrpt.errors import InputError


def save(run_dir, step, world=2):
    folder = begin_save(run_dir, step)
    (folder / "deepspeed").mkdir()
    for rank in range(world):
        (folder / "deepspeed" / f"zero_pp_rank_{rank}_mp_rank_00_optim_states.pt").write_bytes(bytes([rank, step % 256]) * 50)
    (folder / "run.json").write_text("{}")
    commit(folder, [entry for rank in range(world) for entry in seal_files(folder, rank, world)])
    return folder


def test_a_checkpoint_exists_if_and_only_if_committed_does(tmp_path):
    assert committed_steps(tmp_path) == []
    save(tmp_path, 20)
    save(tmp_path, 100)
    (begin_save(tmp_path, 300) / "run.json").write_text("{}")
    assert committed_steps(tmp_path) == [20, 100]
    files = [entry["name"] for entry in json.loads((step_folder(tmp_path, 20) / COMMITTED).read_text())["files"]]
    assert sorted(files) == ["deepspeed/zero_pp_rank_0_mp_rank_00_optim_states.pt",
                             "deepspeed/zero_pp_rank_1_mp_rank_00_optim_states.pt", "run.json"]  # fmt: skip
    remove_uncommitted(tmp_path)
    assert not step_folder(tmp_path, 300).exists() and committed_steps(tmp_path) == [20, 100]


def test_a_save_removes_what_an_earlier_one_left(tmp_path):
    (begin_save(tmp_path, 7) / "stale.pt").write_text("x")
    assert list(begin_save(tmp_path, 7).iterdir()) == []


@pytest.mark.parametrize(("harm", "words"), [("unlink", "is missing"), ("cut", "bytes instead of"), ("flip", "checksum")])
def test_a_harmed_file_is_named(tmp_path, harm, words):
    folder = save(tmp_path, 5)
    check_files(folder)
    victim = folder / "deepspeed" / "zero_pp_rank_1_mp_rank_00_optim_states.pt"
    data = victim.read_bytes()
    victim.unlink()
    if harm == "cut":
        victim.write_bytes(data[:-1])
    elif harm == "flip":
        victim.write_bytes(b"\xff" + data[1:])
    with pytest.raises(InputError, match=f"zero_pp_rank_1.* {words}"):
        check_files(folder)


def test_retention_keeps_the_newest_every_nth_and_the_claimed(tmp_path):
    for step in (10, 20, 30, 40, 50, 60):
        save(tmp_path, step)
    claim = tmp_path / "evals" / "step-00000010" / "claim"
    claim.parent.mkdir(parents=True)
    claim.write_text("")
    assert withdraw_old(tmp_path, 2, 20) == [30]
    assert committed_steps(tmp_path) == [10, 20, 40, 50, 60]
    assert withdraw_old(tmp_path, 0, 0) == []


def test_one_trainer_a_run(tmp_path):
    import os

    handle = take_lease(tmp_path)
    with pytest.raises(InputError, match="another trainer"):
        take_lease(tmp_path, wait_s=0.1)
    os.close(handle)
    os.close(take_lease(tmp_path, wait_s=0.1))


def test_what_may_not_change_on_resume():
    saved = RunState(step=9, frozen={"tokenizer": "aa", "ranks": 2}, data={"seed": "0", "source a": "f x5"})
    check_resumable(saved, {"tokenizer": "aa", "ranks": 2}, saved.data, False)
    with pytest.raises(InputError, match=r"tokenizer='aa' and the configuration 'bb'.*new run"):
        check_resumable(saved, {"tokenizer": "bb", "ranks": 2}, saved.data, False)
    with pytest.raises(InputError, match="as many ranks"):
        check_resumable(saved, {"tokenizer": "aa", "ranks": 4}, saved.data, False)
    changed = {"seed": "0", "source a": "g x5", "source b": "h x1"}
    with pytest.raises(InputError, match=r"source a \(f x5 -> g x5\); source b \(absent -> h x1\).*--accept-data-change"):
        check_resumable(saved, saved.frozen, changed, False)
    check_resumable(saved, saved.frozen, changed, True)


def test_state_reads_back_equal(tmp_path):
    state = RunState(
        3,
        12,
        {"seed": "1"},
        [{"first_slot": 0}],
        {"ranks": 2},
        {"a": 5},
        {"a": 0},
        0,
        1,
        [{"mlm": [0.1, 1 / 3], "itc": [2.0, 5e-324]}],
    )
    state.write(tmp_path)
    assert RunState.read(tmp_path) == state
