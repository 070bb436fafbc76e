"""From loose images, reports and labels to studies of patients.

    report ── study UID or accession number ──► study ── same patient? near in time? ──► its one report

A report finds its images by number, never by order or by date: the number as it is written, then, where that is unique,
without blanks and leading zeros; a cell with several numbers means the study with most images. A wrong pair is worse than
none, so a report is set aside that

- has a number of several patients (ambiguous), or names, with another report of the study, two patients (ambiguous);
- names a patient whom headers know as another one than the study's (contradictory). A table whose numbering of patients the
  headers do not know is no contradiction: header and table then name the same patient;
- was found by an accession number, names no patient that agrees, and is over a year away from the study (contradictory):
  accession numbers are used again. Where most reports of the export are far from their study, one side's dates were shifted,
  and no report is set aside for it. From 31 days on a pair that is kept carries the note REPORT_DATE_FAR.
"""

import datetime
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

from data_prep.inputs import Identifiers, ImageInput, SetAside, Study
from data_prep.ledger import Note, Reason
from data_prep.loose import NOBODY, LooseImage, LooseReport, ReportStatus
from data_prep.reports.choose_report import choose_report
from data_prep.reports.report_kinds import reason_against

FAR_DAYS = 31
REUSED_DAYS = 365
_ENOUGH_TO_JUDGE = 10
"""Pairs with two dates, of which more than half have to be far before dates count as shifted."""
_NO_PATIENTS = frozenset({"unknown", "anonymous", "anon", "none", "n/a", "na", "null", "nan", "test", "xxx", "-", "?"})

Key = tuple[str, str]
"""Patient and study, as drafts are named."""


@dataclass(frozen=True)
class Linked:
    """Studies, the inputs set aside while linking, and how many label rows found no study."""

    studies: tuple[Study, ...]
    set_aside: tuple[SetAside, ...]
    labels_without_study: int = 0


@dataclass(slots=True)
class _Draft:
    """A study while it is put together."""

    key: Key
    images: list[LooseImage] = field(default_factory=list)
    report: LooseReport | None = None
    others: tuple[LooseReport, ...] = ()
    """Reports of the study that did not become its report: they name the same persons."""

    @property
    def patient(self) -> str:
        return self.key[0]

    @property
    def study(self) -> str:
        return self.key[1]

    def pictures(self) -> tuple[ImageInput, ...]:
        """Those to be tried."""
        return tuple(image.image for image in self.images if image.refused is None)

    def dates(self) -> list[datetime.date]:
        """Of the images, else of the report."""
        of_images = [image.date for image in self.images if image.date is not None]
        of_report = self.report.date if self.report is not None else None
        return of_images or ([of_report] if of_report is not None else [])


def link(images: Iterable[LooseImage], reports: Iterable[LooseReport], labels: dict[str, dict[str, int]]) -> Linked:
    """Put studies together; `labels` is by study number. The result does not depend on the order of images."""
    drafts, by_number = _studies_of_images(sorted(images, key=lambda image: image.image.input_id))
    set_aside: list[SetAside] = []
    groups = _place_reports(reports, drafts, by_number, set_aside)
    for key in sorted(groups):
        draft = drafts.setdefault(key, _Draft(key))
        draft.report, dropped = choose_report(groups[key])
        set_aside += dropped
        draft.others = tuple(one for one in groups[key] if draft.report is None or one.report != draft.report.report)
        if draft.report is not None:
            draft.report = _with_notes(draft)
    drafts = {key: draft for key, draft in drafts.items() if draft.report is not None or draft.pictures()}
    same = _same_patients(drafts.values())
    firsts: dict[str, datetime.date] = {}
    for draft in drafts.values():
        for date in draft.dates():
            firsts[same[draft.patient]] = min(date, firsts.get(same[draft.patient], date))
    used: set[str] = set()
    studies = []
    for key in sorted(drafts):
        draft = drafts.pop(key)
        mine = sorted(number for number in _numbers_of(draft) if number in labels)
        used.update(mine)
        found = {finding: value for number in mine for finding, value in labels[number].items()}
        studies.append(_finish(draft, same[draft.patient], firsts, found))
    return Linked(tuple(studies), tuple(set_aside), len(set(labels) - used))


def _studies_of_images(images: list[LooseImage]) -> tuple[dict[Key, _Draft], dict[str, tuple[Key, ...]]]:
    """Studies by (patient, study), and which of them a number (accession or UID) may mean."""
    known_patients: dict[str, str | None] = {}
    for image in images:
        if image.patient and image.study_uid and known_patients.setdefault(image.study_uid, image.patient) != image.patient:
            known_patients[image.study_uid] = None
    drafts: dict[Key, _Draft] = {}
    by_number: dict[str, tuple[Key, ...]] = {}
    names: dict[str, str] = {}
    for image in images:
        study = image.study_uid or image.accession or image.image.input_id
        if image.patient:
            patient = f"patient {image.patient}"
        elif known := known_patients.get(image.study_uid):
            patient = f"patient {known}"
        else:
            patient = f"study {study}"
            image = replace(image, image=replace(image.image, notes=(*image.image.notes, Note.NO_PATIENT_ID)))
        draft = drafts.get((patient, study))
        if draft is None:
            # One object for each patient's name, and one for each key, wherever they stand.
            draft = _Draft((names.setdefault(patient, patient), study))
            drafts[draft.key] = draft
        draft.images.append(image)
        for number in (image.accession, image.study_uid):
            if number and draft.key not in by_number.get(number, ()):
                by_number[number] = (*by_number.get(number, ()), draft.key)
    return drafts, by_number


