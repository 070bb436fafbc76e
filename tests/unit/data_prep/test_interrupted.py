"""What a build keeps for the next: time-outs beside the key, the first look at files, and parts that a power cut may spoil."""

import json

import made_exports as made
import pytest

from cxrpt.errors import InputError
from data_prep.build import run
from data_prep.build.compose import compose
from data_prep.build.run import build, census
from data_prep.build.time_outs import add_time_outs, read_time_outs
from data_prep.privacy.pseudonyms import Pseudonyms, read_or_make_key
from data_prep.processes.scan import Reading, ScanSpool, scan_files


def test_verdicts_hold_for_builds_that_allow_no_more(tmp_path):
    path = tmp_path / "key.timeouts.jsonl"
    assert read_time_outs(path, 60) == frozenset()
    add_time_outs(path, ["b", "a"], 60)
    add_time_outs(path, ["c"], 5)
    assert read_time_outs(path, 60) == {"a", "b"} and read_time_outs(path, 5) == {"a", "b", "c"}
    assert read_time_outs(path, 61) == frozenset()
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_text("{")
    with pytest.raises(InputError, match="remove it"):
        read_time_outs(path, 60)


def test_a_later_build_passes_a_verdict_on_without_trying(tmp_path):
    src = made.hospital(tmp_path / "src", 3)
    settings = made.settings(src, tmp_path / "out", key_file=tmp_path / "key")
    late = Pseudonyms("north", read_or_make_key(settings.key_path)).of("input", "deep/er/f1")
    add_time_outs(settings.time_outs, [late], settings.file_seconds)
    summary = build(settings)
    assert summary.reasons["timed_out"] == 1
    lines = [json.loads(line) for line in (settings.folder / "ledger.jsonl").read_text().splitlines()]
    assert [line["reason"] for line in lines if line["input"] == late] == ["timed_out"]
    assert len(settings.time_outs.read_text().splitlines()) == 1, "a verdict that is known is not written again"


def test_a_spoilt_part_is_made_again(tmp_path, monkeypatch):
    src = made.hospital(tmp_path / "src", 3)
    key = tmp_path / "key"
    whole = made.settings(src, tmp_path / "whole", key_file=key)
    build(whole)
    settings = made.settings(src, tmp_path / "out", key_file=key)
    monkeypatch.setattr(run, "LEAST_IN_CHUNK", 2)
    monkeypatch.setattr(run, "compose", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        build(settings)
    monkeypatch.setattr(run, "compose", compose)
    first, second, third = sorted((settings.folder / ".work").glob("part-*.bin"))[:3]
    first.write_bytes(b"\0" * first.stat().st_size)
    second.unlink()
    third.with_suffix(".json").write_text("")
    build(settings)
    assert made.tree(settings.folder) == made.tree(whole.folder)


def looked_at(items, spoiled):
    """Appends to a file what it looks at."""
    with items[0].open("a") as log:
        log.write("looked\n")
    return [len(items)]


def test_the_first_look_is_kept_until_the_build_is_done(tmp_path):
    log = tmp_path / "log"
    reading = Reading(1, 60.0, ScanSpool(tmp_path / "scan", "ab" * 20))
    for _ in range(2):
        assert [found for _, found in scan_files(looked_at, [log, log, log], "headers", reading, 2)] == [[2], [1]]
    assert log.read_text() == "looked\n" * 2
    other = Reading(1, 60.0, ScanSpool(tmp_path / "scan", "cd" * 20))
    list(scan_files(looked_at, [log], "headers", other, 2))
    assert log.read_text() == "looked\n" * 3, "another source is looked at anew"
    assert (tmp_path / "scan").stat().st_mode & 0o777 == 0o700


def test_nothing_but_the_key_and_the_map_is_left_beside_the_output(tmp_path):
    build(made.settings(made.hospital(tmp_path / "src", 2), tmp_path / "out"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "out.key", "out.north.paths.jsonl", "src"]


def test_a_census_says_what_a_build_would_try_and_writes_nothing(tmp_path):
    src = made.hospital(tmp_path / "src", 4)
    settings = made.settings(src, tmp_path / "out")
    counted = census(settings)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["src"]
    summary = build(settings)
    assert counted.found == summary.found and counted.kept + counted.excluded + counted.failed == counted.found
    assert counted.kept == summary.kept + summary.reasons["duplicate"], "a copy shows only in its pixels"
