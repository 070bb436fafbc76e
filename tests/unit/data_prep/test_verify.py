"""What `verify` finds, and the commands around it."""

import shutil
from pathlib import Path

import made_exports as made
import pytest
from typer.testing import CliRunner

from cxrpt.data.manifest import read_manifest
from cxrpt.data.sample import SampleMeta
from cxrpt.errors import InputError
from data_prep.durable import write_file
from data_prep.run import build
from data_prep.verify import verify_shards
from data_prep.write_shards import ShardSample, write_shard
from launch.prep import prep_app


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    root = tmp_path_factory.mktemp("verify")
    settings = made.settings(made.hospital(root / "src", 3), root / "out", split=(1.0, 0.0, 0.0))
    build(settings)
    return settings.out


@pytest.fixture
def out(whole, tmp_path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "out"))


def problems(out: Path) -> list[tuple[str, str]]:
    return [(check.name, check.problem) for check in verify_shards(out) if check.problem]


def shard(out: Path) -> Path:
    return out / "north" / "train" / "north-train-000000.tar"


def test_a_whole_folder_has_no_problem_at_any_depth(out):
    assert problems(out.parent) == [] and problems(out / "north" / "train") == []


def test_a_truncated_tar_is_named_in_one_line(out):
    shard(out).write_bytes(shard(out).read_bytes()[:-4000])
    ((name, problem),) = problems(out)
    assert name == shard(out).name and "truncated" in problem and "\n" not in problem


def test_one_changed_byte_is_found(out):
    content = bytearray(shard(out).read_bytes())
    content[2000] ^= 1
    shard(out).write_bytes(content)
    ((name, problem),) = problems(out)
    assert name == shard(out).name and "sha256" in problem


def test_a_missing_tar_index_and_manifest_and_a_stray_tar(out):
    shutil.copy(shard(out), out / "north" / "val" / "stray.tar")
    shard(out).with_suffix(".idx.npy").unlink()
    assert [name for name, _ in problems(out)] == [shard(out).name, "stray.tar"]
    shard(out).unlink()
    assert (shard(out).name, "is missing") in problems(out)
    (out / "north" / "train" / "manifest.json").write_text("{}")
    assert ("manifest.json") in [name for name, _ in problems(out)]
    with pytest.raises(InputError, match=r"manifest\.json"):
        list(verify_shards(out / "north" / "nothing"))


def test_a_patient_in_two_splits_is_found(out):
    train = read_manifest(out / "north" / "train")
    sample = ShardSample("f" * 24, SampleMeta("north", "s", _a_patient(out)), None, b"Clear.\n", num_words=1)
    entry = write_shard(out / "north" / "val" / "north-val-000000.tar", [sample])
    manifest = type(train)("north", "val", {}, (entry,))
    write_file(out / "north" / "val" / "manifest.json", manifest.to_json().encode())
    assert [problem.split()[:2] for _, problem in problems(out)] == [["share", "patient"]]


def _a_patient(out: Path) -> str:
    from cxrpt.data.shards import ShardReader

    return ShardReader(shard(out)).read(0).meta.patient


def test_equal_samples_give_equal_tars(tmp_path):
    sample = ShardSample("a" * 24, SampleMeta("north", "s", "p"), b"\xff\xd8", b"Clear.\n", num_words=1)
    entries = [write_shard(tmp_path / f"{name}.tar", [sample]) for name in "ab"]
    assert entries[0].sha256 == entries[1].sha256 and entries[0].num_pairs == 1
    assert (tmp_path / "a.tar").stat().st_size == entries[0].num_bytes
    assert not list(tmp_path.glob(".*"))


def test_the_commands_build_explain_and_report(tmp_path):
    src = made.hospital(tmp_path / "src", 2)
    run = CliRunner().invoke
    arguments = ["hospital", str(src), "--out", str(tmp_path / "out"), "--institution", "north", "--processes", "1"]
    first = run(prep_app, arguments)
    assert first.exit_code == 0, first.output
    assert "found 9 = kept" in first.output and "reports.csv" in first.output and "knee" not in first.output
    second = run(prep_app, arguments)
    assert second.exit_code == 0 and "complete: nothing to do" in second.output
    line = (tmp_path / "out" / "north" / "ledger.jsonl").read_text().splitlines()[0]
    told = run(prep_app, ["explain", line.split('"')[3], "--out", str(tmp_path / "out")])
    assert told.exit_code == 0 and told.output.strip()
    wrong = run(prep_app, [*arguments[:-4], "--institution", "Big Hospital"])
    assert isinstance(wrong.exception, InputError) and "small letters" in str(wrong.exception)


def test_the_verify_command_ends_with_1_and_names_the_shard(out):
    import typer

    from launch.prep import verify

    app = typer.Typer()
    app.command()(verify)
    assert CliRunner().invoke(app, [str(out)]).exit_code == 0
    shard(out).write_bytes(shard(out).read_bytes()[:-4000])
    result = CliRunner().invoke(app, [str(out)])
    assert result.exit_code == 1 and "north-train-000000.tar: is truncated" in result.output
