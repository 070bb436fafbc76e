"""Of all reports of one study the one that counts, with its addenda below it.

preliminary, final, a copy of the final, an addendum  ->  final + "ADDENDUM: ..."
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from data_prep.inputs import SetAside
from data_prep.ledger import Note, Reason
from data_prep.loose import LooseReport, ReportStatus
from data_prep.reports.report_kinds import is_addendum
from data_prep.reports.section_titles import ADDENDUM

_RANK = {ReportStatus.PRELIMINARY: 0, ReportStatus.UNKNOWN: 1, ReportStatus.FINAL: 2, ReportStatus.CORRECTED: 3}


def choose_report(reports: Sequence[LooseReport]) -> tuple[LooseReport | None, list[SetAside]]:
    """The report that counts, and all others set aside with why.

    The more final wins; of two that are as final as each other the later, where their senders say how final they are, else
    the longer, else the one that comes later. A message that takes a report back takes all before it. An addendum that came by
    itself is joined (the input is set aside as ADDENDUM_ONLY_REPORT with the note ADDENDUM_JOINED), unless the report holds it.
    """
    set_aside: list[SetAside] = []

    def drop(report: LooseReport, reason: Reason, *notes: Note) -> None:
        set_aside.append(SetAside(report.report.input_id, "report", reason, notes))

    standing = _not_taken_back(reports, drop)
    mains: dict[str, LooseReport] = {}
    addenda: list[LooseReport] = []
    for report in standing:
        if report.is_addendum or is_addendum(report.report.text):
            addenda.append(report)
            continue
        words = _words(report)
        rival = mains.get(words)
        if rival is not None:
            # Of copies the more final stays, so that a status is not lost.
            copy, mains[words] = (rival, report) if _RANK[report.status] > _RANK[rival.status] else (report, rival)
            drop(copy, Reason.DUPLICATE_REPORT)
        else:
            mains[words] = report
    if not mains:
        for report in addenda:
            drop(report, Reason.ADDENDUM_ONLY_REPORT)
        return None, set_aside
    ranked = sorted(mains.values(), key=_weight)
    for report in ranked[:-1]:
        drop(report, Reason.SUPERSEDED_REPORT)
    chosen = ranked[-1]
    for report in sorted(addenda, key=lambda one: one.issued):
        if _words(report) in _words(chosen):
            drop(report, Reason.DUPLICATE_REPORT)
            continue
        drop(report, Reason.ADDENDUM_ONLY_REPORT, Note.ADDENDUM_JOINED)
        chosen = _joined(chosen, report)
    return chosen, set_aside


def _weight(report: LooseReport) -> tuple[int, str, int]:
    is_told = report.status in (ReportStatus.FINAL, ReportStatus.CORRECTED)
    return _RANK[report.status], report.issued if is_told else "", len(report.report.text)


def _not_taken_back(reports: Sequence[LooseReport], drop: Callable[[LooseReport, Reason], None]) -> list[LooseReport]:
    withdrawals = [(place, one) for place, one in enumerate(reports) if one.status == ReportStatus.WITHDRAWN]
    standing = []
    for place, report in enumerate(reports):
        if report.status == ReportStatus.WITHDRAWN:
            drop(report, Reason.NOT_A_REPORT)
        elif any(report.issued <= taker.issued if report.issued and taker.issued else place < at for at, taker in withdrawals):
            drop(report, Reason.SUPERSEDED_REPORT)
        else:
            standing.append(report)
    return standing


def _words(report: LooseReport) -> str:
    return " ".join(report.report.text.split())


def _joined(report: LooseReport, addendum: LooseReport) -> LooseReport:
    notes = tuple(dict.fromkeys((*report.report.notes, Note.ADDENDUM_JOINED)))
    title = "" if is_addendum(addendum.report.text) else f"{ADDENDUM}:\n"
    text = f"{report.report.text.rstrip()}\n\n{title}{addendum.report.text.strip()}\n"
    return replace(
        report,
        report=replace(report.report, text=text, notes=notes),
        identifiers=report.identifiers + addendum.identifiers,
    )
