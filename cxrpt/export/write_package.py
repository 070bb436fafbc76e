"""Write the model of a checkpoint as a folder that can be handed on (package.py).

run directory ─► checks ─► .DIR.xxxx.tmp/ ─ fsync ─ rename ─► DIR/
"""

import json
import os
import shutil
import tempfile
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from cxrpt.checkpoint.choose_step import choose_step
from cxrpt.checkpoint.export import MODEL, TOKENIZER, WEIGHTS, Exported, load_exported, read_weights
from cxrpt.checkpoint.store import COMMITTED, committed_steps, step_folder
from cxrpt.checkpoint.sums import first_damage
from cxrpt.config import RunConfig, config_of
from cxrpt.data_record import read_tokenizer_record
from cxrpt.durable import flush
from cxrpt.errors import InputError
from cxrpt.export.model_card import CardFacts, write_card
from cxrpt.export.package import CARD, CONFIG, check_package, write_checksums
from cxrpt.export.provenance import read_provenance, results_of_step
from cxrpt.export.shared_config import shared_config, shared_yaml
from cxrpt.run_paths import results_files

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def write_package(run_dir: Path, out: Path, step: int | None = None, dtype: str | None = None) -> int:
    """Write the model of a run's checkpoint as a folder.

    Args:
        run_dir: of the run, wherever it lies now; its shards are not needed.
        out: the folder to make; it must not exist, or be empty.
        step: a committed step; None takes the newest.
        dtype: `fp32`, `bf16` or `fp16`; None keeps what the checkpoint holds.

    Returns:
        The step.

    Raises:
        InputError: no run directory, no such step, a checkpoint that is damaged or was removed meanwhile, weights that are not
            finite, or a folder that holds something.
    """
    config = config_of(run_dir)
    _require_free(out)
    out = out.resolve()
    step = choose_step(run_dir, step)
    folder = step_folder(run_dir, step)
    try:
        _check_checkpoint(folder)
        out.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".tmp", dir=out.parent))
        try:
            _write(run_dir, config, folder, draft, step, dtype, out.name)
            _put(draft, out)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    except (InputError, FileNotFoundError):
        # Retention withdraws COMMITTED before it removes anything.
        if not (folder / COMMITTED).exists():
            kept = ", ".join(map(str, committed_steps(run_dir))) or "none"
            raise InputError(f"step {step} was removed while it was read; committed are {kept}: name one of them") from None
        raise
    return step


def _require_free(out: Path) -> None:
    if out.is_dir() and any(out.iterdir()):
        raise InputError(f"--out {out} exists and is not empty: name another folder, or remove it")
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise InputError(f"--out {out} exists and is no folder: name another place")


def _check_checkpoint(folder: Path) -> None:
    try:
        entries = json.loads((folder / COMMITTED).read_text())["files"]
        damage = first_damage(folder, entries)
    except (ValueError, KeyError, TypeError):
        damage = f"{COMMITTED} does not parse"
    if damage:
        raise InputError(f"checkpoint {folder.name}: {damage}: name another step with --step")


def _write(run_dir: Path, config: RunConfig, folder: Path, draft: Path, step: int, dtype: str | None, name: str) -> None:
    exported = load_exported(folder)  # refuses what does not belong together
    weights = read_weights(folder)
    bad = next((name for name, tensor in weights.items() if not torch.isfinite(tensor).all()), None)
    if bad is not None:
        raise InputError(f"checkpoint {folder.name}: {bad!r} in {WEIGHTS} is not finite: name another step with --step")
    saved_dtype = _dtype_of(weights)
    wanted = dtype or saved_dtype
    converted = {name: tensor.to(DTYPES[wanted]) for name, tensor in weights.items()}
    save_file(converted, draft / WEIGHTS, metadata={"format": "pt"})
    shutil.copyfile(folder / MODEL, draft / MODEL)
    shutil.copyfile(folder / TOKENIZER, draft / TOKENIZER)
    (draft / CONFIG).write_text(shared_yaml(config))
    sha256 = write_checksums(draft)
    facts = CardFacts(
        name=name,
        step=step,
        dtype=wanted,
        num_parameters=sum(tensor.numel() for tensor in weights.values()),
        sha256=sha256,
        saved_dtype=saved_dtype,
        shape=exported.model.shape,
        sections=exported.sections,
        tokenizer=exported.tokenizer.fingerprint,
        tokenizer_made=read_tokenizer_record(run_dir, exported.tokenizer.fingerprint),
        config=shared_config(config),
        provenance=read_provenance(run_dir, folder, step, config.data.lanes),
        results=results_of_step(run_dir, step),
        evaluated_steps=list(results_files(run_dir, "results*.json")),
    )
    (draft / CARD).write_text(write_card(facts))
    _check_draft(draft, exported)


def _dtype_of(weights: dict[str, Tensor]) -> str:
    """The name of the type that the weights have; fp32 where they have several, which loses nothing."""
    kinds = {tensor.dtype for tensor in weights.values()}
    return next((name for name, kind in DTYPES.items() if kinds == {kind}), "fp32")


def _check_draft(draft: Path, exported: Exported) -> None:
    check_package(draft)
    assert load_exported(draft).model.shape == exported.model.shape


def _put(draft: Path, out: Path) -> None:
    """Give a whole folder its name."""
    umask = os.umask(0)
    os.umask(umask)
    # mkdtemp and safetensors make theirs for the owner alone.
    for path, mode in (*((path, 0o666) for path in draft.iterdir()), (draft, 0o777)):
        path.chmod(mode & ~umask)
        flush(path)
    try:
        draft.rename(out)  # onto an empty folder too, but not onto one that holds something by now
    except OSError as error:
        raise InputError(f"--out {out} cannot be made ({error.strerror}): name another folder") from None
    flush(out.parent)
