"""`cxrpt doctor`: whether everything that cxrpt needs is here, and what to do about what is not."""

import fcntl
import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE
from rich.markup import escape
from rich.table import Table

from cxrpt import machine
from cxrpt.config import RunConfig, load_config
from cxrpt.data.storage.remote import is_remote, local_folder
from cxrpt.errors import InputError
from launch.console import wide_console

ROOM_GB = 10.0
"""Free on the disk of the runs below which it is told."""
SHARED_GB = 1.0
"""Shared memory below which loader workers may have no room for micro-batches at 512 px."""
CORES_A_GPU = 5
"""Loader workers and the training process (benchmarks/scaling.md)."""
_AGAIN = "pip install cxrpt again, with docker/constraints.txt"


class State(StrEnum):
    """How a finding is to be taken."""

    OK = "ok"
    NOTE = "note"
    """Works, with a limit worth knowing."""
    FAIL = "FAIL"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    what: str
    state: State
    found: str
    mend: str = ""


def doctor(
    config: Annotated[Path | None, typer.Argument(help="Also check the files and the tracking server that it names.")] = None,
    form: Annotated[bool, typer.Option("--json", help="Print a line of JSON for each finding instead.")] = False,
) -> None:
    """Check Python, packages, GPU, DeepSpeed, decoders, memory, disk, SLURM and MLflow, and say what to do.

    Ends with 1 where something fails. What a run itself needs is checked before it starts, by `cxrpt pretrain`.

    Example: cxrpt doctor mine.yaml
    """
    findings = [finding for what, check in CHECKS.items() for finding in _looked(what, check)]
    if config is None:
        findings += _looked("MLflow", lambda: _mlflow_file(Path("runs")))
    else:
        findings += _looked("configuration", lambda: _of_config(config))
    if form:
        for one in findings:
            typer.echo(json.dumps(vars(one)))
    else:
        _show(findings)
    if any(one.state is State.FAIL for one in findings):
        raise typer.Exit(1)


def _looked(what: str, check: Callable[[], list[Finding]]) -> list[Finding]:
    """What a check finds; one that breaks, over a damaged package perhaps, has found just that."""
    try:
        return check()
    except Exception as error:
        said = (str(error).strip().splitlines() or ["no word"])[0][:160]
        mend = _AGAIN if isinstance(error, ImportError) else ""
        return [Finding(what, State.FAIL, f"{type(error).__name__}: {said}", mend)]


def _show(findings: list[Finding]) -> None:
    table = Table("", "state", "found", "what to do", box=SIMPLE)
    colours = {State.OK: "green", State.NOTE: "yellow", State.FAIL: "bold red"}
    for one in findings:
        table.add_row(escape(one.what), f"[{colours[one.state]}]{one.state}[/]", escape(one.found), escape(one.mend))
    wide_console().print(table)


# --- what is installed


def _python() -> list[Finding]:
    return [Finding("Python", State.OK, platform.python_version())]


def _packages() -> list[Finding]:
    """Whether every package that cxrpt asks for is there in a version that it was written for."""
    from packaging.requirements import Requirement

    wrong, count = [], 0
    for line in importlib.metadata.requires("cxrpt") or []:
        wanted = Requirement(line)
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
            continue
        count += 1
        try:
            version = importlib.metadata.version(wanted.name)
        except importlib.metadata.PackageNotFoundError:
            wrong.append(f"{wanted.name} is missing")
            continue
        if not wanted.specifier.contains(version.split("+")[0], prereleases=True):
            wrong.append(f"{wanted.name} {version} is not {wanted.specifier}")
    if wrong:
        return [Finding("packages", State.FAIL, "; ".join(wrong), _AGAIN)]
    return [Finding("packages", State.OK, f"cxrpt {importlib.metadata.version('cxrpt')} and {count} packages it asks for")]


