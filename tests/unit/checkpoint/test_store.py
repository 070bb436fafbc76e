import hashlib
import json
import os
import time

import pytest

from cxrpt.checkpoint.state import RunState, check_resumable
from cxrpt.checkpoint.store import (
    COMMITTED,
    begin_save,
    check_files,
    commit,
    committed_steps,
    remove_uncommitted,
    seal_files,
    set_aside,
    step_folder,
    withdraw_old,
)
from cxrpt.errors import InputError


def save(run_dir, step, ranks=2):
    folder = begin_save(run_dir, step)
    (folder / "shards").mkdir()
    sealed = []
    for rank in range(ranks):
        content = bytes([rank, step % 256]) * 50
        (folder / "shards" / f"rank-{rank}").write_bytes(content)
        sealed.append({"name": f"shards/rank-{rank}", "size": 100, "sha256": hashlib.sha256(content).hexdigest()})
    (folder / "run.json").write_text("{}")
    commit(folder, sealed + seal_files(folder, but={entry["name"] for entry in sealed}))
    return folder


def test_a_checkpoint_exists_if_and_only_if_committed_does(tmp_path):
    assert committed_steps(tmp_path) == []
    save(tmp_path, 20)
    save(tmp_path, 100)
    (begin_save(tmp_path, 300) / "run.json").write_text("{}")
    assert committed_steps(tmp_path) == [20, 100]
    files = [entry["name"] for entry in json.loads((step_folder(tmp_path, 20) / COMMITTED).read_text())["files"]]
    assert sorted(files) == ["run.json", "shards/rank-0", "shards/rank-1"]
    remove_uncommitted(tmp_path)
    assert not step_folder(tmp_path, 300).exists() and committed_steps(tmp_path) == [20, 100]


def test_a_damaged_one_that_is_set_aside_is_kept_but_no_checkpoint(tmp_path):
    save(tmp_path, 20)
    for _ in range(2):
        save(tmp_path, 30)
        aside = set_aside(tmp_path, 30)
        remove_uncommitted(tmp_path)
        assert committed_steps(tmp_path) == [20] and (aside / "run.json").exists()


def test_ranks_share_the_check(tmp_path):
    folder = save(tmp_path, 5)
    (folder / "shards" / "rank-1").write_bytes(b"x")
    found = []
    for rank in range(3):
        try:
            check_files(folder, rank, 3)
        except InputError as error:
            found.append(str(error))
    assert len(found) == 1 and "shards/rank-1" in found[0] and "--resume=last-good" in found[0]


def test_a_save_removes_what_an_earlier_one_left(tmp_path):
    (begin_save(tmp_path, 7) / "stale.pt").write_text("x")
    assert list(begin_save(tmp_path, 7).iterdir()) == []


@pytest.mark.parametrize(("harm", "words"), [("unlink", "is missing"), ("cut", "bytes instead of"), ("flip", "checksum")])
def test_a_harmed_file_is_named(tmp_path, harm, words):
    folder = save(tmp_path, 5)
    check_files(folder)
    victim = folder / "shards" / "rank-1"
    data = victim.read_bytes()
    victim.unlink()
    if harm == "cut":
        victim.write_bytes(data[:-1])
    elif harm == "flip":
        victim.write_bytes(b"\xff" + data[1:])
    with pytest.raises(InputError, match=f"shards/rank-1 .*{words}"):
        check_files(folder)


def test_retention_keeps_the_newest_every_nth_and_the_claimed(tmp_path):
    for step in (10, 20, 30, 40, 50, 60):
        save(tmp_path, step)
    claim = tmp_path / "evals" / "step-00000010" / "claim"
    claim.parent.mkdir(parents=True)
    claim.write_text("")
    (claim.parent / "results.json").write_text("{}")  # of an earlier evaluation, which is made again
    assert withdraw_old(tmp_path, 2, 20) == [30]
    assert committed_steps(tmp_path) == [10, 20, 40, 50, 60]
    assert withdraw_old(tmp_path, 0, 0) == []
    os.utime(claim, (time.time() - 7200,) * 2)
    assert withdraw_old(tmp_path, 2, 20) == [10], "whoever claimed it was killed long ago"


def test_what_may_not_change_on_resume():
    saved = RunState(step=9, frozen={"tokenizer": "aa", "global_batch": 2}, data={"seed": "0", "source a": "f x5"})
    check_resumable(saved, {"tokenizer": "aa", "global_batch": 2}, saved.data, False)
    with pytest.raises(InputError, match=r"tokenizer='aa' and the configuration 'bb'.*new run"):
        check_resumable(saved, {"tokenizer": "bb", "global_batch": 2}, saved.data, False)
    with pytest.raises(InputError, match="global_batch=2 and the configuration 4: set it back"):
        check_resumable(saved, {"tokenizer": "aa", "global_batch": 4}, saved.data, False)
    changed = {"seed": "0", "source a": "g x5", "source b": "h x1"}
    with pytest.raises(InputError, match=r"source a \(f x5 -> g x5\); source b \(absent -> h x1\).*--accept-data-change"):
        check_resumable(saved, saved.frozen, changed, False)
    check_resumable(saved, saved.frozen, changed, True)


def test_state_reads_back_equal(tmp_path):
    windows = [{"mlm": [0.1, 1 / 3], "itc": [2.0, 5e-324]}]
    scalars = {"updates": 3, "loss_scale": {"cur_scale": 65536.0}}
    state = RunState(3, 12, {"seed": "1"}, [{"first_slot": 0}], {"global_batch": 2}, scalars, {"a": 5}, {"a": 0}, 0, 1, windows)
    (tmp_path / "run.json").write_text(state.to_json())
    assert RunState.read(tmp_path) == state


def test_a_torn_state_is_named(tmp_path):
    for text in ("", "{", '{"steps": 3}', "[]"):
        (tmp_path / "run.json").write_text(text)
        with pytest.raises(InputError, match=r"run\.json cannot be read.*--resume=last-good"):
            RunState.read(tmp_path)


def test_on_other_ranks_the_first_takes_the_loss_sums_of_all():
    state = RunState(windows=[{"mlm": [1.5, 2.0]}, {"mlm": [0.25, 1.0], "itc": [3.0, 4.0]}])
    assert [state.window_of(rank, 2) for rank in (0, 1)] == state.windows
    assert state.window_of(0, 4) == {"mlm": [1.75, 3.0], "itc": [3.0, 4.0]} and state.window_of(3, 4) == {}


def test_a_commit_that_cannot_be_read_is_named(tmp_path):
    folder = save(tmp_path, 5)
    for text in ("", "{}", "[]", '{"files": 3}', '{"files": [1]}'):
        (folder / COMMITTED).write_text(text)
        with pytest.raises(InputError, match="step-00000005: COMMITTED cannot be read"):
            check_files(folder)
