"""Texts that come more than once: templates of normal reports mostly, and copies between splits.

By checksum and size of the text member, for all samples; only the texts that are shown are opened.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cxrpt.data.sample import SPLITS
from data_prep.inspect.census import SplitCensus
from data_prep.inspect.opened import read_rows


@dataclass(frozen=True)
class CommonText:
    """One text that many samples share."""

    text: str
    num_samples: int
    splits: Counter[str]
    """institution/split -> samples."""


@dataclass(frozen=True)
class RepeatFacts:
    """Texts of one institution."""

    institution: str
    num_samples: int
    """With a text; a study with two pictures counts its report twice."""
    num_distinct: int
    num_repeated: int
    """Samples whose text another sample has too."""
    seen_in_train: dict[str, tuple[int, int]]
    """val or test -> (samples whose text also stands in train, samples)."""


def repeats_of(institution: str, splits: Sequence[SplitCensus]) -> RepeatFacts:
    """Count equal texts over the splits of one institution."""
    texts = {
        split: np.concatenate([np.zeros(0, np.uint64)] + [_texts(one) for one in splits if one.split == split])
        for split in SPLITS
    }
    everything = np.concatenate(list(texts.values()))
    _, counts = np.unique(everything, return_counts=True)
    seen = {split: int(np.isin(texts[split], texts["train"]).sum()) for split in SPLITS[1:]}
    return RepeatFacts(
        institution,
        len(everything),
        len(counts),
        int(counts[counts > 1].sum()),
        {split: (seen[split], len(texts[split])) for split in seen if len(texts[split])},
    )


def common_texts(splits: Sequence[SplitCensus], number: int) -> tuple[CommonText, ...]:
    """The `number` texts with the most samples, of those that come at least twice."""
    everything = np.concatenate([_texts(split) for split in splits])
    texts, counts = np.unique(everything, return_counts=True)
    top = np.lexsort((texts, -counts))[:number]
    found = []
    for place in top[counts[top] > 1]:
        of_splits = Counter({split.name: int(np.sum(split.texts == texts[place])) for split in splits})
        text = next((text for split in splits if (text := _read_first(split, texts[place])) is not None), None)
        if text is not None:
            found.append(CommonText(text, int(counts[place]), +of_splits))
    return tuple(found)


def _texts(split: SplitCensus) -> np.ndarray:
    return split.texts[split.texts != 0]


def _read_first(split: SplitCensus, text: np.uint64) -> str | None:
    rows = np.flatnonzero(split.texts == text)[:5]
    return next((member.text for _, member in read_rows(split, rows, set()) if member is not None), None)
