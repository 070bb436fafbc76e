"""The retrieval task as the page shows it: both directions beside chance, institutions, examples."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from cxrpt.eval.page.classification import bad_words
from cxrpt.eval.page.numbers import count, number_of, percent, plain, times, value_of
from cxrpt.eval.page.pictures import Pictures

DIRECTIONS = {"image_to_text": "Image to report", "text_to_image": "Report to image"}
COLUMNS = {"r1": "R@1", "r5": "R@5", "r10": "R@10", "median_rank": "Median rank", "p5": "P@5", "p10": "P@10"}


@dataclass(frozen=True)
class ScoreRow:
    """Scores of one direction, or of chance."""

    name: str
    cells: tuple[tuple[str, str], ...]
    """The score, and how many times chance it is."""


@dataclass(frozen=True)
class Found:
    """One candidate that was found."""

    text: str
    picture: Markup
    score: str
    is_hit: bool


@dataclass(frozen=True)
class Example:
    """A query and what was found."""

    query: str
    """image or text."""
    picture: Markup
    text: str
    found: tuple[Found, ...]


@dataclass(frozen=True)
class Retrieval:
    """All that the page says of the task."""

    about: tuple[tuple[str, str], ...]
    columns: tuple[str, ...]
    rows: tuple[ScoreRow, ...]
    institutions: tuple[tuple[str, str, tuple[ScoreRow, ...]], ...]
    """Name, pool, rows."""
    examples: tuple[Example, ...]


def retrieval(details: Mapping[str, Any], pictures: Pictures) -> Retrieval:
    """The view of `details.retrieve`; whatever is missing in it is left out."""
    scores = details["scores"]
    keys = [key for key in COLUMNS if any(number_of(one, key) is not None for one in scores.values())]
    institutions = [
        (name, count(number_of(one, "pool")), _rows(one["scores"], keys))
        for name, one in (details.get("institutions") or {}).items()
        if value_of(one, "scores")
    ]
    return Retrieval(
        about=_about(details),
        columns=tuple(COLUMNS[key] for key in keys),
        rows=_rows(scores, keys),
        institutions=tuple(institutions),
        examples=tuple(_example(one, pictures) for one in details.get("examples") or ()),
    )


def _about(details: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    pool = f"{count(number_of(details, 'pool'))} pairs"
    parts = [(number_of(details, key), words) for key, words in (("studies", "studies"), ("patients", "patients"))]
    pool += "".join(f", {count(number)} {words}" for number, words in parts if number is not None)
    if (texts := number_of(details, "distinct_texts")) is not None:
        pool += f", {count(texts)} distinct texts"
    sections = details.get("sections")
    rows = [
        ("Pool", pool),
        ("Text", ", ".join(map(str, sections)) if isinstance(sections, list) else str(sections or "")),
        ("Hits", str(details.get("hits") or "")),
        ("Ties", str(details.get("ties") or "")),
        ("Vectors", str(details.get("vectors") or "")),
        ("Could not be read", bad_words(details.get("bad_samples"))),
    ]
    return tuple(row for row in rows if row[1])


def _rows(scores: Mapping[str, Any], keys: list[str]) -> tuple[ScoreRow, ...]:
    chance = scores.get("chance") or {}
    rows = []
    for direction, name in {**DIRECTIONS, "chance": "Chance"}.items():
        if not (found := scores.get(direction)):
            continue
        cells = []
        for key in keys:
            value = number_of(found, key)
            shown = count(value) if key == "median_rank" else percent(value)
            ratio = "" if direction == "chance" or key == "median_rank" else times(value, number_of(chance, key))
            cells.append((shown, ratio if ratio != "–" else ""))
        rows.append(ScoreRow(name, tuple(cells)))
    return tuple(rows)


def _example(one: Mapping[str, Any], pictures: Pictures) -> Example:
    found = [
        Found(
            str(item.get("text") or ""), pictures.embedded(item.get("figure")), plain(number_of(item, "score")),
            bool(item.get("is_hit")),
        )
        for item in one.get("found") or ()
    ]  # fmt: skip
    return Example(
        str(one.get("query") or "image"), pictures.embedded(one.get("figure")), str(one.get("text") or ""), tuple(found)
    )
