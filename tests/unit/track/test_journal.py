import json
import math

from cxrpt.track.journal import Journal, read_journal


def steps_of(path, kind="train"):
    return {entry.step: entry.metrics["loss"] for entry in read_journal(path) if entry.kind == kind}


def test_a_line_is_on_file_as_soon_as_it_is_written(tmp_path):
    journal = Journal(tmp_path / "j")
    journal.write(1, {"loss": 2.5, "lr": 1e-4})
    (entry,) = read_journal(tmp_path / "j")
    assert (entry.attempt, entry.step, entry.kind, entry.metrics) == (1, 1, "train", {"loss": 2.5, "lr": 1e-4})
    assert entry.time > 1.7e9
    journal.close()
    journal.close()


def test_non_finite_values_survive_as_strict_json(tmp_path):
    Journal(tmp_path / "j").write(1, {"a": math.nan, "b": math.inf, "c": -math.inf})

    def refuse(name):
        raise AssertionError(f"{name} is no JSON")

    json.loads((tmp_path / "j").read_text(), parse_constant=refuse)
    (entry,) = read_journal(tmp_path / "j")
    assert math.isnan(entry.metrics["a"]) and entry.metrics["b"] == math.inf and entry.metrics["c"] == -math.inf


def test_the_last_attempt_wins_and_older_lines_hold_until_overwritten(tmp_path):
    path = tmp_path / "j"
    first = Journal(path)
    for step in range(90, 121):
        first.write(step, {"loss": 1.0})
    second = Journal(path)  # resumed from step 100
    assert second.attempt == 2
    for step in range(101, 111):
        second.write(step, {"loss": 2.0})
    seen = steps_of(path)
    assert sorted(seen) == list(range(90, 121))
    assert [seen[step] for step in (100, 101, 110, 111, 120)] == [1.0, 2.0, 2.0, 1.0, 1.0]
    assert [entry.step for entry in read_journal(path)] == sorted(seen)


def test_kinds_do_not_overwrite_each_other(tmp_path):
    journal = Journal(tmp_path / "j")
    journal.write(5, {"loss": 1.0})
    journal.write(5, {"loss": 9.0}, kind="eval")
    assert steps_of(tmp_path / "j") == {5: 1.0} and steps_of(tmp_path / "j", "eval") == {5: 9.0}


def test_every_place_a_kill_can_tear_the_last_line_at(tmp_path):
    path = tmp_path / "j"
    journal = Journal(path)
    journal.write(1, {"loss": 1.0})
    whole = path.read_bytes()
    journal.write(2, {"loss": 2.0})
    both = path.read_bytes()
    for cut in range(len(whole), len(both) + 1):
        path.write_bytes(both[:cut])
        assert steps_of(path)[1] == 1.0
        again = Journal(path)
        assert again.attempt == 2
        again.write(3, {"loss": 3.0})
        seen = steps_of(path)
        assert seen[1] == 1.0 and seen[3] == 3.0
        assert seen.get(2, 2.0) == 2.0 and (2 in seen) == (cut >= len(both) - 1)


def test_no_journal_is_no_entries(tmp_path):
    assert read_journal(tmp_path / "none") == []
