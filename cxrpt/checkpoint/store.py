"""Checkpoints on disk: which exist, how one comes to be, how one goes.

    <run>/checkpoints/step-00001000/
        shards/...                 weights and optimizer state, a file a rank (shards.py)
        run.json                   what the run remembers (state.py)
        weights.safetensors ...    the model alone, for evaluation (export.py)
        COMMITTED                  name, size and sha256 of every file; written last

A checkpoint exists if and only if its COMMITTED file does. To delete one is to withdraw that file first.
"""

import json
import re
import shutil
from collections.abc import Set
from contextlib import suppress
from pathlib import Path
from typing import Any

from cxrpt.checkpoint.sums import first_damage, sum_of
from cxrpt.durable import flush, replace_text
from cxrpt.errors import InputError
from cxrpt.run_paths import evaluation_folder

COMMITTED = "COMMITTED"
_FORGOTTEN_S = 3600.0
"""A claim that has not been written for so long is that of a worker that was killed."""
_STEP_FOLDER = re.compile(r"step-(\d{8,})")


def step_folder(run_dir: Path, step: int) -> Path:
    """Folder of a step's checkpoint, committed or not."""
    return run_dir / "checkpoints" / f"step-{step:08d}"


def committed_steps(run_dir: Path) -> list[int]:
    """The steps that have a checkpoint, ascending: the one place that decides this."""
    found = []
    for marker in (run_dir / "checkpoints").glob(f"step-*/{COMMITTED}"):
        if match := _STEP_FOLDER.fullmatch(marker.parent.name):
            found.append(int(match.group(1)))
    return sorted(found)


def begin_save(run_dir: Path, step: int) -> Path:
    """An empty folder for a step; what an earlier attempt left there uncommitted is removed. Rank 0 only."""
    folder = step_folder(run_dir, step)
    assert not (folder / COMMITTED).exists(), "a committed step is never written again"
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    return folder


def seal_files(folder: Path, but: Set[str] = frozenset()) -> list[dict[str, Any]]:
    """Flush files to the disk and hash them.

    Args:
        folder: of the checkpoint.
        but: names of files that whoever wrote them has sealed.

    Returns:
        One entry a file: name relative to the folder, size in bytes, sha256.
    """
    entries = []
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        name = str(path.relative_to(folder))
        if name not in but:
            flush(path)
            entries.append(sum_of(folder, name))
    return entries


def commit(folder: Path, entries: list[dict[str, Any]]) -> None:
    """Make the checkpoint exist, once all its files are sealed. Rank 0 only."""
    for inner in {(folder / entry["name"]).parent for entry in entries} | {folder}:
        flush(inner)
    replace_text(folder / COMMITTED, json.dumps({"files": entries}, indent=1) + "\n")
    for place in (folder, folder.parent, folder.parent.parent):
        flush(place)


def drop(run_dir: Path, step: int) -> None:
    """Give up a save that has failed, wherever it stood. Rank 0 only, once no rank writes there any more."""
    folder = step_folder(run_dir, step)
    # It may have failed after its last file was written: what is half removed must not look like a checkpoint.
    with suppress(OSError):
        (folder / COMMITTED).unlink(missing_ok=True)
    if not (folder / COMMITTED).exists():
        shutil.rmtree(folder, ignore_errors=True)


def check_files(folder: Path, rank: int = 0, ranks: int = 1) -> None:
    """Compare files with what COMMITTED says of them: this rank's share, or all.

    Raises:
        InputError: one is missing, or of another size or content; the message names it and the way out.
    """
    try:
        problem = first_damage(folder, json.loads((folder / COMMITTED).read_text())["files"][rank::ranks])
    except (ValueError, KeyError, TypeError):
        problem = f"{COMMITTED} cannot be read"
    if problem:
        raise InputError(
            f"checkpoint {folder.name}: {problem}: restore it, or resume from the step before with --resume=last-good"
        )


def withdraw_old(run_dir: Path, keep_last: int, keep_every: int) -> list[int]:
    """Delete checkpoints beyond the newest `keep_last` (0 keeps all) that are no multiple of `keep_every`.

    A checkpoint that is being evaluated stays. Rank 0 only.

    Returns:
        The steps that are gone.
    """
    gone = []
    for step in committed_steps(run_dir)[:-keep_last] if keep_last else []:
        if keep_every and step % keep_every == 0:
            continue
        folder = step_folder(run_dir, step)
        marker = (folder / COMMITTED).rename(folder / "WITHDRAWN")
        # An evaluation looks for COMMITTED again after its claim: one of the two sees the other.
        if _is_claimed(run_dir, step, now=marker.stat().st_ctime):
            marker.rename(folder / COMMITTED)
            continue
        shutil.rmtree(folder)
        gone.append(step)
    return gone


def remove_uncommitted(run_dir: Path) -> None:
    """Remove what interrupted saves and deletions left. Rank 0 only, under the run's lease."""
    for folder in (run_dir / "checkpoints").glob("step-*"):
        if _STEP_FOLDER.fullmatch(folder.name) and not (folder / COMMITTED).exists():
            # What cannot be removed takes room, but is no reason not to train.
            shutil.rmtree(folder, ignore_errors=True)


def set_aside(run_dir: Path, step: int) -> Path:
    """Withdraw a damaged checkpoint, and keep its files beside the others. Rank 0 only.

    Returns:
        The folder's new name.
    """
    folder = step_folder(run_dir, step)
    aside = folder.with_name(f"{folder.name}.damaged")
    if aside.exists():
        shutil.rmtree(aside)
    return folder.rename(aside)


def _is_claimed(run_dir: Path, step: int, now: float) -> bool:
    """Whether an evaluation of the step is under way: a claim is written anew every few seconds, but by one that was killed.

    Args:
        run_dir: of the run.
        step: the checkpoint's.
        now: the time of the run directory's server, which also dates the claim.
    """
    try:
        claim = (evaluation_folder(run_dir, step) / "claim").stat()
    except FileNotFoundError:
        return False
    return now - claim.st_mtime < _FORGOTTEN_S
