"""`cxrpt inspect`: what shards hold, as one page to look at."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from cxrpt.errors import InputError
from data_prep.inspect.page import inspect_page
from data_prep.processes.durable import write_file


def inspect(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that `cxrpt prep` made, or any folder above it.")],
    html: Annotated[Path, typer.Option(help="The page to write; one that is there is replaced.", show_default=False)],
    samples: Annotated[int, typer.Option(min=0, help="Samples shown with picture and report.")] = 48,
    members: Annotated[
        int, typer.Option(min=1, help="Samples of each split that are opened for ages, views, labels and the like.")
    ] = 20_000,
    seed: Annotated[int, typer.Option(min=0, help="Which samples are drawn.")] = 0,
) -> None:
    """Write one self-contained page on shards: samples, distributions, labels, exclusions, near copies, warnings.

    Counts come from all manifests, indexes and ledgers; what only opened samples tell comes from a seeded draw.

    Example: cxrpt inspect shards --html shards.html
    """
    if html.is_dir():
        raise InputError(f"--html {html} is a folder: name a file in it")
    try:
        html.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise InputError(f"--html {html}: {html.parent} is no folder: name another place") from None
    page = inspect_page(folder, samples, members, seed, Console(stderr=True))
    write_file(html, page.encode())
    typer.echo(f"page: {html}")
