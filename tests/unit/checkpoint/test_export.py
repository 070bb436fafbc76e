"""The three files of a model, and what is told of them when they are not as they should be."""

import json
import shutil

import pytest

from cxrpt.checkpoint.export import load_exported
from cxrpt.checkpoint.store import step_folder
from cxrpt.errors import InputError


@pytest.fixture
def folder(make_run, tmp_path):
    return step_folder(make_run(tmp_path / "run"), 10)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda about: about | {"format": 2}, "has format 2, this version reads 1"),
        (lambda about: about | {"tokenizer": "0123456789abcdef"}, "names 0123456789abcdef: put back the tokenizer"),
        (lambda about: about | {"shape": about["shape"] | {"heads": 0}}, "heads do not divide the width"),
        (lambda about: about | {"shape": about["shape"] | {"depth": "two"}}, "does not describe a model"),
        (lambda about: about | {"shape": about["shape"] | {"gates": 2}}, "does not describe a model"),
        (lambda about: {name: value for name, value in about.items() if name != "step"}, "does not describe a model (KeyError"),
        (lambda about: [], "does not describe a model"),
        (lambda about: about | {"shape": about["shape"] | {"depth": 3}}, "more of its kind): it does not belong"),
        (lambda about: about | {"shape": about["shape"] | {"vocab_size": 7}}, "instead of (7,)"),
    ],
)  # fmt: skip
def test_a_model_json_that_does_not_fit_is_refused(folder, change, told):
    about = change(json.loads((folder / "model.json").read_text()))
    (folder / "model.json").write_text(json.dumps(about))
    with pytest.raises(InputError) as error:
        load_exported(folder)
    assert told in str(error.value) and "\n" not in str(error.value), str(error.value)
    assert "InputError" not in str(error.value), "one refusal does not quote another"


def test_one_of_the_first_version_is_read(folder):
    about = json.loads((folder / "model.json").read_text())
    del about["format"]
    (folder / "model.json").write_text(json.dumps(about))
    assert load_exported(folder).step == 10


def test_a_file_that_is_missing_or_torn(folder, tmp_path):
    for name in ("weights.safetensors", "model.json", "tokenizer.model"):
        whole = (folder / name).read_bytes()
        shutil.copytree(folder, tmp_path / name)
        (tmp_path / name / name).write_bytes(whole[: len(whole) // 2])
        with pytest.raises(InputError, match=name):
            load_exported(tmp_path / name)
        (tmp_path / name / name).unlink()
        with pytest.raises(InputError, match=f"holds no {name}"):
            load_exported(tmp_path / name)


def test_whoever_reads_the_folder_reads_its_weights(folder):
    modes = {name: (folder / name).stat().st_mode for name in ("weights.safetensors", "model.json", "tokenizer.model")}
    assert len(set(modes.values())) == 1, modes
