"""The grounding probes as the page shows them: does the model read the other modality, or only guess well without it?"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from cxrpt.eval.page.charts import scale_bar
from cxrpt.eval.page.classification import bad_words
from cxrpt.eval.page.numbers import NONE, count, number_of, percent, percents, plain, value_of
from cxrpt.eval.page.verdict import Difference, difference


@dataclass(frozen=True)
class WordRow:
    """Masked words of one kind."""

    kind: str
    places: str
    own: str
    swapped: str
    none: str
    bar: Markup
    over_swapped: Difference | None
    over_none: Difference | None
    unigram: str


@dataclass(frozen=True)
class RegionRow:
    """Hidden regions of one kind."""

    kind: str
    images: str
    own: str
    wrong: str
    none: str
    over_wrong: Difference | None
    over_none: Difference | None


@dataclass(frozen=True)
class SourceRow:
    """Words hidden as in training, of the reports of one source."""

    source: str
    places: str
    right: str
    interval: str
    unigram: str
    over_unigram: Difference | None


@dataclass(frozen=True)
class Grounding:
    """All that the page says of the probes."""

    words: tuple[WordRow, ...]
    regions: tuple[RegionRow, ...]
    sources: tuple[SourceRow, ...]
    about: tuple[tuple[str, str], ...]
    notes: tuple[tuple[str, str], ...]
    has_unigram: bool


def grounding(details: Mapping[str, Any]) -> Grounding:
    """The view of `details.grounding`; whatever is missing in it is left out."""
    words = [
        _word_row(kind, one)
        for kind, one in (details.get("words") or {}).items()
        if isinstance(one, Mapping) and "right" in one
    ]
    regions = [
        _region_row(kind, one, number_of(details, "regions", "images"))
        for kind, one in (details.get("regions") or {}).items()
        if isinstance(one, Mapping) and "psnr" in one
    ]
    sources = [
        _source_row(source, one)
        for source, one in (details.get("masked_words") or {}).items()
        if isinstance(one, Mapping) and "accuracy" in one
    ]
    if not words and not regions and not sources:
        raise ValueError("no probe has numbers")
    notes = [(_title(name), value) for name, value in details.items() if isinstance(value, str) and name != "split"]
    unigram = any(row.unigram != NONE for row in words)
    return Grounding(tuple(words), tuple(regions), tuple(sources), _about(details), tuple(notes), unigram)


def skipped_parts(details: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Probes that could not run, and why."""
    parts = ((name, value_of(details, name, "skipped")) for name in ("words", "regions", "masked_words"))
    return [(_title(name).lower(), str(reason)) for name, reason in parts if reason]


def _title(name: str) -> str:
    return name.removesuffix("_about").replace("_", " ").capitalize()


def _about(details: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    rows = []
    if (pairs := number_of(details, "pairs")) is not None:
        patients = number_of(details, "patients")
        rows.append(("Probed", f"{count(pairs)} pairs{'' if patients is None else f' of {count(patients)} patients'}"))
    rows += [(f"Not run: {name}", reason) for name, reason in skipped_parts(details)]
    rows.append(("Could not be read", bad_words(details.get("bad_samples"))))
    return tuple(row for row in rows if row[1])


def _source_row(source: str, one: Mapping[str, Any]) -> SourceRow:
    value, low, high = (number_of(one, "accuracy", key) for key in ("value", "low", "high"))
    return SourceRow(
        source, count(number_of(one, "places")), percent(value), percents(low, high), percent(number_of(one, "unigram")),
        points(one.get("gain_over_unigram")),
    )  # fmt: skip


def _word_row(kind: str, one: Mapping[str, Any]) -> WordRow:
    right = one["right"]
    own, swapped, none = (number_of(right, key) for key in ("own", "swapped", "none"))
    guess = number_of(one, "unigram", "accuracy")
    named = ((swapped, "another image"), (none, "no image"), (guess, "most frequent word"))
    ticks = [(value, f"{name}: {percent(value)}") for value, name in named if value is not None]
    bar = Markup("") if own is None else scale_bar(own, None, None, (0, 1), ticks, f"{percent(own)} right", "small")
    return WordRow(
        kind.replace("_", " "), count(number_of(one, "places")), percent(own), percent(swapped), percent(none), bar,
        points(one.get("gain_over_swapped")), points(one.get("gain_over_none")), percent(guess),
    )  # fmt: skip


def points(found: Any) -> Difference | None:
    """A difference of shares as one of points of a per cent."""
    if not isinstance(found, Mapping):
        return None
    scaled = {key: 100 * value for key in ("value", "low", "high") if (value := number_of(found, key)) is not None}
    return difference(scaled, "value", 1)


def _region_row(kind: str, one: Mapping[str, Any], images: float | None) -> RegionRow:
    own, wrong, none = (plain(number_of(one, "psnr", key), 2) for key in ("own", "wrong", "none"))
    return RegionRow(
        kind.replace("_", " "), count(number_of(one, "images") or images), own, wrong, none,
        difference(value_of(one, "gain_over_wrong"), "value", 2), difference(value_of(one, "gain_over_none"), "value", 2),
    )  # fmt: skip
