"""`cxrpt tokenizer`: train the tokenizer on shard folders."""

from pathlib import Path

import typer

from data_prep.train_tokenizer import train_tokenizer


def tokenizer(folders: list[Path], out: Path, vocab_size: int = 8000) -> None:
    """Train on the train split of institution folders that `cxrpt prep` made, and say what came of it."""
    summary = train_tokenizer(folders, out, vocab_size)
    typer.echo(f"{out}: {summary.vocab_size} pieces from {summary.num_texts} reports, fingerprint {summary.fingerprint}")
    if summary.vocab_size < summary.asked_vocab_size:
        typer.echo(f"asked for {summary.asked_vocab_size} pieces; these reports support {summary.vocab_size}", err=True)