def _place_reports(
    reports: Iterable[LooseReport],
    drafts: dict[Key, _Draft],
    by_number: dict[str, tuple[Key, ...]],
    set_aside: list[SetAside],
) -> dict[Key, list[LooseReport]]:
    """Reports by the study that they belong to; those without images make studies of their own."""

    def drop(report: LooseReport, reason: Reason) -> None:
        set_aside.append(SetAside(report.report.input_id, "report", reason))

    kept: list[LooseReport] = []
    for report in reports:
        reason = None if report.status == ReportStatus.WITHDRAWN else reason_against(report.report.text)
        if reason in (None, Reason.ADDENDUM_ONLY_REPORT):
            kept.append(replace(report, patient=_known_patient(report.patient)))
        else:
            drop(report, reason)
    plain = _plain_numbers(kept, by_number)
    pairs: list[tuple[LooseReport, _Draft]] = []
    unlinked: dict[str, list[LooseReport]] = defaultdict(list)
    for report in kept:
        owners = _owners(report, by_number, plain)
        own = [key for key in owners if key[0] == f"patient {report.patient}"]
        if len({patient for patient, _ in owners}) > 1 and not own:
            drop(report, Reason.AMBIGUOUS_REPORT)
        elif owners:
            # One number, or several, over studies of a patient: the one with most images holds the examination.
            pairs.append((report, drafts[max(sorted(own or owners), key=lambda key: len(drafts[key].pictures()))]))
        else:
            unlinked[report.study_number].append(report)
    groups: dict[Key, list[LooseReport]] = defaultdict(list)
    for report, draft in _without_contradictions(pairs, {patient for patient, _ in drafts}, drop):
        groups[draft.key].append(report)
    for key in list(groups):
        groups[key] = _of_one_patient(groups[key], key[0], drop)
    for number, found in unlinked.items():
        patients = sorted({report.patient for report in found} - {""})
        for report in found:
            # Two tables may number their rows alike: reports of different patients are different studies.
            name = report.patient or (patients[0] if len(patients) == 1 else "")
            groups[f"patient {name}" if name else f"report {number}", f"number {number}"].append(report)
    return groups


def _known_patient(written: str) -> str:
    """A patient's number, or nothing where a table writes a word or noughts for one that it does not know."""
    return "" if written.lower() in _NO_PATIENTS or not written.strip("0 ") else written


def _plain(number: str) -> str:
    return re.sub(r"\s+", "", number).lstrip("0")


def _parts(number: str) -> list[str]:
    """The numbers in a cell that holds several."""
    return [part for one in re.split(r"[,;|\n]", number) if (part := one.strip())]


def _plain_numbers(reports: list[LooseReport], by_number: dict[str, tuple[Key, ...]]) -> dict[str, tuple[Key, ...]]:
    """Written number -> studies, for numbers of reports that differ from one number of the images by blanks and noughts only.

    Left out where several numbers of the images, or of the reports, become the same.
    """
    asked = {one for report in reports for one in (report.study_number, *report.other_numbers)}
    written = asked | {part for one in asked if len(parts := _parts(one)) > 1 for part in parts}
    askers: dict[str, set[str]] = defaultdict(set)
    for number in written:
        askers[_plain(number)].add(number)
    wanted = {plain: asking for plain, asking in askers.items() if plain and not all(one in by_number for one in asking)}
    meant: dict[str, set[str]] = defaultdict(set)
    for number in by_number if wanted else ():
        if (plain := _plain(number)) in wanted:
            meant[plain].add(number)
    return {
        asker: by_number[next(iter(meant[plain]))]
        for plain, asking in wanted.items()
        for asker in asking
        if len(asking) == 1 and len(meant[plain]) == 1
    }


def _owners(report: LooseReport, by_number: dict[str, tuple[Key, ...]], plain: dict[str, tuple[Key, ...]]) -> tuple[Key, ...]:
    """The studies that a report's numbers mean: of the first number that means any."""
    for number in (report.study_number, *report.other_numbers):
        owners = by_number.get(number) or plain.get(number)
        if owners is None and len(parts := _parts(number)) > 1:
            owners = tuple(dict.fromkeys(key for part in parts for key in by_number.get(part) or plain.get(part) or ()))
        if owners:
            return owners
    return ()


