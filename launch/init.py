"""`cxrpt init`: a commented configuration to begin with, made of the shards that are there."""

import shlex
import textwrap
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from omegaconf import OmegaConf

from cxrpt.config import RunConfig, load_config
from cxrpt.data.manifest import MANIFEST_NAME, Manifest, read_manifest
from cxrpt.errors import InputError
from launch.config_docs import keys_of

PASSES = 30
"""How often a training sample is seen, about, in as many steps as the file begins with."""


def init(
    config: Annotated[Path, typer.Argument(help="Yaml file to make.")],
    shards: Annotated[list[Path], typer.Option(help="Folder of shards, or any above; may be named again.", show_default=False)],
    tokenizer: Annotated[Path, typer.Option(help="Tokenizer file; it need not be there yet.")] = Path("tokenizer.model"),
    image_size: Annotated[int, typer.Option(help="Side of a picture as the model sees it, in pixels.")] = 224,
    size: Annotated[
        Literal["tiny", "small", "base", "large"] | None, typer.Option(help="Default: base with a GPU, else tiny.")
    ] = None,
) -> None:
    """Write a commented configuration for your own sources: what they hold, and the settings that are changed most.

    Example: cxrpt init mine.yaml --shards shards
    """
    if config.exists():
        raise InputError(f"{config} is there already: name another file, or take it away")
    sources = _sources(shards)
    text = _text(sources, tokenizer, image_size, size)
    try:
        config.write_text(text)
    except OSError as error:
        raise InputError(f"{config} cannot be written ({error.strerror}): name another file") from None
    try:
        load_config(config)
    except InputError:
        config.unlink()
        raise
    typer.echo(f"{config}: {len(sources)} sources, {sum(one.count() for _, one in sources.values()):,} training samples")
    if not tokenizer.exists():
        folders = " ".join(shlex.quote(str(path)) for path, one in sources.values() if one.count("texts"))
        typer.echo(f"next: cxrpt tokenizer {folders} --out {shlex.quote(str(tokenizer))}")
    typer.echo(f"next: cxrpt plan {shlex.quote(str(config))} | cxrpt pretrain {shlex.quote(str(config))}")


def _sources(folders: list[Path]) -> dict[str, tuple[Path, Manifest]]:
    """Institutions with a training split below folders, by name: their folder and what it holds."""
    found: dict[str, tuple[Path, Manifest]] = {}
    for folder in folders:
        if not folder.is_dir():
            raise InputError(f"--shards {folder}: there is no such folder: name one that `cxrpt prep` made, or one above it")
        for path in sorted(folder.rglob(MANIFEST_NAME)):
            manifest = read_manifest(path.parent)
            if manifest.split != "train" or not manifest.count():
                continue
            if manifest.institution in found:
                raise InputError(
                    f"--shards: {manifest.institution} lies in {found[manifest.institution][0]} and in {path.parent.parent}: "
                    "name one of them"
                )
            found[manifest.institution] = (path.parent.parent, manifest)
    if not found:
        raise InputError(f"--shards {', '.join(map(str, folders))}: no training samples: build shards with `cxrpt prep` first")
    return found


def _text(sources: dict[str, tuple[Path, Manifest]], tokenizer: Path, image_size: int, size: str | None) -> str:
    on_gpu, cores = _machine()
    samples = sum(one.count() for _, one in sources.values())
    batch = 256 if on_gpu else 64
    steps = max(1000, -(-PASSES * samples // batch // 100) * 100)
    texts = {path: key.text for path, key in keys_of(RunConfig).items()}
    settings: dict[str, Any] = {
        "data.tokenizer": str(tokenizer), "data.image_size": image_size, "data.lanes": 64,
        "data.workers": max(1, min(4, cores - 1)),
        "model.size": size or ("base" if on_gpu else "tiny"),
        "objective.itc_weight": 0.0, "objective.split_pairs": 0.0, "objective.mlm_ratio": 0.15, "objective.mvm_ratio": 0.5,
        "optim.lr": 5e-4, "optim.warmup_steps": 500,
        "engine.precision": "bf16" if on_gpu else "fp32", "engine.zero_stage": 1, "engine.micro_batch": 0,
        "train.steps": steps, "train.global_batch": batch, "train.checkpoint_every": max(10, steps // 20),
        "track.uri": "", "eval.max_pairs": 1000,
    }  # fmt: skip
    notes = {"train.steps": f"{steps * batch / samples:.0f} passes over the {samples:,} training samples."}
    lines = ["# Made by `cxrpt init`. Every key, these and the others: docs/configuration.md."]
    section = ""
    for path, value in settings.items():
        name, key = path.split(".")
        if name != section:
            lines += ["", f"{name}:"]
            section = name
        lines += _comment(" ".join(filter(None, (texts[path], notes.get(path)))), 2)
        lines.append(f"  {key}: {_yaml(value)}")
        if path == "data.workers":
            lines += _source_lines(sources, texts)
    return "\n".join(lines) + "\n"


def _source_lines(sources: dict[str, tuple[Path, Manifest]], texts: dict[str, str]) -> list[str]:
    lines = ["  sources:"]
    for key in ("weight", "use"):
        lines += _comment(f"{key}: {texts[f'data.sources.NAME.{key}']}", 4)
    for name, (path, manifest) in sources.items():
        kinds = ("pairs", "images", "texts")
        counts = ", ".join(f"{sum(getattr(shard, f'num_{kind}') for shard in manifest.shards):,} {kind}" for kind in kinds)
        lines += ["", *_comment(f"For training: {counts}.", 4), f"    {_yaml(name)}:"]
        lines += [f"      path: {_yaml(str(path))}", "      weight: 1.0", "      use: all"]
    return lines


def _comment(text: str, indent: int) -> list[str]:
    start = " " * indent + "# "
    return textwrap.wrap(text, 100, initial_indent=start, subsequent_indent=start, break_long_words=False)


def _yaml(value: Any) -> str:
    """A value as yaml writes it."""
    return OmegaConf.to_yaml({"_": value}).removeprefix("_:").strip()


def _machine() -> tuple[bool, int]:
    """Whether a GPU is there, and how many cores."""
    import torch

    from cxrpt.machine import num_cores

    return torch.cuda.is_available(), num_cores()
