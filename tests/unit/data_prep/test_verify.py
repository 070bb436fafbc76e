"""What `verify` finds, and the commands around it."""

import json
import shutil
from pathlib import Path

import made_exports as made
import numpy as np
import pytest
import typer
from made_splits import picture, renew_manifest, sample, sound, write_split
from typer.testing import CliRunner

from cxrpt.data.sample import SampleMeta
from cxrpt.data.shards import INDEX_DTYPE, index_path
from cxrpt.errors import InputError
from data_prep.build.run import build
from data_prep.build.write_shards import ShardSample, write_shard
from data_prep.checks import leaks
from data_prep.checks.verify import verify_shards
from data_prep.pictures.near_copies import NEAR_DISTANCE
from launch.prep import prep_app
from launch.verify import verify


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    root = tmp_path_factory.mktemp("verify")
    settings = made.settings(made.hospital(root / "src", 3), root / "out", split=(1.0, 0.0, 0.0))
    build(settings)
    return settings.out


@pytest.fixture
def built(whole, tmp_path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "above" / "built"))


@pytest.fixture
def out(tmp_path) -> Path:
    return sound(tmp_path / "out")


@pytest.fixture
def shard(out) -> Path:
    return out / "north" / "train" / "north-train-000000.tar"


def problems(out: Path, **options) -> list[tuple[str, str]]:
    return [(check.name, check.problem) for check in verify_shards(out, **options) if check.problem]


def warnings(out: Path) -> list[tuple[str, str, str]]:
    return [(check.institution, check.split, check.warning) for check in verify_shards(out) if check.warning]


def the_problem(out: Path, name: str = "north-train-000000.tar") -> str:
    ((named, problem),) = problems(out)
    assert named == name and "\n" not in problem
    return problem


def flip(path: Path, place: int, mask: int = 1) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= mask
    path.write_bytes(content)


def change_index(shard: Path, change) -> None:
    index = np.load(index_path(shard))
    changed = change(index)
    np.save(index_path(shard), index if changed is None else changed)


def test_whole_folders_have_no_problem_at_any_depth(built, out):
    assert problems(built.parent) == [] and problems(built / "north" / "train") == []
    assert problems(out) == [] and warnings(out) == []


def test_processes_give_the_same_results_in_the_same_order(out, shard):
    flip(shard, 700)
    assert list(verify_shards(out, processes=2)) == list(verify_shards(out))


