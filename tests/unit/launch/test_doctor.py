"""`cxrpt doctor` says what is wrong with an installation, a machine or a configuration, and what to do."""

import importlib.metadata
import json
import shutil
import subprocess
import sys

import pytest
import torch

from launch import doctor as module
from launch.cli import main
from launch.doctor import State


def run(capsys, *words):
    with pytest.raises(SystemExit) as end:
        main(["doctor", *map(str, words), "--json"])
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return end.value.code, {one["what"]: one for one in told}


@pytest.fixture(autouse=True)
def quick(monkeypatch, tmp_path):
    """All but the import of DeepSpeed, which one test does."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, "CHECKS", {name: check for name, check in module.CHECKS.items() if name != "DeepSpeed"})


def test_this_installation_is_whole(capsys, monkeypatch):
    real = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name: None if name == "nvidia-smi" else real(name))
    code, found = run(capsys)
    assert code == 0 and not [one for one in found.values() if one["state"] == "FAIL"]
    assert set(found) >= {
        "Python", "packages", "torch", "DICOM decoders", "cores", "memory", "open files", "disk here", "shared memory",
        "file locks here", "SLURM", "MLflow",
    }  # fmt: skip
    assert torch.__version__ in found["torch"]["found"] and "JPEG 2000" in found["DICOM decoders"]["found"]


def test_deepspeed_is_imported():
    (found,) = module._deepspeed()
    assert found.state is State.OK and found.found == importlib.metadata.version("deepspeed")


def test_a_package_of_another_version_is_named(capsys, monkeypatch):
    real = importlib.metadata.version

    def version(name):
        if name == "hl7":
            raise importlib.metadata.PackageNotFoundError(name)
        return "9.9.9" if name == "omegaconf" else real(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    code, found = run(capsys)
    assert code == 1 and found["packages"]["state"] == "FAIL"
    assert "hl7 is missing" in found["packages"]["found"] and "omegaconf 9.9.9 is not" in found["packages"]["found"]
    assert "docker/constraints.txt" in found["packages"]["mend"]


def test_a_driver_that_torch_cannot_use_fails(capsys, monkeypatch):
    real = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name: "/bin/true" if name == "nvidia-smi" else real(name))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", None)
    code, found = run(capsys)
    assert code == 1 and "CUDA build" in found["GPU"]["mend"]


def test_a_folder_without_locks_fails(capsys, monkeypatch):
    def refuse(file, how):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(module.fcntl, "flock", refuse)
    code, found = run(capsys)
    assert code == 1 and found["file locks here"]["found"] == "No locks available"


def test_a_check_that_breaks_fails_and_hides_no_other(capsys, monkeypatch):
    disk_usage, version = shutil.disk_usage, importlib.metadata.version

    def without_shared_memory(path):
        if path == "/dev/shm":
            raise FileNotFoundError(2, "No such file or directory")
        return disk_usage(path)

    def without_mlflow(name):
        if name == "mlflow":
            raise importlib.metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setitem(sys.modules, "torch", None)  # an import of it fails
    monkeypatch.setattr(shutil, "disk_usage", without_shared_memory)
    monkeypatch.setattr(importlib.metadata, "version", without_mlflow)
    code, found = run(capsys)
    failed = {name for name, one in found.items() if one["state"] == "FAIL"}
    assert code == 1 and failed == {"packages", "torch", "shared memory", "MLflow"}
    assert "ModuleNotFoundError" in found["torch"]["found"] and "docker/constraints.txt" in found["torch"]["mend"]
    assert "mlflow is missing" in found["packages"]["found"] and "No such file" in found["shared memory"]["found"]


def test_what_a_check_said_is_shown_as_it_is(capsys, monkeypatch):
    def broken():
        raise RuntimeError("[/no/such/tag]")

    monkeypatch.setattr(module, "CHECKS", {"broken": broken})
    with pytest.raises(SystemExit):
        main(["doctor"])
    assert "RuntimeError: [/no/such/tag]" in capsys.readouterr().out


def test_accounting_that_hangs_is_a_limit(capsys, monkeypatch, commands):
    for name in ("sbatch", "srun", "sacct"):
        commands(name, "")
    commands("sinfo", "gpu* up 2")
    real = subprocess.run

    def hang(words, **options):
        if words[0] == "sacct":
            raise subprocess.TimeoutExpired(words, options["timeout"])
        return real(words, **options)

    monkeypatch.setattr(subprocess, "run", hang)
    code, found = run(capsys)
    assert code == 0 and found["SLURM"]["found"] == "partitions gpu"
    assert found["SLURM accounting"]["state"] == "note"


def test_sources_are_local_or_remote_as_a_run_takes_them(capsys, tmp_path):
    (tmp_path / "north/train").mkdir(parents=True)
    (tmp_path / "north/train/manifest.json").write_text("{}")
    paths = {"north": f"file://{tmp_path}/north", "south": f"file://{tmp_path}/south", "west": "HTTPS://host/west",
             "east": "file://elsewhere/east"}  # fmt: skip
    mine = tmp_path / "mine.yaml"
    mine.write_text(json.dumps({"data": {"sources": {name: {"path": path} for name, path in paths.items()}}}))
    _, found = run(capsys, mine)
    assert [found[f"source {name}"]["state"] for name in paths] == ["ok", "FAIL", "note", "FAIL"]
    assert "names the host elsewhere" in found["source east"]["found"]


def test_what_a_configuration_names_is_looked_at(capsys, tmp_path):
    mine = tmp_path / "mine.yaml"
    mine.write_text("data: {sources: {north: {path: shards/north}}}\ntrack: {uri: 'http://127.0.0.1:9'}\n")
    code, found = run(capsys, mine)
    assert code == 1
    assert "holds no train/manifest.json" in found["source north"]["found"] and found["tokenizer"]["state"] == "FAIL"
    assert "does not answer" in found["MLflow"]["found"]
    mine.write_text("trian: {steps: 1}\n")
    code, found = run(capsys, mine)
    assert code == 1 and "'train" in found["configuration"]["found"], "the closest key is named"
