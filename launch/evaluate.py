"""`cxrpt evaluate`: the downstream tasks on one checkpoint of a run."""

import time
from pathlib import Path
from typing import Annotated

import typer

from cxrpt.errors import InputError
from cxrpt.eval.page.page import find_results, page_path, write_page
from cxrpt.eval.report import read_results, summary_table
from launch.console import wide_console


def evaluate(
    run: Annotated[Path, typer.Argument(help="Run directory.")],
    step: Annotated[int | None, typer.Option(help="Committed step; the newest without it.")] = None,
    split: Annotated[str | None, typer.Option(help="val or test, instead of the run's eval.split.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Evaluate again where there are results.")] = False,
    page: Annotated[
        bool, typer.Option("--page", help="Only write the page of an evaluated step anew: later steps extend its curves.")
    ] = False,
    watch: Annotated[
        bool,
        typer.Option("--watch", help="Evaluate checkpoints as they come, until the run has ended (eval.every, eval.order)."),
    ] = False,
) -> None:
    """Classify, retrieve, regenerate and probe grounding with one checkpoint; scores stand by baselines, here and on a page.

    Example: cxrpt evaluate runs/demo --step 400
    """
    if page and force:
        raise InputError("--page and --force do not go together: --page evaluates nothing")
    if watch and (page or force or step is not None or split is not None):
        raise InputError(
            "--watch goes with no other option: it takes the steps and the split that the run's configuration says"
        )
    if page:
        typer.echo(f"page: {write_page(run, find_results(run, step, split))}")
        return
    if watch:
        from cxrpt.eval.watch import watch_run

        raise typer.Exit(watch_run(run, lambda: False))
    from cxrpt.eval.worker import evaluate_step
    from cxrpt.track.sink import sync_once
    from cxrpt.track.tracking_files import SETTINGS_NAME
    from cxrpt.track.trouble import TrackingError

    began = time.time()
    results = evaluate_step(run, step, split=split, force=force)
    wide_console().print(summary_table(read_results(results)))
    if results.stat().st_mtime < began:
        typer.echo(f"cxrpt: {results} was there already: --force evaluates again", err=True)
    typer.echo(f"results: {results}")
    if page_path(results).exists():
        typer.echo(f"page:    {page_path(results)}")
    if not (run / SETTINGS_NAME).exists():
        return  # not tracked
    try:
        sync_once(run, look=False)
    except (InputError, TrackingError) as error:
        typer.echo(f"cxrpt: not sent to MLflow ({error}): `cxrpt metrics {run} --sync` sends it later", err=True)
