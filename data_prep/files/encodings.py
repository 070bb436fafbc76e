"""Bytes of tables and reports to text, and one kind of line break.

A byte-order mark decides (UTF-8, UTF-16, UTF-32). Without one a file is UTF-8 as far as its lines are, and each line that is
not is Windows-1252, which holds Latin-1: exports that were put together from several systems mix both. Other 8-bit code pages
(Windows-1250 and -1251, Mac Roman) cannot be told from it and are read as it, so that their accented letters come out wrong.
Text that was decoded wrongly before it came here ("Ã©") is left as it is.
"""

import codecs
import re

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    # UTF-32 little endian begins as UTF-16 does.
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_BREAKS = re.compile("\r\n|[\r\v\f\x85\u2028\u2029]")


def decode_text(content: bytes) -> str:
    """The text of bytes in UTF-8, UTF-16 or UTF-32 with a mark, UTF-8, Windows-1252, or the latter two line by line."""
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return content[len(mark) :].decode(encoding, errors="replace")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return "".join(_decode_line(line) for line in content.splitlines(keepends=True))


def _decode_line(line: bytes) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        return line.decode("cp1252", errors="replace")


def with_plain_breaks(text: str) -> str:
    r"""The text with `\n` for every kind of line break, vertical tabs and form feeds of word processors among them."""
    return _BREAKS.sub("\n", text)
