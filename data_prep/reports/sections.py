"""Where the sections of a report begin and end.

    " FINDINGS: The lungs are clear.\n\n IMPRESSION: Normal.\n"
      FINDINGS -> offsets of "The lungs are clear."    IMPRESSION -> offsets of "Normal."

Offsets are in the text given, which is the scrubbed one, so that they hold for the `.txt` member as written. Titles go by
the names of `section_titles`, whatever their spelling; one that is unknown there keeps its own, but does not end FINDINGS or
IMPRESSION ("LUNGS:" within them is a sub-heading). Everything from a title ADDENDUM to a full line of underscores, to
"FINAL REPORT" or to the end belongs to the addendum, titles and all, so that it never takes the place of the report proper.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from cxrpt.data.sample import DEID_TOKEN
from data_prep.reports.section_titles import (
    ADDENDUM,
    FINDINGS,
    IMPRESSION,
    KNOWN,
    STRONG,
    is_anatomy,
    is_examination,
    name_by_words,
    name_of,
    without_accents,
)

LAST_PARAGRAPH = "LAST PARAGRAPH"
"""Section of a report in which neither FINDINGS nor IMPRESSION is titled: its last untitled paragraph, as MIMIC-CXR's users
take it for the impression. `sections: [FINDINGS, IMPRESSION, LAST PARAGRAPH]` trains on it."""

READ_SECTIONS = frozenset({FINDINGS, IMPRESSION})
MAIN_SECTIONS = READ_SECTIONS | {"INDICATION", "HISTORY", "COMPARISON", "TECHNIQUE", "EXAMINATION"}

_OPENING = r"^[ \t]*+(?:[*#>]{1,6}[ \t]*)?"
_CAPITALS = r"(?-i:[A-Z][A-Z0-9 /&,()'.#-]{1,70}?)"
_COLON = r"[ \t]*\*{0,2}[ \t]*:[ \t]*\*{0,2}"
_TITLES = (
    re.compile(rf"{_OPENING}(?P<title>{KNOWN}){_COLON}", re.MULTILINE | re.IGNORECASE),
    re.compile(rf"{_OPENING}(?P<title>{_CAPITALS}){_COLON}(?!\d)", re.MULTILINE | re.IGNORECASE),
    re.compile(rf"{_OPENING}(?P<title>{KNOWN})[ \t]*\*{{0,2}}[ \t]*$", re.MULTILINE | re.IGNORECASE),
    re.compile(rf"{_OPENING}(?P<title>{KNOWN})[ \t]*\*{{0,2}}[ \t]*(?:[-–—]{{1,3}}|\.-+)(?=\s)", re.MULTILINE | re.IGNORECASE),
)
_BEFORE_COLON = re.compile(r"(?:(?<![\w()'/-])[\w()'/-]+[ ]){0,6}(?<![\w()'/-])[\w()'/-]+[ \t]*\Z")
_LONGEST_TITLE = 60
_AFTER_SENTENCE = re.compile(r"[.!?:;)\]_][ \t]{1,2}\Z|\S[ \t]{2,}\Z|[.!?:;)\]_]\n\Z")
_POINTS_AT_TITLE = re.compile(r"\b(?:see|the|and|per|our|of|in|to|or)[ ]\Z", re.IGNORECASE)
_RULE = re.compile(r"^[ \t]*(?:[_=-]{10,}|\**FINAL REPORT\**:?)[ \t]*$", re.MULTILINE)
_BLANK_LINE = re.compile(r"\n[ \t]*\n\s*")
_LEAD = re.compile(r"(?:\s|[_=-]{10,}|\*{2})*")
_SIGNED = re.compile(
    r"\s*(?:electronically|digitally|dictated|signed|verified|approved|transcribed|finali[sz]ed|reviewed)\b.*"
    r"(?:\bby\b|\bon\b|signed|___)",
    re.IGNORECASE | re.DOTALL,
)


@dataclass(frozen=True)
class Piece:
    """A title and what stands below it: `text[start:body]` is the title, `text[body:end]` its body, which may be blank."""

    name: str
    start: int
    body: int
    end: int


@dataclass(frozen=True)
class _Mark:
    """A title, or a rule (no name) that ends what stands above it."""

    start: int
    body: int
    name: str = ""
    kind: str = "known"


def find_sections(text: str) -> dict[str, tuple[int, int]]:
    """Upper-case title -> (start, end) of its body without blanks around it; empty bodies are left out.

    Of titles that come twice the first with a body counts. Addenda are ADDENDUM, ADDENDUM 2, ... in the order of the text. A
    report without FINDINGS and IMPRESSION gets LAST PARAGRAPH where untitled text is left.
    """
    sections: dict[str, tuple[int, int]] = {}
    num_addenda = 0
    for piece in outline(text):
        bounds = _trimmed(text, piece.body, piece.end)
        if bounds is None or piece.name == "SIGNATURE":
            continue
        name = piece.name
        if name == ADDENDUM:
            num_addenda += 1
            name = ADDENDUM if num_addenda == 1 else f"{ADDENDUM} {num_addenda}"
        sections.setdefault(name, bounds)
    if not READ_SECTIONS & set(sections):
        _add_last_paragraph(text, sections)
    return sections


def outline(text: str) -> list[Piece]:
    """All titles in the order of the text, those with nothing below them too, by the names of `section_titles`."""
    marks = _marks(text)
    pieces: list[Piece] = []
    open_title: _Mark | None = None
    titles_end_addendum = False
    seen: set[str] = set()

    def close(end: int) -> None:
        nonlocal open_title
        if open_title is not None:
            pieces.append(Piece(open_title.name, open_title.start, open_title.body, end))
        open_title = None

    for place, mark in enumerate(marks):
        if not mark.name:
            # A rule right below a title is an ornament of it.
            if open_title is None or text[open_title.body : mark.start].strip():
                close(mark.start)
        elif open_title is not None and open_title.name == ADDENDUM:
            ends = mark.name in (ADDENDUM, "SIGNATURE") or (titles_end_addendum and mark.name in MAIN_SECTIONS)
            if ends:
                close(mark.start)
                open_title = mark
        elif mark.kind == "known" or open_title is None or open_title.name not in READ_SECTIONS:
            close(mark.start)
            open_title = mark
        if open_title is mark and mark.name == ADDENDUM:
            ruled = any(not later.name for later in marks[place + 1 :])
            titles_end_addendum = not ruled and not seen & READ_SECTIONS
        if open_title is mark:
            seen.add(mark.name)
    close(len(text))
    return _findings_below_examinations(text, pieces, {mark.start for mark in marks if mark.kind == "examination"})


def is_empty(text: str) -> bool:
    """Whether nothing but titles, tokens and punctuation is left of a report."""
    return not re.search(r"[^\W\d_]{2}", untitled(text))


def untitled(text: str) -> str:
    """The text without its titles and de-identification tokens."""
    parts, done = [], 0
    for mark in _marks(text):
        parts.append(text[done : mark.start])
        done = max(done, mark.body)
    return "\n".join([*parts, text[done:]]).replace(DEID_TOKEN, " ")


@lru_cache(maxsize=4)
def _marks(text: str) -> tuple[_Mark, ...]:
    """Titles and rules, sorted; of those that overlap the first in the order of the patterns counts."""
    base = without_accents(text)
    marks = [_Mark(match.start(), match.end()) for match in _RULE.finditer(base)]
    taken = {mark.start for mark in marks}
    for pattern in _TITLES:
        for match in pattern.finditer(base):
            start = base.rfind("\n", 0, match.start("title")) + 1
            if start not in taken and (mark := _line_mark(start, match)) is not None:
                taken.add(start)
                marks.append(mark)
    marks += [mark for mark in _inline_marks(base) if mark.start not in taken]
    marks.sort(key=lambda mark: mark.start)
    kept: list[_Mark] = []
    for mark in marks:
        if not kept or mark.start >= kept[-1].body:
            kept.append(mark)
    return tuple(kept)


def _line_mark(start: int, match: re.Match[str]) -> _Mark | None:
    """What opens a line; None where its words open a sentence and title nothing."""
    title, body = match["title"], match.end()
    name = name_of(title)
    if name is not None:
        return _Mark(start, body, name) if title[0].isupper() or title.lower() in STRONG else None
    if not title.isupper():
        return None
    name = name_by_words(title)
    if name is not None:
        return _Mark(start, body, name)
    if is_examination(title):
        return _Mark(start, body, "EXAMINATION", "examination")
    if is_anatomy(title):
        # Its own words belong to the findings.
        return _Mark(start, start, FINDINGS, "anatomy")
    return _Mark(start, body, " ".join(title.upper().split()), "other")


def _inline_marks(base: str) -> Iterator[_Mark]:
    """Known titles within a line, in a report whose line breaks were lost.

    After a sentence a title is told by its capitals, or by words that no sentence opens with before a colon. Within a sentence
    it needs capitals among small letters; among capitals one of those words, to which nothing before it points ("SEE").
    """
    place = base.find(":")
    while place >= 0:
        words = _BEFORE_COLON.search(base, max(0, place - _LONGEST_TITLE), place)
        start = words.start() if words else place
        while start < place:
            title = base[start:place].rstrip()
            if name_of(title) is not None and _stands_out(base[max(0, start - 8) : start], title):
                yield _Mark(start, place + 1, name_of(title) or "")
                break
            following = base.find(" ", start, place)
            start = following + 1 if following >= 0 else place
        place = base.find(":", place + 1)


def _stands_out(before: str, title: str) -> bool:
    strong = title.lower() in STRONG
    if _AFTER_SENTENCE.search(before):
        return title.isupper() or strong
    if not title.isupper() or not before.endswith(" ") or _POINTS_AT_TITLE.search(before):
        return False
    return strong or before[-2:-1].islower() or before[-2:-1] in tuple(",%/0123456789")


def _findings_below_examinations(text: str, pieces: list[Piece], examinations: set[int]) -> list[Piece]:
    """Without other findings, the last sentence below a title such as "PORTABLE CHEST RADIOGRAPH:" are the findings."""
    if any(piece.name == FINDINGS and text[piece.body : piece.end].strip() for piece in pieces):
        return pieces
    told = [place for place, piece in enumerate(pieces) if piece.start in examinations and _words(text, piece) >= 3]
    if told:
        last = pieces[told[-1]]
        pieces[told[-1]] = Piece(FINDINGS, last.start, last.body, last.end)
    return pieces


def _words(text: str, piece: Piece) -> int:
    return len(text[piece.body : piece.end].split())


def _trimmed(text: str, start: int, end: int) -> tuple[int, int] | None:
    """The bounds without blanks, rules and ornaments around them; None where nothing is left."""
    body = text[start:end]
    lead = _LEAD.match(body)
    body = body[lead.end() if lead else 0 :]
    start = end - len(body)
    body = body.rstrip()
    while (bare := body.rstrip("_=-")) != body and len(body) - len(bare) >= 10:
        body = bare.rstrip()
    return (start, start + len(body)) if body else None


def _add_last_paragraph(text: str, sections: dict[str, tuple[int, int]]) -> None:
    """Add LAST PARAGRAPH, and end the section that ran over it before it."""
    marks = {mark.start for mark in _marks(text) if mark.name}
    starts = [0, *(match.end() for match in _BLANK_LINE.finditer(text)), *(match.end() for match in _RULE.finditer(text))]
    starts = sorted({start + len(text[start:]) - len(text[start:].lstrip()) for start in starts})
    closing = [(piece.start, piece.end) for piece in outline(text) if piece.name in (ADDENDUM, "SIGNATURE")]
    for start, following in reversed(list(zip(starts, [*starts[1:], len(text)], strict=True))):
        bounds = _trimmed(text, start, following)
        if bounds is None or _SIGNED.match(text, *bounds) or any(low <= bounds[0] < high for low, high in closing):
            continue
        if not re.search(r"[^\W\d_]{2}", text[slice(*bounds)]) or _RULE.fullmatch(text[slice(*bounds)].strip()):
            continue
        line = text.rfind("\n", 0, bounds[0]) + 1
        if {bounds[0], line} & marks:
            return
        for name, (low, high) in list(sections.items()):
            if low < bounds[0] < high:
                sections[name] = _trimmed(text, low, bounds[0]) or (low, bounds[0])
        sections[LAST_PARAGRAPH] = bounds
        return
