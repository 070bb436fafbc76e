"""What a run directory says about itself: configuration, code version, data, where its metrics go."""

import shutil
import subprocess
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import cxrpt
from cxrpt.attempts import STOP_FILE
from cxrpt.config import RunConfig, load_config, to_yaml
from cxrpt.data.storage.remote import redact
from cxrpt.data.storage.sources import Source
from cxrpt.data_record import write_data_record
from cxrpt.durable import replace_text
from cxrpt.errors import InputError
from cxrpt.track.tracking_files import write_tracking

_PACKAGES = ("torch", "deepspeed", "numpy", "webdataset", "sentencepiece", "opencv-python-headless")


def code_version() -> dict[str, str]:
    """Version of cxrpt, git commit if it runs from a checkout, and versions of what its numbers depend on."""
    versions = {"cxrpt": cxrpt.__version__}
    root = Path(__file__).parents[1]
    if (root / ".git").exists() and shutil.which("git"):
        git = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"], capture_output=True, text=True
        )
        if git.returncode == 0:
            versions["git"] = git.stdout.strip()
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    return versions


def write_run_files(config: RunConfig, data_fingerprint: str, sources: list[Source]) -> None:
    """Write `config.yaml`, `code.txt` and the tracking settings, which a run that goes on overwrites; add to `data.json`.

    Raises:
        InputError: the run directory cannot be made.
    """
    run_dir = config.run_dir
    for folder in (run_dir, run_dir / "logs", run_dir / "checkpoints"):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"runs={config.runs!r}: {folder} cannot be made ({error.strerror}): name another folder or mend its rights"
            ) from None
    (run_dir / STOP_FILE).unlink(missing_ok=True)
    versions = code_version()
    # A URL, or a command, can hold credentials.
    is_secret = any(redact(source.path) != source.path for source in config.data.sources.values())
    replace_text(run_dir / "config.yaml", to_yaml(config), 0o600 if is_secret else 0o644)
    replace_text(run_dir / "code.txt", "".join(f"{name} {number}\n" for name, number in versions.items()))
    write_data_record(run_dir, sources, Path(config.data.tokenizer))
    if config.track.uri != "none":
        shown = asdict(config)
        for source in shown["data"]["sources"].values():
            source["path"] = redact(source["path"])
        params = _flat(shown) | {f"version.{name}": number for name, number in versions.items()}
        uri = config.track.uri or f"sqlite:///{(run_dir.parent / 'mlflow.db').resolve()}"
        write_tracking(run_dir, uri, config.track.experiment, config.name, params | {"data.fingerprint": data_fingerprint})


def changed_settings(config: RunConfig) -> list[str]:
    """What of a configuration is not as the run was last started with, in words; of sources, what the resume itself tells.

    An address, which can hold credentials, is not shown.
    """
    path = config.run_dir / "config.yaml"
    if not path.is_file():
        return []
    try:
        before = load_config(path)
    except InputError:  # of another version, or torn
        return ["config.yaml of the last start cannot be read"]
    sections = ("seed", "model", "objective", "optim", "engine", "train", "data")
    was, now = (_flat({name: value for name, value in asdict(one).items() if name in sections}) for one in (before, config))
    keys = [key for key in was | now if was.get(key) != now.get(key) and not key.startswith("data.sources")]
    return [f"{key} {was.get(key)} -> {now.get(key)}" for key in keys]


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
