"""Words hidden as in training, of held-out reports, beside always guessing the commonest token; by source.

The masks are those of training (whole words, its ratio, 80 / 10 / 10), drawn from the sample's key. A report that comes with
a picture is asked about beside it, the picture whole; others alone. The baseline is told the commonest token of the source's
own training reports, which is more than the commonest of all.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from cxrpt.checkpoint.export import Exported
from cxrpt.data.hashing import generator, hash_text
from cxrpt.data.masking import MaskedText, mask_words
from cxrpt.data.sample import Kind
from cxrpt.data.shards import BadSampleError
from cxrpt.data.text import select_text
from cxrpt.eval.features import batches_of, run_model
from cxrpt.eval.margins import mean_margin
from cxrpt.eval.report_words import mentions
from cxrpt.eval.samples import SplitFolder, choose, plain_example, read, square_image, text_tokens
from cxrpt.eval.word_probe import probed_kind

MAX_TRAIN_TEXTS = 2000
"""Reports of a source, at most, in which words are counted."""

WITH_TEXT = (Kind.PAIR, Kind.TEXT)
_MASK = 45


@dataclass(frozen=True)
class TrainCounts:
    """How often words stand in the training reports of one source."""

    tokens: Counter[int]
    """Without those that are never hidden."""
    words: dict[str, Counter[str]]
    """Kind (see `word_probe.PROBED`) -> words of the table, in lower case."""


def count_train(exported: Exported, folders: list[SplitFolder]) -> dict[str, TrainCounts]:
    """Counts of each source that has reports in its training split."""
    found = {}
    for folder in folders:
        counts = TrainCounts(Counter(), {})
        for _, raw in read(choose([folder], WITH_TEXT, MAX_TRAIN_TEXTS), Counter()):
            assert raw.text is not None
            chosen = select_text(raw.text, raw.meta.sections, exported.sections)
            counts.tokens.update(exported.tokenizer.encode(chosen)[: exported.model.shape.max_text_tokens].tolist())
            for mention in mentions(chosen):
                counts.words.setdefault(probed_kind(mention), Counter())[mention.word] += 1
        for token in exported.tokenizer.never_masked:
            del counts.tokens[token]
        if counts.tokens:
            found[folder.source] = counts
    return found


def commonest_word(counts: dict[str, TrainCounts], kind: str) -> tuple[str, float] | None:
    """The commonest word of a kind over all sources, and its share of the words of that kind; None if there is none."""
    words: Counter[str] = sum((one.words.get(kind, Counter()) for one in counts.values()), Counter())
    if not words:
        return None
    word, times = words.most_common(1)[0]
    return word, times / words.total()


@dataclass(frozen=True)
class _Asked:
    patient: str
    image: np.ndarray | None
    text: MaskedText


def ask_masked_words(
    exported: Exported, folders: list[SplitFolder], counts: dict[str, TrainCounts], ratio: float, limit: int, batch_size: int
) -> tuple[dict[str, Any], Counter[str]]:
    """Accuracy on hidden tokens beside the baseline, for each source with at most `limit` reports; and bad samples."""
    bad: Counter[str] = Counter()
    everything: Counter[int] = sum((one.tokens for one in counts.values()), Counter())
    found: dict[str, Any] = {}
    for folder in folders:
        tokens = counts[folder.source].tokens if folder.source in counts else everything
        guess = tokens.most_common(1)[0][0] if tokens else -1
        right: list[np.ndarray] = []
        told: list[np.ndarray] = []
        patients: list[str] = []
        texts = 0
        for batch in batches_of(_asked(exported, folder, ratio, limit, bad), batch_size):
            right_M, targets_M = _tell(exported, batch)
            right.append(right_M)
            told.append(targets_M == guess)
            patients += [one.patient for one in batch for _ in one.text.positions]
            texts += len(batch)
        if patients:
            model, unigram = np.concatenate(right).astype(float), np.concatenate(told).astype(float)
            found[folder.source] = {
                "texts": texts,
                "places": len(model),
                "accuracy": mean_margin(model, patients).to_dict(),
                "unigram": float(unigram.mean()),
                "token": exported.tokenizer.piece(guess) if tokens else None,
                "gain_over_unigram": mean_margin(model - unigram, patients).to_dict(),
            }
    return found, bad


def _asked(exported: Exported, folder: SplitFolder, ratio: float, limit: int, bad: Counter[str]) -> Iterator[_Asked]:
    tokenizer = exported.tokenizer
    for _, raw in read(choose([folder], WITH_TEXT, limit), bad):
        try:
            image = square_image(raw, exported) if raw.image is not None else None
        except BadSampleError:
            bad[folder.source] += 1
            continue
        rng = generator(_MASK, hash_text(raw.key))
        tokens = text_tokens(raw, exported)
        if len(tokens):
            text = mask_words(tokens, tokenizer.word_start, tokenizer.never_masked, tokenizer.mask_id, ratio, rng)
            if len(text.positions):
                yield _Asked(raw.meta.patient, image, text)


@torch.inference_mode()
def _tell(exported: Exported, batch: list[_Asked]) -> tuple[np.ndarray, np.ndarray]:
    """Of each hidden token whether it is told rightly, and which it is."""
    size = exported.model.shape.patch_size
    examples = [replace(plain_example(one.image, one.text.tokens, size), text=one.text) for one in batch]
    states, packed = run_model(exported, examples)
    best_M = exported.model.word_logits(states, packed.mlm_rows_M).argmax(-1)
    return (best_M == packed.mlm_targets_M).cpu().numpy(), packed.mlm_targets_M.cpu().numpy()
