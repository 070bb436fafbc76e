"""Which charts the page has, and from which numbers; a colour is an institution unless a legend says otherwise."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from cxrpt.data.sample import VIEWS, Kind
from cxrpt.page.svg import NUM_COLOURS
from data_prep.inspect.charts import Bins, bars, choose_bins, histogram, ranges, shares
from data_prep.inspect.opened import PERCENTILES, OpenedSplit

SECTIONS_SHOWN = 14
SEXES = ("F", "M", "O", "unknown")
OTHERS = "others"


@dataclass(frozen=True)
class Figure:
    """A chart with its title, and a line on where its numbers come from."""

    title: str
    svg: Markup
    source: str
    parts: tuple[str, ...] = ()
    """What colours mean where they are no institutions."""


Groups = dict[str, list[OpenedSplit]]


def by_institution(opened: Sequence[OpenedSplit]) -> Groups:
    """Splits by institution; beyond the colours that there are, the rest goes by the name of "others"."""
    names = list(dict.fromkeys(split.census.institution for split in opened))
    own = names if len(names) <= NUM_COLOURS else names[: NUM_COLOURS - 1]
    groups: Groups = {}
    for split in opened:
        name = split.census.institution
        groups.setdefault(name if name in own else OTHERS, []).append(split)
    return groups


def figures(groups: Groups) -> list[Figure]:
    """All charts that there are numbers for."""
    made = [
        _views(groups), _sexes(groups), _ages(groups), _words(groups), _sections(groups), _sizes(groups), _aspects(groups),
        _greys(groups), _per_patient(groups), _days(groups),
    ]  # fmt: skip
    return [figure for figure in made if figure is not None]


def sample_words(splits: Sequence[OpenedSplit]) -> str:
    """From how many samples a figure is drawn."""
    total, opened = sum(one.census.manifest.count() for one in splits), sum(one.num_opened for one in splits)
    return f"all {total:,} samples" if all(one.is_whole for one in splits) else f"a sample of {opened:,} of {total:,}"


def _everyone(groups: Groups) -> list[OpenedSplit]:
    return [split for splits in groups.values() for split in splits]


def _distribution(
    title: str, values: dict[str, np.ndarray], unit: str, source: str, bins: Callable[[np.ndarray], Bins] = choose_bins
) -> Figure | None:
    everything = np.concatenate([np.zeros(0), *values.values()])
    if not len(everything):
        return None
    chosen = bins(everything)
    return Figure(title, histogram({name: chosen.counts(one) for name, one in values.items()}, chosen, unit), source)


def _views(groups: Groups) -> Figure | None:
    rows = []
    for name, splits in groups.items():
        views = sum((split.views for split in splits), Counter[str]())
        if views.total():
            rows.append((name, [(view, views[view]) for view in VIEWS]))
    return Figure("View", shares(rows), f"pictures of {sample_words(_everyone(groups))}", VIEWS) if rows else None


def _sexes(groups: Groups) -> Figure | None:
    rows = []
    for name, splits in groups.items():
        sexes = sum((split.sexes for split in splits), Counter[str]())
        if sexes.total():
            rows.append((name, [(sex, sexes[sex]) for sex in SEXES]))
    return Figure("Sex", shares(rows), sample_words(_everyone(groups)), SEXES) if rows else None


def _ages(groups: Groups) -> Figure | None:
    values, unknown = {}, 0
    for name, splits in groups.items():
        ages = sum((split.ages for split in splits), Counter[tuple[int | str | None, str]]())
        known = [(90 if age == "90+" else int(age), number) for (age, _), number in ages.items() if age is not None]
        unknown += ages.total() - sum(number for _, number in known)
        values[name] = np.repeat([age for age, _ in known], [number for _, number in known]) if known else np.zeros(0)
    bins = Bins(0, 5, 19, False, True)
    source = f"{sample_words(_everyone(groups))}; unknown for {unknown:,}"
    return _distribution("Age", values, "years", source, lambda _: bins)


def _words(groups: Groups) -> Figure | None:
    values = {
        name: np.concatenate([split.census.num_words[split.census.texts != 0] for split in splits])
        for name, splits in groups.items()
    }
    total = sum(map(len, values.values()))
    return _distribution("Length of reports", values, "words", f"all {total:,} texts", lambda every: choose_bins(every, low=0))


def _sections(groups: Groups) -> Figure | None:
    everything = sum((split.sections for split in _everyone(groups)), Counter[str]())
    texts = sum(split.num_texts for split in _everyone(groups))
    if not everything:
        return None
    names = sorted(everything, key=lambda name: (-everything[name], name))
    rows = [
        (name.capitalize(), [sum(split.sections[name] for split in splits) for splits in groups.values()])
        for name in names[:SECTIONS_SHOWN]
    ]
    rest = f"; {len(names) - SECTIONS_SHOWN} rarer titles not shown" if len(names) > SECTIONS_SHOWN else ""
    return Figure("Sections of reports", bars(rows, texts), f"{texts:,} texts of {sample_words(_everyone(groups))}{rest}")


def _sizes(groups: Groups) -> Figure | None:
    sizes, words = _known_sizes(groups)
    values = {name: one.max(axis=1) for name, one in sizes.items()}
    return _distribution("Long side of pictures", values, "pixels", words)


def _aspects(groups: Groups) -> Figure | None:
    sizes, words = _known_sizes(groups)
    values = {name: one[:, 0] / one[:, 1] for name, one in sizes.items()}
    return _distribution("Width by height", values, "ratio", words, lambda every: choose_bins(every, whole=False))


def _known_sizes(groups: Groups) -> tuple[dict[str, np.ndarray], str]:
    """Sizes (n, 2) as pictures came where shards say so, as they are stored elsewhere."""
    pictures = [split for split in _everyone(groups) if split.num_decoded]
    as_they_came = all(split.sizes for split in pictures)
    found = {}
    for name, splits in groups.items():
        sizes = [size for split in splits for size in (split.sizes if as_they_came else split.stored_sizes)]
        found[name] = np.array(sizes, float).reshape(-1, 2)
    total = sum(map(len, found.values()))
    if as_they_came:
        return found, f"as they came, {total:,} pictures; {sum(split.num_cropped for split in pictures):,} were cropped"
    return found, f"as stored, {total:,} of {_num_pictures(groups):,} pictures"


def _num_pictures(groups: Groups) -> int:
    return sum(int(np.sum(split.census.kinds != Kind.TEXT)) for split in _everyone(groups))


def _greys(groups: Groups) -> Figure | None:
    rows = []
    for colour, (name, splits) in enumerate(groups.items()):
        values = np.array([row for split in splits for row in split.greys])
        if len(values):
            rows.append((name, colour, list(values.T)))
    if not rows:
        return None
    decoded = sum(split.num_decoded for split in _everyone(groups))
    which = ", ".join(f"{percent}" for percent in PERCENTILES)
    source = f"percentiles {which} of each picture, top to bottom; {decoded:,} of {_num_pictures(groups):,} pictures"
    return Figure("Grey values", ranges(rows, 255, "grey value, 0 black to 255 white"), source)


def _per_patient(groups: Groups) -> Figure | None:
    """Only from splits that were opened whole: a sample shows patients with fewer samples than they have."""
    whole = {name: [split for split in splits if split.is_whole] for name, splits in groups.items()}
    values = {
        name: np.array([number for split in splits for number in split.patients.values()], float)
        for name, splits in whole.items()
    }
    missing = sum(len(groups[name]) - len(splits) for name, splits in whole.items())
    source = f"{sum(map(len, values.values())):,} patients" + (
        f"; splits left out as not read whole: {missing}" if missing else ""
    )
    return _distribution("Samples of a patient", values, "samples", source, lambda every: choose_bins(every, low=1))


def _days(groups: Groups) -> Figure | None:
    whole = {name: [split for split in splits if split.is_whole] for name, splits in groups.items()}
    spans = {
        name: np.array([last - first for split in splits for first, last in split.days.values() if last > first], float)
        for name, splits in whole.items()
    }
    known = sum(len(split.days) for splits in whole.values() for split in splits)
    several = sum(map(len, spans.values()))
    source = f"{several:,} of {known:,} patients with known days have more than one day"
    return _distribution("Days from a patient's first to last sample", spans, "days", source, lambda v: choose_bins(v, low=0))
