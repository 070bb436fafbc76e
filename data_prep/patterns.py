"""What identifies by its shape alone, as regular expressions over report text.

Every pattern needs a trigger (a title, a label, the shape of a date), so that disease names survive. Where a trigger is matched
before what identifies, it stands in a look-behind or in the group `keep`, which the scrub leaves in place.
"""

import re

_MONTHS = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|"
    r"sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)"
)
_YEAR = r"(?:19|20)\d\d"
_DAY = r"\d{1,2}(?:st|nd|rd|th)?"
_NO_LENGTH = r"(?![ \t]*(?:cm|mm|ml|cc|mg)\b)"
_NAME = r"(?-i:(?:[A-Z][\w'’]*\.?)(?:-[A-Z][\w'’]*)*)"
_NOT_A_NAME = (
    r"(?!(?:was|were|is|has|had|at|on|by|of|the|and|with|in|to|for|from|who|via|as|if|[ai](?!\.)|no|not|this|that|an|am|pm|"
    r"notified|informed|stated|states|reports|read|reviewed|agrees|denies|presents|complains|findings|impression|indication|"
    r"history|comparison|technique|conclusion|examination|exam|chest|radiology|recommendation|addendum)\b)"
)
_PARTICLES = r"(?:(?:de|van|von|den|der|da|del|di|la|le|el|bin|ter)[ \t]+){0,3}"
_NAMES = rf"{_PARTICLES}{_NOT_A_NAME}{_NAME}(?:,?[ \t]+{_PARTICLES}{_NOT_A_NAME}{_NAME}){{0,2}}"
_TITLES = r"(?:dr|drs|doctor|prof|professor|mr|mrs|ms|miss|mister|nurse)"
_DID = (
    r"(?:signed|dictated|transcribed|approved|verified|interpreted|reported|read|finalized|reviewed|authenticated|called|"
    r"communicated|relayed|reported|discussed|conveyed|telephoned|paged)"
)
_ROLES = (
    r"(?:attending|radiologist|resident|fellow|technologist|referring physician|ordering physician|physician|requested by|"
    r"referrer|patient name|patient|name|signed|dictated by|author|provider|surgeon|consultant)"
)
_NUMBERED = (
    r"(?:mrn|m\.r\.n\.|medical record|acc(?:ession)?|patient id|pat\.? id|study id|exam id|order|account|ssn|nhs|encounter|"
    r"visit|case|hospital)"
)
_STREET = r"(?-i:Street|St|Road|Rd|Avenue|Ave|Lane|Ln|Drive|Boulevard|Blvd|Court|Way|Place)"
_HOUSE = r"(?-i:Hospital|HOSPITAL|Medical Center|MEDICAL CENTER|Clinic|Infirmary|Health System)"

