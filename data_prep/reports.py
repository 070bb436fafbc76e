"""Where the sections of a report begin and end.

    " FINDINGS: The lungs are clear.\n\n IMPRESSION: Normal.\n"
      FINDINGS -> offsets of "The lungs are clear."    IMPRESSION -> offsets of "Normal."

Offsets are in the text given, which is the scrubbed one, so that they hold for the `.txt` member as written.
"""

import re

from cxrpt.data.sample import DEID_TOKEN

_KNOWN = (
    "findings|impression|impressions|conclusion|conclusions|indication|indications|clinical indication|clinical information|"
    "clinical history|history|reason for exam|reason for examination|comparison|comparisons|technique|examination|exam|study|"
    "procedure|recommendation|recommendations|addendum|opinion|interpretation|summary|notification|final report|wet read"
)
_TITLE = re.compile(rf"^[ \t]*((?-i:[A-Z][A-Z0-9 /&,()'-]{{2,60}}?)|(?:{_KNOWN}))[ \t]*:", re.MULTILINE | re.IGNORECASE)
_ONE_NAME = {
    "IMPRESSIONS": "IMPRESSION",
    "CONCLUSION": "IMPRESSION",
    "CONCLUSIONS": "IMPRESSION",
    "OPINION": "IMPRESSION",
    "INDICATIONS": "INDICATION",
    "CLINICAL INDICATION": "INDICATION",
    "REASON FOR EXAM": "INDICATION",
    "REASON FOR EXAMINATION": "INDICATION",
    "COMPARISONS": "COMPARISON",
    "FINDING": "FINDINGS",
    "EXAM": "EXAMINATION",
}
"""Spellings of the sections that training chooses by name."""


def find_sections(text: str) -> dict[str, tuple[int, int]]:
    """Upper-case title -> (start, end) of its body without blanks around it; empty bodies are left out.

    A title stands at the start of a line and ends in a colon, in capitals or as one of the usual words. Of titles that
    come twice the first with a body counts: addenda stand below.
    """
    titles = list(_TITLE.finditer(text))
    sections: dict[str, tuple[int, int]] = {}
    for match, following in zip(titles, [*titles[1:], None], strict=False):
        title = " ".join(match.group(1).upper().split())
        title = _ONE_NAME.get(title, title)
        start, end = match.end(), following.start() if following else len(text)
        body = text[start:end]
        start += len(body) - len(body.lstrip())
        end = start + len(body.strip())
        if end > start and title not in sections:
            sections[title] = (start, end)
    return sections


def is_empty(text: str) -> bool:
    """Whether nothing but titles, tokens and punctuation is left of a report."""
    bare = _TITLE.sub("", text).replace(DEID_TOKEN, "")
    return not re.search(r"[^\W\d_]{2}", bare)
