"""`cxrpt verify`: are the shards below a folder whole, and does nothing leak between splits."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from cxrpt.errors import InputError
from data_prep.checks.verify import ShardCheck, verify_shards
from launch.console import wide_console
from launch.prep import PROCESSES

WARNINGS_SHOWN = 20


def verify(
    folder: Annotated[Path, typer.Argument(help="A folder that `cxrpt prep` made, or any folder above it.")],
    strict: Annotated[bool, typer.Option("--strict", help="Also end with 1 on near copies of a picture.")] = False,
    show_all: Annotated[
        bool, typer.Option("--all", help="Show every shard and up to 1,000 near copies, not sums and the first 20.")
    ] = False,
    processes: Annotated[int, typer.Option(min=1, help="Worker processes. Default: the free processors.")] = PROCESSES,
) -> None:
    """Check every shard below a folder: checksums, tars, members, counts, and no patient in two splits.

    Ends with 1 where something is broken. Near copies of a picture in another split or institution are listed as warnings.

    Example: cxrpt verify shards
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder: name one that `cxrpt prep` made")
    checks = list(verify_shards(folder, processes, Console(stderr=True)))
    wide_console().print(_shards_table(checks, show_all))
    problems = [check for check in checks if check.problem]
    warnings = [check for check in checks if check.warning]
    for check in problems:
        typer.echo(f"cxrpt: {_place(check)}{check.problem}", err=True)
    shown = len(warnings) if show_all else WARNINGS_SHOWN
    for check in warnings[:shown]:
        typer.echo(f"warning: {_place(check)}{check.warning}", err=True)
    if len(warnings) > shown:
        typer.echo(f"further warnings: {len(warnings) - shown}; --all shows them", err=True)
    if problems or (strict and warnings):
        raise typer.Exit(1)


def _place(check: ShardCheck) -> str:
    words = " ".join(filter(None, (check.institution, check.split, check.name)))
    return words and f"{words}: "


def _shards_table(checks: list[ShardCheck], show_all: bool) -> Table:
    """Sums of each split, or every shard."""
    shown = Table("institution", "split", "shard" if show_all else "shards", "pairs", "images", "texts", "MB", "state")
    groups: dict[tuple[str, ...], list[ShardCheck]] = {}
    for check in checks:
        if check.name.endswith(".tar"):
            groups.setdefault((check.institution, check.split, *([check.name] if show_all else [])), []).append(check)
    for group, members in groups.items():
        broken = sum(bool(check.problem) for check in members)
        sums = [
            sum(getattr(check, name) for check in members) for name in ("num_pairs", "num_images", "num_texts", "num_bytes")
        ]
        state = "ok" if not broken else "BROKEN" if len(members) == 1 else f"{broken} BROKEN"
        count = group[2] if show_all else f"{len(members):,}"
        shown.add_row(group[0], group[1], count, *(f"{number:,}" for number in sums[:3]), f"{sums[3] / 1e6:,.1f}", state)
    return shown
