"""`cxrpt metrics`: the metrics of runs as a table, a file or a plot."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from cxrpt.errors import InputError


def metrics(
    runs: Annotated[list[Path], typer.Argument(help="Run directories.")],
    form: Annotated[
        Literal["table", "csv", "json", "parquet"], typer.Option("--format", help="table: last values; others: every step.")
    ] = "table",
    only: Annotated[str, typer.Option(help="Only metrics with this regular expression in their names, as 'loss|auroc'.")] = "",
    out: Annotated[Path | None, typer.Option(help="File to write; the terminal without it.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Also draw losses, speed and scores: .png, .svg or .pdf.")] = None,
    sync: Annotated[bool, typer.Option("--sync", help="First send to MLflow what has not been sent.")] = False,
    source: Annotated[Literal["journal", "mlflow"], typer.Option(help="Where to read.")] = "journal",
) -> None:
    """Print, write or plot what runs have logged side by side, evaluation included.

    Example: cxrpt metrics runs/mine --format csv --out metrics.csv --only 'loss|auroc'
    """
    from cxrpt.track import table
    from cxrpt.track.sink import fetch_metrics, sync_once
    from cxrpt.track.trouble import TrackingError

    try:
        if sync:
            for run in runs:
                typer.echo(f"{run}: {sync_once(run)} values sent", err=True)
        if source == "mlflow":
            frame = table.frame_of({table.run_name(run, runs): fetch_metrics(run) for run in runs})
        else:
            frame = table.metrics_table(runs)
    except TrackingError as error:
        raise InputError(f"the tracking server does not answer ({error}): start it, or use --source journal") from None
    if only:
        frame = table.only(frame, only)
    text = table.write_table(frame, form, out)
    if text:
        typer.echo(text, nl=False)
    if plot is not None:
        table.plot(frame, plot)
        typer.echo(f"plot: {plot}", err=True)
