"""`cxrpt pretrain` and `cxrpt plan`: train on this machine, and see beforehand what a run will see."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from cxrpt.config import load_config
from cxrpt.errors import InputError

ConfigFile = Annotated[Path, typer.Argument(help="Yaml file that holds what differs from the defaults.")]
Overrides = Annotated[list[str] | None, typer.Argument(help="key=value words that override the file.")]


def pretrain(
    config: ConfigFile,
    overrides: Overrides = None,
    ranks: Annotated[int, typer.Option(help="Processes on this machine.")] = 1,
    accept_data_change: Annotated[bool, typer.Option(help="Go on although shards, weights or lanes changed.")] = False,
) -> None:
    """Pre-train on this machine; the same command again resumes from the last committed checkpoint.

    Example: cxrpt pretrain configs/demo.yaml train.steps=200 --ranks 2
    """
    from launch.local import run_ranks

    resolved = load_config(config, overrides)
    code = run_ranks(resolved, ranks, accept_data_change)
    if code == 0:
        typer.echo(f"cxrpt: {resolved.run_dir} is done: {resolved.train.steps} steps")
    if code == 75:
        typer.echo(f"cxrpt: stopped after a save; the same command resumes {resolved.run_dir}", err=True)
    raise typer.Exit(code)


def plan(
    config: ConfigFile, overrides: Overrides = None, ranks: Annotated[int, typer.Option(help="Ranks of the run.")] = 1
) -> None:
    """Print what a run will see: quantised weights, samples and epochs of each source.

    Example: cxrpt plan configs/demo.yaml --ranks 2
    """
    from cxrpt.preflight import prepare

    resolved = load_config(config, overrides)
    if ranks < 1:
        raise InputError(f"--ranks {ranks}: must be at least 1")
    prepared = prepare(resolved, 0, ranks)
    steps, batch = resolved.train.steps, resolved.train.global_batch
    epochs = prepared.plan.epochs(steps * prepared.step.slots)
    drawn = prepared.plan.drawn(steps * prepared.step.slots)
    table = Table(
        "source", "use", "samples", "weight", "quantised", "drawn in the run", "epochs", title=f"{steps} steps of {batch}"
    )
    for source in prepared.sources:
        share = prepared.plan.shares_at(0).get(source.name, 0.0)
        table.add_row(
            source.name,
            source.use,
            f"{source.plan.num_samples:,}",
            f"{source.plan.weight:g}",
            f"{share:.4f}",
            f"{drawn[source.name]:,}",
            f"{epochs.get(source.name, 0.0):.2f}",
        )
    Console().print(table)
    shape = prepared.step
    typer.echo(
        f"{ranks} ranks x {shape.accumulation} micro-batches of {shape.micro_batch} = {batch} a step; "
        f"data fingerprint {prepared.plan.fingerprint()}"
    )
