"""From loose images, reports and labels to studies of patients.

A report finds its images by accession number or study UID, never by order or by date. Where one accession number stands
in studies of several patients, the report is ambiguous and is set aside: a wrong pair is worse than none.
"""

import datetime
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from data_prep.inputs import Identifiers, ImageInput, ReportInput, SetAside, Study
from data_prep.ledger import Note, Reason
from data_prep.reports import is_empty


@dataclass(frozen=True)
class LooseImage:
    """An image with what its header says about where it belongs; empty texts where it says nothing."""

    image: ImageInput
    patient: str = ""
    study_uid: str = ""
    accession: str = ""
    date: datetime.date | None = None
    age: int | str | None = None
    sex: str | None = None
    identifiers: Identifiers = field(default_factory=Identifiers)


@dataclass(frozen=True)
class LooseReport:
    """A report with the number of its study: an accession number or a study UID."""

    report: ReportInput
    study_number: str
    patient: str = ""
    date: datetime.date | None = None
    age: int | str | None = None
    sex: str | None = None
    identifiers: Identifiers = field(default_factory=Identifiers)


@dataclass(frozen=True)
class Linked:
    """Studies, the inputs set aside while linking, and how many label rows found no study."""

    studies: tuple[Study, ...]
    set_aside: tuple[SetAside, ...]
    labels_without_study: int = 0


@dataclass
class _Draft:
    """A study while it is put together."""

    patient: str
    study: str
    images: list[LooseImage] = field(default_factory=list)
    reports: list[LooseReport] = field(default_factory=list)


def link(images: Iterable[LooseImage], reports: Iterable[LooseReport], labels: dict[str, dict[str, int]]) -> Linked:
    """Put studies together; `labels` is by study number. The result does not depend on the order of images."""
    drafts, by_number = _studies_of_images(sorted(images, key=lambda image: image.image.input_id))
    set_aside: list[SetAside] = []
    for report in _one_a_study(reports, set_aside):
        owners = by_number.get(report.study_number, set())
        if not owners:
            # Two tables may number their rows alike, so an unlinked report is a study of its own patient's.
            patient = f"patient {report.patient}" if report.patient else f"report {report.study_number}"
            key = (patient, f"number {report.study_number}")
            drafts.setdefault(key, _Draft(*key)).reports.append(report)
            by_number[report.study_number].add(key)
        elif len({patient for patient, _ in owners}) > 1:
            set_aside.append(SetAside(report.report.input_id, "report", Reason.AMBIGUOUS_REPORT))
        else:
            # One accession number over several study UIDs of a patient: the one with most images holds the examination.
            best = max(sorted(owners), key=lambda key: len(drafts[key].images))
            drafts[best].reports.append(report)
    groups = _same_patients(drafts.values())
    firsts = _first_dates(drafts.values(), groups)
    used: set[str] = set()
    studies = []
    for key in sorted(drafts):
        numbers = {number for image in drafts[key].images for number in (image.accession, image.study_uid) if number}
        numbers |= {report.study_number for report in drafts[key].reports}
        mine = sorted(number for number in numbers if number in labels)
        used.update(mine)
        found = {finding: value for number in mine for finding, value in labels[number].items()}
        studies.append(_finish(drafts[key], groups[drafts[key].patient], firsts, found))
    return Linked(tuple(studies), tuple(set_aside), len(set(labels) - used))


def _studies_of_images(images: list[LooseImage]) -> tuple[dict[tuple[str, str], _Draft], dict[str, set[tuple[str, str]]]]:
    """Studies by (patient, study), and which of them a number (accession or UID) may mean."""
    known_patients: dict[str, set[str]] = defaultdict(set)
    for image in images:
        if image.patient and image.study_uid:
            known_patients[image.study_uid].add(image.patient)
    drafts: dict[tuple[str, str], _Draft] = {}
    by_number: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for image in images:
        candidates = known_patients.get(image.study_uid, set())
        study = image.study_uid or image.accession or image.image.input_id
        if image.patient:
            patient = f"patient {image.patient}"
        elif len(candidates) == 1:
            patient = f"patient {next(iter(candidates))}"
        else:
            patient = f"study {study}"
            image = replace(image, image=replace(image.image, notes=(*image.image.notes, Note.NO_PATIENT_ID)))
        key = (patient, study)
        drafts.setdefault(key, _Draft(*key)).images.append(image)
        for number in {image.accession, image.study_uid} - {""}:
            by_number[number].add(key)
    return drafts, by_number


def _one_a_study(reports: Iterable[LooseReport], set_aside: list[SetAside]) -> list[LooseReport]:
    """The longest report of each number (of equals the last: final after preliminary); empty ones are set aside first."""
    best: dict[str, LooseReport] = {}
    for report in reports:
        if is_empty(report.report.text):
            set_aside.append(SetAside(report.report.input_id, "report", Reason.EMPTY_REPORT))
            continue
        rival = best.get(report.study_number)
        if rival is None:
            best[report.study_number] = report
        elif rival.patient and report.patient and rival.patient != report.patient:
            set_aside.append(SetAside(report.report.input_id, "report", Reason.AMBIGUOUS_REPORT))
        else:
            loser, best[report.study_number] = (
                (rival, report) if len(report.report.text) >= len(rival.report.text) else (report, rival)
            )
            set_aside.append(SetAside(loser.report.input_id, "report", Reason.SUPERSEDED_REPORT))
    return [best[number] for number in sorted(best)]


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
        for other in {f"patient {report.patient}" for report in draft.reports if report.patient}:
            first, second = sorted((root(draft.patient), root(other)))
            parent[second] = first
        root(draft.patient)
    return {patient: root(patient) for patient in parent}


def _dates(draft: _Draft) -> list[datetime.date]:
    items: list[LooseImage | LooseReport] = [*draft.images, *draft.reports]
    return [item.date for item in items if item.date is not None]


def _first_dates(drafts: Iterable[_Draft], groups: dict[str, str]) -> dict[str, datetime.date]:
    firsts: dict[str, datetime.date] = {}
    for draft in drafts:
        for date in _dates(draft):
            patient = groups[draft.patient]
            firsts[patient] = min(date, firsts.get(patient, date))
    return firsts


def _finish(draft: _Draft, patient: str, firsts: dict[str, datetime.date], labels: dict[str, int]) -> Study:
    dates = _dates(draft)
    identifiers = Identifiers()
    items: list[LooseImage | LooseReport] = [*draft.images, *draft.reports]
    for item in items:
        identifiers += item.identifiers
    ages = [item.age for item in items if item.age is not None]
    sexes = Counter(item.sex for item in items if item.sex)
    return Study(
        patient=patient,
        study=f"{draft.patient}/{draft.study}",
        images=tuple(image.image for image in draft.images),
        report=draft.reports[0].report if draft.reports else None,
        labels=labels,
        age=ages[0] if ages else None,
        # A study whose files disagree says nothing.
        sex=next(iter(sexes)) if len(sexes) == 1 else None,
        days=(min(dates) - firsts[patient]).days if dates else None,
        identifiers=identifiers,
    )
