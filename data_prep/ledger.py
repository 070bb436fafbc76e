"""The ledger: one line for each input, how it ended and why, without anything that identifies.

    {"input":"<keyed hash of the relative path>","type":"dicom","outcome":"excluded","reason":"other_body_part"}

kept + excluded + failed = found. Reasons and notes come from the fixed lists below, never from a library's message:
such messages quote header values.
"""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

LEDGER = "ledger.jsonl"
BUILD = "build.json"
"""Of a whole build, beside its ledger: settings and counts."""
TYPES = ("dicom", "picture", "report", "row")
"""What an input is; a row is one of a table that cannot be read, or holds nothing."""


class Reason(StrEnum):
    """Why an input was not kept."""

    NOT_RADIOGRAPH = "not_radiograph"
    OTHER_BODY_PART = "other_body_part"
    NOT_SURELY_CHEST = "not_surely_chest"
    NO_PIXELS = "no_pixels"
    MULTI_FRAME = "multi_frame"
    TOO_SMALL = "too_small"
    NO_CONTRAST = "no_contrast"
    BURNED_IN_TEXT = "burned_in_text"
    DUPLICATE = "duplicate"
    DOUBTFUL_POLARITY = "doubtful_polarity"
    EMPTY_REPORT = "empty_report"
    TEMPLATE_ONLY_REPORT = "template_only_report"
    ADDENDUM_ONLY_REPORT = "addendum_only_report"
    DUPLICATE_REPORT = "duplicate_report"
    CONTRADICTORY_REPORT = "contradictory_report"
    NOT_A_REPORT = "not_a_report"
    SUPERSEDED_REPORT = "superseded_report"
    AMBIGUOUS_REPORT = "ambiguous_report"
    BROKEN_ROW = "broken_row"
    NOTHING_IN_ROW = "nothing_in_row"
    NOT_IN_TABLE = "not_in_table"
    DICOMDIR = "dicomdir"
    NOT_DICOM = "not_dicom"
    BROKEN_HEADER = "broken_header"
    ABSURD_SIZE = "absurd_size"
    CANNOT_DECODE = "cannot_decode"
    CANNOT_READ = "cannot_read"
    MISSING_FILE = "missing_file"
    BROKEN_REPORT = "broken_report"
    OUTSIDE_SOURCE = "outside_source"
    CRASHED = "crashed"
    TIMED_OUT = "timed_out"
    TOO_MUCH_MEMORY = "too_much_memory"
    UNEXPECTED = "unexpected"


FAILURES = frozenset(
    {
        Reason.NOT_DICOM,
        Reason.BROKEN_HEADER,
        Reason.ABSURD_SIZE,
        Reason.CANNOT_DECODE,
        Reason.CANNOT_READ,
        Reason.MISSING_FILE,
        Reason.BROKEN_REPORT,
        Reason.BROKEN_ROW,
        Reason.OUTSIDE_SOURCE,
        Reason.CRASHED,
        Reason.TIMED_OUT,
        Reason.TOO_MUCH_MEMORY,
        Reason.UNEXPECTED,
    }
)
"""Reasons that say "could not", in contrast to "should not"; only they count against `max_failed`."""


class Note(StrEnum):
    """What was done to a kept input beyond the tags' word."""

    WINDOW_BY_PERCENTILES = "window_by_percentiles"
    CHEST_BY_CONTENT = "chest_by_content"
    ASPECT_CORRECTED = "aspect_corrected"
    FROM_COLOUR = "from_colour"
    ORIENTED_BY_TAG = "oriented_by_tag"
    CROPPED = "cropped"
    POLARITY_BY_IMAGE = "polarity_by_image"
    ADDENDUM_JOINED = "addendum_joined"
    COLUMNS_MISSING = "columns_missing"
    REPORT_DATE_FAR = "report_date_far"
    NO_PATIENT_ID = "no_patient_id"
    IMAGE_MISSING = "image_missing"


def outcome_of(reason: Reason | None) -> str:
    """kept, excluded or failed."""
    if reason is None:
        return "kept"
    return "failed" if reason in FAILURES else "excluded"


@dataclass(frozen=True)
class LedgerLine:
    """How one input ended; `reason` is None where it was kept."""

    input: str
    type: str
    """One of TYPES."""
    reason: Reason | None = None
    notes: tuple[str, ...] = ()
    sample: str | None = None
    """Key of the sample it is in; for a report, of the first one."""
    where: str | None = None
    """For an unexpected failure: exception class and line of our code, never its message."""

    @property
    def outcome(self) -> str:
        return outcome_of(self.reason)

    def to_json(self) -> str:
        fields = {"input": self.input, "type": self.type, "outcome": self.outcome, "reason": self.reason}
        optional = {"notes": sorted(self.notes), "sample": self.sample, "where": self.where}
        return json.dumps({**fields, **{name: value for name, value in optional.items() if value}}, separators=(",", ":"))


@dataclass(frozen=True)
class LedgerCounts:
    """Sums over a ledger; `reasons`, `notes` and `by_type` are sorted by name."""

    found: int
    kept: int
    excluded: int
    failed: int
    reasons: dict[str, int]
    notes: dict[str, int]
    by_type: dict[str, dict[str, int]]


def count_lines(lines: Iterable[LedgerLine]) -> LedgerCounts:
    """Add up a ledger."""
    outcomes: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    notes: Counter[str] = Counter()
    by_type: dict[str, Counter[str]] = {}
    for line in lines:
        outcomes[line.outcome] += 1
        by_type.setdefault(line.type, Counter())[line.outcome] += 1
        notes.update(line.notes)
        if line.reason is not None:
            reasons[line.reason.value] += 1
    return LedgerCounts(
        found=outcomes.total(),
        kept=outcomes["kept"],
        excluded=outcomes["excluded"],
        failed=outcomes["failed"],
        reasons=dict(sorted(reasons.items())),
        notes=dict(sorted(notes.items())),
        by_type={name: dict(sorted(by_type[name].items())) for name in sorted(by_type)},
    )


def ledger_text(lines: Iterable[LedgerLine]) -> str:
    """The text of `ledger.jsonl`: sorted by the hash, so that the order of the export does not show."""
    return "".join(line.to_json() + "\n" for line in sorted(lines, key=lambda line: (line.input, line.type)))


def place_of(error: BaseException) -> str:
    """Exception class and the last line of ours that it passed: what can be told of an error whose message may identify."""
    place, trace = "", error.__traceback__
    while trace is not None:
        module = trace.tb_frame.f_globals.get("__name__", "")
        if module.startswith(("cxrpt.", "data_prep.", "launch.")):
            place = f" at {module}:{trace.tb_lineno}"
        trace = trace.tb_next
    return type(error).__name__ + place
