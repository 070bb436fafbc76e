# ruff: noqa: E501 (tables of phrases)
"""Made-up persons, and reports that name them by template: seeded, with the strings that must not come through."""

import datetime
import random
from dataclasses import dataclass

from data_prep.inputs import Identifiers

GIVEN = [
    "James",
    "Mary",
    "Robert",
    "Patricia",
    "John",
    "Jennifer",
    "Michael",
    "Linda",
    "David",
    "Elizabeth",
    "William",
    "Barbara",
    "Richard",
    "Susan",
    "Joseph",
    "Jessica",
    "Thomas",
    "Sarah",
    "Karen",
    "Christopher",
    "Nancy",
    "Daniel",
    "Betty",
    "Anthony",
    "Sandra",
    "Mark",
    "Margaret",
    "Ashley",
    "Steven",
    "Emily",
    "Andrew",
    "Donna",
    "Joshua",
    "Carol",
    "Kevin",
    "Amanda",
    "Brian",
    "Melissa",
    "George",
    "Stephanie",
    "Rebecca",
    "Jason",
    "Laura",
    "Edward",
    "Helen",
    "Ryan",
    "Cynthia",
    "Amy",
    "Eric",
    "Jonathan",
    "Anna",
    "Stephen",
    "Pamela",
    "Emma",
    "Nicole",
    "Samuel",
    "Katherine",
    "Gregory",
    "Rachel",
    "Frank",
    "Janet",
    "Maria",
    "Heather",
    "Diane",
    "Olivia",
    "Julie",
    "Joyce",
    "Victoria",
    "Ruth",
    "Virginia",
    "Lauren",
    "Kelly",
    "Christina",
    "Joan",
    "Grace",
    "Jürgen",
    "Jörg",
    "Anneliese",
    "Günther",
    "Zoë",
    "René",
    "Chloé",
    "François",
    "José",
    "María",
    "Iñigo",
    "Lucía",
    "Giuseppe",
    "Chiara",
    "Søren",
    "Åsa",
    "Łukasz",
    "Wojciech",
    "Mehmet",
    "Ayşe",
]
FAMILY = [
    "Smith",
    "Johnson",
    "Williams",
    "Brown",
    "Jones",
    "Garcia",
    "Miller",
    "Davis",
    "Rodriguez",
    "Martinez",
    "Hernandez",
    "Lopez",
    "Wilson",
    "Anderson",
    "Thomas",
    "Taylor",
    "Moore",
    "Jackson",
    "Martin",
    "Lee",
    "Perez",
    "Thompson",
    "White",
    "Harris",
    "Sanchez",
    "Clark",
    "Ramirez",
    "Lewis",
    "Robinson",
    "Walker",
    "Young",
    "Allen",
    "King",
    "Wright",
    "Scott",
    "Torres",
    "Nguyen",
    "Hill",
    "Flores",
    "Green",
    "Adams",
    "Nelson",
    "Baker",
    "Hall",
    "Rivera",
    "Campbell",
    "Mitchell",
    "Carter",
    "Roberts",
    "Long",
    "Short",
    "Small",
    "Best",
    "Bell",
    "Ward",
    "Wood",
    "Price",
    "Gray",
    "Rice",
    "Stone",
    "O'Neil",
    "O'Brien",
    "McDonald",
    "MacArthur",
    "McCoy",
    "Müller",
    "Schröder",
    "Weiß",
    "Grünwald",
    "Müller-Lüdenscheidt",
    "Smith-Jones",
    "van der Berg",
    "de la Cruz",
    "von Kleist",
    "D'Angelo",
    "Lefèvre",
    "Gómez Ibáñez",
    "García Márquez",
    "Núñez",
    "Çelik",
    "Şahin",
    "Ångström",
    "Sørensen",
    "Wiśniewski",
    "Kowalczyk",
    "Ng",
    "Le",
    "Vu",
    "Xu",
    "Ho",
    "Quirrelbach",
    "Hodgkin",
]
TEXTS = (
    "Lungs are clear. {} Heart size is normal.",
    "FINDINGS: {} Small right effusion, mild atelectasis at the left base.",
    "The cardiomediastinal silhouette is stable. {} No pneumothorax.",
    "INDICATION: Cough.\n\nIMPRESSION: No acute disease. {}\n",
)


