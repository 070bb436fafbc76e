"""What identifies by its shape or its trigger alone, as regular expressions over report text.

Every pattern needs a trigger (a title, a label, the shape of a date), so that disease names survive. Where a trigger is
matched before what identifies, it stands in a look-behind or in the group `keep`, which the scrub leaves in place; the groups
`weak` and `person` are explained in `pattern_persons`. Repeats are bounded and never nested over the same letters, so that no
text takes long.
"""

import re

from data_prep.privacy.pattern_dates import DATES, TIMES
from data_prep.privacy.pattern_numbers import IDS, REACH, ROOMS
from data_prep.privacy.pattern_persons import ANNOUNCED, PERSONS
from data_prep.privacy.pattern_places import PLACES

_UNITS_OF_AGE = (
    r"(?=[ \t-]*(?:years?\b|yrs?\b|yo\b|y/o|y\.o\.|y\b|year-old|jährig|jahre?\b|j\.|ans\b|años|anni\b|anos\b|"
    r"jarige|jaar\b|år\b|yom\b|yof\b))"
)
_NINETIES = (
    r"(?:ninety(?:[ -](?:one|two|three|four|five|six|seven|eight|nine))?|(?:one|"
    r"a)[ -]hundred(?:[ -](?:and[ -])?\w{3,9})?|neunzig|nonagenarian|centenarian)"
)
_OLD_AGES = (
    rf"\b(?:9\d|1[01]\d|120){_UNITS_OF_AGE}",
    r"\b(?:9\d|1[01]\d)(?=[mf]\b)|\b(?:9\d|1[01]\d)(?=[ ](?-i:[MF])[ \t]+(?:with|w/|presents|s/p|who|here|admitted|from))",
    r"\b(?P<keep>(?:aged|age|age[ \t]*:|age of|alter|alter:|[âa]ge d|edad|età|idade|leeftijd)[ \t:]+)(?:9\d|"
    r"1[01]\d)\b(?!\.\d)",
    rf"\b{_NINETIES}(?=[ -](?:year|yr|y/?o\b))|\b(?:nonagenarian|centenarian)\b",
    r"\b(?P<keep>in (?:his|her|their)[ \t]+(?:early |mid |late )?)(?:nineties|90['’]?s)\b",
)
_TOKENS = (
    r"\[\*\*[^\n]{0,200}?\*\*\]",
    r"(?-i:X{4,})",
    r"(?<![\w_])_{3}(?![\w_])",
    r"<(?:name|date|phone|id|location|hospital|patient|doctor)>",
)
"""What other data sets put in place of identifiers."""


def _compiled(patterns: tuple[str, ...]) -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(pattern, re.IGNORECASE) for pattern in patterns)


NAMED_PERSONS = _compiled(ANNOUNCED)
"""Where a report itself says who somebody is, in the group `name`."""

DIGIT_PATTERNS = _compiled((*DATES, *TIMES, *IDS, *ROOMS))
"""Those that match nothing without a digit."""

PATTERNS = _compiled((*_TOKENS, *REACH, *PLACES, *_OLD_AGES))
"""Those of tokens, addresses and ages; spans may overlap."""

PERSON_PATTERNS = _compiled(PERSONS)
"""Those of persons: within an eponym they find none."""
