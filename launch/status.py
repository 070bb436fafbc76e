"""`cxrpt status`: what runs are doing."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE
from rich.markup import escape
from rich.table import Table

from cxrpt.errors import InputError
from launch import slurm
from launch.cluster import submitted_jobs
from launch.console import wide_console
from launch.run_state import RunStatus, find_runs, status_of


def status(
    runs: Annotated[list[Path] | None, typer.Argument(help="Run directories; those in runs/ without any.")] = None,
    form: Annotated[bool, typer.Option("--json", help="Print a line of JSON for each run instead.")] = False,
) -> None:
    """Tell for each run what it is doing, how far it is, when it was last saved, and what to type next.

    Example: cxrpt status runs/mine runs/other
    """
    found = find_runs(runs)
    known: dict[str, slurm.JobState] = {}
    if slurm.has_slurm():
        try:
            known = slurm.states([job.job for run in found for job in submitted_jobs(run)])
        except InputError as error:
            typer.echo(f"cxrpt: {error}; what run directories tell follows", err=True)
    told, problems = [], []
    for run in found:
        try:
            told.append(status_of(run, known))
        except (InputError, OSError) as error:
            why = error.strerror or "cannot be read" if isinstance(error, OSError) else str(error)
            told.append(RunStatus(str(run), "unreadable", why))
            problems.append(why if why.startswith(str(run)) else f"{run}: {why}")
    if form:
        for one in told:
            typer.echo(json.dumps(vars(one)))
    else:
        _show(told)
    if problems:
        raise InputError("; ".join(problems))


def _show(told: list[RunStatus]) -> None:
    table = Table(box=SIMPLE)
    for name in ("run", "state", "step", "left", "loss", "samples/s", "checkpoint", "to evaluate", "job"):
        table.add_column(
            name, no_wrap=name != "state", justify="right" if name in ("step", "left", "loss", "samples/s") else "left"
        )
    for one in told:
        table.add_row(*map(escape, _cells(one)))
    wide_console(240).print(table)
    for one in told:
        if one.next:
            typer.echo(f"{one.run}: {one.next}")


def _cells(one: RunStatus) -> tuple[str, ...]:
    if one.state == "unreadable":
        return one.run, f"{one.state} ({one.why.removeprefix(f'{one.run} ')[:60]})"
    saved = "none" if one.checkpoint_age_s is None else f"{one.checkpoint:,}, {_span(one.checkpoint_age_s)} ago"
    return (
        one.run,
        f"{one.state}{f' ({one.why[:60]})' if one.why else ''}",
        f"{one.step:,} / {one.steps:,}",
        "" if one.left_s is None else _span(one.left_s),
        ", ".join(f"{name} {value:.3f}" for name, value in one.loss.items()),
        "" if one.samples_per_s is None else f"{one.samples_per_s:,.0f}",
        saved,
        f"{one.to_evaluate}{f' by {one.evaluators}' if one.evaluators else ''}",
        one.jobs,
    )


def _span(seconds: float) -> str:
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
