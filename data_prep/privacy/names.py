"""Where the names that a study knows stand in its report, in whatever form they were dictated.

    known  "Müller-Lang^Ana María^^Dr"        text  "Mrs. MUELLER", "A. Lang", "muller, ana", "Anamaria Muller's", "mullerana"

A name is cut into words, each reduced to a key (small letters, no accents, ae = ä = a), so that spelling habits do not matter.
A word of the text that has a known key goes, but for one that reports also use in its plain sense ("long", "Ng"): that goes
only beside another known word, after a title or known initial, or where its capital letter is owed to nothing else.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from data_prep.privacy.report_words import REPORT_WORDS, SENTENCE_WORDS

Span = tuple[int, int]

PARTICLES = frozenset(
    re.findall(
        r"\w+",
        """
    van von de del della di da dos das du der den des la le el al bin ibn ter ten zu zur y e abu st
    """,
    )
)
_NO_NAMES = PARTICLES | frozenset(
    re.findall(
        r"\w+",
        """
    md dr mr mrs ms do rn np pa jr sr ii iii iv phd prof miss the of and herr frau med mme mlle dott sig sra dra
    unknown anonymous anon anonymized none na test patient doe name baby boy girl newborn infant unnamed null nil
    """,
    )
)
_SPECIAL = str.maketrans(
    {"ß": "ss", "ø": "o", "ł": "l", "æ": "ae", "œ": "oe", "đ": "d", "ð": "d", "þ": "th", "ı": "i", "’": "'"}
)
_GERMAN = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue"})
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_IDEOGRAPHS = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+")
_SEPARATORS = re.compile(r"[\s=,.;()/\\&_-]+")
TITLE_BEFORE = re.compile(
    r"\b(?:mr|mrs|ms|miss|dr|drs|prof|doctor|patient|pt|name|nurse|herr|frau|herrn|mme|mlle|sr|sra|dra|dott|sig)\b[.:]?[ \t]*$",
    re.IGNORECASE,
)
"""Matches text that ends in a title: what follows is a person."""
_MIDDLE_INITIAL = re.compile(r"(?:[ \t^]+(?!I[ \t])[A-Z](?:\.|(?=[ \t,;)^]))|,[ \t]*[A-Z]\.)(?!\w)")
_LOOK_BACK = 24
SHORT = 3
"""Words of at most this many letters are abbreviations too ("ED", "NG"): in capitals alone they are no name."""


@dataclass(frozen=True)
class KnownNames:
    """The keys of the words of names, the first letters of words, and names in ideographs, which have no blanks."""

    keys: frozenset[str]
    initials: frozenset[str]
    ideographs: tuple[str, ...]
    particles: frozenset[str]


def key_of(word: str) -> str:
    """What equal names share: "Müller", "MUELLER", "muller's" and "Muller" have one key."""
    if not word.isascii():
        word = unicodedata.normalize("NFC", word)
    word = word.lower().translate(_SPECIAL)
    word = word.removesuffix("'s").removesuffix("s'").replace("'", "")
    if not word.isascii():
        word = "".join(
            char for char in unicodedata.normalize("NFD", word.translate(_GERMAN)) if not unicodedata.combining(char)
        )
    if len(word) >= 6 and word.startswith("mac"):
        word = "mc" + word[3:]
    if len(word) >= 5:
        word = word.replace("ae", "a").replace("oe", "o").replace("ue", "u")
    return word


@lru_cache(maxsize=4096)
def known_names(names: tuple[str, ...]) -> KnownNames:
    """The words of names; titles, particles, initials and numbers are none of their own."""
    keys: set[str] = set()
    initials: set[str] = set()
    ideographs: set[str] = set()
    particles: set[str] = set()
    for name in names:
        for group in name.split("="):
            components = [_SEPARATORS.split(component.strip()) for component in group.split("^")[:3]]
            plain = [[part for part in parts if part and not any(char.isdigit() for char in part)] for parts in components]
            signs = [sign for parts in plain for part in parts for sign in _IDEOGRAPHS.findall(part)]
            ideographs |= {sign for sign in (*signs, "".join(signs)) if len(sign) > 1}
            words = [[part for part in parts if not _IDEOGRAPHS.search(part)] for parts in plain]
            particles |= {part.lower() for parts in words for part in parts if part.lower() in PARTICLES}
            initials |= {key_of(part)[0] for parts in words for part in parts if key_of(part) and key_of(part) not in _NO_NAMES}
            keys.update(_keys_of(words))
    return KnownNames(frozenset(keys), frozenset(initials), tuple(sorted(ideographs)), frozenset(particles))


def _keys_of(components: list[list[str]]) -> Iterator[str]:
    """Keys of words, of neighbours written as one ("DelaCruz", "MaryAnn"), and of family and given name joined."""
    words = [[part for part in parts if len(part) > 1] for parts in components]
    for parts in words:
        keys = [key_of(part) for part in parts]
        yield from (key for key in keys if len(key) > 1 and key not in _NO_NAMES)
        yield from (key for part in parts if "'" in part.replace("’", "'") for key in _after_apostrophe(part))
        for start in range(len(keys)):
            joined = [key_of("".join(parts[start:end])) for end in range(start + 2, len(parts) + 1)]
            yield from (key for key in joined if len(key) > 4 and key not in REPORT_WORDS)
    if len(words) > 1 and words[0] and words[1]:
        for family in words[0]:
            for given in words[1]:
                if len(family) + len(given) > 6:
                    yield from (key_of(family + given), key_of(given + family))
                if len(family) > 4:
                    yield from (
                        key for key in (key_of(given[0] + family), key_of(family + given[0])) if key not in REPORT_WORDS
                    )


def _after_apostrophe(part: str) -> list[str]:
    """Of "O'Neil" the "neil" of "O Neil"."""
    last = key_of(re.split("['’]", part)[-1])
    return [last] if len(last) > 3 else []


def name_spans(text: str, names: tuple[str, ...]) -> list[Span]:
    """Spans of the text that are the names known, or parts of them."""
    known = known_names(names)
    if not known.keys and not known.ideographs:
        return []
    spans = [match.span() for sign in known.ideographs for match in re.finditer(re.escape(sign), text)]
    words = [word for word in _WORD.finditer(text) if len(word.group()) > 1 or word.group() in "OD"]
    keys = [key_of(word.group()) for word in words]
    hits = {place for place, key in enumerate(keys) if key in known.keys or _is_possessive(key, known)}
    hits |= {
        one
        for place in range(len(words) - 1)
        if words[place].group()[0].isupper()
        and words[place + 1].start() - words[place].end() <= 1
        and key_of(words[place].group() + words[place + 1].group()) in known.keys
        and (words[place + 1].group()[0].isupper() or not {keys[place], keys[place + 1]} <= REPORT_WORDS)
        for one in (place, place + 1)
    }
    shouting = text.upper() == text
    for place in sorted(hits):
        word = words[place]
        beside = any(other in hits and _adjacent(text, words[min(place, other)], words[max(place, other)])
                     and _one_is_a_name(words[place], words[other], shouting) for other in (place - 1, place + 1))  # fmt: skip
        initial = _initial_before(text, word, known)
        plain = keys[place] in REPORT_WORDS or word.group().lower() in REPORT_WORDS or len(word.group()) <= SHORT - 1
        if beside or initial is not None or not plain or _titled(text, word) or _stands_as_name(text, word, shouting):
            start = word.start() if initial is None else initial
            spans.append((_with_particles(text, start, known), _end_with_initial(text, word)))
    return spans


def _is_possessive(key: str, known: KnownNames) -> bool:
    """Whether it is a longer known name with an s that lost its apostrophe."""
    return (
        len(key) > 4 and key[-1] == "s" and key not in REPORT_WORDS and key[:-1] in known.keys and key[:-1] not in REPORT_WORDS
    )


def _one_is_a_name(word: re.Match[str], other: re.Match[str], shouting: bool) -> bool:
    """Whether two known neighbours are a name: "small, long" of a patient Small Long is none, "Small, Long" is."""
    if shouting:
        return True
    return any(one.group()[0].isupper() or one.group().lower() not in REPORT_WORDS for one in (word, other))


def _adjacent(text: str, first: re.Match[str], second: re.Match[str]) -> bool:
    gap = text[first.end() : second.start()]
    return bool(re.fullmatch(r"[ \t]*[,^-]?[ \t]*(?:[A-Za-z]\.?[ \t]+)?(?:(?:van|von|der|den|de|la|del|di|da)[ \t]+)*", gap))


def _titled(text: str, word: re.Match[str]) -> bool:
    return bool(TITLE_BEFORE.search(text[max(0, word.start() - _LOOK_BACK) : word.start()]))


def _initial_before(text: str, word: re.Match[str], known: KnownNames) -> int | None:
    """Where known initials before the word begin ("J. Smith", "J.A. Smith"); None where there are none."""
    start = max(0, word.start() - 10)
    found = re.search(r"(?<![\w.])(?:([^\W\d_])\.?[ ]?){1,2}[ ]?$", text[start : word.start()])
    if found is None or not word.group()[0].isupper() or found.group() != found.group().upper():
        return None
    letters = [key_of(char) for char in found.group() if char.isalpha()]
    # "a Long tube", "stage I. Long": an article or a numeral is an initial only with its point, and if it is known.
    with_point = "." in found.group()
    if letters and all(letter in known.initials for letter in letters) and (with_point or letters[0] not in "aibct"):
        return start + found.start()
    return None


def _with_particles(text: str, start: int, known: KnownNames) -> int:
    """The start moved before "van der" and the like, where the name has them."""
    if not known.particles:
        return start
    while match := re.search(r"(?<!\w)([^\W\d_]{1,5})[ \t]+$", text[max(0, start - _LOOK_BACK) : start]):
        if match[1].lower() not in known.particles:
            break
        start -= len(match[0])
    return start


def _end_with_initial(text: str, word: re.Match[str]) -> int:
    """The end of the word and of a middle initial that follows it."""
    initial = _MIDDLE_INITIAL.match(text, word.end())
    return initial.end() if initial else word.end()


def _stands_as_name(text: str, word: re.Match[str], shouting: bool) -> bool:
    """A plain word that is also a known name: taken for the name where its capital is not owed to a sentence or a heading."""
    if shouting or not word.group()[0].isupper() or (word.group().isupper() and len(word.group()) <= SHORT):
        return False
    if len(word.group()) == 2 and word.group().lower() not in SENTENCE_WORDS:
        # Abbreviations stand in capitals: "Ng" is no tube.
        return True
    line = text[text.rfind("\n", 0, word.start()) + 1 : word.start()]
    if line.isupper() and word.group().isupper():
        return False
    before = text[max(0, word.start() - _LOOK_BACK) : word.start()].rstrip(" \t")
    return bool(before) and before[-1] not in ".:;!?\n-*•)(/" and not before[-1].isdigit()
