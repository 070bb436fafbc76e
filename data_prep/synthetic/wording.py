"""The report of a made-up study: what the picture shows, in varied words, with the identifiers that real ones hold."""

import datetime

import numpy as np

from data_prep.synthetic.canaries import PLACES, date_forms
from data_prep.synthetic.findings import FINDINGS, Finding
from data_prep.synthetic.study import Study

_PRESENT = {
    "cardiomegaly": (
        "The heart is {degree}ly enlarged.",
        "The cardiac silhouette is {degree}ly enlarged.",
        "There is {degree} cardiomegaly.",
        "{Degree} enlargement of the heart.",
    ),
    "consolidation": (
        "There is a {size} consolidation in the {side} {zone} zone.",
        "{Size} airspace opacity in the {side} {zone} lung zone, in keeping with consolidation.",
        "A {size} area of consolidation projects over the {side} {zone} lung.",
        "{Size} {side} {zone} zone consolidation with air bronchograms.",
    ),
    "effusion": (
        "There is a {size} {side} pleural effusion.",
        "{Size} {side} pleural effusion with blunting of the costophrenic angle.",
        "A {size} pleural effusion is present on the {side}.",
        "{Size} {side}-sided pleural effusion.",
    ),
    "nodule": (
        "There is a {diameter} mm nodule in the {side} {zone} zone.",
        "A {diameter} mm nodular opacity projects over the {side} {zone} lung zone.",
        "{Side} {zone} zone nodule measuring {diameter} mm.",
        "Round {diameter} mm nodule, {side} {zone} lung.",
    ),
    "pneumothorax": (
        "There is a {size} {side} pneumothorax.",
        "{Size} {side}-sided pneumothorax.",
        "A visceral pleural line is seen on the {side}, in keeping with a {size} pneumothorax.",
        "{Size} {side} apical pneumothorax.",
    ),
}
_BILATERAL = (
    "There are {size} bilateral pleural effusions.",
    "{Size} bilateral pleural effusions with blunting of both costophrenic angles.",
    "{Size} pleural effusions on both sides.",
)
_ABSENT = {
    "cardiomegaly": ("The heart size is normal.", "The heart is not enlarged.", "Cardiac silhouette within normal limits."),
    "consolidation": ("No focal consolidation.", "No airspace opacity.", "The lungs are clear of consolidation."),
    "effusion": ("No pleural effusion.", "There is no pleural effusion.", "The costophrenic angles are sharp."),
    "nodule": ("No suspicious pulmonary nodule.", "No nodule is seen.", ""),
    "pneumothorax": ("No pneumothorax.", "There is no pneumothorax.", "No evidence of pneumothorax."),
}
_SHORT = {
    "cardiomegaly": ("{Degree} cardiomegaly.", "{Degree}ly enlarged heart."),
    "consolidation": ("{Size} {side} {zone} zone consolidation.", "{Side} {zone} lung consolidation, likely infectious."),
    "effusion": ("{Size} {side} pleural effusion.", "{Side} pleural effusion, {size}."),
    "nodule": ("{diameter} mm nodule in the {side} {zone} zone; CT is advised.", "{Side} {zone} lung nodule of {diameter} mm."),
    "pneumothorax": ("{Size} {side} pneumothorax.", "{Side} pneumothorax, {size}."),
}
_INDICATIONS = (
    "Cough and fever.", "Shortness of breath.", "Chest pain, evaluate for pneumonia.", "Status post fall.",
    "Preoperative assessment.",
    "Follow-up.", "Dyspnea, question of effusion.", "Line placement.", "Hypoxia.", "Weight loss and night sweats.",
)  # fmt: skip
_NORMAL = (
    "No acute cardiopulmonary process.", "Normal chest radiograph.", "No acute abnormality.",
    "No radiographic evidence of acute disease.",
)  # fmt: skip
_BONES = (
    "The osseous structures are intact.", "No acute bony abnormality.", "Degenerative changes of the thoracic spine.",
    "Visualized bones are unremarkable.", "", "",
)  # fmt: skip
_DEGREES = {"small": "mild", "moderate": "moderate", "large": "marked"}


def write_report(study: Study) -> str:
    """The text of the report; of "west" with the patient's particulars on top, since nothing else comes with it."""
    generator = study.generator(1)
    findings, impression = _findings(study, generator), _impression(study, generator)
    parts = [_head(study) if study.institution == "west" else "FINAL REPORT"]
    parts.append(f"EXAM: {_exam(study)}")
    parts.append(f"INDICATION: {_indication(study, generator)}")
    parts.append(f"COMPARISON: {_comparison(study, generator)}")
    if generator.random() < 0.06:  # some readers dictate without titles
        parts.append(f"{findings}\n\n{impression}")
    elif generator.random() < 0.08:
        parts.append(f"IMPRESSION: {impression}")
    else:
        parts += [f"FINDINGS: {findings}", f"IMPRESSION: {impression}"]
    parts.append(_close(study, generator))
    return "\n\n".join(part for part in parts if part) + "\n"


