"""`cxrpt tokenizer`: train the tokenizer on shard folders."""

from pathlib import Path
from typing import Annotated

import typer

from data_prep.train_tokenizer import train_tokenizer


def tokenizer(
    folders: Annotated[list[Path], typer.Argument(help="Institution folders of shards; only their train splits are read.")],
    out: Annotated[Path, typer.Option(help="Tokenizer file to write.")],
    vocab_size: Annotated[int, typer.Option(help="Pieces; fewer where the reports do not support as many.")] = 8000,
) -> None:
    """Train the tokenizer on the reports of institution folders that `cxrpt prep` made.

    Example: cxrpt tokenizer shards/north shards/west --out tokenizer.model
    """
    summary = train_tokenizer(folders, out, vocab_size)
    typer.echo(f"{out}: {summary.vocab_size} pieces from {summary.num_texts} reports, fingerprint {summary.fingerprint}")
    if summary.vocab_size < summary.asked_vocab_size:
        typer.echo(f"asked for {summary.asked_vocab_size} pieces; these reports support {summary.vocab_size}", err=True)
