"""`cxrpt pretrain`: train on this machine."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cxrpt.config import load_config

ConfigFile = Annotated[Path, typer.Argument(help="Yaml file that holds what differs from the defaults.")]
Overrides = Annotated[list[str] | None, typer.Argument(help="key=value words that override the file.")]


class Resume(StrEnum):
    """Which checkpoint a run goes on from."""

    LAST = "last"
    LAST_GOOD = "last-good"


def pretrain(
    config: ConfigFile,
    overrides: Overrides = None,
    ranks: Annotated[int, typer.Option(help="Processes on this machine.")] = 1,
    accept_data_change: Annotated[bool, typer.Option(help="Go on although sources, shards, weights or seed changed.")] = False,
    resume: Annotated[
        Resume, typer.Option(help="last: stop if it is damaged. last-good: set damaged checkpoints aside.")
    ] = Resume.LAST,
) -> None:
    """Pre-train on this machine; the same command again resumes from the last committed checkpoint.

    Example: cxrpt pretrain configs/demo.yaml train.steps=200 --ranks 2
    """
    from cxrpt.checkpoint.store import committed_steps
    from launch.local import run_ranks

    resolved = load_config(config, overrides)
    code = run_ranks(resolved, ranks, accept_data_change, resume is Resume.LAST_GOOD)
    if code == 0:
        typer.echo(f"cxrpt: {resolved.run_dir} is done: {resolved.train.steps} steps")
    if code == 75 and not committed_steps(resolved.run_dir):
        typer.echo("cxrpt: interrupted before there was anything to save; run the same command again", err=True)
        raise typer.Exit(130)
    if code == 75:
        typer.echo(f"cxrpt: stopped after a save; the same command resumes {resolved.run_dir}", err=True)
    raise typer.Exit(code)
