"""What a build keeps for the next: time-outs beside the key, the first look at files, and parts that a power cut may spoil."""

import errno
import hashlib
import json
import time
from pathlib import Path

import made_exports as made
import pytest

from cxrpt.errors import InputError
from data_prep.build import run
from data_prep.build.compose import compose
from data_prep.build.run import build, census, convert_share
from data_prep.build.settings import check
from data_prep.build.time_outs import add_time_outs, read_time_outs
from data_prep.inputs import Export, SetAside
from data_prep.ledger import Reason
from data_prep.privacy.pseudonyms import Pseudonyms, read_or_make_key
from data_prep.processes.scan import Reading, ScanSpool, scan_files
from data_prep.sources.opened import fingerprint


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


def test_a_verdict_of_the_first_look_is_passed_on_at_the_first_look(tmp_path, monkeypatch):
    src = made.hospital(tmp_path / "src", 3)
    settings = made.settings(src, tmp_path / "out", key_file=tmp_path / "key")
    pseudonyms = Pseudonyms("north", read_or_make_key(settings.key_path))
    set_aside = (SetAside("deep/er/f1", "dicom", Reason.TIMED_OUT), SetAside("report//a", "report", Reason.TIMED_OUT))
    run._keep_time_outs(settings, Export((), set_aside), {}, pseudonyms)
    reports = src / "reports"
    reports.mkdir()
    (src / "reports.csv").rename(reports / "reports.csv")
    (reports / "a").write_text("IMPRESSION: Clear.")
    export = run._open(settings)[0].collect(run._reading(settings, run._open(settings)[2], pseudonyms))
    assert {one.input_id for one in export.set_aside if one.reason == Reason.TIMED_OUT} == {"deep/er/f1", "report//a"}
    assert build(settings).reasons["timed_out"] == 2
    assert len(settings.time_outs.read_text().splitlines()) == 2


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


def slow_at_first(items, spoiled):
    time.sleep(0.5 if items[0] == 0 else 0)
    return list(items)


@pytest.mark.parametrize("keeps", [True, False])
def test_the_first_look_gives_its_chunks_in_the_order_of_the_files(tmp_path, keeps):
    reading = Reading(2, 60.0, ScanSpool(tmp_path / "scan", "ab" * 20) if keeps else None)
    for _ in range(2):
        found = [found for _, found in scan_files(slow_at_first, range(7), "headers", reading, 2)]
        assert found == [[0, 1], [2, 3], [4, 5], [6]]


def test_the_first_look_of_other_settings_or_of_another_version_is_not_taken(tmp_path):
    settings = made.settings(made.hospital(tmp_path / "src", 2), tmp_path / "out")
    pseudonyms = Pseudonyms("north", read_or_make_key(settings.key_path))
    identity = run._open(settings)[2]
    spool = run._reading(settings, identity, pseudonyms).spool
    spool.folder.mkdir()
    spool.path("headers", 0).write_bytes(b"\x80\x04\x8c\x08builtins\x8c\x07no_such\x93.")
    assert spool.read("headers", 0, 1) is None, "a class that there is no more"
    for name, value in (("cxrpt", "0.0.0"), ("file_seconds", 1.0), ("decoders", {})):
        other = {**identity, "settings": {**identity["settings"], name: value}}
        assert run._reading(settings, other, pseudonyms).spool.path("headers", 0) != spool.path("headers", 0)


def test_what_the_first_look_kept_is_gone_before_the_build_is_called_whole(tmp_path, monkeypatch):
    settings = made.settings(made.hospital(tmp_path / "src", 2), tmp_path / "out")
    real = run.write_file

    def killed(path, *content):
        real(path, *content)
        if path.name == "build.json":
            raise KeyboardInterrupt

    monkeypatch.setattr(run, "write_file", killed)
    with pytest.raises(KeyboardInterrupt):
        build(settings)
    assert build(settings).was_complete and not settings.scan_folder.exists()


def test_a_full_disk_is_one_line_for_a_build_and_for_a_share_of_one(tmp_path, monkeypatch):
    settings = made.settings(made.hospital(tmp_path / "src", 2), tmp_path / "out")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(run, "_convert", full)
    for work in (build, lambda settings: convert_share(settings, 0, 1)):
        with pytest.raises(InputError, match="is full: free some space"):
            work(settings)


@pytest.mark.parametrize("seconds", [float("inf"), float("nan"), 0.0, 1e9])
def test_seconds_that_no_clock_can_be_set_to_are_refused(tmp_path, seconds):
    with pytest.raises(InputError, match=r"--file-seconds .* at most 86400"):
        check(made.settings(tmp_path, tmp_path.with_name("out"), file_seconds=seconds))


def test_a_report_that_cannot_be_read_does_not_stop_the_build(tmp_path, monkeypatch):
    src = made.hospital(tmp_path / "src", 2)
    (src / "reports").mkdir()
    (src / "reports.csv").rename(src / "reports" / "reports.csv")
    real = hashlib.file_digest

    def digest(file, algorithm):
        if Path(file.name).name == "reports.csv":
            raise OSError(errno.EIO, "Input/output error")
        return real(file, algorithm)

    monkeypatch.setattr(hashlib, "file_digest", digest)
    assert fingerprint(src, (), [src / "reports"]) == fingerprint(src, (), [src / "reports"])
    assert build(made.settings(src, tmp_path / "out")).kept


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