def _without_contradictions(
    pairs: list[tuple[LooseReport, _Draft]], header_patients: set[str], drop: Callable[[LooseReport, Reason], None]
) -> Iterator[tuple[LooseReport, _Draft]]:
    distances = [distance for report, draft in pairs if (distance := _days_apart(report, draft)) is not None]
    shifted = len(distances) >= _ENOUGH_TO_JUDGE and sum(one > FAR_DAYS for one in distances) * 2 > len(distances)
    shares_numbers = _share_numbers(pairs)
    for report, draft in pairs:
        named = f"patient {report.patient}" if report.patient else ""
        differs = bool(named) and draft.patient.startswith("patient ") and not _same_number(named, draft.patient)
        other_patient = differs and (named in header_patients or shares_numbers)
        by_uid = draft.study in (report.study_number, *report.other_numbers)
        reused = not shifted and not by_uid and named != draft.patient and (_days_apart(report, draft) or 0) > REUSED_DAYS
        if other_patient or reused:
            drop(report, Reason.CONTRADICTORY_REPORT)
        else:
            yield report, draft


def _share_numbers(pairs: list[tuple[LooseReport, _Draft]]) -> bool:
    """Whether the reports number patients as the headers do: most of those that name one agree.

    Only then does a number that no header knows contradict; where a table has numbers of its own, all of them are unknown.
    """
    both = [
        (report.patient, draft.patient) for report, draft in pairs if report.patient and draft.patient.startswith("patient ")
    ]
    agreeing = sum(_same_number(f"patient {mine}", theirs) for mine, theirs in both)
    return 2 * agreeing > len(both)


def _same_number(one: str, other: str) -> bool:
    return _plain(one.removeprefix("patient ")) == _plain(other.removeprefix("patient "))


def _days_apart(report: LooseReport, draft: _Draft) -> int | None:
    dates = [image.date for image in draft.images if image.date is not None]
    if report.date is None or not dates:
        return None
    return min(abs((report.date - date).days) for date in dates)


def _of_one_patient(reports: list[LooseReport], patient: str, drop: Callable[[LooseReport, Reason], None]) -> list[LooseReport]:
    """The reports of a study that name its patient, another whom all name, or nobody."""
    named = {report.patient for report in reports if report.patient}
    if len(named) < 2:
        return reports
    kept = []
    for report in reports:
        if not report.patient or f"patient {report.patient}" == patient:
            kept.append(report)
        else:
            drop(report, Reason.AMBIGUOUS_REPORT)
    return kept


def _with_notes(draft: _Draft) -> LooseReport:
    assert draft.report is not None
    notes = list(draft.report.report.notes)
    if (_days_apart(draft.report, draft) or 0) > FAR_DAYS:
        notes.append(Note.REPORT_DATE_FAR)
    if draft.patient.startswith("report "):
        notes.append(Note.NO_PATIENT_ID)
    return replace(draft.report, report=replace(draft.report.report, notes=tuple(notes)))


def _numbers_of(draft: _Draft) -> set[str]:
    numbers = {number for image in draft.images for number in (image.accession, image.study_uid) if number}
    if draft.report is not None:
        numbers |= {draft.report.study_number, *draft.report.other_numbers, *_parts(draft.report.study_number)}
    return numbers


def _same_patients(drafts: Iterable[_Draft]) -> dict[str, str]:
    """Patient -> the first of all names that studies give the same patient (header and report table may number differently)."""
    parent: dict[str, str] = {}

    def root(patient: str) -> str:
        parent.setdefault(patient, patient)
        while parent[patient] != patient:
            parent[patient] = parent[parent[patient]]
            patient = parent[patient]
        return patient

    for draft in drafts:
        root(draft.patient)
        if draft.report is not None and draft.report.patient:
            first, second = sorted((root(draft.patient), root(f"patient {draft.report.patient}")))
            parent[second] = first
    return {patient: root(patient) for patient in parent}


def _finish(draft: _Draft, patient: str, firsts: dict[str, datetime.date], labels: dict[str, int]) -> Study:
    dates = draft.dates()
    items: list[LooseImage | LooseReport] = [*draft.images, *([draft.report] if draft.report is not None else [])]
    ages = [item.age for item in items if item.age is not None]
    sexes = Counter(item.sex for item in items if item.sex)
    return Study(
        patient=patient,
        study=f"{draft.patient}/{draft.study}",
        images=draft.pictures(),
        report=draft.report.report if draft.report is not None else None,
        labels=labels,
        age=ages[0] if ages else None,
        # A study whose files disagree says nothing.
        sex=next(iter(sexes)) if len(sexes) == 1 else None,
        days=(min(dates) - firsts[patient]).days if dates else None,
        identifiers=_identifiers_of(draft) if draft.report is not None else NOBODY,
    )


def _identifiers_of(draft: _Draft) -> Identifiers:
    """Everything that a study's images and reports say; a study without a report has nothing to scrub."""
    assert draft.report is not None
    distinct = dict.fromkeys(image.identifiers for image in draft.images)
    found = Identifiers(ids=tuple(image.image.image_id for image in draft.images))
    for one in (*distinct, draft.report.identifiers, *(other.identifiers for other in draft.others)):
        found += one
    return found
