"""Hidden words of a report, told with the study's own picture, with another patient's, and with none.

report ─► all words of a kind hidden at once ─┬─ own picture     ─► right?  nats
                                              ├─ swapped picture ─► right?  nats     the same places, so differences are paired
                                              └─ no picture      ─► right?  nats

The text often gives a word away: the impression repeats the side, a zone's name its lobe. Words of one kind, in all their
spellings and with the word that training would hide with them, are therefore hidden together; what the rest of the text
still tells, it tells in every pass, so that it is in no difference. How many pieces are hidden shows too, in every pass.

A denied finding ("No effusion or pneumothorax") is hidden with the others, or it would tell which findings are left. It is
scored apart, as "finding_denied": the phrase, not the picture, put it there, and one finding fits as well as another.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

from cxrpt.checkpoint.export import Exported
from cxrpt.data.masking import MaskedText
from cxrpt.eval.features import batches_of, run_model
from cxrpt.eval.probed_pairs import ProbedPair, ReportTokens
from cxrpt.eval.report_words import KINDS, Mention
from cxrpt.eval.samples import plain_example

DENIED = "finding_denied"
PROBED = (*KINDS, DENIED)
PASSES = ("own", "swapped", "none")


@dataclass(frozen=True)
class Gap:
    """A report with all words of a kind hidden, and the places that are scored."""

    text: MaskedText
    owner: np.ndarray
    """(M,) int64, for each hidden token the number of the place that it spells; -1 if it is hidden only."""
    places: list[Mention]


@dataclass
class WordAnswers:
    """Places of one kind, in the same order in every field."""

    words: list[str]
    patients: list[str]
    right: dict[str, list[bool]]
    """By pass: all pieces of the word are told rightly."""
    nats: dict[str, list[float]]
    """By pass: minus the log of the probability of the word, its pieces taken on their own."""


def probed_kind(mention: Mention) -> str:
    """The kind under which a mention is scored; a denied word of another kind than finding is scored nowhere ("")."""
    if not mention.denied:
        return mention.kind
    return DENIED if mention.kind == "finding" else ""


def can_show(kind: str, view: str) -> bool:
    """A picture from the side shows no sides."""
    return not (kind == "side" and view == "LATERAL")


def hide_kind(report: ReportTokens, kind: str, mask_id: int) -> Gap | None:
    """Hide all words of one of KINDS, denied or not; None without a place that is scored."""
    hidden = np.zeros(len(report.tokens), bool)
    owner = np.full(len(report.tokens), -1)
    places: list[Mention] = []
    for mention in report.mentions:
        if mention.kind != kind:
            continue
        at = report.tokens_of(mention)
        hidden |= np.isin(report.words, report.words[at]) & ~report.fixed
        # A word that is two concepts of a kind is one place.
        if report.is_whole(mention) and probed_kind(mention) and (owner[at] < 0).all():
            owner[at] = len(places)
            places.append(mention)
    if not places:
        return None
    positions = np.flatnonzero(hidden)
    seen = np.where(hidden, np.int32(mask_id), report.tokens)
    return Gap(MaskedText(seen, positions, report.tokens[positions]), owner[positions], places)


def ask_words(exported: Exported, pairs: list[ProbedPair], partners: dict[int, int], batch_size: int) -> dict[str, WordAnswers]:
    """Tell the hidden words of every pair that has a partner, kind by kind; kinds without a place are left out."""
    answers = {kind: WordAnswers([], [], {name: [] for name in PASSES}, {name: [] for name in PASSES}) for kind in PROBED}
    for kind in KINDS:
        for batch in batches_of(_gaps(exported, pairs, partners, kind), batch_size):
            gaps = [gap for _, gap in batch]
            places = [(place, pairs[number].patient) for number, gap in batch for place in gap.places]
            for place, patient in places:
                answers[probed_kind(place)].words.append(place.word)
                answers[probed_kind(place)].patients.append(patient)
            for name in PASSES:
                told = tell(exported, [_image(pairs, partners, number, name) for number, _ in batch], gaps)
                for (place, _), right, nats in zip(places, *told, strict=True):
                    answers[probed_kind(place)].right[name].append(right)
                    answers[probed_kind(place)].nats[name].append(nats)
    return {kind: found for kind, found in answers.items() if found.words}


def _gaps(exported: Exported, pairs: list[ProbedPair], partners: dict[int, int], kind: str) -> Iterator[tuple[int, Gap]]:
    for number in partners:
        gap = hide_kind(pairs[number].report, kind, exported.tokenizer.mask_id) if can_show(kind, pairs[number].view) else None
        if gap is not None:
            yield number, gap


def _image(pairs: list[ProbedPair], partners: dict[int, int], number: int, name: str) -> np.ndarray | None:
    return {"own": pairs[number].image, "swapped": pairs[partners[number]].image, "none": None}[name]


@torch.inference_mode()
def tell(exported: Exported, images: list[np.ndarray | None], gaps: list[Gap]) -> tuple[list[bool], list[float]]:
    """Whether each place of the gaps is told rightly from text and picture, and its nats; places in order."""
    model = exported.model
    size = model.shape.patch_size
    examples = [
        replace(plain_example(image, gap.text.tokens, size), text=gap.text) for image, gap in zip(images, gaps, strict=True)
    ]
    states, batch = run_model(exported, examples)
    log_MV = model.word_logits(states, batch.mlm_rows_M).float().log_softmax(-1)
    right_M = (log_MV.argmax(-1) == batch.mlm_targets_M).cpu().numpy()
    nats_M = -log_MV.gather(1, batch.mlm_targets_M[:, None])[:, 0].double().cpu().numpy()
    right: list[bool] = []
    nats: list[float] = []
    first = 0
    for gap in gaps:
        rows = slice(first, first + len(gap.owner))
        first = rows.stop
        for place in range(len(gap.places)):
            own = gap.owner == place
            right.append(bool(right_M[rows][own].all()))
            nats.append(float(nats_M[rows][own].sum()))
    return right, nats
