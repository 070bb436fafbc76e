"""A build from end to end on a small made hospital: bytes, ledger, privacy, continuing, readers."""

import json
import os
import signal
import subprocess
import sys
import tarfile
import textwrap
import time
from pathlib import Path

import cv2
import made_exports as made
import numpy as np
import pytest
from made_exports import CANARY

from cxrpt.data.manifest import read_manifest
from cxrpt.data.sample import SPLITS, Kind
from cxrpt.data.shards import ShardReader
from cxrpt.data.transforms import load_square
from cxrpt.errors import InputError
from data_prep.build.convert import encode
from data_prep.build.path_map import explain
from data_prep.build.run import build
from data_prep.checks.verify import verify_shards
from data_prep.sources.hospital import HospitalOptions


def samples(folder: Path, use: str = "all") -> list:
    readers = [ShardReader(path, use) for path in sorted(folder.rglob("*.tar"))]
    return [reader.read(number) for reader in readers for number in range(len(reader))]


def ledger(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "ledger.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    root = tmp_path_factory.mktemp("build")
    src = made.hospital(root / "src")
    key = root / "given.key"
    key.write_text("ab" * 32 + "\n")
    key.chmod(0o600)
    one = made.settings(src, root / "one", key_file=key, shard_samples=3, processes=1)
    return one, build(one)


def test_summary_adds_up_and_every_input_has_one_line(built):
    settings, summary = built
    assert summary.found == summary.kept + summary.excluded + summary.failed
    # 6 studies, 2 second images, a copy, a knee, noise; 7 rows of reports.
    assert summary.found == 6 + 2 + 3 + 7
    lines = ledger(settings.folder)
    assert len(lines) == summary.found and len({line["input"] for line in lines}) == summary.found
    assert summary.reasons == {"duplicate": 1, "not_dicom": 1, "other_body_part": 1, "template_only_report": 1}
    assert {line["outcome"] for line in lines if line["reason"] == "not_dicom"} == {"failed"}
    on_disk = json.loads((settings.folder / "build.json").read_text())
    assert on_disk["found"] == summary.found and on_disk["splits"] == summary.splits


def test_pairs_images_and_texts_are_what_the_export_holds(built):
    settings, _ = built
    found = samples(settings.folder)
    kinds = [sample.kind for sample in found]
    assert (kinds.count(Kind.PAIR), kinds.count(Kind.IMAGE), kinds.count(Kind.TEXT)) == (7, 1, 1)
    pair = next(sample for sample in found if sample.text and "number 0" in sample.text)
    start, end = pair.meta.sections["FINDINGS"]
    assert pair.text[start:end] == "Lung number 0 is clear."
    assert pair.meta.labels == {"Effusion": 1, "Mass": -1} and pair.meta.sex == "F" and pair.meta.age == 70
    same_study = [sample for sample in found if sample.meta.study == pair.meta.study]
    assert sorted(sample.meta.view for sample in same_study) == ["LATERAL", "PA"]
    text_only = next(sample for sample in found if sample.kind == Kind.TEXT)
    assert text_only.meta.patient == pair.meta.patient and text_only.meta.study != pair.meta.study
    assert all(len(sample.key) <= 40 and "." not in sample.key for sample in found)
    picture = cv2.imdecode(np.frombuffer(pair.image, np.uint8), cv2.IMREAD_UNCHANGED)
    assert picture.ndim == 2 and min(picture.shape) == 144


def test_every_split_has_a_manifest_and_no_patient_is_in_two(built):
    settings, summary = built
    splits = {}
    for split in SPLITS:
        manifest = read_manifest(settings.folder / split)
        assert manifest.count() == sum(summary.splits[split][kind] for kind in ("pairs", "images", "texts"))
        for sample in samples(settings.folder / split):
            assert splits.setdefault(sample.meta.patient, split) == split
    assert not [check.problem for check in verify_shards(settings.out) if check.problem]


def test_bytes_do_not_depend_on_processes_or_on_where_they_are_written(built, tmp_path):
    settings, _ = built
    other = made.settings(settings.src, tmp_path / "other", key_file=settings.key_file, shard_samples=3, processes=2)
    build(other)
    assert made.tree(other.folder) == made.tree(settings.folder)


def test_png_shards_hold_the_pixels_without_loss(built, tmp_path):
    settings, summary = built
    fields = {"key_file": settings.key_file, "shard_samples": 3, "processes": 1}
    other = made.settings(settings.src, tmp_path / "png", image_format="png", **fields)
    assert build(other).splits == summary.splits
    checks = list(verify_shards(other.out))
    assert not [check.problem for check in checks if check.problem]
    assert sum(check.num_pairs + check.num_images for check in checks) == 8
    names = []
    for path in other.folder.rglob("*.tar"):
        with tarfile.open(path) as archive:
            names += archive.getnames()
    assert sum(name.endswith(".png") for name in names) == 8 and not any(name.endswith(".jpg") for name in names)
    as_jpg = {sample.key: sample for sample in samples(settings.folder)}
    found = samples(other.folder)
    assert {sample.key for sample in found} == set(as_jpg)
    for sample in found:
        twin = as_jpg[sample.key]
        assert (sample.kind, sample.text, sample.meta) == (twin.kind, twin.text, twin.meta)
        if sample.image is None:
            continue
        assert sample.image.startswith(b"\x89PNG")
        pixels = cv2.imdecode(np.frombuffer(sample.image, np.uint8), cv2.IMREAD_UNCHANGED)
        assert encode(pixels, "jpg") == twin.image, "the same pixels went into both"
        seen = [load_square(picture, 64).astype(int) for picture in (sample.image, twin.image)]
        assert seen[0].shape == (64, 64) and np.abs(seen[0] - seen[1]).mean() < 3


def test_another_key_changes_every_pseudonym(built, tmp_path):
    settings, _ = built
    other = made.settings(settings.src, tmp_path / "other", shard_samples=3)
    build(other)
    assert (tmp_path / "other.key").stat().st_mode & 0o777 == 0o600
    mine, theirs = samples(settings.folder), samples(other.folder)
    for names in (lambda sample: sample.key, lambda sample: sample.meta.patient, lambda sample: sample.meta.study):
        assert not {names(sample) for sample in mine} & {names(sample) for sample in theirs}


def test_a_finished_build_is_left_alone_and_another_is_refused(built):
    settings, summary = built
    before = {path: path.stat().st_mtime_ns for path in settings.folder.rglob("*")}
    again = build(settings)
    assert again.was_complete and again.kept == summary.kept
    assert before == {path: path.stat().st_mtime_ns for path in settings.folder.rglob("*")}
    fields = {**settings.__dict__, "store_size": 256}
    with pytest.raises(InputError, match="store_size"):
        build(type(settings)(**fields))


def test_a_changed_source_is_refused(tmp_path):
    settings = made.settings(made.hospital(tmp_path / "src", 2), tmp_path / "out")
    build(settings)
    made.dicom(tmp_path / "src" / "new", 30)
    with pytest.raises(InputError, match="another source"):
        build(settings)


def test_ledger_hashes_resolve_by_the_map_beside_the_output_only(built):
    settings, _ = built
    knee = next(line for line in ledger(settings.folder) if line["reason"] == "other_body_part")
    assert explain(knee["input"], settings.out) == ["knee.dcm"]
    assert settings.path_map.stat().st_mode & 0o777 == 0o600
    assert settings.out not in settings.path_map.parents
    with pytest.raises(InputError, match="no input"):
        explain("zz", settings.out)


def test_webdataset_and_wids_open_the_shards(built):
    webdataset = pytest.importorskip("webdataset")
    import wids

    settings, summary = built
    shards = sorted(str(path) for path in settings.folder.rglob("*.tar"))
    keys = [sample["__key__"] for sample in webdataset.WebDataset(shards, shardshuffle=False)]
    assert sorted(keys) == sorted(sample.key for sample in samples(settings.folder)) == sorted(set(keys))
    split = max(SPLITS, key=lambda split: summary.splits[split]["shards"])
    dataset = wids.ShardListDataset(str(settings.folder / split / "manifest.json"), keep=True)
    assert len(dataset) == read_manifest(settings.folder / split).count()
    assert json.load(dataset[0][".json"]) if hasattr(dataset[0][".json"], "read") else dataset[0][".json"]


def test_no_canary_leaves_the_export(tmp_path, capfd):
    src = tmp_path / f"{CANARY}src"
    made.dicom(src / f"{CANARY}FILE.dcm", 1, canaries=True)
    made.dicom(src / "b.dcm", 2, PatientID=f"{CANARY}TWO", BodyPartExamined=f"KNEE {CANARY}")
    made.dicom(src / "c.dcm", 3, StudyDate=f"{CANARY}"[:8], WindowCenter=None)
    broken = src / f"{CANARY}broken.dcm"
    made.dicom(broken, 4)
    broken.write_bytes(broken.read_bytes()[:-20000] + CANARY.encode())
    (src / f"{CANARY}.txt").write_text(CANARY)
    report = (
        f"FINDINGS: Patient {CANARY}NAME, Given ({CANARY}ID, acc {CANARY}AC) seen by {CANARY}DOC at {CANARY}HOSPITAL, "
        f"{CANARY} road 7. {CANARY}OTHER. Operator {CANARY}OP; {CANARY}PERSON agrees. Clear lungs."
    )
    rows = [{"accession_number": f"{CANARY}AC", "report": report, "physician": f"{CANARY}PHYS", "note": CANARY}]
    made.table(src / "reports.csv", rows)
    settings = made.settings(src, tmp_path / "out", max_failed=1.0)
    summary = build(settings)
    assert summary.splits["train"]["pairs"] + summary.splits["val"]["pairs"] + summary.splits["test"]["pairs"] == 1
    for name, content in made.tree(tmp_path / "out").items():
        assert CANARY.lower() not in name.lower() and CANARY.lower().encode() not in content.lower(), name
    pair = next(sample for sample in samples(settings.folder) if sample.kind == Kind.PAIR)
    assert "Clear lungs." in pair.text and pair.meta.sex is None and pair.meta.view == "UNKNOWN"
    assert CANARY not in repr(summary.reasons) + "".join(capfd.readouterr())
    assert CANARY in settings.path_map.read_text()


def test_errors_name_neither_files_nor_values_of_the_export(tmp_path):
    src = tmp_path / "src"
    made.dicom(src / "a.dcm", 1)
    for number in range(9):
        (src / f"{CANARY}{number}").write_text(CANARY)
    settings = made.settings(src, tmp_path / "out", max_failed=0.2)
    with pytest.raises(InputError, match=r"9 of 10 inputs failed.*not_dicom 9") as caught:
        build(settings)
    assert CANARY not in str(caught.value)
    # The ledger is there to look at, and a higher limit goes on with what was done.
    assert len(ledger(settings.folder)) == 10
    assert build(made.settings(src, tmp_path / "out", max_failed=0.95)).kept == 1


def test_a_killed_build_goes_on_to_the_same_bytes(built, tmp_path):
    settings, _ = built
    script = textwrap.dedent(
        """
        import sys, time
        from pathlib import Path
        from data_prep.build import run
        from made_exports import settings
        run.LEAST_IN_CHUNK = 2
        def slowly(*arguments):
            for number, result in real(*arguments):
                yield number, result
                print("part", flush=True)
                time.sleep(0.1)
        real, run.run_chunks = run.run_chunks, slowly
        if __name__ == "__main__":
            src, out, key = map(Path, sys.argv[1:])
            run.build(settings(src, out, key_file=key, shard_samples=3))
        """
    )
    (tmp_path / "victim.py").write_text(script)
    out = tmp_path / "out"
    environment = {**os.environ, "PYTHONPATH": f"{Path(made.__file__).parent}:{Path(__file__).parents[3]}"}
    command = [sys.executable, str(tmp_path / "victim.py"), str(settings.src), str(out), str(settings.key_file)]
    victim = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert victim.stdout is not None and victim.stdout.readline() == b"part\n"
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    time.sleep(0.5)  # its workers notice and end
    work = out / "north" / ".work"
    parts = sorted(work.glob("part-*.json"))
    assert parts and not (out / "north" / "build.json").exists()
    again = subprocess.run(command, env=environment, capture_output=True, check=True)
    # 9 pictures and 6 reports in parts of 2, of which the finished ones are not made again; then the shards.
    num_shards = len(list(settings.folder.rglob("*.tar")))
    assert again.stdout.count(b"part") == 8 - len(parts) + num_shards
    assert made.tree(out / "north") == made.tree(settings.folder)


def test_only_the_owner_of_a_folder_may_build_in_it(tmp_path):
    src = made.hospital(tmp_path / "src", 1)
    (tmp_path / "out" / "north").mkdir(parents=True)
    (tmp_path / "out" / "north" / "precious").write_text("x")
    with pytest.raises(InputError, match="no build of cxrpt"):
        build(made.settings(src, tmp_path / "out"))
    with pytest.raises(InputError, match="is SRC or lies inside it"):
        build(made.settings(src, src / "out"))
    with pytest.raises(InputError, match="must not travel"):
        build(made.settings(src, tmp_path / "o2", key_file=tmp_path / "o2" / "key"))


def test_a_mended_command_is_not_taken_for_another_build(tmp_path):
    src = made.hospital(tmp_path / "src", 1)
    wrong = made.table(tmp_path / "wrong.csv", [{"a": "1", "b": "2"}])
    with pytest.raises(InputError, match="accession_number"):
        build(made.settings(src, tmp_path / "out", hospital=HospitalOptions(reports=wrong)))
    assert build(made.settings(src, tmp_path / "out")).kept


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"image_format": "gif"}, "neither jpg nor png"),
        ({"store_size": 3}, "between 32"),
        ({"split": (0.5, 0.1, 0.1)}, "add up to 1"),
        ({"processes": 0}, "at least 1"),
        ({"shard_samples": 0}, "at least 1"),
        ({"max_failed": 2.0}, "between 0 and 1"),
    ],
)
def test_settings_that_cannot_be_meant(tmp_path, fields, message):
    (tmp_path / "src").mkdir()
    with pytest.raises(InputError, match=message):
        build(made.settings(tmp_path / "src", tmp_path / "out", **fields))


def test_a_key_that_others_can_read_is_refused(tmp_path):
    key = tmp_path / "k"
    key.write_text("ab" * 32)
    key.chmod(0o644)
    with pytest.raises(InputError, match="chmod 600"):
        build(made.settings(made.hospital(tmp_path / "src", 1), tmp_path / "out", key_file=key))
