"""`cxrpt synth`: make a synthetic hospital export."""

from pathlib import Path
from typing import Annotated

import typer

from cxrpt.errors import InputError
from data_prep.synthetic import make_hospital


def synth(
    out: Annotated[Path, typer.Argument(help="Folder to make.")],
    studies: Annotated[int, typer.Option(help="Studies of all institutions.")] = 400,
    seed: Annotated[int, typer.Option(help="The same seed makes the same export.")] = 0,
    shares: Annotated[str, typer.Option(help="Of all studies: those of north, south and west.")] = "0.5,0.25,0.25",
    size: Annotated[int, typer.Option(help="Smallest short side of a picture, in pixels.")] = 512,
) -> None:
    """Make a synthetic hospital export of three institutions: DICOM files, reports and labels of nobody.

    Example: cxrpt synth export --studies 60
    """
    make_hospital(out, studies=studies, seed=seed, shares=_shares(shares), size=size)
    typer.echo(f"{out}: north (pictures and reports), south (pictures), west (reports); {studies} studies, nobody real")


def _shares(words: str) -> tuple[float, ...]:
    try:
        shares = tuple(float(word) for word in words.split(","))
    except ValueError:
        shares = ()
    if len(shares) != 3 or not all(share >= 0 for share in shares) or abs(sum(shares) - 1) > 1e-6:
        raise InputError(f"--shares {words!r}: name three numbers of 0 or more that sum to 1, as 0.5,0.25,0.25")
    return shares
