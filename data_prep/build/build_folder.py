"""The folder of one institution while it is built and afterwards: whose it is, who works in it, whether it is whole.

<out>/<institution>/.work/      identity.json, lock, parts of the spool; removed at the end
<out>/<institution>/<split>/    shards, indexes, manifest.json
<out>/<institution>/ledger.jsonl
<out>/<institution>/near.jsonl
<out>/<institution>/build.json  written last: a build without it is unfinished
"""

import fcntl
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from cxrpt import __version__
from cxrpt.data.sample import SCHEMA_VERSION
from cxrpt.errors import InputError
from data_prep.build.settings import BuildSettings
from data_prep.ledger import BUILD, LEDGER
from data_prep.privacy.pseudonyms import Pseudonyms
from data_prep.processes.durable import write_file

WORK = ".work"
NEAR = "near.jsonl"
_DECODERS = (
    "numpy", "opencv-python-headless", "pillow", "pydicom", "pylibjpeg", "pylibjpeg-libjpeg", "pylibjpeg-openjpeg",
    "pylibjpeg-rle", "python-gdcm", "pyjpegls",
)  # fmt: skip
"""Packages whose version may change a pixel."""


@dataclass(frozen=True)
class BuildSummary:
    """What a build came to; `splits` is split -> pairs, images, texts, patients, shards."""

    folder: Path
    found: int
    kept: int
    excluded: int
    failed: int
    reasons: dict[str, int]
    notes: dict[str, int]
    by_type: dict[str, dict[str, int]]
    splits: dict[str, dict[str, int]]
    near: dict[str, int]
    """Pairs of pictures that are near each other: in all, of different patients, in different splits."""
    remarks: tuple[str, ...] = ()
    was_complete: bool = False


def identity_of(settings: BuildSettings, source_fingerprint: str, pseudonyms: Pseudonyms) -> dict[str, Any]:
    """What makes two builds the same: settings, source and key, the last two as keyed hashes."""
    return {
        "settings": {
            "source": settings.source,
            "store_size": settings.store_size,
            "image_format": settings.image_format,
            "shard_samples": settings.shard_samples,
            "split": list(settings.split),
            "file_seconds": settings.file_seconds,
            "schema": SCHEMA_VERSION,
            "cxrpt": __version__,
            "decoders": {name: version(name) for name in _DECODERS},
        },
        "institution": settings.institution,
        "source": pseudonyms.of("source", source_fingerprint),
        "key": pseudonyms.of("key", "id"),
    }


def completed(folder: Path, identity: dict[str, Any]) -> BuildSummary | None:
    """The summary of a finished build; None where there is none yet.

    Raises:
        InputError: it is finished, but another build, or its summary is broken.
    """
    if not (folder / BUILD).exists():
        return None
    try:
        fields = json.loads((folder / BUILD).read_text())
        _refuse_other(folder, identity, fields)
        names = ("found", "kept", "excluded", "failed", "reasons", "notes", "by_type", "splits", "near")
        picked = {name: fields[name] for name in names}
        remarks = tuple(fields["remarks"])
    except (KeyError, json.JSONDecodeError):
        raise InputError(f"{folder / BUILD} is broken: remove {folder} and build again") from None
    shutil.rmtree(folder / WORK, ignore_errors=True)
    return BuildSummary(folder=folder, remarks=remarks, was_complete=True, **picked)


def _refuse_other(folder: Path, identity: dict[str, Any], there: dict[str, Any]) -> None:
    for part in ("institution", "key", "source", "settings"):
        if there.get(part) == identity[part]:
            continue
        what = {"key": "another key", "source": "another source, or one that has changed since"}.get(part, "other settings")
        if part == "settings" and isinstance(there.get(part), dict):
            differing = sorted(name for name in identity[part] if there[part].get(name) != identity[part][name])
            what = f"other settings ({', '.join(differing)})"
        raise InputError(f"{folder} holds a build with {what}: name another --out, or remove that folder")


def claim(folder: Path, identity: dict[str, Any]) -> Path:
    """The work folder of this build, made or found again.

    Raises:
        InputError: the folder holds another build, or what is no build.
    """
    work = folder / WORK
    note = work / "identity.json"
    if note.exists():
        _refuse_other(folder, identity, json.loads(note.read_text()))
        return work
    if folder.exists() and any(path.name != WORK for path in folder.iterdir()):
        raise InputError(f"{folder} holds files that are no build of cxrpt: name another --out, or remove that folder")
    work.mkdir(parents=True, exist_ok=True)
    write_file(note, json.dumps(identity).encode())
    return work


def forget_unbegun(work: Path) -> None:
    """Give the folder back where nothing was made yet, so that a mended command is not taken for another build."""
    if next(work.glob("part-*.json"), None) is None and not (work.parent / LEDGER).exists():
        shutil.rmtree(work)
        work.parent.rmdir()


@contextmanager
def locked(work: Path, shared: bool = False) -> Iterator[None]:
    """One build at a time in a folder, or any number that do their `shared` parts of it.

    The lock goes with the process, however it ends.

    Raises:
        InputError: another build holds it.
    """
    with (work / "lock").open("w") as file:
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"another build is at work in {work.parent}: wait for it, or stop it") from None
        yield