def _torch() -> list[Finding]:
    import torch

    built = f"torch {torch.__version__}"
    driver = shutil.which("nvidia-smi") is not None
    if torch.cuda.is_available():
        count = torch.cuda.device_count()
        name, memory = torch.cuda.get_device_name(0), torch.cuda.get_device_properties(0).total_memory / 1e9
        found = [Finding("GPU", State.OK, f"{count} x {name}, {memory:.0f} GB, CUDA {torch.version.cuda}")]
        if not torch.cuda.is_bf16_supported():
            found.append(Finding("bf16", State.NOTE, "this GPU has none", "set engine.precision=fp16"))
        nccl = torch.distributed.is_nccl_available()
        version = ".".join(map(str, torch.cuda.nccl.version())) if nccl else "not in this build of torch"
        mend = "" if nccl else "install a build of torch with NCCL for several GPUs"
        found.append(Finding("NCCL", State.OK if nccl else State.FAIL, version, mend))
        return [Finding("torch", State.OK, built), *found, _cores_for(count)]
    if driver and torch.version.cuda is None:
        mend = "install the CUDA build of torch: this one is for CPUs"
        return [Finding("torch", State.OK, built), Finding("GPU", State.FAIL, "a driver is here, torch cannot use it", mend)]
    if driver:
        mend = "see `nvidia-smi`: the driver may be older than this CUDA, or CUDA_VISIBLE_DEVICES may hide the GPUs"
        return [Finding("torch", State.OK, built), Finding("GPU", State.FAIL, "a driver is here, torch sees no GPU", mend)]
    mend = "training works on the CPU, slowly: engine.precision=fp32 and a small model"
    return [Finding("torch", State.OK, built), Finding("GPU", State.NOTE, "none", mend)]


