"""`cxrpt demo`: the whole way on a made-up hospital, or on a folder of public samples, by the same commands a user types."""

import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from cxrpt.errors import InputError
from launch.console import wide_console
from launch.summary import print_summary

CONFIGS = Path(__file__).parent / "configs"
"""In the repository a link to its `configs`; in a wheel a copy of it."""


@dataclass(frozen=True)
class Exercise:
    """One way through: how shards are built from exports, and which configuration is trained."""

    config: Path
    preparations: tuple[tuple[str, ...], ...]
    """Words of `cxrpt` commands that end in shards."""
    institutions: tuple[str, ...]
    with_texts: tuple[str, ...]
    trained_on: tuple[str, ...]


def demo(
    out: Annotated[Path, typer.Option(help="Folder for everything that is made.")] = Path("demo"),
    real: Annotated[Path | None, typer.Option(help="Folder of public samples to use instead of a made-up hospital.")] = None,
    studies: Annotated[int, typer.Option(help="Studies of the made-up hospital.")] = 1200,
    steps: Annotated[int | None, typer.Option(help="Training steps, instead of the configuration's.")] = None,
    ranks: Annotated[int, typer.Option(help="Training processes.")] = 2,
) -> None:
    """Build shards, train a tokenizer, pre-train, evaluate, and say where to look. Run again, it goes on where it stopped.

    Example: cxrpt demo --out demo --studies 300 --steps 100
    """
    if real is not None and not real.is_dir():
        raise InputError(f"--real {real}: there is no such folder of public samples")
    began = time.monotonic()
    exercise = _synthetic(out, studies) if real is None else _samples(out, real)
    shards, tokenizer, run = out / "shards", out / "tokenizer.model", out / "runs" / exercise.config.stem
    for preparation in exercise.preparations:
        _cxrpt(*preparation)
    _cxrpt("verify", str(shards))
    if not tokenizer.exists():
        folders = [str(shards / name) for name in exercise.with_texts]
        _cxrpt("tokenizer", *folders, "--out", str(tokenizer), "--vocab-size", "1000")
    sources = [f"data.sources.{name}.path={shards / name}" for name in exercise.trained_on]
    words = [f"runs={out / 'runs'}", f"data.tokenizer={tokenizer}", *sources, *([f"train.steps={steps}"] if steps else [])]
    _cxrpt("pretrain", str(exercise.config), *words, "--ranks", str(ranks))
    _cxrpt("evaluate", str(run))
    _cxrpt("metrics", str(run), "--format", "csv", "--out", str(out / "metrics.csv"), "--plot", str(out / "metrics.png"))
    print_summary(out, run, exercise.institutions, wide_console())
    typer.echo(f"all of it took {time.monotonic() - began:.0f} s")


def _synthetic(out: Path, studies: int) -> Exercise:
    export, shards = out / "export", out / "shards"
    synth = () if export.exists() else (("synth", str(export), "--studies", str(studies)),)
    names = ("north", "south", "west")
    prep = tuple(
        ("prep", "hospital", str(export / name), "--out", str(shards), "--institution", name, "--split", "0.7,0.1,0.2")
        for name in names
    )
    return Exercise(CONFIGS / "demo.yaml", synth + prep, names, ("north", "west"), names)


def _samples(out: Path, real: Path) -> Exercise:
    to = ("--out", str(out / "shards"), "--institution")
    covid = real / "covid-chestxray"
    columns = str(CONFIGS / "prep" / "covid-chestxray.yaml")
    prep = (
        ("prep", "nih14", str(real / "nih14"), *to, "nih14", "--split", "0.7,0.1,0.2"),
        ("prep", "openi", str(real / "openi" / "NLMCXR_reports.tgz"), *to, "openi"),
        ("prep", "table", str(covid / "metadata.csv"), "--images", str(covid / "images"), "--columns", columns, *to, "covid",
         "--split", "0.7,0.1,0.2"),
        ("prep", "hospital", str(real / "dicom"), *to, "dicom"),
    )  # fmt: skip
    # The collection of DICOM files is made to be refused: the two chests in it are too few to be a source.
    return Exercise(
        CONFIGS / "real.yaml", prep, ("nih14", "openi", "covid", "dicom"), ("openi", "covid"), ("nih14", "openi", "covid")
    )


def _cxrpt(*words: str) -> None:
    """Run one command of ours, shown as it would be typed."""
    typer.secho(f"\n$ cxrpt {' '.join(words)}", bold=True)
    sys.stdout.flush()
    done = subprocess.run([sys.executable, "-P", "-m", "launch.cli", *words])
    if done.returncode:
        raise typer.Exit(done.returncode)