@dataclass(frozen=True)
class Planted:
    """A report, what the header knew, the strings that must go, and the kind they are of."""

    kind: str
    text: str
    known: Identifiers
    secrets: tuple[str, ...]
    frame: str
    """The report without the sentence that identifies: its own words may be names too ("Small")."""

    def left_in(self, scrubbed: str) -> list[str]:
        """The secrets that came through."""
        found = ((secret, scrubbed.lower().count(secret.lower())) for secret in self.secrets)
        return [secret for secret, times in found if times > self.frame.lower().count(secret.lower())]


def common_names(seed: int) -> Identifiers:
    """A patient and a physician by the names of the lists."""
    rng = random.Random(seed)
    return Identifiers(names=tuple(f"{rng.choice(FAMILY)}^{rng.choice(GIVEN)}" for _ in range(2)))


def planted_reports(seed: int, num_each: int) -> list[Planted]:
    """`num_each` reports of every kind."""
    rng = random.Random(seed)
    return [_planted(kind, make, rng) for kind, make in KINDS.items() for _ in range(num_each)]


def _planted(kind: str, make, rng: random.Random) -> Planted:
    sentence, known, secrets = make(rng)
    text = rng.choice(TEXTS)
    return Planted(kind, text.format(sentence), known, secrets, text.format(""))


def _digits(rng: random.Random, number: int) -> str:
    return str(rng.randint(1, 9)) + "".join(str(rng.randint(0, 9)) for _ in range(number - 1))


def _plain(text: str) -> str:
    """Without accents, as many systems write names."""
    import unicodedata

    table = str.maketrans({"ß": "ss", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "ı": "i"})
    return "".join(char for char in unicodedata.normalize("NFD", text.translate(table)) if not unicodedata.combining(char))


def _german(text: str) -> str:
    return text.translate(str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "Ü": "Ue", "ß": "ss"}))


def _header_name(rng: random.Random):
    family, given = rng.choice(FAMILY), rng.choice(GIVEN)
    spelt = rng.choice((str, _plain, _german))
    header = rng.choice((f"{family}^{given}", f"{family.upper()}^{given.upper()}", f"{_plain(family)}^{_plain(given)}^A"))
    first, last = spelt(given), spelt(family)
    forms = (
        f"Discussed with {first} {last} today.", f"{last}, {first} was seen.", f"Mr. {last} was told.", f"Told {first[0]}. {last} that.",
        f"Ms {last}'s films were shown.", f"{last.upper()}, {first.upper()} came back.", f"Seen with Dr {last}.", f"Images of {first} {last} sent.",
        f"Patient {last} {first} agrees.", f"We informed {first} A. {last} again.",
    )  # fmt: skip
    sentence = rng.choice(forms)
    secrets = tuple(word for word in (first, last) if word.lower() in sentence.lower() and len(word) > 2)
    return sentence, Identifiers(names=(header,)), secrets


def _part_of_a_double_name(rng: random.Random):
    one, two = rng.sample([name for name in FAMILY if name.isalpha() and len(name) > 5], 2)
    known = Identifiers(names=(rng.choice((f"{one}-{two}^Ann", f"{one} {two}^Ann", f"{one}{two}^Ann^^Dr")),))
    joined = "-" not in known.names[0] and " " not in known.names[0]
    last = f"{one} {two}" if joined else rng.choice((one, two, f"{two}-{one}"))
    return f"The lungs of {last} are clear.", known, tuple(re for re in (one, two) if re in last)


def _announced_name(rng: random.Random):
    first, last = rng.choice(GIVEN), rng.choice([name for name in FAMILY if len(name) > 3])
    forms = (
        f"Electronically signed by: {first} {last}, MD.", f"Dictated by {first} {last}.", f"Her daughter, {first} {last}, was present.",
        f"Her wife {first} was told.", f"Referring physician: {first} {last}.", f"Überweiser: Dr. med. {first} {last}.", f"Befundet von {first} {last}.",
        f"Dr. {last} was informed.", f"Prof. Dr. {first} {last} was informed.", f"Herr {last} wurde informiert.", f"Mme {last} est venue.",
        f"Nombre: {first} {last}.", f"Cognome: {last}.", f"Naam: {last}.", f"{first} {last}, M.D. read this.", f"Signora {last} presente.",
        f"Results called to {first} {last}, RN.", f"{first} {last} is a 54-year-old woman.", f"Médecin traitant: {first} {last}.",
    )  # fmt: skip
    sentence = rng.choice(forms)
    return sentence, Identifiers(), tuple(word for word in (first, last) if word in sentence)


