"""From a folder of shards to one page: reads everything, then renders `templates/page.html.j2`.

The page is a pure function of the shards, `samples`, `members` and `seed`: no dates, no paths, no network.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment
from rich.console import Console
from rich.progress import Progress

from cxrpt import __version__
from cxrpt.page.environment import page_environment
from cxrpt.page.svg import NUM_COLOURS
from data_prep.inspect.builds import OUTCOMES, BuildFacts, read_build
from data_prep.inspect.cards import Card, choose_cards, make_card, marked_text
from data_prep.inspect.census import Census, SplitCensus, take_census
from data_prep.inspect.charts import colour_of
from data_prep.inspect.figures import by_institution, figures, sample_words
from data_prep.inspect.findings import findings
from data_prep.inspect.near import PLACES, WHOSE, NearFacts, near_pictures
from data_prep.inspect.opened import OpenedSplit, open_split
from data_prep.inspect.repeats import CommonText, RepeatFacts, common_texts, repeats_of

NEAR_SHOWN = 16
TEXTS_SHOWN = 6


@dataclass(frozen=True)
class SplitRow:
    """One line of the table of splits."""

    institution: str
    split: str
    num_pairs: int
    num_images: int
    num_texts: int
    patients: str
    num_bytes: int
    num_shards: int
    num_broken: int


@dataclass(frozen=True)
class LabelCell:
    """How often a finding is present, absent, uncertain and unknown in a split."""

    present: int
    absent: int
    uncertain: int
    unknown: int

    @property
    def total(self) -> int:
        return self.present + self.absent + self.uncertain + self.unknown


@dataclass(frozen=True)
class Facts:
    """Everything that was read."""

    census: Census
    builds: list[BuildFacts]
    opened: list[OpenedSplit]
    near: NearFacts
    repeats: list[RepeatFacts]
    common: tuple[CommonText, ...]
    cards: list[Card]


def inspect_page(root: Path, samples: int, members: int, seed: int, console: Console | None = None) -> str:
    """The page on the shards below `root`.

    `samples` are shown, at most `members` of each split are opened for ages, views, labels and the like; the rest comes
    from manifests, indexes and ledgers in full.

    Raises:
        InputError: there is no manifest below `root`, or none that can be read.
    """
    facts = _gather(root, samples, members, seed, console)
    return _environment().get_template("page.html.j2").render({"members": members, "seed": seed, **_context(facts)})


def _gather(root: Path, samples: int, members: int, seed: int, console: Console | None) -> Facts:
    with Progress(console=console, transient=True, disable=console is None) as progress:
        bar = progress.add_task("reading indexes", total=None)
        census = take_census(root, lambda done, total: progress.update(bar, completed=done, total=total))
        progress.update(bar, description="reading ledgers", total=None)
        builds = [read_build(folder, lambda: progress.advance(bar)) for folder in census.folders]
        to_open = sum(min(members, len(split)) for split in census.splits)
        progress.update(bar, description="opening samples", completed=0, total=to_open)
        opened = [open_split(split, members, seed, lambda number: progress.advance(bar, number)) for split in census.splits]
        progress.update(bar, description="comparing pictures and texts", total=None)
        of_institution = {name: [one for one in census.splits if one.institution == name] for name in census.institutions}
        return Facts(
            census=census,
            builds=builds,
            opened=opened,
            near=near_pictures(census.splits, NEAR_SHOWN, seed),
            repeats=[repeats_of(name, splits) for name, splits in of_institution.items()],
            common=common_texts(census.splits, TEXTS_SHOWN),
            cards=choose_cards(opened, samples, seed),
        )


def _context(facts: Facts) -> dict[str, Any]:
    """What the template is given."""
    census, builds, opened, near = facts.census, facts.builds, facts.opened, facts.near
    groups = by_institution(opened)
    return {
        "version": __version__,
        "institutions": census.institutions,
        "sampled": sample_words(opened),
        "totals": _totals(census, builds, opened),
        "findings": findings(census, builds, opened, near, facts.repeats),
        "privacy": _privacy(opened, builds),
        "splits": _split_rows(census, builds, opened),
        "settings": _settings(census),
        "builds": builds,
        "outcomes": OUTCOMES,
        "legend_names": list(groups),
        "figures": figures(groups),
        "cards": facts.cards,
        "labels": _labels(opened),
        "near": near,
        "near_cards": [(pair, make_card(*pair.one), make_card(*pair.other)) for pair in near.shown],
        "places": PLACES,
        "whose": WHOSE,
        "repeats": [one for one in facts.repeats if one.num_samples],
        "common": [(one, marked_text(one.text, {})) for one in facts.common],
    }


def _environment() -> Environment:
    made = page_environment("data_prep.inspect")
    made.filters["colour"] = lambda place, name: f"c{colour_of(name, place) % NUM_COLOURS}"
    return made


def _totals(census: Census, builds: Sequence[BuildFacts], opened: Sequence[OpenedSplit]) -> dict[str, Any]:
    entries = [entry for split in census.splits for entry in split.manifest.shards]
    whole = all(split.is_whole for split in opened)
    studies = sum(
        len({study for one in opened if one.census.institution == name for study in one.studies})
        for name in census.institutions
    )
    outcomes: Counter[str] = Counter()
    for build in builds:
        outcomes.update({outcome: build.count(outcome) for outcome in OUTCOMES})
    patients = [_patients(split, builds, opened) for split in census.splits]
    return {
        "samples": sum(entry.num_samples for entry in entries),
        "pairs": sum(entry.num_pairs for entry in entries),
        "images": sum(entry.num_images for entry in entries),
        "texts": sum(entry.num_texts for entry in entries),
        "patients": None if None in patients else sum(number or 0 for number in patients),
        "studies": studies if whole else None,
        "bytes": sum(entry.num_bytes for entry in entries),
        "shards": len(entries),
        "found": sum(build.found for build in builds),
        "outcomes": outcomes,
    }


def _patients(split: SplitCensus, builds: Sequence[BuildFacts], opened: Sequence[OpenedSplit]) -> int | None:
    """As the build counted them; without a build, counted where the split was opened whole."""
    for build in builds:
        if build.institution == split.institution and split.split in build.patients:
            return build.patients[split.split]
    return next((len(one.patients) for one in opened if one.census is split and one.is_whole), None)


def _split_rows(census: Census, builds: Sequence[BuildFacts], opened: Sequence[OpenedSplit]) -> list[SplitRow]:
    rows = []
    for split in census.splits:
        entries, patients = split.manifest.shards, _patients(split, builds, opened)
        rows.append(
            SplitRow(
                split.institution,
                split.split,
                sum(entry.num_pairs for entry in entries),
                sum(entry.num_images for entry in entries),
                sum(entry.num_texts for entry in entries),
                "?" if patients is None else f"{patients:,}",
                split.num_bytes,
                len(entries),
                len(entries) - len(split.shards),
            )
        )
    return rows


def _settings(census: Census) -> list[tuple[str, list[tuple[str, str]]]]:
    """Settings of each build, institution by institution; those of all splits are one build's."""
    of_institution: dict[str, dict[str, str]] = {}
    for split in census.splits:
        mine = of_institution.setdefault(split.institution, {})
        for name, value in sorted(split.manifest.settings.items()):
            words = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            if mine.setdefault(name, words) != words and words not in mine[name].split(" | "):
                mine[name] += f" | {words}"
    names = sorted({name for settings in of_institution.values() for name in settings})
    return [(name, [(who, settings.get(name, "")) for who, settings in of_institution.items()]) for name in names]


