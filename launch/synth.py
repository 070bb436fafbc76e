"""`cxrpt synth`: make a synthetic hospital export."""

from pathlib import Path
from typing import Annotated

import typer

from data_prep.synthetic import make_hospital


def synth(
    out: Annotated[Path, typer.Argument(help="Folder to make.")],
    studies: Annotated[int, typer.Option(help="Studies of all institutions.")] = 400,
    seed: Annotated[int, typer.Option(help="The same seed makes the same export.")] = 0,
) -> None:
    """Make a synthetic hospital export of three institutions: DICOM files, reports and labels of nobody."""
    make_hospital(out, studies=studies, seed=seed)
    typer.echo(f"{out}: north (pictures and reports), south (pictures), west (reports); {studies} studies, nobody real")
