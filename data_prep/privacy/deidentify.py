"""Report text without what identifies: the study's own identifiers first, then patterns, one token in place of each.

    "Mr. John SMITH (MRN 123456), seen 3/4/2021. Hodgkin lymphoma."
    "___ (MRN ___), seen ___. Hodgkin lymphoma."

Names that the header knows, or that the report itself announces ("Patient Name: ...", "signed by ..."), are removed wherever
they stand as a word, but for two cases: within an eponym ("Hill-Sachs" of a patient Hill), and where a name that is also a
plain word of reports ("long", "small") stands as such. Patterns need a trigger (a title, a label, the shape of a date), so that
disease names survive. What neither the header, nor the report's own labels, nor a pattern knows is not found: an unannounced
name of a relative stays. See docs/deidentification.md, and PS3.15 Annex E on the limits of text cleaning.
"""

import datetime
import re
from collections.abc import Iterator
from functools import lru_cache

from cxrpt.data.sample import DEID_TOKEN
from data_prep.inputs import Identifiers
from data_prep.privacy.eponyms import EPONYM
from data_prep.privacy.names import TITLE_BEFORE, Span, name_spans
from data_prep.privacy.patterns import DIGIT_PATTERNS, NAMED_PERSONS, PATTERNS, PERSON_PATTERNS
from data_prep.privacy.report_words import names_nobody, says_nothing

_BETWEEN = re.compile(r"[ \t]*[,^/-]?[ \t]*")
_TITLE_REACH = 16
_SHORTEST_ID = 4
_SPACED_ID = 6
"""Letters and digits of an id from which blanks, points and hyphens may stand inside it ("12 34 56")."""


def scrub(text: str, known: Identifiers) -> str:
    """The text with `___` in place of everything found, line breaks normalised, control characters dropped."""
    text = "".join(char for char in text.replace("\r\n", "\n").replace("\r", "\n") if char in "\n\t" or char.isprintable())
    text = text.replace("\u00a0", " ")
    names = known.names + _announced(text)
    persons = [*name_spans(text, names), *_pattern_spans(text, PERSON_PATTERNS)]
    eponyms = _eponym_spans(text) if persons else []
    spans = [span for span in persons if not any(_overlap(span, eponym) for eponym in eponyms)]
    spans += _known_spans(text, known)
    spans += _pattern_spans(text, PATTERNS)
    if any(char.isdigit() for char in text):
        spans += _pattern_spans(text, DIGIT_PATTERNS)
    return _replace(text, spans)


def _eponym_spans(text: str) -> list[Span]:
    """Names that are medicine whoever the patient is, but for those behind a title."""
    return [
        match.span()
        for match in EPONYM.finditer(text)
        if not TITLE_BEFORE.search(text[max(0, match.start() - _TITLE_REACH) : match.start()])
    ]


def _announced(text: str) -> tuple[str, ...]:
    """Names that the report gives itself, in its head or under its signature; they often come again without a title."""
    found = (match["name"] for pattern in NAMED_PERSONS for match in pattern.finditer(text))
    return tuple(dict.fromkeys(name for name in found if not names_nobody(name) and "XXXX" not in name))


def _known_spans(text: str, known: Identifiers) -> Iterator[Span]:
    # A name with digits in it is a number that somebody put into the name's place.
    numbered = [part for name in known.names for part in re.split(r"[\s^=,]+", name) if any(char.isdigit() for char in part)]
    for literal in (*known.phrases, *numbered):
        if pattern := _phrase(literal):
            yield from (match.span() for match in pattern.finditer(text))
    for literal in known.ids:
        if pattern := _id(literal):
            yield from (match.span() for match in pattern.finditer(text))
    for date in known.dates:
        yield from (match.span() for match in _date_pattern(date).finditer(text))


@lru_cache(maxsize=4096)
def _phrase(literal: str) -> re.Pattern[str] | None:
    """A pattern for an address or an institution, blanks and case aside; None for report words and under 4 characters."""
    parts = [part for part in re.split(r"[\s,]+", literal.strip()) if part]
    if len("".join(parts)) < _SHORTEST_ID or (says_nothing(literal) and not any(char.isdigit() for char in literal)):
        return None
    return re.compile(r"(?<!\w)" + r"[\s,]+".join(re.escape(part) for part in parts) + r"(?!\w)", re.IGNORECASE)


@lru_cache(maxsize=4096)
def _id(literal: str) -> re.Pattern[str] | None:
    """A pattern for a number: without its leading zeros too, and if it is long with separators anywhere inside."""
    signs = re.sub(r"[\s,]+", "", literal)
    if len(signs) < _SHORTEST_ID or not any(char.isdigit() for char in signs):
        return _phrase(literal)
    bare = re.sub(r"[^\w]", "", signs)
    if not _SPACED_ID <= len(bare) <= 32 or "_" in bare:
        return _phrase(literal)
    short = bare.lstrip("0")
    zeros = "0*" if len(short) >= _SPACED_ID - 1 else re.escape(bare[: len(bare) - len(short)])
    return re.compile(rf"(?<!\w){zeros}" + r"[ .\-/_]?".join(short) + r"(?!\w)", re.IGNORECASE)


@lru_cache(maxsize=4096)
def _date_pattern(date: datetime.date) -> re.Pattern[str]:
    """A known date in the shapes that the general patterns leave alone: without a year, and with blanks."""
    year, month, day = date.year, date.month, date.day
    y, m, d = rf"(?:{year}|{year % 100:02d})", f"0?{month}", f"0?{day}"
    shapes = (
        rf"{year}[-./ ]?{month:02d}[-./ ]?{day:02d}",
        rf"{m}[-./ ][ ]?{d}[-./ ][ ]?{y}",
        rf"{d}[-./ ][ ]?{m}[-./ ][ ]?{y}",
        rf"{day:02d}{month:02d}{year}",
        rf"{month:02d}{day:02d}{year}",
        rf"(?<=on ){m}/{d}",
        rf"(?<=on ){d}/{m}",
    )
    return re.compile(r"(?<!\d)(?:" + "|".join(shapes) + r")(?!\d)", re.IGNORECASE)


def _pattern_spans(text: str, patterns: tuple[re.Pattern[str], ...]) -> Iterator[Span]:
    for pattern in patterns:
        groups = pattern.groupindex
        for match in pattern.finditer(text):
            if ("weak" in groups and says_nothing(match["weak"])) or ("person" in groups and names_nobody(match["person"])):
                continue
            yield (match.end("keep") if "keep" in groups and match["keep"] else match.start(), match.end())


def _overlap(one: Span, other: Span) -> bool:
    return one[0] < other[1] and other[0] < one[1]


def _replace(text: str, spans: list[Span]) -> str:
    """Put the token in place of the spans; neighbours with nothing but a blank, comma, slash or hyphen between become one."""
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
