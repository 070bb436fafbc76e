"""`cxrpt export`: what it writes, what it refuses, and what must not leave."""

import json
import os
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import cxrpt
from cxrpt.checkpoint.store import COMMITTED, commit, seal_files, step_folder
from cxrpt.errors import InputError
from cxrpt.export import write_package as writing
from cxrpt.export.write_package import write_package
from launch.cli import main

MARK = "zebra7391"
FILES = ["README.md", "checksums.json", "config.yaml", "model.json", "tokenizer.model", "weights.safetensors"]


@pytest.fixture
def run(make_run, tmp_path):
    return make_run(tmp_path / "run", steps=(10, 20, 30))


def refused(told, call):
    with pytest.raises(InputError) as error:
        call()
    assert told in str(error.value) and "\n" not in str(error.value), str(error.value)


def recommit(folder):
    (folder / COMMITTED).unlink()
    commit(folder, seal_files(folder))


def test_the_command_writes_a_folder_that_loads(run, tmp_path, capsys):
    umask = os.umask(0o027)
    try:
        with pytest.raises(SystemExit) as end:
            main(["export", str(run), "--out", str(tmp_path / "deep" / "model")])
    finally:
        os.umask(umask)
    assert end.value.code == 0 and "step 30" in capsys.readouterr().out
    out = tmp_path / "deep" / "model"
    assert sorted(path.name for path in out.iterdir()) == FILES
    assert {path.stat().st_mode & 0o777 for path in out.iterdir()} == {0o640} and out.stat().st_mode & 0o777 == 0o750
    assert [path.name for path in out.parent.iterdir()] == ["model"], "drafts are left behind"
    assert cxrpt.load_pretrained(out).exported.step == 30
    before, after = (load_file(folder / "weights.safetensors") for folder in (step_folder(run, 30), out))
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)


def test_a_named_step_and_type_into_an_empty_folder(run, tmp_path):
    (tmp_path / "half").mkdir()
    assert write_package(run, tmp_path / "half", 10, "bf16") == 10
    stored, whole = (
        load_file(tmp_path / "half" / "weights.safetensors"),
        load_file(step_folder(run, 10) / "weights.safetensors"),
    )
    assert all(torch.equal(stored[name], whole[name].bfloat16()) for name in whole)
    loaded = cxrpt.load_pretrained(tmp_path / "half")
    assert {parameter.dtype for parameter in loaded.exported.model.parameters()} == {torch.float32}
    write_package(run, tmp_path / "full", 10)
    picture = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    one, other = (cxrpt.load_pretrained(tmp_path / name).embed_images([picture]) for name in ("half", "full"))
    assert 0 < np.abs(one - other).max() < 0.05
    assert "rounded and not evaluated" not in (tmp_path / "half" / "README.md").read_text(), "nothing was evaluated"


def test_a_bf16_checkpoint_keeps_its_type_or_loses_nothing(run, tmp_path):
    folder = step_folder(run, 30)
    half = {name: tensor.bfloat16() for name, tensor in load_file(folder / "weights.safetensors").items()}
    save_file(half, folder / "weights.safetensors")
    recommit(folder)
    write_package(run, tmp_path / "own")
    write_package(run, tmp_path / "whole", dtype="fp32")
    own, whole = (load_file(tmp_path / name / "weights.safetensors") for name in ("own", "whole"))
    assert all(own[name].dtype == torch.bfloat16 and torch.equal(own[name].float(), whole[name]) for name in own)


