"""Whether a text is a report at all: with something read from the picture, not a form that nobody filled in.

"FINDINGS: [ ]"  "Dictated. See PACS."  "Report to follow"  -> template_only_report
"ADDENDUM: Dr. X was told."                                  -> addendum_only_report
"Normal chest."                                              -> a report
"""

import re

from data_prep.ledger import Reason
from data_prep.reports.section_titles import ADDENDUM, without_accents
from data_prep.reports.sections import MAIN_SECTIONS, READ_SECTIONS, find_sections, is_empty, outline, untitled

_NOTHING_READ = MAIN_SECTIONS - READ_SECTIONS | {"SIGNATURE"}
_FIELD = re.compile(
    r"\[[^\[\]\n]{0,60}\]|<<.{0,80}?>>|<[^<>\n]{1,60}>|\{[^{}\n]{0,60}\}|\*{3,}|_{2,}|\.{3,}|\bx{3,}\b|\$\w+\$?|%\w+%|"
    r"^[^\n:]{1,40}:[ \t]*$",
    re.IGNORECASE | re.MULTILINE,
)
"""What forms put where a person has to write, and lines that ask without an answer."""
_REPORT = r"(?:report|dictation|interpretation|read|reading|reports)"
_FILLER = re.compile(
    "|".join(
        (
            r"(?:report )?(?:already )?dictated(?: report)?(?: separately)?(?:,? (?:please )?see (?:pacs|ris|epic|chart))?",
            r"(?:please )?(?:see|refer to)(?: the)? (?:pacs|ris|epic|chart)(?: for .*)?",
            rf"(?:please )?(?:see|refer to)(?: the)?(?: \w+){{0,3}} {_REPORT}(?: .*)?",
            rf"(?:formal |final |full |official )?{_REPORT} (?:is |will )?(?:to )?(?:follow|be dictated|pending|not available|"
            r"unavailable|"
            r"in progress|under separate cover|issued separately)",
            rf"(?:there is )?(?:no|none|without)(?: formal| radiology| written| official)? {_REPORT}"
            r"(?: available| issued| required| given| found)?",
            rf"(?:awaiting|pending)(?: \w+)?(?: {_REPORT}| verification| review| results?)?",
            r"(?:not yet|not|to be) (?:reported|dictated|determined|read)|unreported|unread",
            r"(?:this is )?(?:a |only a )?(?:test|dummy|sample|training|demo)"
            r"(?: (?:report|entry|patient|message|study|data|text|only|exam|case))*(?: \d+)?"
            r"(?:,? (?:please )?(?:ignore|disregard|delete))?",
            r"(?:please )?(?:ignore|disregard|delete)(?: this.*)?|do not (?:use|report|read)",
            r"lorem ipsum.*|dolor sit amet.*|asdf\w*|foo|bar|abc|qwerty",
            r"n/?a|tbd|tba|nil|null|nan|none|not applicable|blank|empty|default|template|macro|free text",
            r"(?:exam|examination|study|order|procedure)(?: was)?(?: has been)? "
            r"(?:cancelled|canceled|not performed|not done|deleted)",
            r"(?:entered|ordered|performed) in error|duplicate (?:order|exam|entry|study)|images only|for images only",
            r"(?:enter|type|insert|dictate|add)(?: \w+){0,2} (?:here|text|findings|impression)",
            r"(?:befund|bericht)(?: \w+)? (?:folgt|ausstehend|steht aus|nicht vorhanden)|befund s\. ?o\.?|testbefund",
            r"siehe(?: \w+)? (?:befund|bericht|pacs)(?: .*)?|kein (?:bericht|schriftlicher befund)(?: vorhanden)?",
            r"(?:compte[- ]rendu|cr) (?:a suivre|a venir|en attente|non disponible)|"
            r"voir(?: le)? compte[- ]rendu.*|pas de compte[- ]rendu",
            r"(?:informe|reporte) (?:pendiente|no disponible|por realizar)|ver informe.*|sin informe",
            r"referto (?:a seguire|in attesa|non disponibile)|vedi referto.*|"
            r"laudo (?:pendente|a seguir|nao disponivel)|ver laudo.*|sem laudo",
        )
    ),
    re.IGNORECASE,
)
_SENTENCE = re.compile(r"[.;!\n]+(?:\s|$)|\n|\s-+\s")


def reason_against(text: str) -> Reason | None:
    """Why a text is no report of its own: empty, a form without words of anybody's, an addendum alone; None for a report."""
    if not re.search(r"[^\W\d_]{2}", text):
        return Reason.EMPTY_REPORT
    if is_empty(text) or is_template(text):
        return Reason.TEMPLATE_ONLY_REPORT
    if is_addendum(text):
        return Reason.ADDENDUM_ONLY_REPORT
    return None


def is_template(text: str) -> bool:
    """Whether nothing but fields to fill in and sentences that point elsewhere stand where something read should.

    Where FINDINGS or IMPRESSION are titled, what stands below INDICATION, COMPARISON and their like does not count.
    """
    pieces = outline(text)
    if any(piece.name in READ_SECTIONS for piece in pieces):
        for piece in reversed(pieces):
            if piece.name in _NOTHING_READ:
                text = text[: piece.start] + "\n" + text[piece.end :]
    # Twice: a line that asks is bare only once its field is gone.
    bare = _FIELD.sub("\n", _FIELD.sub("\n", untitled(text)))
    sentences = [" ".join(without_accents(one).split()).strip(" -.,:*()") for one in _SENTENCE.split(bare)]
    return all(not re.search(r"[^\W\d_]{2}", one) or _FILLER.fullmatch(one) for one in sentences)


def is_addendum(text: str) -> bool:
    """Whether a text opens with an addendum and holds nothing of the report that it adds to."""
    pieces = outline(text)
    if not pieces or pieces[0].name != ADDENDUM or re.search(r"[^\W\d_]{2}", text[: pieces[0].start]):
        return False
    return all(name.startswith(ADDENDUM) for name in find_sections(text))
