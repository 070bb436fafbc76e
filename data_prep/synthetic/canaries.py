"""Made-up identities that nobody can mistake for anything else.

Every name begins with "Zq", every id with "QX77", every UID with UID_ROOT, every phone number with 977-707, and every
study lies in the years 2087 to 2096. Whatever of this turns up behind de-identification has leaked.
"""

import datetime
from dataclasses import dataclass

import numpy as np

SURNAMES = (
    "Zqabbotsen", "Zqbrandel", "Zqcalloway", "Zqdevereux", "Zqeastman", "Zqfaraday", "Zqgar\u00e7onet", "Zqhollister",
    "Zqivanova",
    "Zqjankowski", "Zqkellerman", "Zqlindqvist", "Zqm\u00fcllner", "Zqnakagawa", "Zqoconnell", "Zqpemberton", "Zqquillfeather",
    "Zqrosenthal", "Zqsanderling", "Zqtorvald", "Zqunderhill", "Zqvanderbeek", "Zqwhitlock", "Zqyamashiro",
)  # fmt: skip
GIVEN_F = ("Zqadela", "Zqbeatrix", "Zqclementine", "Zqdorothea", "Zqelvira", "Zqfreya", "Zqgwendolyn", "Zqhenrike")
GIVEN_M = ("Zqalaric", "Zqbertrand", "Zqcasimir", "Zqdmitri", "Zqeamon", "Zqferdinand", "Zqgideon", "Zqhumphrey")
PHYSICIANS = ("Zqdrummond", "Zqellsworth", "Zqfitzgerald", "Zqgrimaldi", "Zqhawthorne", "Zqisakson", "Zqjoubert", "Zqkingsley")
PLACES = ("Zqsaint Verena Hospital", "Zqelmwood Street", "Zqriverton")
ID_PREFIX = "QX77"
UID_ROOT = "1.2.826.0.1.3680043.10.97777"
PHONE_PREFIXES = ("977-707", "(977) 707")
MAIL_DOMAIN = "zqmail.example"

_FIRST_DAY = datetime.date(2087, 1, 1)
_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December",
)  # fmt: skip


def canaries() -> tuple[str, ...]:
    """Strings of which none may be found, in any letter case, in what de-identification lets out."""
    places = tuple(place.split()[0] for place in PLACES)
    return (*SURNAMES, *GIVEN_F, *GIVEN_M, *PHYSICIANS, *places, ID_PREFIX, UID_ROOT, *PHONE_PREFIXES, MAIL_DOMAIN)


@dataclass(frozen=True)
class Patient:
    """A made-up patient."""

    number: int
    surname: str
    given: str
    sex: str
    birth: datetime.date
    first_study: datetime.date

    @property
    def patient_id(self) -> str:
        return f"{ID_PREFIX}{self.number:06d}"

    @property
    def phone(self) -> str:
        return f"977-707-{self.number % 10000:04d}"

    @property
    def mail(self) -> str:
        return f"patient{self.number}@{MAIL_DOMAIN}"

    @property
    def address(self) -> str:
        return f"{17 + self.number % 900} {PLACES[1]}, {PLACES[2]}"

    @property
    def dicom_name(self) -> str:
        return f"{self.surname}^{self.given}".upper() if self.number % 3 else f"{self.surname}^{self.given}"


def draw_patient(number: int, seed: int) -> Patient:
    """The same number and seed give the same patient."""
    generator = np.random.default_rng([seed, 3, number])
    sex = "F" if generator.random() < 0.5 else "M"
    first = _FIRST_DAY + datetime.timedelta(days=int(generator.integers(0, 2900)))
    age_days = int(np.clip(generator.normal(58, 18), 18, 97) * 365.25)
    return Patient(
        number=number,
        surname=SURNAMES[number % len(SURNAMES)],
        given=str(generator.choice(GIVEN_F if sex == "F" else GIVEN_M)),
        sex=sex,
        birth=first - datetime.timedelta(days=age_days),
        first_study=first,
    )


def date_forms(day: datetime.date) -> tuple[str, ...]:
    """The ways in which headers and reports write a day."""
    month = _MONTHS[day.month - 1]
    return (
        day.strftime("%Y%m%d"),
        day.isoformat(),
        day.strftime("%m/%d/%Y"),
        f"{day.month}/{day.day}/{day.year}",
        f"{month} {day.day}, {day.year}",
        f"{day.day:02d}-{month[:3]}-{day.year}",
        f"{day.day:02d}.{day.month:02d}.{day.year}",
    )
