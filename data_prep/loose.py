"""Images and reports before they are put together: each with what it says about where it belongs."""

import datetime
from dataclasses import dataclass
from enum import StrEnum

from data_prep.inputs import Identifiers, ImageInput, ReportInput
from data_prep.ledger import Reason

NOBODY = Identifiers()


class ReportStatus(StrEnum):
    """How final a report is, as its sender says; UNKNOWN where nobody does."""

    UNKNOWN = ""
    PRELIMINARY = "preliminary"
    FINAL = "final"
    CORRECTED = "corrected"
    WITHDRAWN = "withdrawn"
    """The message takes back what was sent before."""


@dataclass(frozen=True, slots=True)
class LooseImage:
    """An image with what its header says about where it belongs; empty texts where it says nothing."""

    image: ImageInput
    patient: str = ""
    study_uid: str = ""
    accession: str = ""
    date: datetime.date | None = None
    age: int | str | None = None
    sex: str | None = None
    identifiers: Identifiers = NOBODY
    """Of the study; `image.image_id` need not be among them."""
    refused: Reason | None = None
    """The picture is not to be tried, but its header tells of the study, and names whom the report must not name."""


@dataclass(frozen=True, slots=True)
class LooseReport:
    """A report with the number of its study: an accession number, several of them joined, or a study UID."""

    report: ReportInput
    study_number: str
    patient: str = ""
    date: datetime.date | None = None
    age: int | str | None = None
    sex: str | None = None
    identifiers: Identifiers = NOBODY
    other_numbers: tuple[str, ...] = ()
    """Tried in their order where `study_number` finds no study."""
    status: ReportStatus = ReportStatus.UNKNOWN
    issued: str = ""
    """YYYYMMDDHHMMSS, as far as known."""
    is_addendum: bool = False
    is_row: bool = False
    """It came as a row of a table."""
