"""A source of ten lines, the fingerprint of a source, and the `cxrpt prep` commands."""

import os
import re
from dataclasses import fields
from pathlib import Path

import made_exports as made
import pytest
from made_pictures import lines, picture, samples
from typer.testing import CliRunner

from cxrpt.errors import InputError
from data_prep.build.run import build
from data_prep.build.settings import BuildSettings
from data_prep.sources.open_source import SOURCES
from data_prep.sources.opened import fingerprint
from launch import prep
from launch.cli import main

ROOT = Path(__file__).parents[3]


def test_a_new_source_takes_ten_lines(tmp_path, monkeypatch):
    (code,) = re.findall(r"^```python\n(.*?)^```", (ROOT / "CONTRIBUTING.md").read_text(), re.M | re.S)
    assert len([line for line in code.splitlines() if line.strip()]) <= 10
    toy: dict = {}
    exec(code, toy)
    monkeypatch.setitem(SOURCES, "toy", toy["open_source"])
    for patient in "abc":
        for number in "12":
            picture(tmp_path / "src" / f"{patient}_{number}.png", ord(patient) + int(number) * 100)
    settings = made.settings(tmp_path / "src", tmp_path / "out", "toy")
    summary = build(settings)
    assert summary.kept == 6 and len({sample.meta.patient for sample in samples(tmp_path / "out")}) == 3
    picture(tmp_path / "src" / "d_1.png", 9)
    with pytest.raises(InputError, match="another source"):
        build(settings)


def test_a_fingerprint_tells_names_sizes_and_tables_but_not_times(tmp_path):
    bulk, table = lines(tmp_path / "a" / "b.dcm", "12345"), lines(tmp_path / "t.csv", "x")
    first = fingerprint(tmp_path, [bulk], [table], ["on"])
    os.utime(bulk, (1, 1))
    lines(bulk, "54321")
    assert fingerprint(tmp_path, [bulk], [table], ["on"]) == first
    lines(bulk, "123456")
    changed = {fingerprint(tmp_path, [bulk], [table], ["on"])}
    lines(bulk, "12345")
    lines(table, "y")
    changed.add(fingerprint(tmp_path, [bulk], [table], ["on"]))
    lines(table, "x")
    changed |= {fingerprint(tmp_path, [bulk], [table], ["off"]), fingerprint(tmp_path, [], [table], ["on"])}
    bulk.rename(bulk.with_name("c.dcm"))
    changed.add(fingerprint(tmp_path, [bulk.with_name("c.dcm")], [table], ["on"]))
    assert len(changed - {first}) == 5
    bulk.symlink_to(tmp_path / "nowhere")
    fingerprint(tmp_path, [bulk])


# ---- commands


def settings_of(monkeypatch, *words: str) -> BuildSettings:
    """What a command would build."""
    given: list[BuildSettings] = []
    monkeypatch.setattr(prep, "_build", lambda settings, dry_run: given.append(settings))
    result = CliRunner().invoke(prep.prep_app, list(words))
    assert result.exit_code == 0, result.output
    return given[0]


