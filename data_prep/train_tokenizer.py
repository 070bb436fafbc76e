"""Train the SentencePiece tokenizer on the texts of the train splits, and on nothing else.

BPE, not unigram: unigram takes its pieces from substrings that different words share, so a few thousand reports support
too few. Trained on 2,000 OpenI reports with 8,000 pieces asked for, BPE made 8,000 and 58.0 tokens a report of 608 others;
unigram made 2,838 and 68.0. Every byte is a piece, so rare characters (mojibake of old exports) need no place of their
own and no text has an unknown token.

Scrubbing is what keeps identities out of the texts; here stands a second line: a word that fewer than `min_patients`
patients share is left out of the training texts, so that it cannot become a piece.
"""

import io
import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import sentencepiece

from cxrpt.data.manifest import read_manifest
from cxrpt.data.sample import DEID_TOKEN
from cxrpt.data.shards import ShardReader
from cxrpt.data.text import SPECIAL_PIECES, Tokenizer
from cxrpt.errors import InputError
from data_prep.processes.durable import write_file

MIN_VOCAB_SIZE = 400
"""Bytes, special pieces and the characters of English reports need about 360 places."""

MAX_TEXTS = 1_000_000
"""More than these add nothing to a vocabulary of this size; a larger corpus is thinned evenly."""

_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class TokenizerSummary:
    """What a training made; also the content of the `.json` beside the model. No paths, no texts."""

    vocab_size: int
    asked_vocab_size: int
    """Larger than `vocab_size` where the corpus does not support as many pieces."""
    num_texts: int
    num_words: int
    num_words_left_out: int
    """Words (not occurrences) that fewer than `min_patients` patients share."""
    min_patients: int
    institutions: tuple[str, ...]
    data_fingerprints: tuple[str, ...]
    """Of the train manifests, in the order of `institutions`."""
    fingerprint: str
    """Of the model file, as `Tokenizer.fingerprint`."""
    algorithm: str = "bpe"


def train_tokenizer(folders: list[Path], out: Path, vocab_size: int = 8000, min_patients: int = 3) -> TokenizerSummary:
    """Train on the train split of every institution folder and write `out` and the summary `<out>.json`.

    The same shards and settings give the same bytes. A small corpus gives a smaller vocabulary (see the summary).

    Raises:
        InputError: a folder holds no train split, there is no text in any, or the vocabulary asked for is too small.
    """
    if vocab_size < MIN_VOCAB_SIZE:
        raise InputError(f"--vocab-size {vocab_size} is not at least {MIN_VOCAB_SIZE} (bytes and characters take 360)")
    if not folders:
        raise InputError("no folder to train on: name one or more institution folders that `cxrpt prep` made")
    for folder in folders:
        if not (folder / "train").is_dir():
            raise InputError(
                f"{folder} has no train split: name folders of institutions, as `cxrpt prep` made them in its --out"
            )
    manifests = [read_manifest(folder / "train") for folder in folders]
    total = sum(manifest.count("texts") for manifest in manifests)
    if not total:
        raise InputError(f"no text in the train split of {', '.join(str(f) for f in folders)}: add a folder with reports")
    stride = -(-total // MAX_TEXTS)
    rare, num_texts, num_words = _count_words(folders, stride, min_patients)
    model = _train(_without(rare, folders, stride), vocab_size)
    tokenizer = Tokenizer(model)
    summary = TokenizerSummary(
        vocab_size=tokenizer.vocab_size,
        asked_vocab_size=vocab_size,
        num_texts=num_texts,
        num_words=num_words,
        num_words_left_out=len(rare),
        min_patients=min_patients,
        institutions=tuple(manifest.institution for manifest in manifests),
        data_fingerprints=tuple(manifest.fingerprint() for manifest in manifests),
        fingerprint=tokenizer.fingerprint,
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    write_file(out.with_name(out.name + ".json"), (json.dumps(asdict(summary), indent=1) + "\n").encode())
    write_file(out, model)
    return summary


def _texts(folders: list[Path], stride: int) -> Iterator[tuple[str, str]]:
    """(patient, text) of every `stride`-th sample; once a study, whose images share the report."""
    seen: set[tuple[int, str]] = set()
    number = 0
    for source, folder in enumerate(folders):
        split = folder / "train"
        for shard in read_manifest(split).shards:
            if not shard.count("texts"):
                continue
            reader = ShardReader(split / shard.name, "texts")
            for sample in range(len(reader)):
                number += 1
                if number % stride:
                    continue
                raw = reader.read(sample)
                if raw.text and (source, raw.meta.study) not in seen:
                    seen.add((source, raw.meta.study))
                    yield raw.meta.patient, " ".join(raw.text.split())
            reader.close()


def _count_words(folders: list[Path], stride: int, min_patients: int) -> tuple[set[str], int, int]:
    """(words that too few patients share, texts, different words)."""
    patients: dict[str, set[str]] = {}
    num_texts = 0
    for patient, text in _texts(folders, stride):
        num_texts += 1
        for word in set(_WORD.findall(text)):
            known = patients.setdefault(word, set())
            if len(known) < min_patients:
                known.add(patient)
    # A corpus of fewer patients than the threshold would lose every word.
    enough = min(min_patients, len(set().union(*patients.values()))) if patients else 0
    return {word for word, known in patients.items() if len(known) < enough}, num_texts, len(patients)


def _without(rare: set[str], folders: list[Path], stride: int) -> Iterator[str]:
    for _, text in _texts(folders, stride):
        yield _WORD.sub(lambda match: "" if match[0] in rare else match[0], text)


def _train(texts: Iterator[str], vocab_size: int) -> bytes:
    """The bytes of the model file."""
    unk, bos, eos, mask, deid = SPECIAL_PIECES
    assert deid == DEID_TOKEN
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=texts,
            model_writer=model,
            model_type="bpe",
            vocab_size=vocab_size,
            hard_vocab_limit=False,  # otherwise SentencePiece aborts where the corpus supports fewer pieces
            byte_fallback=True,
            character_coverage=0.9999,
            split_digits=True,
            unk_id=0,
            bos_id=1,
            eos_id=2,
            pad_id=-1,
            unk_piece=unk,
            bos_piece=bos,
            eos_piece=eos,
            control_symbols=[mask],  # a control symbol, so that a text that spells "<mask>" does not make one
            user_defined_symbols=[deid],
            max_sentence_length=1 << 20,  # longer ones are dropped without a word; the default is 4192 bytes
            num_threads=1,  # the number stands in the model file, hence is never taken from the machine
            minloglevel=2,
        )
    except RuntimeError as error:
        raise InputError(f"the texts do not suffice to train a tokenizer of {vocab_size} pieces: add reports") from error
    return model.getvalue()
