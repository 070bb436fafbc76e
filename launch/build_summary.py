"""What a build has made of an export, on the terminal."""

import typer
from rich.table import Table

from data_prep.build.build_folder import BuildSummary
from launch.console import wide_console


def show_summary(summary: BuildSummary) -> None:
    """Print counts by split, reasons and notes."""
    if summary.was_complete:
        typer.echo(f"{summary.folder} is complete: nothing to do (`cxrpt verify` tells whether it is whole)")
    shown = Table("split", "patients", "pairs", "images only", "texts only", "shards")
    for split, counts in summary.splits.items():
        shown.add_row(split, *(str(counts[name]) for name in ("patients", "pairs", "images", "texts", "shards")))
    wide_console().print(shown)
    typer.echo(f"found {summary.found} = kept {summary.kept} + excluded {summary.excluded} + failed {summary.failed}")
    for reason, number in summary.reasons.items():
        typer.echo(f"  {reason}: {number}")
    if summary.notes:
        typer.echo("notes: " + ", ".join(f"{note} {number}" for note, number in summary.notes.items()))
    if summary.near.get("pairs"):
        near = summary.near
        typer.echo(
            f"near pictures: {near['pairs']} pairs, {near['other_patient']} of different patients, {near['other_split']} over "
            f"two splits; `cxrpt inspect` shows them"
        )
    for remark in summary.remarks:
        typer.echo(remark)