def _privacy(opened: Sequence[OpenedSplit], builds: Sequence[BuildFacts]) -> dict[str, int]:
    ages = sum((split.ages for split in opened), Counter[tuple[int | str | None, str]]())
    return {
        "opened": sum(split.num_opened for split in opened),
        "texts": sum(split.num_texts for split in opened),
        "with_token": sum(split.num_with_token for split in opened),
        "tokens": sum(split.num_tokens for split in opened),
        "looked_at": sum(split.num_looked_at for split in opened),
        "scrub_again": sum(split.num_scrub_again for split in opened),
        "oldest": max((age for age, _ in ages if isinstance(age, int)), default=0),
        "over_90": sum(number for (age, _), number in ages.items() if age == "90+"),
        "burned_in": sum(
            number for build in builds for (_, why, _), number in build.reasons.items() if why == "burned_in_text"
        ),
        "days": max((last for split in opened for _, last in split.days.values()), default=0),
    }


def _labels(opened: Sequence[OpenedSplit]) -> list[tuple[str, list[OpenedSplit], list[tuple[str, list[LabelCell]]]]]:
    """Institution, its splits, and a row a finding with a cell a split; institutions without labels are left out."""
    tables = []
    for name in dict.fromkeys(split.census.institution for split in opened):
        splits = [split for split in opened if split.census.institution == name and split.num_opened]
        known = sum((split.labels for split in splits), Counter[tuple[str, int]]())
        rows = []
        for finding in sorted({one for one, _ in known}, key=lambda one: (-known[one, 1], one)):
            cells = []
            for split in splits:
                present, absent, uncertain = (split.labels[finding, value] for value in (1, 0, -1))
                cells.append(LabelCell(present, absent, uncertain, split.num_opened - present - absent - uncertain))
            rows.append((finding, cells))
        if rows:
            tables.append((name, splits, rows))
    return tables