@pytest.mark.parametrize("member", ["image", "text", "meta"])
def test_one_flipped_bit_names_the_member_and_the_sample(out, shard, member):
    record = np.load(index_path(shard))[1]
    flip(shard, int(record[member]["offset"]) + int(record[member]["size"]) // 2)
    problem = the_problem(out)
    assert f"member {member!r} of sample a2 does not match its checksum (further findings: 1)" in problem


def test_one_flipped_bit_in_a_tar_header(out, shard):
    record = np.load(index_path(shard))[1]
    flip(shard, int(record["text"]["offset"]) - 512 + 3)
    assert "damaged tar header before member 'text' of sample a2" in the_problem(out)


def test_one_flipped_bit_in_padding_is_found_by_the_sha256(out, shard):
    record = np.load(index_path(shard))[0]
    flip(shard, int(record["text"]["offset"] + record["text"]["size"]) + 2)
    assert the_problem(out) == "does not have the sha256 of its manifest"


def test_bytes_behind_the_end_and_files_that_no_index_names(out, shard):
    shard.write_bytes(shard.read_bytes() + b"\0" * 512)
    assert "is longer than its manifest says" in the_problem(out)
    change_index(shard, lambda index: index[:1])
    assert "does not end where its index ends" in the_problem(out)


def test_a_truncated_tar_and_a_missing_one(out, shard):
    shard.write_bytes(shard.read_bytes()[:-4000])
    assert "is truncated" in the_problem(out)
    shard.unlink()
    assert the_problem(out) == "is missing"


def test_an_index_that_is_missing_broken_or_of_another_version(out, shard):
    index = np.load(index_path(shard))
    index_path(shard).unlink()
    assert "no index" in the_problem(out)
    for content in (b"", b"PK\x03\x04junk", b"\x93NUMPY\x01\x00junk", b"plain words"):
        index_path(shard).write_bytes(content)
        assert "an index that cannot be read" in the_problem(out)
    older = np.dtype([field for field in INDEX_DTYPE.descr if field[0] != "phash"])
    np.save(index_path(shard), np.zeros(len(index), older))
    assert "an index of another version" in the_problem(out)


def test_an_index_that_says_other_things_than_its_tar(out, shard):
    whole_index = np.load(index_path(shard))

    def after(name: str, value) -> str:
        index = whole_index.copy()
        index[name][1] = value
        np.save(index_path(shard), index)
        return the_problem(out)

    assert "holds another file where its index has member 'image' of sample zz" in after("key", b"zz")
    assert "other members than its kind" in after("kind", 2)
    assert "number of words" in after("num_words", 3)
    assert "perceptual hash in the index that is not its picture's" in after("phash", np.full(32, 170, np.uint8))
    offset, size, crc = whole_index["text"][1]
    assert "at another place" in after("text", (offset + 512, size, crc))
    assert "at another place" in after("text", (-5, size, crc))
    assert "at another place" in after("text", (2**62, size, crc))
    assert "does not match its checksum" in after("text", (offset, size, crc ^ 1))
    near = np.frombuffer(picture(2)[1], np.uint8).copy()
    near[3] ^= 0b11
    index = whole_index.copy()
    index["phash"][1] = near
    np.save(index_path(shard), index)
    assert problems(out) == []  # another release of a codec


def test_swapped_shards(out, shard):
    other = shard.with_name("north-train-000001.tar")
    for one, two in ((shard, other), (index_path(shard), index_path(other))):
        aside = one.with_name("aside")
        one.rename(aside), two.rename(one), aside.rename(two)
    assert [name for name, _ in problems(out)] == [shard.name, other.name]
    aside = index_path(shard).with_name("aside")
    index_path(shard).rename(aside), index_path(other).rename(index_path(shard)), aside.rename(index_path(other))
    assert [name for name, _ in problems(out)] == [shard.name, other.name]


@pytest.mark.parametrize(
    ("meta", "words"),
    [
        ({"sections": {"FINDINGS": (0, 999)}}, "lies outside its text"),
        ({"age": 93}, "neither below 90"),
        ({"view": "OBLIQUE"}, "a view that is none of"),
        ({"labels": {"effusion": 3}}, "a label"),
        ({"labels": {"effusion": [1]}}, "a label"),
        ({"sections": {"FINDINGS": ("a", "b")}}, "wrong types"),
        ({"patient": ""}, "no patient"),
        ({"crop": (0, 0, 999, 10)}, "crop"),
    ],
)
def test_metadata_that_breaks_the_contract(tmp_path, meta, words):
    write_split(tmp_path, "north", "train", [sample("a1", 1, "Clear.\n", **meta)])
    assert words in the_problem(tmp_path)


def test_metadata_with_a_field_that_may_not_leave_is_refused_and_not_quoted(tmp_path):
    class Leaky(SampleMeta):
        def to_json(self) -> bytes:
            return json.dumps({**json.loads(super().to_json()), "QXCANARYNAME": "Hill^Ann"}).encode()

    write_shard_with(tmp_path, ShardSample("a1", Leaky("north", "s", "p"), None, b"Clear.\n", num_words=1))
    problem = the_problem(tmp_path)
    assert "metadata of sample a1" in problem and "QXCANARY" not in problem and "Hill" not in problem


def write_shard_with(out: Path, one: ShardSample) -> None:
    folder = write_split(out, "north", "train", [sample("a1", None, "Clear.\n")])
    entry = write_shard(folder / "north-train-000000.tar", [one])
    renew_manifest(folder, **entry.__dict__)


def test_a_picture_that_is_none_and_one_of_another_institution(tmp_path):
    write_shard_with(tmp_path, ShardSample("a1", SampleMeta("north", "s", "p"), b"\xff\xd8 no picture", None))
    assert "no grayscale picture" in the_problem(tmp_path)
    write_shard_with(tmp_path, ShardSample("a1", SampleMeta("west", "s", "p"), None, b"Clear.\n", num_words=1))
    assert "another institution" in the_problem(tmp_path)


def test_wrong_counts_and_sums_of_a_manifest(out):
    folder = out / "north" / "train"
    renew_manifest(folder, num_pairs=1, num_texts=1)
    assert "numbers of samples" in the_problem(out)
    text = (folder / "manifest.json").read_text()
    (folder / "manifest.json").write_text(text.replace('"nsamples": 2', '"nsamples": 7', 1))
    assert any("is not the sum" in problem for _, problem in problems(out))
    renew_manifest(folder, name="../../elsewhere.tar")
    assert "sizes and names that cannot be" in the_problem(out, "manifest.json")


def test_manifest_in_a_foreign_folder_stray_files_and_none_at_all(out, shard):
    shutil.copytree(out / "south" / "train", out / "south" / "val")
    shutil.copy(shard, out / "north" / "val" / "stray.tar")
    found = problems(out)
    assert ("manifest.json", "is of south/train, not of its folder") in found
    assert any(name == "stray.tar" and "in no manifest" in problem for name, problem in found)
    assert sum("comes more than once" in problem for _, problem in found) == 3
    (out / "north" / "train" / "manifest.json").write_text("{}")
    assert "manifest.json" in [name for name, _ in problems(out)]
    with pytest.raises(InputError, match=r"manifest\.json"):
        list(verify_shards(out / "north" / "nothing"))


def test_a_build_whose_sums_or_ledger_do_not_fit(built):
    folder = built / "north"
    lines = (folder / "ledger.jsonl").read_text().splitlines(keepends=True)
    (folder / "ledger.jsonl").write_text("".join(lines[1:]))
    assert "ledger.jsonl has" in the_problem(built, "build.json")
    build_json = json.loads((folder / "build.json").read_text())
    build_json["splits"]["train"]["pairs"] += 1
    (folder / "build.json").write_text(json.dumps(build_json))
    assert "pairs in train" in problems(built)[0][1]
    (folder / "build.json").unlink()
    assert problems(built) == []
    (folder / ".work").mkdir()
    assert "goes on" in the_problem(built, "build.json")


def test_a_patient_in_two_splits_is_found_and_named_with_both_samples(out):
    write_split(out, "north", "val", [sample("x1", None, "Clear.\n", patient="p-a2"), sample("x2", 5)])
    ((_, problem),) = problems(out)
    assert problem == "share patient p-a2 (samples a2, x1)"
    (check,) = [check for check in verify_shards(out) if check.problem]
    assert (check.institution, check.split) == ("north", "train+val")


def test_equal_pseudonyms_of_two_institutions_are_two_patients(out):
    write_split(out, "south", "val", [sample("x1", None, "Clear.\n", patient="p-a2")])
    assert problems(out) == []


def test_many_leaked_patients_are_counted_beyond_the_first(tmp_path, monkeypatch):
    monkeypatch.setattr(leaks, "NAMED", 2)
    for split in ("train", "test"):
        write_split(tmp_path, "north", split, [sample(f"{split}{n}", None, "Clear.\n", patient=f"p{n}") for n in range(5)])
    assert [problem[:14] for _, problem in problems(tmp_path)] == ["share patient ", "share patient ", "further patien"]


def test_digests_that_collide_are_no_leak(out, monkeypatch):
    monkeypatch.setattr("data_prep.checks.verify_shard.digest_of", lambda text: 7)
    assert problems(out) == []


def test_a_near_copy_in_another_split_or_institution_is_a_warning(out):
    write_split(out, "north", "test", [sample("x1", 2, "FINDINGS: Fracture.\n", quality=40)])
    write_split(out, "south", "train", [sample("y1", 3, quality=60), sample("y2", 31), sample("y3", 31, quality=50)])
    assert problems(out) == []
    one, two, three = warnings(out)
    between = sorted((one, two))
    assert [found[:2] for found in between] == [("north", "train+test"), ("north+south", "train")]
    assert "samples a2 and x1" in between[0][2] and "samples a3 and y1" in between[1][2]
    assert int(between[0][2].split()[-1].strip(")")) <= NEAR_DISTANCE
    assert three[2].startswith("pairs of near pictures of different patients within one split: 1;")


def test_near_copies_beyond_the_first_are_counted(out, monkeypatch):
    monkeypatch.setattr(leaks, "NEAR_NAMED", 1)
    write_split(out, "north", "test", [sample("x1", 2, quality=40), sample("x2", 1, quality=60)])
    nearest, rest = warnings(out)
    assert "samples a1 and x2" in nearest[2] and rest[2].endswith("different splits or institutions: 1")


def test_near_pictures_of_one_patient_in_a_split_and_equal_texts_are_no_finding(out):
    write_split(out, "south", "train", [sample("y2", 31, patient="p"), sample("y3", 31, quality=50, patient="p")])
    assert problems(out) == [] and warnings(out) == []


def test_equal_samples_give_equal_tars(tmp_path):
    one = ShardSample("a" * 24, SampleMeta("north", "s", "p"), b"\xff\xd8", b"Clear.\n", num_words=1)
    entries = [write_shard(tmp_path / f"{name}.tar", [one]) for name in "ab"]
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


def run_verify(*words) -> object:
    app = typer.Typer()
    app.command()(verify)
    return CliRunner().invoke(app, [*map(str, words), "--processes", "1"])


def test_the_verify_command_shows_sums_and_ends_with_1_where_something_is_broken(out, shard):
    fine = run_verify(out)
    assert fine.exit_code == 0 and "north-train-000000" not in fine.output and "ok" in fine.output
    assert "north-train-000001.tar" in run_verify(out, "--all").output
    shard.write_bytes(shard.read_bytes()[:-4000])
    broken = run_verify(out)
    assert broken.exit_code == 1 and "north train north-train-000000.tar: is truncated" in broken.output
    assert "1 BROKEN" in broken.output
    assert isinstance(run_verify(out / "nothing").exception, InputError)


def test_near_copies_end_with_1_only_when_strict(out):
    write_split(out, "north", "test", [sample("x1", 2, quality=40)])
    loose, strict = run_verify(out), run_verify(out, "--strict")
    assert (loose.exit_code, strict.exit_code) == (0, 1)
    assert "warning: north train+test: the pictures of samples a2 and x1 are near copies" in loose.output


def test_a_split_that_is_gone_is_told(tmp_path):
    settings = made.settings(made.hospital(tmp_path / "src", 4), tmp_path / "out")
    build(settings)
    shutil.rmtree(settings.folder / "val")
    for root in (settings.out, settings.folder):
        assert [check.problem for check in verify_shards(root) if check.problem] == [
            "names the split val, which has no manifest.json: copy or build it again"
        ]
    assert [check.problem for check in verify_shards(settings.folder / "train") if check.problem] == []
