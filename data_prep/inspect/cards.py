"""Samples to be looked at: which ones, and each as a card with a small picture and its report."""

import base64
import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from markupsafe import Markup, escape

from cxrpt.data.sample import DEID_TOKEN
from data_prep.inspect.census import SplitCensus
from data_prep.inspect.opened import Member, OpenedSplit, read_rows

THUMBNAIL = 256
"""Pixels of the long side."""
_JPEG_QUALITY = 72


@dataclass(frozen=True)
class Card:
    """One sample, ready to be shown."""

    key: str
    institution: str
    split: str
    picture: Markup
    """A data URI, empty without a picture."""
    view: str
    facts: tuple[str, ...]
    labels: tuple[tuple[str, int], ...]
    """Findings that are present or uncertain."""
    num_absent: int
    text: Markup
    patient: str


def choose_cards(opened: Sequence[OpenedSplit], number: int, seed: int) -> list[Card]:
    """At most `number` samples, dealt evenly over institutions, then splits, then kinds and views."""
    rng = np.random.default_rng(seed)

    def of_stratum(place: int, rows: list[int]) -> Iterator[tuple[int, int]]:
        return iter([(place, rows[at]) for at in rng.permutation(len(rows))])

    institutions: dict[str, list[Iterator[tuple[int, int]]]] = {}
    for place, split in enumerate(opened):
        strata = [of_stratum(place, rows) for _, rows in sorted(split.strata.items())]
        institutions.setdefault(split.census.institution, []).append(_in_turn(strata))
    dealt = _in_turn([_in_turn(splits) for splits in institutions.values()])
    chosen = sorted(pair for pair, _ in zip(dealt, range(number), strict=False))
    cards = []
    for place, split in enumerate(opened):
        rows = [row for at, row in chosen if at == place]
        members = read_rows(split.census, np.array(rows, np.int64), set(rows))
        of_split = [(member.meta.view, member) for _, member in members if member is not None]
        cards += [make_card(split.census, member) for _, member in sorted(of_split, key=lambda pair: pair[0])]
    return cards


def _in_turn(parts: Sequence[Iterator[tuple[int, int]]]) -> Iterator[tuple[int, int]]:
    """One of each in turn, until all are empty."""
    waiting = deque(parts)
    while waiting:
        part = waiting.popleft()
        for item in part:
            yield item
            waiting.append(part)
            break


def make_card(census: SplitCensus, member: Member) -> Card:
    """A sample with its picture, if it was opened with one."""
    meta = member.meta
    age = None if meta.age is None else f"{meta.age} y"
    days = None if meta.days is None else f"day {meta.days:,}"
    size = None if meta.size is None else f"{meta.size[0]} × {meta.size[1]}"
    labels = tuple((name, value) for name, value in sorted(meta.labels.items()) if value)
    return Card(
        key=member.key,
        institution=census.institution,
        split=census.split,
        picture=Markup("") if member.pixels is None else data_uri(member.pixels),
        view=meta.view,
        facts=tuple(fact for fact in (age, meta.sex, days, size) if fact is not None),
        labels=labels,
        num_absent=len(meta.labels) - len(labels),
        text=Markup("") if member.text is None else marked_text(member.text, meta.sections),
        patient=meta.patient,
    )


def data_uri(pixels: np.ndarray) -> Markup:
    """A picture (height, width) uint8, reduced to THUMBNAIL, as the source of an `img`."""
    scale = min(1.0, THUMBNAIL / max(pixels.shape))
    size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    _, data = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    return Markup("data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode())


_TITLE = re.compile(r"(?:^|\n)[ \t]*([^\n:]+:)\s*$")


def marked_text(text: str, sections: dict[str, tuple[int, int]]) -> Markup:
    """The report, escaped, with the title before each section and every token of de-identification marked."""
    parts, done = [], 0
    for start, end in sorted(sections.values()):
        if start < done:
            continue
        before = text[done:start]
        title = _TITLE.search(before)
        if title is None:
            parts.append(_with_tokens(before))
        else:
            rest = before[title.end(1) :]
            parts += [_with_tokens(before[: title.start(1)]), Markup("<b>{}</b>").format(before[title.start(1) : title.end(1)])]
            parts.append(escape(rest))
        parts.append(_with_tokens(text[start:end]))
        done = end
    parts.append(_with_tokens(text[done:]))
    return Markup("").join(parts).strip()


def _with_tokens(text: str) -> Markup:
    return Markup(f"<i>{DEID_TOKEN}</i>").join(escape(part) for part in text.split(DEID_TOKEN))