def test_nothing_that_identifies_leaves(make_run, tmp_path):
    words = [
        f"runs={tmp_path}/{MARK}", f"track.uri=http://{MARK}:5000", f"track.experiment={MARK}", f"data.cache_dir=/{MARK}",
        f"data.sources.north.path=https://{MARK}:secret@{MARK}/north?sig={MARK}", f"data.tokenizer=/home/{MARK}/tok.model",
        f"data.sources.south.path=/data/{MARK}/south",
    ]  # fmt: skip
    run = make_run(tmp_path / MARK / f"{MARK}-run", *words[:4])
    text = (run / "config.yaml").read_text()
    for word in words[4:]:
        key = {"data.sources.north.path": "north", "data.sources.south.path": "south", "data.tokenizer": "tok.model"}
        name = key[word.partition("=")[0]]
        old = next(line for line in text.splitlines() if line.rstrip().endswith(f"/{name}"))
        text = text.replace(old, old.partition(":")[0] + f": '{word.partition('=')[2]}'")
    assert text.count(MARK) >= 9
    (run / "config.yaml").write_text(text)
    (run / "code.txt").write_text("cxrpt 0.1.0\n")
    write_package(run, tmp_path / "model")
    for path in (tmp_path / "model").iterdir():
        content = path.read_bytes()
        for hint in (MARK, "secret", str(tmp_path), os.environ.get("HOME", "?"), "mlflow"):
            assert hint.encode() not in content, f"{hint} in {path.name}"
    assert "north:" in (tmp_path / "model" / "config.yaml").read_text(), "sources go by their codes"


def test_the_data_may_be_gone_and_the_run_moved(make_run, tmp_path):
    run = make_run(tmp_path / "run")
    text = (run / "config.yaml").read_text()
    for name in ("north", "south", "west"):
        old = next(line for line in text.splitlines() if line.rstrip().endswith(f"/{name}"))
        text = text.replace(old, f"{old.partition(':')[0]}: /nowhere/{name}")
    (run / "config.yaml").write_text(text.replace("tokenizer: ", "tokenizer: /nowhere"))
    shutil.move(run, tmp_path / "elsewhere")
    write_package(tmp_path / "elsewhere", tmp_path / "model")
    card = (tmp_path / "model" / "README.md").read_text()
    assert "Counts and what was seen of them: not recorded" in card
    assert cxrpt.load_pretrained(tmp_path / "model").exported.step == 10


def test_a_folder_that_holds_something_is_left_alone(run, tmp_path, capsys):
    out = tmp_path / "model"
    out.mkdir()
    (out / "thesis.tex").write_text("years of work")
    with pytest.raises(SystemExit) as end:
        main(["export", str(run), "--out", str(out)])
    told = capsys.readouterr().err
    assert end.value.code == 2 and "exists and is not empty" in told and told.count("\n") == 1
    assert (out / "thesis.tex").read_text() == "years of work" and len(list(out.iterdir())) == 1
    (tmp_path / "file").write_text("x")
    refused("exists and is no folder", lambda: write_package(run, tmp_path / "file"))
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    refused("exists and is no folder", lambda: write_package(run, tmp_path / "link"))


def test_one_that_was_filled_meanwhile_is_left_alone_too(run, tmp_path, monkeypatch):
    out, check = tmp_path / "model", writing._check_draft

    def fill(draft, exported):
        check(draft, exported)
        out.mkdir()
        (out / "another").write_text("export")

    monkeypatch.setattr(writing, "_check_draft", fill)
    refused("cannot be made (Directory not empty)", lambda: write_package(run, out))
    assert [path.name for path in out.iterdir()] == ["another"] and {p.name for p in tmp_path.iterdir()} == {"run", "model"}


def test_a_failure_leaves_nothing(run, tmp_path, monkeypatch):
    def fail(draft, exported):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writing, "_check_draft", fail)
    with pytest.raises(OSError):
        write_package(run, tmp_path / "model")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_steps_that_are_not_there(run, make_run, tmp_path):
    out = tmp_path / "model"
    refused("is no run directory", lambda: write_package(tmp_path, out))
    refused("nowhere does not exist", lambda: write_package(tmp_path / "nowhere", out))
    refused("the nearest is 20; committed are 10, 20, 30", lambda: write_package(run, out, 24))
    for number in range(100, 120):
        step_folder(run, number).mkdir()
        (step_folder(run, number) / COMMITTED).touch()
    refused("the nearest is 119; committed are 23 from 10 to 119", lambda: write_package(run, out, 900))
    refused("no committed checkpoint yet", lambda: write_package(make_run(tmp_path / "empty", steps=()), out))
    assert not out.exists()


