"""The retrieval task as the page shows it: both directions beside chance, institutions, examples."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from cxrpt.eval.page.classification import bad_words
from cxrpt.eval.page.numbers import NONE, count, number_of, percent, percents, plain, times, value_of
from cxrpt.eval.page.pictures import Pictures

DIRECTIONS = {"image_to_text": "Image to report", "text_to_image": "Report to image"}
COLUMNS = {"r1": "R@1", "r5": "R@5", "r10": "R@10", "median_rank": "Median rank", "p5": "P@5", "p10": "P@10"}


@dataclass(frozen=True)
class ScoreRow:
    """Scores of one direction, or of chance."""

    name: str
    cells: tuple[tuple[str, str, str], ...]
    """The score, its interval, and how many times chance it is."""


@dataclass(frozen=True)
class Found:
    """One candidate that was found."""

    text: str
    score: str
    is_hit: bool


@dataclass(frozen=True)
class Example:
    """A query and what was found."""

    query: str
    """image or text."""
    picture: Markup
    """The query and what was found, side by side."""
    text: str
    rank: str
    """Of the best hit; empty where it is not told."""
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
    named = (("studies", "studies"), ("patients", "patients"), ("distinct_texts", "distinct texts"))
    parts = [(number_of(details, key), words) for key, words in named]
    pool += "".join(f", {count(number)} {words}" for number, words in parts if number is not None)
    if (labelled := number_of(details, "labelled")) is not None:
        sets = number_of(details, "finding_sets")
        pool += f"; {count(labelled)} with sure labels{'' if sets is None else f', of {count(sets)} sets of findings'}"
    sections = details.get("sections")
    rows = [("Pool", pool), ("Text", ", ".join(map(str, sections)) if isinstance(sections, list) else str(sections or ""))]
    rows += [
        (name.replace("_", " ").capitalize(), str(details.get(name) or ""))
        for name in ("held_out", "hits", "ties", "precision", "interval", "vectors")
    ]
    rows.append(("Could not be read", bad_words(details.get("bad_samples"))))
    return tuple(row for row in rows if row[1])


def _rows(scores: Mapping[str, Any], keys: list[str]) -> tuple[ScoreRow, ...]:
    chance = scores.get("chance") or {}
    rows = []
    for direction, name in {**DIRECTIONS, "chance": "Chance"}.items():
        if found := scores.get(direction):
            cells = tuple(_cell(found, key, {} if direction == "chance" else chance) for key in keys)
            rows.append(ScoreRow(name, cells))
    return tuple(rows)


def _cell(found: Mapping[str, Any], key: str, chance: Mapping[str, Any]) -> tuple[str, str, str]:
    value, low, high = (number_of(found, name) for name in (key, f"{key}_low", f"{key}_high"))
    if key == "median_rank":
        return count(value), "", ""
    ratio = times(value, number_of(chance, key))
    return percent(value), percents(low, high), ratio if ratio != NONE else ""


def _example(one: Mapping[str, Any], pictures: Pictures) -> Example:
    found = tuple(
        Found(str(item.get("text") or ""), plain(number_of(item, "score")), bool(item.get("is_hit")))
        for item in one.get("found") or ()
    )
    rank = number_of(one, "rank")
    return Example(
        str(one.get("query") or "image"), pictures.embedded(one.get("figure")), str(one.get("text") or ""),
        "" if rank is None else count(rank), found,
    )  # fmt: skip