def _header_number(rng: random.Random):
    number = rng.choice(
        (_digits(rng, 7), f"00{_digits(rng, 6)}", f"AB{_digits(rng, 5)}", f"{_digits(rng, 4)}-{_digits(rng, 3)}")
    )
    bare = number.replace("-", "")
    written = rng.choice((number, number.lower(), number.lstrip("0"), " ".join((bare[:3], bare[3:]))))
    return f"Compared with film {written} as before.", Identifiers(ids=(number,)), (written,)


def _labelled_number(rng: random.Random):
    labels = ("MRN:", "MRN", "MRN #", "PatNr", "Pat.-Nr.", "Fallnummer:", "Aufnahmenr.", "NIP:", "DNI", "BSN", "personnummer", "CPR", "CPF",
              "Accession number", "NHS no", "Patient ID:", "Historia clínica:", "N° de dossier", "Codice fiscale:", "Account no.", "SSN")  # fmt: skip
    number = _digits(rng, 6)
    written = rng.choice(
        (number, " ".join((number[:2], number[2:4], number[4:])), f"{number[:3]}{number[3:]}", f"{number[:3]} {number[3:]}")
    )
    return f"{rng.choice(labels)} {written} was used.", Identifiers(), (written,)


def _national_number(rng: random.Random):
    def d(number: int) -> str:
        return _digits(rng, number)

    written = rng.choice((
        f"{d(3)}-{d(2)}-{d(4)}", f"{d(3)} {d(3)} {d(4)}", f"19{d(2)}0412-{d(4)}", f"{d(6)}-{d(4)}", f"{d(9)}", f"{d(8)}K", f"X{d(7)}L",
        f"{d(3)}.{d(3)}.{d(3)}-{d(2)}", f"1 {d(2)} 05 {d(2)} {d(3)} {d(3)} {d(2)}", f"RSSMRA{d(2)}A{d(2)}H{d(3)}S", f"756.{d(4)}.{d(4)}.{d(2)}",
        f"{d(4)} {d(4)} {d(4)}", f"A{d(9)}",
    ))  # fmt: skip
    return f"The number given is {written}.", Identifiers(), (written,)


def _date(rng: random.Random):
    date = datetime.date(1990, 1, 1) + datetime.timedelta(days=rng.randrange(12_500))
    months = {
        "de": "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
        "fr": "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
        "es": "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
        "it": "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre",
        "pt": "janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro",
        "nl": "januari februari maart april mei juni juli augustus september oktober november december",
    }
    name = {language: words.split()[date.month - 1] for language, words in months.items()}
    day, year = date.day, date.year
    written = rng.choice((
        f"{date.month}/{day}/{year}", f"{date.month}/{day}/{year % 100:02d}", f"{date:%Y-%m-%d}", f"{date:%Y-%m-%dT%H:%M:%S+01:00}",
        f"{date:%d.%m.%Y}", f"{date:%B} {day}, {year}", f"{day} {date:%b} {year}", f"{date:%d-%b-%Y}", f"{date:%Y%m%d}", f"{day}. {name['de']} {year}",
        f"{day} {name['fr']} {year}", f"{day} de {name['es']} de {year}", f"{day} {name['it']} {year}", f"{day} de {name['pt']} de {year}",
        f"{day} {name['nl']} {year}", f"{date:%B} {year}", f"{date.month}/{year}", f"{day}{'th' if day > 3 else 'st'} of {date:%B}",
    ))  # fmt: skip
    lead = rng.choice(("Compared with", "Film of", "Seen on", "Dated"))
    return f"{lead} {written} the lungs are unchanged.", Identifiers(), (written,)


def _time(rng: random.Random):
    hour, minute = rng.randint(0, 23), rng.randint(0, 59)
    written = rng.choice((f"at {hour:02d}:{minute:02d}", f"at {hour:02d}{minute:02d} hrs", f"at {hour % 12 + 1}:{minute:02d} pm",
                          f"um {hour}:{minute:02d} Uhr", f"à {hour}h{minute:02d}"))  # fmt: skip
    secret = written.split(" ")[1]
    return f"Reported {written}.", Identifiers(), (secret,)


