"""From converted inputs to samples in splits, and the last word of the ledger on each input.

Export + Done ──► duplicates out ──► per study: n pairs, n image-only, or one text-only ──► split, sorted by key
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace

from cxrpt.data.sample import SPLITS, Kind, SampleMeta
from data_prep.build.convert import Done
from data_prep.inputs import Export, Study
from data_prep.ledger import LedgerLine, Reason
from data_prep.privacy.pseudonyms import Pseudonyms


@dataclass(frozen=True)
class Planned:
    """A sample that is to be written: where its parts lie in the spool."""

    key: str
    meta: SampleMeta
    image: Done | None
    text: Done | None

    @property
    def kind(self) -> Kind:
        if self.image is None:
            return Kind.TEXT
        return Kind.IMAGE if self.text is None else Kind.PAIR


@dataclass(frozen=True)
class Composition:
    """Samples by split, sorted by key; the ledger; and how many patients each split has."""

    samples: dict[str, tuple[Planned, ...]]
    ledger: tuple[LedgerLine, ...]
    patients: dict[str, int]


def compose(export: Export, done: dict[str, Done], pseudonyms: Pseudonyms, shares: tuple[float, float, float]) -> Composition:
    """Put the build together; `done` is by the keyed hash of the input."""
    done = _without_copies(export.studies, done, pseudonyms)
    samples: dict[str, list[Planned]] = {split: [] for split in SPLITS}
    patients: dict[str, set[str]] = {split: set() for split in SPLITS}
    lines = [
        LedgerLine(pseudonyms.of("input", one.input_id), one.type, one.reason, tuple(str(note) for note in one.notes))
        for one in export.set_aside
    ]
    for study in _one_split_a_patient(export.studies):
        split = split_of(study, pseudonyms, shares)
        planned, of_study = _samples_of(study, done, pseudonyms)
        samples[split] += planned
        lines += of_study
        if planned:
            patients[split].add(study.patient)
    return Composition(
        samples={split: tuple(sorted(samples[split], key=lambda one: one.key)) for split in SPLITS},
        ledger=tuple(lines),
        patients={split: len(patients[split]) for split in SPLITS},
    )


def split_of(study: Study, pseudonyms: Pseudonyms, shares: tuple[float, float, float]) -> str:
    """The official split where there is one, else by the keyed hash of the patient.

    The official split "train_val" is cut by the hash into train and val, in the ratio of their shares.
    """
    if study.split in SPLITS:
        return study.split
    fraction = pseudonyms.fraction("split", study.patient)
    train, val, _ = shares
    if study.split == "train_val":
        return "train" if train + val == 0 or fraction < train / (train + val) else "val"
    if fraction < train:
        return "train"
    return "val" if fraction < train + val or shares[2] == 0 else "test"


def _one_split_a_patient(studies: Iterable[Study]) -> list[Study]:
    """Studies as they are, but those of a patient whom an official list puts into several splits all go to train."""
    official: dict[str, set[str | None]] = defaultdict(set)
    for study in studies:
        official[study.patient].add(study.split)
    return [replace(study, split="train") if len(official[study.patient]) > 1 else study for study in studies]


def _without_copies(studies: Iterable[Study], done: dict[str, Done], pseudonyms: Pseudonyms) -> dict[str, Done]:
    """Of pictures with equal decoded values, the one in the study with a report, then of the smallest hash, stays."""
    copies: dict[str, list[tuple[bool, str]]] = defaultdict(list)
    for study in studies:
        for image in study.images:
            name = pseudonyms.of("input", image.input_id)
            if done[name].reason is None:
                copies[done[name].digest].append((study.report is None, name))
    losers = {name for names in copies.values() for _, name in sorted(names)[1:]}
    return {name: replace(one, reason=Reason.DUPLICATE) if name in losers else one for name, one in done.items()}


def _samples_of(study: Study, done: dict[str, Done], pseudonyms: Pseudonyms) -> tuple[list[Planned], list[LedgerLine]]:
    report = done[pseudonyms.of("input", study.report.input_id)] if study.report else None
    text = report if report is not None and report.reason is None else None
    meta = SampleMeta(
        institution=pseudonyms.institution,
        study=pseudonyms.of("study", study.study),
        patient=pseudonyms.of("patient", study.patient),
        sections=text.sections if text else {},
        labels=dict(sorted(study.labels.items())),
        age=study.age,
        sex=study.sex,
        days=study.days,
    )
    planned, lines = [], []
    for image in study.images:
        one = done[pseudonyms.of("input", image.input_id)]
        notes = (*one.notes, *(str(note) for note in image.notes))
        key = pseudonyms.of("sample", image.image_id) if one.reason is None else None
        lines.append(LedgerLine(one.input, image.type, one.reason, notes, key, one.where))
        if key is not None:
            planned.append(Planned(key, replace(meta, view=image.view, size=one.size, crop=one.crop), one, text))
    if text is not None and study.report is not None and not planned:
        planned.append(Planned(pseudonyms.of("sample", study.report.input_id), meta, None, text))
    if report is not None and study.report is not None:
        notes = (*report.notes, *(str(note) for note in study.report.notes))
        first = min(one.key for one in planned) if text is not None else None
        lines.append(LedgerLine(report.input, "report", report.reason, notes, first, report.where))
    return planned, lines
