"""`cxrpt evaluate`: the downstream tasks on one checkpoint of a run."""

import json
from pathlib import Path
from typing import Annotated

import typer

from cxrpt.eval.report import summary_table
from launch.summary import wide_console


def evaluate(
    run: Annotated[Path, typer.Argument(help="Run directory.")],
    step: Annotated[int | None, typer.Option(help="Committed step; the newest without it.")] = None,
    split: Annotated[str | None, typer.Option(help="val or test, instead of the run's eval.split.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Evaluate again where there are results.")] = False,
) -> None:
    """Classify, retrieve, regenerate and probe grounding with one checkpoint; every score stands beside its baseline.

    Example: cxrpt evaluate runs/demo --step 400
    """
    from cxrpt.eval.worker import evaluate_step

    results = evaluate_step(run, step, split=split, force=force)
    wide_console().print(summary_table(json.loads(results.read_text())))
    typer.echo(f"results: {results}")