@pytest.mark.parametrize("name", ["weights.safetensors", "model.json", "tokenizer.model"])
def test_a_checkpoint_that_is_not_as_committed_is_refused(run, tmp_path, name):
    path = step_folder(run, 20) / name
    whole = path.read_bytes()

    def damaged(told):
        refused(f"step-00000020: {name} {told}", lambda: write_package(run, tmp_path / "model", 20))
        assert not (tmp_path / "model").exists()

    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    damaged("does not match its checksum")
    path.write_bytes(whole[:-1])
    damaged(f"has {len(whole) - 1} bytes instead of {len(whole)}")
    path.unlink()
    damaged("is missing")
    path.write_bytes(whole)
    (step_folder(run, 20) / COMMITTED).write_text("{")
    refused("COMMITTED does not parse", lambda: write_package(run, tmp_path / "model", 20))


def test_a_step_that_retention_removes_meanwhile_is_told(run, tmp_path, monkeypatch):
    real = writing.first_damage

    def slow(folder, entries):
        shutil.rmtree(folder)
        return real(folder, entries)

    monkeypatch.setattr(writing, "first_damage", slow)
    refused("step 20 was removed while it was read; committed are 10, 30", lambda: write_package(run, tmp_path / "model", 20))


def test_weights_that_do_not_belong_to_the_model(run, tmp_path):
    folder = step_folder(run, 30)
    weights = load_file(folder / "weights.safetensors")

    def with_weights(changed, told):
        save_file(changed, folder / "weights.safetensors")
        recommit(folder)
        refused(told, lambda: write_package(run, tmp_path / "model"))

    with_weights({name: tensor for name, tensor in weights.items() if name != "image.mask"}, "lacks 'image.mask'")
    with_weights(weights | {"image.mask": torch.zeros(7)}, "holds 'image.mask' of shape (7,) instead of (32,)")
    with_weights(weights | {"extra": torch.zeros(7)}, "holds 'extra', which the model has not")
    with_weights(weights | {"image.mask": torch.full((32,), torch.nan)}, "'image.mask' in weights.safetensors is not finite")
    (folder / "weights.safetensors").write_bytes(b"\xff" * 100)
    recommit(folder)
    refused("weights.safetensors is damaged", lambda: write_package(run, tmp_path / "model"))


def test_what_an_export_was_damaged_by_is_told(run, tmp_path):
    write_package(run, tmp_path / "model")

    def copy(change, told):
        shutil.rmtree(tmp_path / "copy", ignore_errors=True)
        shutil.copytree(tmp_path / "model", tmp_path / "copy")
        change(tmp_path / "copy")
        refused(told, lambda: cxrpt.load_pretrained(tmp_path / "copy"))

    def flip(path):
        data = path.read_bytes()
        path.write_bytes(data[:-9] + bytes([data[-9] ^ 1]) + data[-8:])

    for name in ("weights.safetensors", "model.json", "tokenizer.model", "config.yaml"):
        copy(lambda folder, name=name: (folder / name).unlink(), f"{name} is missing")
        copy(lambda folder, name=name: (folder / name).write_bytes(b"x"), f"{name} has 1 bytes instead of")
        copy(lambda folder, name=name: flip(folder / name), f"{name} does not match its checksum")
    copy(
        lambda folder: (folder / "checksums.json").unlink(), "holds no checksums.json: name a folder that `cxrpt export` wrote"
    )
    copy(lambda folder: (folder / "checksums.json").write_text("[]"), "checksums.json does not parse")
    copy(lambda folder: (folder / "checksums.json").write_text("{"), "checksums.json does not parse")
    empty, later = ({"format": number, "files": []} for number in (1, 2))
    copy(lambda folder: (folder / "checksums.json").write_text(json.dumps(empty)), "does not name the files of an export")
    copy(lambda folder: (folder / "checksums.json").write_text(json.dumps(later)), "has format 2, this version reads 1")
    copy(shutil.rmtree, "is no folder")
    refused("holds no checksums.json", lambda: cxrpt.load_pretrained(step_folder(run, 30)))
    # The card is the user's to complete.
    (tmp_path / "model" / "README.md").write_text("Licence: ours")
    cxrpt.load_pretrained(tmp_path / "model")
