"""What every form of report is read into, whether it came as a row, a message, a document or a DICOM file.

row, text, HL7 message, PDF, CDA, DICOM SR  ->  FoundReport  ->  loose.LooseReport
"""

import datetime
from dataclasses import dataclass, field

from data_prep.inputs import Identifiers
from data_prep.loose import ReportStatus

MAX_TEXT = 1024**2
"""Characters of one report; more is a log file, a whole archive or a bomb."""


@dataclass(frozen=True)
class FoundReport:
    """A report and what its form says about where it belongs; texts are empty where it says nothing."""

    text: str
    numbers: tuple[str, ...] = ()
    """Study UID and accession numbers, the most telling first; one may hold several joined by `;`."""
    patient: str = ""
    date: datetime.date | None = None
    age: int | str | None = None
    sex: str | None = None
    status: ReportStatus = ReportStatus.UNKNOWN
    issued: str = ""
    """YYYYMMDDHHMMSS, as far as known: orders reports of one study."""
    is_addendum: bool = False
    """It adds to another report, as its form says; texts can say so themselves."""
    identifiers: Identifiers = field(default_factory=Identifiers)


def years_between(born: datetime.date | None, day: datetime.date | None) -> int | None:
    """Whole years from birth to a day; None where one of them is unknown."""
    if born is None or day is None:
        return None
    return day.year - born.year - ((day.month, day.day) < (born.month, born.day))
