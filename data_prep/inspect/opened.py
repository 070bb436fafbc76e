"""What only members tell (ages, views, labels, pictures), from a seeded sample of each split.

    rows of a split ─ draw at most N, in the order of the shards ─► metadata and text of each
                                     └ at most LOOKED_AT of them ─► picture decoded, text scrubbed once more

Everything is counted and let go, so that memory does not grow with N but by a few numbers a sample.
"""

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import cv2
import numpy as np

from cxrpt.data.sample import DEID_TOKEN, Kind, SampleMeta
from data_prep.checks.shard_members import (
    DamageError,
    check_sample,
    decode_picture,
    eight_bits,
    parse_meta,
    parse_text,
    read_index,
    read_member,
    sample_key,
)
from data_prep.inputs import Identifiers
from data_prep.inspect.census import SplitCensus
from data_prep.privacy.deidentify import scrub

LOOKED_AT = 1000
"""Samples of a split whose picture is decoded and whose text is scrubbed once more to see whether anything is left."""
PERCENTILES = (1, 50, 99)


@dataclass(frozen=True)
class Member:
    """An opened sample."""

    key: str
    meta: SampleMeta
    text: str | None
    pixels: np.ndarray | None
    """uint8 (height, width); None where there is none, or it was not asked for."""


@dataclass
class OpenedSplit:
    """Sums over the opened samples of a split."""

    census: SplitCensus
    num_opened: int = 0
    num_looked_at: int = 0
    """Texts scrubbed once more."""
    num_decoded: int = 0
    strata: dict[tuple[Kind, str], list[int]] = field(default_factory=lambda: defaultdict(list))
    """(kind, view) -> rows, for choosing what to show."""
    views: Counter[str] = field(default_factory=Counter)
    sexes: Counter[str] = field(default_factory=Counter)
    ages: Counter[tuple[int | str | None, str]] = field(default_factory=Counter)
    """(age, sex) -> samples."""
    sections: Counter[str] = field(default_factory=Counter)
    labels: Counter[tuple[str, int]] = field(default_factory=Counter)
    """(finding, 1 | 0 | -1) -> samples."""
    num_texts: int = 0
    num_labelled: int = 0
    num_cropped: int = 0
    num_tokens: int = 0
    """Times that the token of de-identification stands in a text."""
    num_with_token: int = 0
    num_scrub_again: int = 0
    """Texts in which the patterns of de-identification would still find something."""
    patients: Counter[str] = field(default_factory=Counter)
    studies: set[str] = field(default_factory=set)
    days: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Patient -> first and last day."""
    num_without_days: int = 0
    sizes: list[tuple[int, int]] = field(default_factory=list)
    """Width and height as they came."""
    stored_sizes: list[tuple[int, int]] = field(default_factory=list)
    greys: list[tuple[float, ...]] = field(default_factory=list)
    """Grey values at PERCENTILES of each decoded picture."""
    damaged: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(shard, first words on what is wrong) -> samples."""

    @property
    def is_whole(self) -> bool:
        """Whether every sample of the split was opened."""
        return self.num_opened + self.damaged.total() == len(self.census) == self.census.manifest.count()


def open_split(
    census: SplitCensus, num_members: int, seed: int, advance: Callable[[int], None] = lambda number: None
) -> OpenedSplit:
    """Open at most `num_members` samples of a split, drawn by `seed`."""
    rng = np.random.default_rng([seed, *census.name.encode()])
    rows = np.arange(len(census))
    if len(rows) > num_members:
        rows = np.sort(rng.choice(len(census), num_members, replace=False))
    looked_at = set(rng.choice(rows, min(LOOKED_AT, len(rows)), replace=False).tolist())
    opened = OpenedSplit(census)
    for row, member in read_rows(census, rows, looked_at, opened.damaged):
        advance(1)
        if member is not None:
            _count(opened, row, member, row in looked_at)
    return opened


def read_rows(
    census: SplitCensus, rows: np.ndarray, with_picture: set[int], damaged: Counter[tuple[str, str]] | None = None
) -> Iterator[tuple[int, Member | None]]:
    """(row, sample) for each of the ascending `rows`; None for a damaged one, which is added to `damaged`."""
    for number, shard in enumerate(census.shards):
        first, last = np.searchsorted(rows, census.starts[number : number + 2])
        if first == last:
            continue
        for row, member in _read_shard(census, number, rows[first:last], with_picture):
            if isinstance(member, str):
                if damaged is not None:
                    damaged[f"{census.name}/{shard.name}", member] += 1
                yield row, None
            else:
                yield row, member


def _read_shard(
    census: SplitCensus, number: int, rows: np.ndarray, with_picture: set[int]
) -> Iterator[tuple[int, Member | str]]:
    shard, start = census.shards[number], int(census.starts[number])
    try:
        index = read_index(shard)
        file = os.open(shard, os.O_RDONLY | os.O_CLOEXEC)
    except (DamageError, OSError):
        yield from ((int(row), "cannot be read any more") for row in rows)
        return
    try:
        for row in rows.tolist():
            try:
                yield row, _read_sample(file, index[row - start], census.institution, row in with_picture)
            except DamageError as error:
                yield row, str(error)
            except OSError as error:
                yield row, f"cannot be read ({error.strerror})"
    finally:
        os.close(file)


def _read_sample(file: int, record: np.void, institution: str, with_picture: bool) -> Member:
    key = sample_key(record)
    meta = parse_meta(read_member(file, record, "meta"), key)
    data = read_member(file, record, "text")
    text = None if data is None else parse_text(data, key)
    check_sample(record, meta, text or "", institution)
    image = read_member(file, record, "image") if with_picture else None
    return Member(key, meta, text, None if image is None else eight_bits(decode_picture(image, key)))


def _count(opened: OpenedSplit, row: int, member: Member, is_looked_at: bool) -> None:
    meta, kind = member.meta, Kind(int(opened.census.kinds[row]))
    opened.num_opened += 1
    opened.strata[kind, meta.view].append(row)
    sex = meta.sex or "unknown"
    opened.sexes[sex] += 1
    opened.ages[meta.age, sex] += 1
    opened.patients[meta.patient] += 1
    opened.studies.add(meta.study)
    opened.num_labelled += bool(meta.labels)
    opened.labels.update(meta.labels.items())
    if meta.days is None:
        opened.num_without_days += 1
    else:
        first, last = opened.days.get(meta.patient, (meta.days, meta.days))
        opened.days[meta.patient] = (min(first, meta.days), max(last, meta.days))
    if kind != Kind.TEXT:
        opened.views[meta.view] += 1
        opened.num_cropped += meta.crop is not None
        if meta.size is not None:
            opened.sizes.append(meta.size)
    if member.text is not None:
        opened.num_texts += 1
        opened.sections.update(meta.sections.keys())
        tokens = member.text.count(DEID_TOKEN)
        opened.num_tokens += tokens
        opened.num_with_token += bool(tokens)
        if is_looked_at:
            opened.num_looked_at += 1
            opened.num_scrub_again += scrub(member.text, Identifiers()) != member.text
    if member.pixels is not None:
        _count_picture(opened, member.pixels)


def _count_picture(opened: OpenedSplit, pixels: np.ndarray) -> None:
    opened.num_decoded += 1
    opened.stored_sizes.append((pixels.shape[1], pixels.shape[0]))
    values = np.cumsum(cv2.calcHist([pixels], [0], None, [256], [0, 256]).ravel())
    opened.greys.append(tuple(float(np.searchsorted(values, values[-1] * percent / 100)) for percent in PERCENTILES))