def _deepspeed() -> list[Finding]:
    """Whether it can be imported, in a process of its own: it says and sets much."""
    words = [sys.executable, "-P", "-c", "import deepspeed; print(deepspeed.__version__)"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no word"])[-1][:160]
        return [Finding("DeepSpeed", State.FAIL, last, _AGAIN)]
    return [Finding("DeepSpeed", State.OK, done.stdout.split()[-1])]


# --- what the machine has


def _cores_for(gpus: int) -> Finding:
    cores = machine.num_cores()
    few = gpus * CORES_A_GPU > cores
    mend = f"a GPU takes about {CORES_A_GPU} cores at 224 px: ask for more, or expect speed/span_data_s to grow" if few else ""
    return Finding("cores a GPU", State.NOTE if few else State.OK, f"{cores / gpus:.3g}", mend)


def _cores() -> list[Finding]:
    return [Finding("cores", State.OK, str(machine.num_cores()))]


def _memory() -> list[Finding]:
    return [Finding("memory", State.OK, f"{machine.free_memory_bytes() / 1e9:.0f} GB free")]


def _open_files() -> list[Finding]:
    files = machine.raise_open_files()
    low = files < 4096
    mend = "raise `ulimit -n` to 65536" if low else ""
    return [Finding("open files", State.NOTE if low else State.OK, f"{files:,}", mend)]


def _disk() -> list[Finding]:
    mend = "a checkpoint takes 12 bytes a weight, 1.3 GB for `base`: name another disk, runs=FOLDER"
    return [_room("disk here", ".", ROOM_GB, mend)]


def _shared_memory() -> list[Finding]:
    return [_room("shared memory", "/dev/shm", SHARED_GB, "give the container more: docker run --shm-size=8g")]


def _room(what: str, folder: str, least_gb: float, mend: str) -> Finding:
    free_gb = shutil.disk_usage(folder).free / 1e9
    enough = free_gb >= least_gb
    return Finding(what, State.OK if enough else State.NOTE, f"{free_gb:,.1f} GB free", "" if enough else mend)


def _locks() -> list[Finding]:
    """Whether this folder's file system has the locks that runs, builds and the shard cache need."""
    try:
        with tempfile.TemporaryFile(dir=".") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        mend = "work in a folder that you may write, on a file system with locks (NFS 4, or NFS 3 with its lock daemon)"
        return [Finding("file locks here", State.FAIL, error.strerror or "none", mend)]
    return [Finding("file locks here", State.OK, "work")]


def _decoders() -> list[Finding]:
    """Whether each compression that chest radiographs come in has a decoder."""
    from data_prep.pictures.decoders import COMPRESSIONS, missing_decoders

    if missing := missing_decoders():
        return [Finding("DICOM decoders", State.FAIL, f"none for {', '.join(missing)}", _AGAIN)]
    return [Finding("DICOM decoders", State.OK, ", ".join(COMPRESSIONS))]


def _slurm() -> list[Finding]:
    if shutil.which("sbatch") is None or shutil.which("srun") is None:
        mend = "only for `cxrpt submit` and `prep --cluster`, on a login node; `cxrpt pretrain` trains here"
        return [Finding("SLURM", State.NOTE, "not here", mend)]
    done = _answer("sinfo", "-h", "-o", "%P %a %D", timeout=30)
    if done is None or done.returncode:
        said = "no answer" if done is None else (done.stderr.strip().splitlines() or ["sinfo failed"])[0][:120]
        return [
            Finding("SLURM", State.NOTE, said, "its commands are here, its controller is not: ask the cluster's administrators")
        ]
    partitions = ", ".join(sorted({line.split()[0].rstrip("*") for line in done.stdout.splitlines() if line.split()}))
    found = [Finding("SLURM", State.OK, f"partitions {partitions}")]
    accounts = _answer("sacct", "-n", "-X", timeout=60)
    if accounts is None or accounts.returncode:
        mend = "`cxrpt status` then cannot tell how jobs ended, only what run directories say"
        found.append(Finding("SLURM accounting", State.NOTE, "does not answer", mend))
    return found


def _answer(*words: str, timeout: float) -> subprocess.CompletedProcess[str] | None:
    """What a command says; None where it is not here or hangs."""
    try:
        return subprocess.run(words, capture_output=True, text=True, timeout=timeout)
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return None


# --- what a configuration names


def _of_config(path: Path) -> list[Finding]:
    try:
        config = load_config(path)
    except InputError as error:
        return [Finding("configuration", State.FAIL, str(error))]
    found = [Finding("configuration", State.OK, f"{path}: {len(config.data.sources)} sources")]
    found += [_source(f"source {name}", source.path) for name, source in config.data.sources.items()]
    if not Path(config.data.tokenizer).is_file():
        found.append(Finding("tokenizer", State.FAIL, f"no file {config.data.tokenizer!r}", "make it with `cxrpt tokenizer`"))
    return [*found, *_looked("MLflow", lambda: _tracking(config))]


def _source(what: str, path: str) -> Finding:
    if is_remote(path):
        return Finding(what, State.NOTE, "remote", "`cxrpt plan` reads its manifest")
    try:
        folder = local_folder(path)
    except InputError as error:
        return Finding(what, State.FAIL, str(error))
    if (folder / "train" / "manifest.json").is_file():
        return Finding(what, State.OK, path)
    return Finding(what, State.FAIL, f"{path} holds no train/manifest.json", "mend its path")


def _tracking(config: RunConfig) -> list[Finding]:
    from cxrpt.track.address import check_tracking_uri

    if config.track.uri == "none":
        return []
    if not config.track.uri:
        return _mlflow_file(Path(config.runs))
    try:
        check_tracking_uri(config.track.uri)
    except InputError as error:
        return [Finding("MLflow", State.FAIL, str(error))]
    return [Finding("MLflow", State.OK, "the address of track.uri answers")]


def _mlflow_file(runs: Path) -> list[Finding]:
    place = next(folder for folder in (runs, *runs.absolute().parents) if folder.is_dir())
    version = importlib.metadata.version("mlflow")
    if not os.access(place, os.W_OK):
        return [Finding("MLflow", State.FAIL, f"{version}; {place} cannot be written", "name another folder with runs=FOLDER")]
    return [Finding("MLflow", State.OK, f"{version}; metrics go to the file {runs / 'mlflow.db'}")]


CHECKS: dict[str, Callable[[], list[Finding]]] = {
    "Python": _python,
    "packages": _packages,
    "torch": _torch,
    "DeepSpeed": _deepspeed,
    "DICOM decoders": _decoders,
    "cores": _cores,
    "memory": _memory,
    "open files": _open_files,
    "disk here": _disk,
    "shared memory": _shared_memory,
    "file locks here": _locks,
    "SLURM": _slurm,
}
"""What is looked at, by the name of what fails where a check breaks."""
