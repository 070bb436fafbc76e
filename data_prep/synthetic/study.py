"""A made-up study: who, when, what it shows, which pictures it has. All of it follows from (seed, institution, number)."""

import datetime
from dataclasses import dataclass

import numpy as np

from data_prep.synthetic.canaries import ID_PREFIX, PHYSICIANS, UID_ROOT, Patient, draw_patient
from data_prep.synthetic.findings import Finding, draw_findings

INSTITUTIONS = ("north", "south", "west")
SHARES = (0.5, 0.25, 0.25)
"""Of all studies: pairs (north), images only (south), texts only (west)."""

_STUDIES_PER_PATIENT = 1.4


@dataclass(frozen=True)
class Study:
    """One study of one institution."""

    seed: int
    institution: str
    number: int
    patient: Patient
    date: datetime.date
    findings: tuple[Finding, ...]
    views: tuple[str, ...]
    """One or two of PA, AP, LATERAL."""
    referrer: str
    reader: str

    @property
    def place(self) -> int:
        """A number that no other study of the export has."""
        return (INSTITUTIONS.index(self.institution) + 1) * 1_000_000 + self.number

    @property
    def accession(self) -> str:
        return f"{ID_PREFIX}A{self.place}"

    @property
    def uid(self) -> str:
        return f"{UID_ROOT}.{self.seed}.{self.place}"

    @property
    def age(self) -> int:
        """Years on the day of the study."""
        born, day = self.patient.birth, self.date
        return day.year - born.year - ((day.month, day.day) < (born.month, born.day))

    def generator(self, part: int) -> np.random.Generator:
        """A generator for one part of the making (pictures, report, header)."""
        return np.random.default_rng([self.seed, 5, self.place, part])


def draw_studies(institution: str, num_studies: int, seed: int) -> list[Study]:
    """The studies of an institution; some patients have several, on different days."""
    place = INSTITUTIONS.index(institution)
    num_patients = max(1, round(num_studies / _STUDIES_PER_PATIENT))
    chooser = np.random.default_rng([seed, 4, place])
    # Every patient once, the rest of the studies at random.
    owners = [*range(num_patients), *chooser.integers(0, num_patients, num_studies - num_patients).tolist()][:num_studies]
    return [
        _draw_study(institution, number, (place + 1) * 100_000 + owner, seed) for number, owner in enumerate(sorted(owners))
    ]


def _draw_study(institution: str, number: int, owner: int, seed: int) -> Study:
    generator = np.random.default_rng([seed, 6, INSTITUTIONS.index(institution), number])
    patient = draw_patient(owner, seed)
    frontal = "AP" if generator.random() < 0.3 else "PA"
    draw = generator.random()
    views = (frontal, "LATERAL") if draw < 0.2 and frontal == "PA" else ("LATERAL",) if draw > 0.97 else (frontal,)
    return Study(
        seed=seed,
        institution=institution,
        number=number,
        patient=patient,
        date=patient.first_study + datetime.timedelta(days=int(generator.integers(0, 400)) if number % 2 else 0),
        findings=draw_findings(generator),
        views=views,
        referrer=str(generator.choice(PHYSICIANS)),
        reader=str(generator.choice(PHYSICIANS)),
    )
