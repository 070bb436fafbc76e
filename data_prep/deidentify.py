"""Report text without what identifies: the study's own identifiers first, then patterns, one token in place of each.

    "Mr. John SMITH (MRN 123456), seen 3/4/2021. Hodgkin lymphoma."
    "___ (___), seen ___. Hodgkin lymphoma."

Names that the header knows, or that the report itself announces ("Patient Name: ...", "signed by ..."), are removed wherever
they stand as a word, but for two cases: within an eponym ("Hill-Sachs" of a patient Hill), and where a name that is also a
plain word of reports ("long", "small") stands as such. Patterns need a trigger (a title, a label, the shape of a date), so that
disease names survive. What neither the header, nor the report's own labels, nor a pattern knows is not found: an unannounced
name of a relative stays. See PS3.15 Annex E on the limits of text cleaning.
"""

import datetime
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache

from cxrpt.data.sample import DEID_TOKEN
from data_prep.eponyms import EPONYM, PLAIN_WORDS
from data_prep.inputs import Identifiers
from data_prep.patterns import NAMED_PERSONS, PATTERNS, TITLE_BEFORE

_BETWEEN = re.compile(r"[ \t]*[,^]?[ \t]*")
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")

Span = tuple[int, int]


def scrub(text: str, known: Identifiers) -> str:
    """The text with `___` in place of everything found, line breaks normalised, control characters dropped."""
    text = "".join(char for char in text.replace("\r\n", "\n").replace("\r", "\n") if char in "\n\t" or char.isprintable())
    known += Identifiers(names=_announced(text))
    kept = [match.span() for match in EPONYM.finditer(text) if not TITLE_BEFORE.search(text[: match.start()])]
    spans = [span for span in _known_spans(text, known) if not any(_overlap(span, eponym) for eponym in kept)]
    spans += _pattern_spans(text)
    return _replace(text, spans)


def _announced(text: str) -> tuple[str, ...]:
    """Names that the report gives itself, in its head or under its signature; they often come again without a title."""
    return tuple(match["name"] for pattern in NAMED_PERSONS for match in pattern.finditer(text))


def _known_spans(text: str, known: Identifiers) -> Iterator[Span]:
    for literal in (*known.phrases, *known.ids):
        if pattern := _literal(literal):
            yield from (match.span() for match in pattern.finditer(text))
    for date in known.dates:
        yield from (match.span() for match in _date_pattern(date).finditer(text))
    yield from _name_spans(text, known.names)


@lru_cache(maxsize=4096)
def _literal(literal: str) -> re.Pattern | None:
    """A pattern for an identifier, blanks and case aside; None for what is too short to be one (under 4 characters)."""
    parts = re.split(r"[\s,]+", literal.strip())
    if len("".join(parts)) < 4:
        return None
    return re.compile(r"(?<!\w)" + r"[\s,]+".join(re.escape(part) for part in parts) + r"(?!\w)", re.IGNORECASE)


@lru_cache(maxsize=4096)
def _date_pattern(date: datetime.date) -> re.Pattern:
    """A known date in the shapes that the general patterns leave alone: without a year, and with blanks."""
    year, month, day = date.year, date.month, date.day
    y, m, d = rf"(?:{year}|{year % 100:02d})", f"0?{month}", f"0?{day}"
    shapes = (
        rf"{year}[-./ ]?{month:02d}[-./ ]?{day:02d}",
        rf"{m}[-./ ]{d}[-./ ]{y}",
        rf"{d}[-./ ]{m}[-./ ]{y}",
        rf"{day:02d}{month:02d}{year}",
        rf"{month:02d}{day:02d}{year}",
        rf"(?<=on ){m}/{d}",
        rf"(?<=on ){d}/{m}",
    )
    return re.compile(r"(?<!\d)(?:" + "|".join(shapes) + r")(?!\d)", re.IGNORECASE)


def name_tokens(names: Iterable[str]) -> frozenset[str]:
    """The lower-case words of names; initials and titles are none."""
    words = {word.lower() for name in names for word in re.split(r"[\s^=,.;()/\\&-]+", name) if len(word) >= 2}
    return frozenset(word for word in words if word not in _NO_NAMES and not any(char.isdigit() for char in word))


_NO_NAMES = frozenset(
    re.findall(
        r"\w+",
        """
    md dr mr mrs ms do rn np jr sr ii iii iv phd prof miss the of and von van de la del di da der den el al bin
    unknown anonymous anon none na test patient doe
    """,
    )
)


def _name_spans(text: str, names: tuple[str, ...]) -> Iterator[Span]:
    tokens = name_tokens(names)
    if not tokens:
        return
    words = [word for word in _WORD.finditer(text) if len(word.group()) > 1]
    known = [_bare(word.group()) in tokens for word in words]
    shouting = text.upper() == text
    for place, word in enumerate(words):
        if not known[place]:
            continue
        near = any(
            0 <= other < len(words) and known[other] and _adjacent(text, words[min(place, other)], words[max(place, other)])
            for other in (place - 1, place + 1)
        )
        if near or TITLE_BEFORE.search(text[max(0, word.start() - 12) : word.start()]):
            yield _with_initial(text, word)
        elif _bare(word.group()) not in PLAIN_WORDS or _stands_as_name(text, word, shouting):
            yield word.span()


def _bare(word: str) -> str:
    word = word.lower().replace("’", "'")
    return word[:-2] if word.endswith("'s") else word


def _adjacent(text: str, first: re.Match, second: re.Match) -> bool:
    gap = text[first.end() : second.start()]
    return bool(re.fullmatch(r"[ \t]*[,^-]?[ \t]*(?:[A-Za-z]\.?[ \t]+)?", gap))


def _with_initial(text: str, word: re.Match) -> Span:
    """The word and a middle initial that follows it."""
    initial = re.compile(r"[ \t^]+[A-Z](?:\.|(?=[ \t,;)]))(?!\w)").match(text, word.end())
    return (word.start(), initial.end() if initial else word.end())


def _stands_as_name(text: str, word: re.Match, shouting: bool) -> bool:
    """A plain word that is also a known name: taken for the name where its capital is not owed to a sentence or a heading."""
    if shouting or not word.group()[0].isupper() or (word.group().isupper() and len(word.group()) <= 3):
        return False
    before = text[: word.start()].rstrip(" \t")
    return bool(before) and before[-1] not in ".:;!?\n-*•)" and not before[-1].isdigit()


def _pattern_spans(text: str) -> Iterator[Span]:
    for pattern in PATTERNS:
        has_trigger = "keep" in pattern.groupindex
        for match in pattern.finditer(text):
            yield (match.end("keep") if has_trigger else match.start(), match.end())


def _overlap(one: Span, other: Span) -> bool:
    return one[0] < other[1] and other[0] < one[1]


def _replace(text: str, spans: list[Span]) -> str:
    """Put the token in place of the spans; neighbours with nothing but a blank or comma between them become one."""
    merged: list[Span] = []
    for start, end in sorted(span for span in spans if span[1] > span[0]):
        if merged and (start <= merged[-1][1] or _BETWEEN.fullmatch(text, merged[-1][1], start)):
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    parts, done = [], 0
    for start, end in merged:
        parts += [text[done:start], DEID_TOKEN]
        done = end
        if end and text[end - 1 : end] == "." and (end == len(text) or text[end : end + 1] in "\n"):
            parts.append(".")
    return "".join([*parts, text[done:]])