def test_every_source_has_a_command_with_every_common_option(monkeypatch, tmp_path):
    common = {
        "out": (tmp_path / "o", "out"), "key": (tmp_path / "k", "key_file"), "processes": (3, "processes"),
        "store_size": (640, "store_size"), "image_format": ("png", "image_format"), "shard_samples": (7, "shard_samples"),
        "split": ("0.5,0.25,0.25", "split"), "max_failed": (0.01, "max_failed"), "file_seconds": (9.5, "file_seconds"),
    }  # fmt: skip
    assert {field.name for field in fields(prep.BuildOptions)} == {*common, "dry_run", "cluster"}
    words = [word for name, (value, _) in common.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    own = {"hospital": ["--all-chest"], "table": ["--columns", "image=a"]}
    for name in SOURCES:
        settings = settings_of(monkeypatch, name, str(tmp_path), *words, *own.get(name, []), "--institution", "x")
        assert settings.source == name and settings.institution == "x" and settings.src == tmp_path
        for value, field in common.values():
            told = getattr(settings, field)
            assert told == ((0.5, 0.25, 0.25) if field == "split" else value), (name, field)


def test_a_commands_own_options_reach_its_source(monkeypatch, tmp_path):
    base = ("--out", str(tmp_path / "o"))
    mimic = settings_of(monkeypatch, "mimic-cxr", str(tmp_path), *base, "--reports", "r", "--tables", "t")
    assert (mimic.options.reports, mimic.options.tables, mimic.institution) == (Path("r"), Path("t"), "mimic-cxr")
    assert settings_of(monkeypatch, "nih14", str(tmp_path), *base, "--split-lists", "l").options.split_lists == Path("l")
    assert settings_of(monkeypatch, "openi", str(tmp_path), *base).options is None
    yaml = str(ROOT / "configs" / "prep" / "chexpert.yaml")
    table = settings_of(monkeypatch, "table", str(tmp_path), *base, "--institution", "c", "--columns", yaml, "--images", "i")
    assert table.options.images == Path("i") and table.options.partial and table.options.label_separator == "|"
    separated = settings_of(
        monkeypatch, "table", str(tmp_path), *base, "--institution", "c", "--columns", "text=a", "--label-separator", ";"
    )
    assert separated.options.label_separator == ";"
    hospital = settings_of(monkeypatch, "hospital", str(tmp_path), *base, "--institution", "h", "--number-column", "n")
    assert hospital.options.number_column == "n" and not hospital.options.all_chest
    fields_of = hospital.options.accession_fields
    named = settings_of(monkeypatch, "hospital", str(tmp_path), *base, "--institution", "h", "--hl7-accession", "obr-3, ZDS-1")
    assert fields_of[0] == "IPC-1" and named.options.accession_fields == ("OBR-3", "ZDS-1")
    with pytest.raises(SystemExit) as caught:
        main(["prep", "hospital", str(tmp_path), *base, "--institution", "h", "--hl7-accession", "accession"])
    assert caught.value.code == 2


def test_help_is_readable():
    told = CliRunner().invoke(prep.prep_app, ["hospital", "--help"], env={"COLUMNS": "120"}).output
    assert told.index("--number-column") < told.index("Options of every build") < told.index("--file-seconds")


def test_bad_input_is_one_line_and_exit_code_2(tmp_path, capsys):
    (tmp_path / "c.yaml").write_text("image: a\nlabel_colums: [b]\n")
    lines(tmp_path / "t.csv", "a", "1.png")
    (tmp_path / "mimic").mkdir()
    base = ["--out", str(tmp_path / "out")]
    for words in (
        ["table", str(tmp_path / "t.csv"), *base, "--institution", "x", "--columns", str(tmp_path / "c.yaml")],
        ["mimic-cxr", str(tmp_path / "mimic"), *base],
        ["nih14", str(tmp_path / "mimic"), *base],
        ["openi", str(tmp_path / "nowhere"), *base],
    ):
        with pytest.raises(SystemExit) as caught:
            main(["prep", *words])
        told = capsys.readouterr().err
        assert caught.value.code == 2 and told.startswith("cxrpt: ") and told.count("\n") == 1, told


def test_a_dry_run_counts_and_writes_nothing(tmp_path, capsys):
    picture(tmp_path / "src" / "00000001_000.png", 1)
    row = "00000001_000.png,No Finding,0,1,058Y,M,PA,2000,2000,0.1,0.1,"
    header = "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,a,b,c,d,"
    (tmp_path / "src" / "Data_Entry_2017_v2020.csv").write_text(f"{header}\n{row}\n")
    before = sorted(tmp_path.rglob("*"))
    main_done(["prep", "nih14", str(tmp_path / "src"), "--out", str(tmp_path / "out"), "--dry-run"])
    told = capsys.readouterr().out
    assert "found 1 = kept 1 + excluded 0 + failed 0" in told and "nothing was written" in told
    assert sorted(tmp_path.rglob("*")) == before


def main_done(words: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code in (0, None)
