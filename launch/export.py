"""`cxrpt export`: the model of one checkpoint as a folder that can be handed on."""

from pathlib import Path
from typing import Annotated, Literal

import typer


def export(
    run: Annotated[Path, typer.Argument(help="Run directory.")],
    out: Annotated[Path, typer.Option(help="Folder to make.", show_default=False)],
    step: Annotated[int | None, typer.Option(help="Committed step; the newest without it.")] = None,
    dtype: Annotated[
        Literal["fp32", "bf16"] | None, typer.Option(help="Type of the weights, instead of the checkpoint's own.")
    ] = None,
) -> None:
    """Write weights, tokenizer, configuration and a model card, for `cxrpt.load_pretrained`; no shards are needed.

    Paths, URLs and names of runs are left out. Read the card (README.md) before you share the folder, and state the licence.

    Example: cxrpt export runs/demo --out demo-model
    """
    from cxrpt.export.write_package import write_package

    step = write_package(run, out, step, dtype)
    typer.echo(f"step {step}: {out}")