def _phone(rng: random.Random):
    def d(number: int) -> str:
        return _digits(rng, number)

    written, secret = rng.choice((
        (f"({d(3)}) {d(3)}-{d(4)}",) * 2, (f"{d(3)}-{d(3)}-{d(4)}",) * 2, (f"+49 30 {d(7)}",) * 2, (f"Tel. 0221 / {d(3)}-0", "0221"),
        (f"020 {d(4)} {d(4)}",) * 2, (f"0{d(1)} {d(2)} {d(2)} {d(2)} {d(2)}",) * 2, (f"x{d(1)}-{d(4)}",) * 2, (f"pager {d(5)}", None),
        (f"ext. {d(4)}", None), (f"{d(3)}-{d(4)}",) * 2, (f"Handy 0171 {d(7)}", "0171"), (f"bleep {d(4)}", None), (f"+34 {d(3)} {d(3)} {d(3)}",) * 2,
    ))  # fmt: skip
    return f"Please call {written}.", Identifiers(), (secret or written.split(" ")[-1],)


def _place(rng: random.Random):
    number = rng.randint(1, 90)
    town = rng.choice(("Winterberg", "Oakfield", "Sankt Anton", "Valverde", "Montclair"))
    written, secret = rng.choice((
        (f"{number} Oak Street, {town}, MA 01970", "Oak"), (f"Lindenstr. {number}", "Lindenstr"), (f"Kölner Straße {number}", "Kölner"),
        (f"{number}, rue de la Paix", "Paix"), (f"Calle Mayor {number}", "Mayor"), (f"Via Garibaldi {number}", "Garibaldi"),
        (f"Hoofdstraat {number}", "Hoofdstraat"), (f"{_digits(rng, 5)} {town},", town), (f"the Klinikum {town}", town),
        (f"the {town} General Hospital", town), (f"the Hôpital {town}", town), (f"the CHU de {town}", town), (f"Ospedale {town}", town),
        (f"{town} Medical Center", town), (f"Clínica {town}", town), (f"the Universitätsklinik {town}", town), (f"room {number}4B", f"{number}4B"),
        (f"SW1A {rng.randint(1, 9)}AA", "SW1A"),
    ))  # fmt: skip
    return f"Moved from {written}.", Identifiers(), (secret,)


def _header_place(rng: random.Random):
    town = rng.choice(("Winterberg", "Oakfield", "Valverde", "Montclair"))
    known = Identifiers(phrases=(f"{town} Regional Health Centre", town))
    return rng.choice((f"Films of {town} were shown.", f"Seen at {town.upper()} before.")), known, (town,)


def _web(rng: random.Random):
    written = rng.choice(("jane.roe@north.example.org", "https://pacs.north.example/x?id=3", "www.north-clinic.example", "pacs.north.nhs.uk",
                          "10.1.22.3", "roe_jane_2019.dcm", r"\\pacs\share\roe"))  # fmt: skip
    return f"Sent to {written} again.", Identifiers(), (written,)


def _old_age(rng: random.Random):
    years = rng.randint(90, 109)
    written, secret = rng.choice(((f"{years}-year-old", str(years)), (f"{years} y/o", str(years)), (f"{years}F", str(years)),
                                  (f"aged {years}", str(years)), ("ninety-four year old", "ninety"), (f"{years} Jahre", str(years)),
                                  (f"{years} ans", str(years)), (f"{years}-jährige", str(years))))  # fmt: skip
    return f"A {written} person.", Identifiers(), (secret,)


def _serial(rng: random.Random):
    number = f"{rng.choice('ABCD')}{_digits(rng, 4)}{rng.choice('XYZ')}"
    return f"Pacemaker, {rng.choice(('serial number', 'S/N:', 'lot no.', 'serial #'))} {number}.", Identifiers(), (number,)


KINDS = {
    "name known to the header": _header_name,
    "part of a double name": _part_of_a_double_name,
    "name announced by the report": _announced_name,
    "number known to the header": _header_number,
    "number after a label": _labelled_number,
    "national number": _national_number,
    "date": _date,
    "time of day": _time,
    "telephone": _phone,
    "place": _place,
    "place known to the header": _header_place,
    "net address or file": _web,
    "age of 90 and more": _old_age,
    "serial number": _serial,
}
