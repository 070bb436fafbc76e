"""What every source hands to the build: studies of images and at most one report, and the inputs already set aside.

    source (hospital, table, mimic_cxr, nih14, openi) -> Export -> run.build -> shards and ledger

Everything here still identifies patients: it stays in memory, and nothing of it is written but to the path map.
"""

import datetime
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data_prep.ledger import Reason

SPLIT_BY_HASH = "hash of the patient"
"""What puts patients into splits where no list does, as manifests tell it."""


@dataclass(frozen=True, slots=True)
class Identifiers:
    """What the header and the tables of a study say that must not stand in its report."""

    names: tuple[str, ...] = ()
    """Of persons, as DICOM (`Family^Given`) or prose writes them."""
    ids: tuple[str, ...] = ()
    dates: tuple[datetime.date, ...] = ()
    phrases: tuple[str, ...] = ()
    """Addresses, institutions and telephone numbers, removed where they stand verbatim."""

    def __add__(self, other: "Identifiers") -> "Identifiers":
        def union(mine: tuple[Any, ...], theirs: tuple[Any, ...]) -> tuple[Any, ...]:
            return tuple(dict.fromkeys((*mine, *theirs)))

        return Identifiers(
            union(self.names, other.names),
            union(self.ids, other.ids),
            union(self.dates, other.dates),
            union(self.phrases, other.phrases),
        )


@dataclass(frozen=True, slots=True)
class ImageInput:
    """One picture that is to be tried."""

    input_id: str
    """Relative path (or row): unique in the export; its keyed hash stands in the ledger."""
    place: Path
    """The file, or the folder below which `input_id` names it: a path of its own for each of a million files weighs much."""
    type: str
    """dicom or picture."""
    image_id: str
    """What the sample key is hashed from; unique in the export."""
    view: str = "UNKNOWN"
    by_content: bool = False
    """The header does not tell whether it is a chest: the picture has to."""
    inverted: bool = False
    """A picture file that was stored with bone dark (its table says MONOCHROME1): its values are to be turned around."""
    notes: tuple[str, ...] = ()
    is_below: bool = False
    """`place` is the folder, not the file."""

    @property
    def path(self) -> Path:
        return self.place / self.input_id if self.is_below else self.place


@dataclass(frozen=True, slots=True)
class ReportInput:
    """One report, as it came."""

    input_id: str
    text: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Study:
    """The images and the report of one examination of one patient."""

    patient: str
    study: str
    images: tuple[ImageInput, ...] = ()
    report: ReportInput | None = None
    labels: dict[str, int] = field(default_factory=dict)
    age: int | str | None = None
    sex: str | None = None
    days: int | None = None
    split: str | None = None
    """The official split where the data set has one."""
    identifiers: Identifiers = field(default_factory=Identifiers)


@dataclass(frozen=True, slots=True)
class SetAside:
    """An input that ended before any pixel was looked at."""

    input_id: str
    type: str
    reason: Reason
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Export:
    """Everything that a source found."""

    studies: tuple[Study, ...]
    set_aside: tuple[SetAside, ...] = ()
    split_by: str = SPLIT_BY_HASH
    """What put patients into splits: this, or lists that somebody made; manifests tell it."""
    remarks: tuple[str, ...] = ()
    """Lines for the user, without anything that identifies."""

    def input_ids(self) -> Iterator[str]:
        """Every input of the export, once."""
        yield from (one.input_id for one in self.set_aside)
        for study in self.studies:
            yield from (image.input_id for image in study.images)
            if study.report is not None:
                yield study.report.input_id


def years_as_allowed(age: int | None) -> int | str | None:
    """An age that may leave: 0 to 89 as it is, 90 to 120 as "90+", anything else is dirt and becomes None."""
    if age is None or not 0 <= age <= 120:
        return None
    return "90+" if age >= 90 else age


def sex_as_allowed(text: object) -> str | None:
    """M, F, O or None from what headers and tables write."""
    first = str(text or "").strip()[:1].upper()
    return {"M": "M", "F": "F", "W": "F", "O": "O"}.get(first)