def _findings(study: Study, generator: np.random.Generator) -> str:
    present = {finding.name: finding for finding in study.findings}
    sentences = [_fill(_pick(generator, _phrases(finding)), finding) for finding in study.findings]
    absent = [name for name in FINDINGS if name not in present]
    listed = [name for name in ("consolidation", "effusion", "pneumothorax") if name in absent]
    if len(listed) >= 2 and generator.random() < 0.55:
        words = ["pleural effusion" if name == "effusion" else name for name in generator.permutation(listed)]
        opening = _pick(generator, ("No", "There is no", "No evidence of"))
        sentences.append(f"{opening} {', '.join(words[:-1])} or {words[-1]}.")
        absent = [name for name in absent if name not in listed]
    sentences += [_pick(generator, _ABSENT[name]) for name in absent]
    sentences = [str(sentence) for sentence in generator.permutation([s for s in sentences if s])]
    sentences.append(_pick(generator, _BONES))
    if generator.random() < 0.15:
        sentences.insert(
            0, f"Compared with the study of {_day(generator, study.date, -30)}, there is no relevant change in lung volumes."
        )
    return " ".join(sentence for sentence in sentences if sentence)


def _impression(study: Study, generator: np.random.Generator) -> str:
    if not study.findings:
        return _pick(generator, _NORMAL)
    lines = [_fill(_pick(generator, _SHORT[finding.name]), finding) for finding in study.findings]
    if len(lines) == 1 or generator.random() < 0.4:
        return " ".join(lines)
    return "\n".join(f"{number}. {line}" for number, line in enumerate(lines, 1))


def _phrases(finding: Finding) -> tuple[str, ...]:
    return _BILATERAL if finding.side == "bilateral" else _PRESENT[finding.name]


def _fill(phrase: str, finding: Finding) -> str:
    degree = _DEGREES.get(finding.size, "")
    values = {
        "size": finding.size,
        "side": finding.side,
        "zone": finding.zone,
        "degree": degree,
        "diameter": finding.diameter_mm,
    }
    capitals = {name.capitalize(): str(value).capitalize() for name, value in values.items()}
    return phrase.format(**values, **capitals).replace("a upper", "an upper")


def _exam(study: Study) -> str:
    if len(study.views) == 2:
        return "Chest radiograph, PA and lateral."
    return {"PA": "Chest radiograph, PA.", "AP": "Portable AP chest radiograph.", "LATERAL": "Lateral chest radiograph."}[
        study.views[0]
    ]


def _indication(study: Study, generator: np.random.Generator) -> str:
    reason, person = _pick(generator, _INDICATIONS), study.patient
    title, noun = ("Mrs.", "woman") if person.sex == "F" else ("Mr.", "man")
    draw = generator.random()
    if draw < 0.35:
        return f"{study.age}-year-old {noun}. {reason}"
    if draw < 0.55:
        return f"{title} {person.surname}. {reason}"
    if draw < 0.65:
        return f"{reason} Patient {person.given} {person.surname}, DOB {_pick(generator, date_forms(person.birth)[1:])}."
    return reason


def _comparison(study: Study, generator: np.random.Generator) -> str:
    draw = generator.random()
    if draw < 0.5:
        return "None."
    return f"{_pick(generator, ('Chest radiograph', 'Prior study', 'Radiograph'))} of {_day(generator, study.date, -60)}."


def _close(study: Study, generator: np.random.Generator) -> str:
    person, lines = study.patient, []
    if study.findings and generator.random() < 0.4:
        phone = f"(977) 707-{generator.integers(1000, 9999)}"
        lines.append(
            f"Findings were discussed with Dr. {study.referrer} by telephone ({phone}) at 14:{generator.integers(10, 59)} "
            f"on {_day(generator, study.date, 0)}."
        )
    if generator.random() < 0.5:
        lines.append(f"MRN: {person.patient_id}  Accession Number: {study.accession}")
    if generator.random() < 0.1:
        lines.append(f"The patient can be reached at {person.phone} or {person.mail}.")
    lines.append(_pick(generator, (f"Electronically signed by {study.reader}, M.D.", f"Dictated by: Dr. {study.reader}", "")))
    return "\n".join(line for line in lines if line)


def _head(study: Study) -> str:
    person = study.patient
    return (
        f"{PLACES[0]}\n"
        f"Patient Name: {person.surname}, {person.given}\n"
        f"Patient ID: {person.patient_id}\n"
        f"Date of Birth: {date_forms(person.birth)[2]}  Sex: {person.sex}\n"
        f"Address: {person.address}\n"
        f"Phone: {person.phone}\n"
        f"Accession Number: {study.accession}\n"
        f"Study Date: {study.date.isoformat()}\n"
        f"Referring Physician: Dr. {study.referrer}"
    )


def _day(generator: np.random.Generator, day: datetime.date, most: int) -> str:
    """The day itself, or one up to `most` days away, in any of the forms but the DICOM one."""
    away = int(generator.integers(most, 0)) if most < 0 else 0
    return _pick(generator, date_forms(day + datetime.timedelta(days=away))[1:])


def _pick(generator: np.random.Generator, choices: tuple[str, ...]) -> str:
    return choices[int(generator.integers(len(choices)))]
