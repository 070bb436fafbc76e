"""`cxrpt synth`: make a synthetic hospital export."""

from pathlib import Path

import typer

from data_prep.synthetic import make_hospital


def synth(out: Path, studies: int = 400, seed: int = 0) -> None:
    """Write a made-up export of three institutions to a new folder, and say what lies where."""
    make_hospital(out, studies=studies, seed=seed)
    typer.echo(f"{out}: north (pictures and reports), south (pictures), west (reports); {studies} studies, nobody real")
