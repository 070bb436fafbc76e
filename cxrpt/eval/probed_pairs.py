"""The pairs that the grounding probes ask about, each with the words of its report and a partner to swap with.

chosen pairs ─► picture, tokens, words of the table ─► ProbedPair ─► swap_partners: whose picture stands in for whose
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from cxrpt.checkpoint.export import Exported
from cxrpt.data.hashing import hash_text
from cxrpt.data.sample import Kind
from cxrpt.data.shards import BadSampleError
from cxrpt.data.text import select_text
from cxrpt.eval.report_words import Mention, mentions
from cxrpt.eval.samples import SplitFolder, choose, read, square_image


@dataclass(frozen=True)
class ReportTokens:
    """A report as the model sees it, and the words in it that the probes know."""

    tokens: np.ndarray
    """(T,) int32."""
    spans: np.ndarray
    """(T, 2) int64, characters of each token."""
    words: np.ndarray
    """(T,) int64, number of the whole word, as training hides it, that a token is a piece of."""
    fixed: np.ndarray
    """(T,) bool, tokens that are never hidden."""
    mentions: list[Mention]

    def tokens_of(self, mention: Mention) -> np.ndarray:
        """Numbers of the tokens that spell a mention; some or all are missing where the text was cut."""
        begin_T, end_T = self.spans.T
        return np.flatnonzero((begin_T < mention.end) & (end_T > mention.begin) & ~self.fixed)

    def is_whole(self, mention: Mention) -> bool:
        """The text was not cut before the end of a mention."""
        return bool(len(self.spans)) and int(self.spans[-1, 1]) >= mention.end


@dataclass(frozen=True)
class ProbedPair:
    """One picture and its report."""

    source: str
    patient: str
    identity: int
    """Hash of the key."""
    view: str
    image: np.ndarray
    """(S, S) uint8."""
    report: ReportTokens


def read_report(chosen: str, exported: Exported) -> ReportTokens:
    """Tokens and words of a text whose sections are chosen already."""
    tokenizer = exported.tokenizer
    tokens, spans = (part[: exported.model.shape.max_text_tokens] for part in tokenizer.encode_with_spans(chosen))
    starts = tokenizer.word_start[tokens]
    starts[:1] = True
    fixed = np.isin(tokens, tokenizer.never_masked)
    return ReportTokens(tokens, spans, np.cumsum(starts) - 1, fixed, mentions(chosen))


def read_pairs(exported: Exported, folders: list[SplitFolder], limit: int) -> tuple[list[ProbedPair], Counter[str]]:
    """At most `limit` pairs, and by source how many of those chosen are bad."""
    pairs: list[ProbedPair] = []
    bad: Counter[str] = Counter()
    for place, raw in read(choose(folders, (Kind.PAIR,), limit), bad):
        assert raw.text is not None
        try:
            image = square_image(raw, exported)
        except BadSampleError:
            bad[place.source] += 1
            continue
        report = read_report(select_text(raw.text, raw.meta.sections, exported.sections), exported)
        if len(report.tokens):
            # A patient's number means nothing beyond the source that gave it.
            patient = f"{place.source}/{raw.meta.patient}"
            pairs.append(ProbedPair(place.source, patient, hash_text(raw.key), raw.meta.view, image, report))
    return pairs, bad


def swap_partners(pairs: list[ProbedPair]) -> dict[int, int]:
    """For each pair the number of the pair whose picture stands in for its own: of another patient, of the same view.

    Within a source and a view, or over the sources of a view where one source has too few patients; each picture stands in
    once at most. A pair without such a partner is left out.
    """
    partners: dict[int, int] = {}
    left = list(range(len(pairs)))
    for by_source in (True, False):
        groups: dict[tuple[str, str], list[int]] = {}
        for number in left:
            one = pairs[number]
            groups.setdefault((one.view, one.source if by_source else ""), []).append(number)
        left = []
        for group in groups.values():
            found = _derange(group, [pairs[number].patient for number in group], [pairs[n].identity for n in group])
            partners |= found
            left += [] if found else group
    return partners


def _derange(numbers: list[int], patients: list[str], identities: list[int]) -> dict[int, int]:
    """Each number to one of another patient, one to one; empty if a patient has more than half of them.

    Patients stand side by side, in the order of their hashes, and all move on by the most that one patient has.
    """
    order = sorted(range(len(numbers)), key=lambda at: (hash_text(patients[at]), patients[at], identities[at]))
    shift = max(Counter(patients).values())
    if 2 * shift > len(numbers):
        return {}
    return {numbers[at]: numbers[order[(place + shift) % len(order)]] for place, at in enumerate(order)}