_DATES = (
    rf"\b{_YEAR}[-./](?:0?[1-9]|1[0-2])[-./](?:0?[1-9]|[12]\d|3[01])(?:T\d[\d:.]*Z?)?\b",
    rf"\b\d{{1,2}}/\d{{1,2}}/(?:{_YEAR}|\d\d)\b{_NO_LENGTH}",
    rf"\b\d{{1,2}}[-.]\d{{1,2}}[-.]{_YEAR}\b",
    # With points or hyphens and two digits of year, only what can be a date: "3.5.10" may be a list or sizes.
    r"(?<![\d.-])(?:0[1-9]|[12]\d|3[01])[-.](?:0[1-9]|1[0-2])[-.]\d\d(?![\d.-])" + _NO_LENGTH,
    r"(?<![\d.-])(?:0[1-9]|1[0-2])[-.](?:0[1-9]|[12]\d|3[01])[-.]\d\d(?![\d.-])" + _NO_LENGTH,
    rf"\b{_DAY}[ \t]*[-.,/]?[ \t]*(?:of[ \t]+)?(?!may[ \t]+[a-z]){_MONTHS}\.?\b"
    rf"(?:[ \t]*[-.,/]?[ \t]*(?:{_YEAR}|['’]?\d\d\b){_NO_LENGTH})?",
    rf"\b{_MONTHS}\.?[ \t]+{_DAY}(?:[ \t]*,?[ \t]+{_YEAR})?\b{_NO_LENGTH}",
    rf"\b{_MONTHS}\.?[ \t,/-]*(?:of[ \t]+)?{_YEAR}\b",
    rf"\b(?:0?[1-9]|1[0-2])/{_YEAR}\b",
    r"(?:(?<=\bon )|(?<=\bfrom )|(?<=\bdated )|(?<=\bsince )|(?<=\bto ))(?:0?[1-9]|[12]\d|3[01])/"
    r"(?:0?[1-9]|[12]\d|3[01])\b(?![/\d])",
    rf"(?:(?<=\bin )|(?<=\bsince )|(?<=\bfrom )|(?<=\bof )|(?<=\bcirca )|(?<=\byear )){_YEAR}\b{_NO_LENGTH}",
    rf"\b{_YEAR}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])\b",
    r"\b\d{1,2}:\d\d(?::\d\d)?[ \t]*(?:[ap]\.?m\b\.?|hours\b|hrs\b|h\b)|(?<=\bat )\d{1,2}:\d\d(?::\d\d)?\b",
)
_REACH = (
    r"\b[\w.+-]+@[\w-]+(?:\.[\w-]+)+",
    r"\b(?:https?://|www\.)\S+[^\s.,;)]",
    r"\b\d{1,3}(?:\.\d{1,3}){3}\b",
    r"(?:\+\d{1,3}[ .-]?)?(?:\(\d{3}\)[ .-]?|\b\d{3}[ .-])\d{3}[ .-]\d{4}\b(?:[ \t]*(?:x|ext\.?)[ \t]*\d+)?",
    r"\+\d[\d ().-]{7,}\d\b",
    r"\b(?P<keep>(?:phone|tel(?:ephone)?|fax|pager|beeper|ext(?:ension)?|cell|mobile)\b[ \t#:.no]*)\+?\d[\d .()-]{2,}\d",
)
_NUMBERS = (
    r"\b\d{3}-\d{2}-\d{4}\b",
    rf"\b(?P<keep>{_NUMBERED}(?:[ \t]*(?:no\.?|number|num\.?|#))?[ \t]*(?:[:#][ \t]*|[ \t](?=\S*\d{{3}})))(?=[\w/-]*\d)[\w/-]+",
    r"\b(?P<keep>(?:dob|d\.o\.b\.|date of birth|born)\b[ \t:]*)[\d/.-]+",
    r"\b(?:[A-Z]{1,4}-?)?\d{6,}\b(?!\.\d)",
    r"\b[A-Z]{1,3}\d{5,}\b",
    r"\b\d+(?:\.\d+){5,}\b",
)
_PLACES = (
    rf"\b\d{{1,5}}[ \t]+(?:{_NAME}[ \t]+){{1,3}}{_STREET}\b\.?"
    rf"(?:,[ \t]*{_NAME}(?:[ \t]{_NAME})?)?(?:,?[ \t]+(?-i:[A-Z]{{2}}))?(?:[ \t]+\d{{5}}(?:-\d{{4}})?)?",
    rf"\b(?:{_NOT_A_NAME}(?-i:St\.?|[A-Z][\w'’]+)[ \t]+){{1,3}}{_HOUSE}\b",
)
_PERSONS = (
    rf"\b{_TITLES}\b\.?[ \t]+{_NAMES}",
    rf"\b(?:dr|drs|mr|mrs|ms)\.[ \t]*{_NOT_A_NAME}[a-z][\w'’-]+",
    rf"\b{_NAMES}(?:,[ \t]*|[ \t]+)(?-i:M\.?D\b\.?|D\.O\.|MBBS|FRCR|R\.N\.|RN\b|PA-C\b|NP\b|Ph\.?D\b\.?)",
    rf"\b(?P<keep>{_DID}[ \t]+(?:by|to|with)[ \t]*:?[ \t]+){_NAMES}",
    rf"\b(?P<keep>{_ROLES}[ \t]*:[ \t]*){_NAMES}",
    # A person by place in the sentence: "Patient Jane Roe, DOB ..."
    rf"\b(?P<keep>(?-i:[Pp]atient|PATIENT|Pt\.?)[ \t]+){_NAMES}(?=[ \t]*[,(;][ \t]*(?:dob|d\.o\.b\.|date of birth|born|mrn|"
    r"patient id|\d{1,3}[ -]?(?:y/?o|years?)|aged?)\b)",
)
_OLD_AGES = (
    r"\b(?:9\d|1[01]\d|120)(?=[ \t-]*(?:years?|yrs?|yo\b|y/o|y\.o\.|y\b|year-old|[mf]\b))",
    r"(?:(?<=\baged )|(?<=\bage )|(?<=\bage: )|(?<=\bage of ))(?:9\d|1[01]\d)\b(?!\.\d)",
)
_TOKENS = (r"\[\*\*.*?\*\*\]", r"(?-i:X{4,})")
"""What other data sets put in place of identifiers."""

NAMED_PERSONS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"\b(?:patient name|name of patient|patient|name)[ \t]*:[ \t]*(?P<name>{_NAMES})",
        rf"\b(?:{_DID}[ \t]+by|{_ROLES}[ \t]*:|{_TITLES}\b\.?)[ \t:]*(?:{_TITLES}\b\.?[ \t]+)?(?P<name>{_NAMES})",
    )
)
"""Where a report itself says who somebody is: the group `name` may stand anywhere else in it without a trigger."""

PATTERNS = tuple(
    re.compile(pattern, re.IGNORECASE) for pattern in (*_TOKENS, *_DATES, *_REACH, *_NUMBERS, *_PLACES, *_PERSONS, *_OLD_AGES)
)
"""All of them; spans may overlap."""

TITLE_BEFORE = re.compile(r"\b(?:mr|mrs|ms|miss|dr|doctor|prof|patient|name)\b[.:]?[ \t]*$", re.IGNORECASE)
"""Matches text that ends in a title: what follows is a person."""
