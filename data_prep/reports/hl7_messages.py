"""HL7 v2 files to messages, and the texts in them as they were meant.

    FHS|..  BHS|..  MSH|^~\\&|... MSH|...   in batches or end to end, framed by MLLP or not,
    segments ended by CR, LF or both; lines that open no segment go on the one above

`hl7` (python-hl7) takes messages apart. Escape sequences are undone here: the library's way drops the bytes of other character
sets and logs what it cannot undo, which quotes the report.
"""

import re

import hl7

from data_prep.files.encodings import decode_text, with_plain_breaks

_FRAMES = bytes.maketrans(b"\x0b\x1c", b"\r\r")
_START = re.compile(rb"\s*(?:\xef\xbb\xbf)?[\s\x0b]*(?:MSH|FHS|BHS)[^\w\s]")
_MESSAGE = re.compile(rb"^[ \t]*MSH(?=[^\w\s])", re.MULTILINE)
_ENVELOPE = re.compile(r"(?:FHS|FTS|BHS|BTS)\W")
_CODECS = {
    "8859/1": "cp1252",
    "UNICODE UTF-16": "utf-16",
    "ISO IR87": "iso2022_jp",
    "GB 18030-2000": "gb18030",
    "KS X 1001": "euc_kr",
    "CNS 11643-1992": "euc_tw",
    "BIG-5": "big5",
    **{f"8859/{part}": f"iso8859-{part}" for part in (2, 3, 4, 5, 6, 7, 8, 9, 15)},
}
"""HL7 table 0211 to Python's names; UTF-8 and ASCII are what `decode_text` takes by itself."""


def is_hl7(content: bytes) -> bool:
    """Whether bytes open with a message or a batch of them."""
    return _START.match(content[:200]) is not None


def split_messages(content: bytes) -> list[bytes]:
    """The messages of a file, one by one; envelopes of batches are left out, and so is what stands above the first message."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        content = decode_text(content).encode()
    content = content.removeprefix(b"\xef\xbb\xbf").translate(_FRAMES)
    content = re.sub(rb"\r\n?|\n", b"\n", content)
    starts = [match.start() for match in _MESSAGE.finditer(content)]
    return [content[start:end] for start, end in zip(starts, [*starts[1:], len(content)], strict=True)]


def parse_message(message: bytes) -> tuple[hl7.Message, str]:
    """A message taken apart, and the codec of its escaped bytes, empty where it names none.

    Raises:
        ValueError: its header holds no separators.
    """
    header = message.split(b"\n", 1)[0].strip().decode("latin-1")
    separator = header[3]
    fields = header.split(separator)
    if len(fields) < 9 or not 2 <= len(fields[1]) <= 6:
        raise ValueError("no message header")
    charset = fields[17].split("~")[0].strip().upper() if len(fields) > 17 else ""
    codec = _CODECS.get(charset, "")
    try:
        text = message.decode(codec) if codec else decode_text(message)
    except (UnicodeDecodeError, LookupError):
        text = decode_text(message)
    escape = fields[1][2] if len(fields[1]) > 2 else "\\"
    segments: list[str] = []
    for line in text.split("\n"):
        if re.match(r"[A-Z][A-Z0-9]{2}(?:" + re.escape(separator) + r"|\s*$)", line.lstrip()):
            segments.append(line.lstrip())
        elif segments:
            segments[-1] += f"{escape}.br{escape}{line}"
    kept = [segment for segment in segments if not _ENVELOPE.match(segment)]
    return hl7.parse("\r".join(kept)), codec


def plain(field: str, message: hl7.Message, codec: str) -> str:
    r"""The text of a field without escapes: `\F\` and its like, `\.br\`, `\X0D\`; other ones give nothing."""
    escape = str(message.esc)
    if escape not in field:
        return field
    _, separator, repetition, component, subcomponent = message.separators
    named = {"F": separator, "R": repetition, "S": component, "T": subcomponent, "E": escape, ".br": "\n", ".ce": "\n"}
    mark = re.escape(escape)

    def undo(match: re.Match[str]) -> str:
        inside = match[1]
        if inside in named:
            return named[inside]
        if inside[:1] == "X":
            return _from_hex(inside[1:], codec)
        if inside[:3] in (".sp", ".sk", ".in", ".ti"):
            times = int(inside[3:].strip(" +")) if inside[3:].strip(" +").isdigit() else 1
            return ("\n" if inside.startswith(".sp") else " ") * min(times, 80)
        return ""

    # Only what can be a sequence: a lone backslash stays.
    return re.sub(rf"{mark}([FRSTEHN]|\.[a-z]{{2}}[ +-]?\d*|[XZ][^{mark}\s]*|[CM][0-9A-Fa-f]+){mark}", undo, field)


def _from_hex(digits: str, codec: str) -> str:
    try:
        data = bytes.fromhex(digits)
    except ValueError:
        return ""
    return with_plain_breaks(data.decode(codec, errors="replace") if codec else decode_text(data))
