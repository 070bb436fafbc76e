"""What a reader should know before anything else: problems, warnings and remarks, worst first."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cxrpt.data.sample import SPLITS
from data_prep.inspect.builds import BuildFacts
from data_prep.inspect.census import Census
from data_prep.inspect.near import NearFacts
from data_prep.inspect.opened import OpenedSplit
from data_prep.inspect.repeats import RepeatFacts

LEVELS = ("problem", "warning", "note")
MANY_FAILED = 0.05
MANY_UNKNOWN = 0.5
MANY_REPEATED = 0.2
FEW = 20
"""Samples below which a share says nothing."""


@dataclass(frozen=True)
class Finding:
    """One line of the page's head; `level` of LEVELS."""

    level: str
    where: str
    words: str


def findings(
    census: Census,
    builds: Sequence[BuildFacts],
    opened: Sequence[OpenedSplit],
    near: NearFacts,
    repeats: Sequence[RepeatFacts],
) -> list[Finding]:
    """All findings, by level, each level in the order of institutions."""
    found = [
        *_damage(census, opened),
        *_privacy(opened),
        *_of_builds(builds),
        *_of_splits(census, opened),
        *_of_near(near),
        *_of_texts(repeats),
        *_of_contents(opened),
        *_of_settings(census),
    ]
    return sorted(found, key=lambda finding: LEVELS.index(finding.level))


def _damage(census: Census, opened: Sequence[OpenedSplit]) -> Iterator[Finding]:
    for problem in census.problems:
        yield Finding("problem", problem.where, problem.words)
    for split in opened:
        by_shard: dict[str, Counter[str]] = defaultdict(Counter)
        for (shard, words), number in split.damaged.items():
            by_shard[shard][words] += number
        for shard, reasons in sorted(by_shard.items()):
            words, more = min(reasons), reasons.total() - 1
            yield Finding("problem", shard, words + (f" (further samples: {more})" if more else ""))


def _privacy(opened: Sequence[OpenedSplit]) -> Iterator[Finding]:
    splits_of: dict[tuple[str, str], set[str]] = defaultdict(set)
    for split in opened:
        for patient in split.patients:
            splits_of[split.census.institution, patient].add(split.census.split)
    leaked = Counter(institution for (institution, _), splits in splits_of.items() if len(splits) > 1)
    for institution, number in sorted(leaked.items()):
        yield Finding("problem", institution, f"patients in more than one split: {number:,}; `cxrpt verify` names them")
    for split in opened:
        if split.num_scrub_again:
            words = f"{split.num_scrub_again:,} of {split.num_looked_at:,} texts still hold what de-identification removes"
            yield Finding("problem", split.census.name, words)


def _of_builds(builds: Sequence[BuildFacts]) -> Iterator[Finding]:
    for build in builds:
        for problem in build.problems:
            yield Finding("warning", build.institution, problem)
        failed = build.count("failed")
        if build.found and failed / build.found > MANY_FAILED:
            yield Finding(
                "warning", build.institution, f"{failed / build.found:.1%} of its inputs failed: see the reasons below"
            )


def _of_splits(census: Census, opened: Sequence[OpenedSplit]) -> Iterator[Finding]:
    for institution in census.institutions:
        mine = [split for split in opened if split.census.institution == institution]
        counts = {split.census.split: split.census.manifest for split in mine}
        empty = [name for name in SPLITS if name in counts and not counts[name].count()]
        missing = [name for name in SPLITS if name not in counts]
        if empty:
            yield Finding("warning", institution, f"no samples in {' and '.join(empty)}")
        if missing:
            yield Finding("note", institution, f"no manifest of {' and '.join(missing)} below the folder")
        for use, words in (("texts", "reports"), ("images", "pictures")):
            having = [name for name in counts if counts[name].count(use)]
            lacking = [name for name in counts if not counts[name].count(use) and name not in empty]
            if having and lacking:
                yield Finding("warning", institution, f"no {words} in {' and '.join(lacking)}, but in {' and '.join(having)}")
            elif not having:
                yield Finding("note", institution, f"no {words} at all")
        yield from _of_labels(institution, mine)


def _of_labels(institution: str, splits: Sequence[OpenedSplit]) -> Iterator[Finding]:
    filled = [split for split in splits if split.num_opened]
    labelled = [split.census.split for split in filled if split.num_labelled]
    if not labelled:
        if filled:
            yield Finding("note", institution, "no labels: it cannot serve classification")
        return
    without = [split.census.split for split in filled if not split.num_labelled]
    if without:
        yield Finding("warning", institution, f"no labels in {' and '.join(without)}")
    names = {name for split in filled for name, _ in split.labels}
    for split in filled:
        never = sorted(name for name in names if not split.labels[name, 1])
        if never and split.num_labelled and split.census.split != "train":
            shown = ", ".join(never[:6]) + (f" and {len(never) - 6} more" if len(never) > 6 else "")
            yield Finding("note", split.census.name, f"never positive: {shown}")


def _of_near(near: NearFacts) -> Iterator[Finding]:
    # Counted pairs may be a sample of all; pairs of one patient across splits are told as a leak of that patient.
    for place in ("across splits", "across institutions"):
        if near.places[place]:
            yield Finding("warning", "", f"pairs of near-copy pictures {place}: {near.places[place]:,}")
    others = near.whose["within a split", "other patient"]
    if others:
        yield Finding("note", "", f"pairs of near-copy pictures of different patients within a split: {others:,}")
    unknown = near.num_pictures - near.num_hashes
    if unknown:
        words = f"pictures without a perceptual hash in their index, not searched for copies: {unknown:,}"
        yield Finding("note", "", words)


def _of_texts(repeats: Sequence[RepeatFacts]) -> Iterator[Finding]:
    for facts in repeats:
        for split, (seen, total) in facts.seen_in_train.items():
            if total >= FEW and seen / total > MANY_REPEATED:
                words = f"{seen / total:.0%} of its texts also stand in train, word for word: count them as hits in retrieval"
                yield Finding("note", f"{facts.institution}/{split}", words)


def _of_contents(opened: Sequence[OpenedSplit]) -> Iterator[Finding]:
    by_institution: dict[str, list[OpenedSplit]] = defaultdict(list)
    for split in opened:
        by_institution[split.census.institution].append(split)
    for institution, splits in by_institution.items():
        views = sum((split.views for split in splits), Counter[str]())
        if views.total() and len(views) == 1:
            yield Finding("note", institution, f"one view only: {next(iter(views))}")
        elif views.total() and views["UNKNOWN"] / views.total() > MANY_UNKNOWN:
            yield Finding("note", institution, f"view unknown for {views['UNKNOWN'] / views.total():.0%} of its pictures")
        sizes = {size for split in splits for size in (split.sizes or split.stored_sizes)}
        if len(sizes) == 1 and views.total() >= FEW:
            width, height = sizes.pop()
            yield Finding("note", institution, f"all pictures are {width} x {height}: were they made alike before?")


def _of_settings(census: Census) -> Iterator[Finding]:
    values: dict[str, set[str]] = defaultdict(set)
    for split in census.splits:
        for name, value in split.manifest.settings.items():
            values[name].add(str(value))
    for name in ("store_size", "image_format", "cxrpt", "schema"):
        if len(values[name]) > 1:
            yield Finding("note", "", f"built with different {name}: {', '.join(sorted(values[name]))}")
