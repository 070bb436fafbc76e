"""Words of a report that name what a picture shows: findings, sides, zones and sizes; which of them are denied.

report_words.csv ─► word -> its kinds and concepts ─┐
text ─► sentences, white space as the tokenizer sees it ─┴─► Mention ...

The table holds general terms of English chest reports, not those of one hospital. What it lacks is neither hidden nor
scored, which may let the text give an answer away, to every pass alike.
"""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from itertools import pairwise

KINDS = ("finding", "side", "zone", "size")

_SENTENCE = re.compile(r"(?<=[.;!?])\s+|\s*\n\s*(?=\n|[A-Z]|[-*]|\d+[.)])")
"""A line that goes on in lower case is one that was wrapped."""
_NO_DENIAL = re.compile(
    r"\b(?:no|without|not) (?:\w+ )?(?:change[ds]?|increase[ds]?|decrease[ds]?|improve\w*|worsen\w*|different)\b|\bnot only\b",
    re.I,
)
"""What looks like a denial and says that a finding is still there."""
_DENIES_AFTER = re.compile(
    r"\b(?:no|without|neither|nor|negative for|absence of|free of|free from|clear of|resolution of|rule out|exclude|"
    r"evaluate for|assess for|question of)\b",
    re.I,
)
_DENIES_CLAUSE = re.compile(r"\b(?:not|never|absent|resolved|excluded|unlikely|unremarkable)\b", re.I)
_TURN = re.compile(r"\b(?:but|however|although|though|except|apart from|aside from|other than)\b|[;:]", re.I)


@dataclass(frozen=True)
class Mention:
    """One word of the table in a text."""

    kind: str
    """One of KINDS."""
    concept: str
    """What its spellings have in common: "left", "effusion"."""
    word: str
    """In lower case."""
    begin: int
    end: int
    """Characters of the text with its white space made single."""
    sentence: int
    denied: bool
    """In a phrase such as "no ...": the word stands there because of the phrase, not because of the picture."""


def mentions(text: str) -> list[Mention]:
    """All words of the table in a text, in the order in which they stand; a word of two kinds ("RUL") is there twice.

    Denial goes by rules in the manner of NegEx (Chapman et al., 2001): from "no", "without" and their like to the end of
    the sentence or a turn ("but"); with "not" or "resolved" the whole clause.
    """
    table, pattern = _terms()
    found = []
    for number, (first, sentence) in enumerate(_sentences(text)):
        denied = _denied_spans(sentence)
        for match in pattern.finditer(sentence):
            word = match.group().lower()
            is_denied = any(begin <= match.start() < end for begin, end in denied)
            for kind, concept in table[word]:
                found.append(Mention(kind, concept, word, first + match.start(), first + match.end(), number, is_denied))
    return found


def _sentences(text: str) -> Iterator[tuple[int, str]]:
    """Sentences with single spaces, and where each begins in the whole text with single spaces."""
    first = 0
    for part in _SENTENCE.split(text):
        if sentence := " ".join(part.split()):
            yield first, sentence
            first += len(sentence) + 1


def _denied_spans(sentence: str) -> list[tuple[int, int]]:
    """Where in a sentence findings are denied."""
    # Blanked in place, so that what is found keeps its place.
    plain = _NO_DENIAL.sub(lambda match: " " * len(match.group()), sentence)
    turns = [0, *(match.start() for match in _TURN.finditer(plain)), len(plain)]
    spans = []
    for begin, end in pairwise(turns):
        if _DENIES_CLAUSE.search(plain, begin, end):
            spans.append((begin, end))
        elif match := _DENIES_AFTER.search(plain, begin, end):
            spans.append((match.start(), end))
    return spans


@lru_cache(maxsize=1)
def _terms() -> tuple[dict[str, list[tuple[str, str]]], re.Pattern[str]]:
    """Word -> (kind, concept) of each of its rows; and the pattern that finds whole words of the table."""
    table: dict[str, list[tuple[str, str]]] = {}
    with files("cxrpt.eval").joinpath("report_words.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            assert row["kind"] in KINDS, row
            for word in row["words"].split("|"):
                table.setdefault(word, []).append((row["kind"], row["concept"]))
    return table, re.compile(rf"\b(?:{'|'.join(map(re.escape, table))})\b", re.I)
