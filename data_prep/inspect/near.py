"""Near copies of pictures over all splits and institutions: how many of what sort, and a few of them to be looked at.

hashes of all indexes ─ find_near ─► pairs ─┬─ counted by where they lie and whose they are
                                            └─ the most telling ones, opened
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cxrpt.data.sample import Kind
from data_prep.inspect.census import SplitCensus
from data_prep.inspect.opened import Member, read_rows
from data_prep.pictures.near_copies import NEAR_DISTANCE, find_near

PAIRS_OPENED = 2000
"""Pairs of each sort of place whose patients are compared; of more than these, a seeded sample."""
PLACES = ("within a split", "across splits", "across institutions")
WHOSE = ("same patient", "other patient", "not known")


@dataclass(frozen=True)
class NearPair:
    """Two pictures that are almost one; `place` of PLACES, `whose` of WHOSE."""

    one: tuple[SplitCensus, Member]
    other: tuple[SplitCensus, Member]
    distance: int
    place: str
    whose: str


@dataclass(frozen=True)
class NearFacts:
    """What the search over all pictures found."""

    num_hashes: int
    """Pictures that could be compared: those with a hash in their index."""
    num_pictures: int
    places: Counter[str]
    """Of all pairs."""
    whose: Counter[tuple[str, str]]
    """(place, whose) -> pairs, of those opened."""
    num_opened: int
    shown: tuple[NearPair, ...]
    max_distance: int = NEAR_DISTANCE

    @property
    def num_pairs(self) -> int:
        return self.places.total()


def near_pictures(splits: Sequence[SplitCensus], num_shown: int, seed: int) -> NearFacts:
    """Search all pictures of all splits; of each sort of place the nearest pairs are shown, other patients first."""
    hashes = np.concatenate([split.hashes for split in splits])
    num_pictures = sum(int(np.sum(split.kinds != Kind.TEXT)) for split in splits)
    num_hashes = int(hashes.any(axis=1).sum())
    pairs = find_near(hashes)
    del hashes
    starts = np.concatenate([[0], np.cumsum([len(split) for split in splits])])
    sides = np.searchsorted(starts, pairs[:, :2], side="right") - 1
    names = sorted({split.institution for split in splits})
    institutions = np.array([names.index(split.institution) for split in splits])[sides]
    places = np.where(institutions[:, 0] != institutions[:, 1], 2, np.where(sides[:, 0] != sides[:, 1], 1, 0))
    rng = np.random.default_rng(seed)
    drawn = [rng.permutation(np.flatnonzero(places == place))[:PAIRS_OPENED] for place in range(len(PLACES))]
    chosen = np.concatenate(drawn)
    sides, rows = sides[chosen], pairs[chosen, :2] - starts[sides[chosen]]
    people = _people(splits, sides, rows)
    whose = [_whose(int(place), patients) for place, patients in zip(places[chosen], people, strict=True)]
    shown = []
    for number in _most_telling(places[chosen], np.array([WHOSE.index(one) == 0 for one in whose]), pairs[chosen, 2])[
        :num_shown
    ]:
        one, other = (_open(splits[side], int(row)) for side, row in zip(sides[number], rows[number], strict=True))
        if one is not None and other is not None:
            at = chosen[number]
            left, right = (splits[side] for side in sides[number])
            shown.append(NearPair((left, one), (right, other), int(pairs[at, 2]), PLACES[places[at]], whose[number]))
    return NearFacts(
        num_hashes,
        num_pictures,
        Counter({name: int(np.sum(places == place)) for place, name in enumerate(PLACES)}),
        Counter((PLACES[place], one) for place, one in zip(places[chosen], whose, strict=True)),
        len(chosen),
        tuple(shown),
    )


def _most_telling(places: np.ndarray, is_same_patient: np.ndarray, distances: np.ndarray) -> np.ndarray:
    """An order of pairs (n,): places in turn, in each the pairs of other patients first, and the nearest first."""
    order = np.lexsort((distances, is_same_patient, places))
    turn = np.empty(len(order), np.int64)
    for place in np.unique(places):
        mine = order[places[order] == place]
        turn[mine] = np.arange(len(mine))
    return np.lexsort((-places, turn))


def _people(splits: Sequence[SplitCensus], sides: np.ndarray, rows: np.ndarray) -> list[list[str | None]]:
    """The patient of each side of each pair; None where it cannot be read."""
    people: list[list[str | None]] = [[None, None] for _ in rows]
    for number, split in enumerate(splits):
        mine = np.argwhere(sides == number)
        wanted = np.unique(rows[sides == number])
        patients = {row: member.meta.patient for row, member in read_rows(split, wanted, set()) if member is not None}
        for pair, side in mine:
            people[pair][side] = patients.get(int(rows[pair, side]))
    return people


def _whose(place: int, patients: list[str | None]) -> str:
    """Pseudonyms of two institutions differ for one person, so nothing is known across them."""
    if PLACES[place] == "across institutions" or None in patients:
        return "not known"
    return "same patient" if patients[0] == patients[1] else "other patient"


def _open(split: SplitCensus, row: int) -> Member | None:
    return next((member for _, member in read_rows(split, np.array([row]), {row})), None)
