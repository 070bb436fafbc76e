"""The frame of an encapsulated picture, and what it says about itself, before a codec allocates anything by its word.

    PixelData ─► offset table (ignored: it is often wrong) + fragments ─► one frame ─► Codestream(width, height, ...)

JPEG: ITU-T T.81 B.2.2; JPEG-LS: T.87 C.2.2; JPEG 2000: T.800 A.5.1; RLE: DICOM PS3.5 annex G.
"""

import struct
from dataclasses import dataclass, replace

from pydicom.encaps import generate_fragments, parse_basic_offsets
from pydicom.uid import JPEG2000TransferSyntaxes, RLELossless

from data_prep.ledger import Reason
from data_prep.pictures.refused import Refused

_START_OF_IMAGE = b"\xff\xd8"
_START_OF_CODESTREAM = b"\xff\x4f\xff\x51"
_END = b"\xff\xd9"
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xF7}
_ALONE = frozenset(range(0xD0, 0xD9)) | {0x00, 0x01}
_FILL = frozenset({0xFF})
_SCAN = frozenset({0xDA, 0xD9})
_SEGMENTS = frozenset(range(0xDB, 0xF0)) | {0xC4, 0xCC, 0xF8, 0xFE}
"""Tables, applications, comments."""
_MAX_TILES = 65_535
_TAIL_BYTES = 64
"""Padding behind the end marker: a byte or a few, of 0 or 255."""


@dataclass(frozen=True)
class Codestream:
    """A frame's own word on its size."""

    width: int
    height: int
    components: int
    precision: int
    """Bits a component."""
    is_clean: bool = True
    """Whether the segments before the scan follow each other as they should: GDCM kills the process where they do not."""


def single_frame(pixel_data: bytes, syntax: str) -> bytes:
    """The one frame of encapsulated PixelData, from all its fragments.

    Raises:
        Refused: it holds several frames, whatever NumberOfFrames says, or no fragment.
    """
    try:
        offsets = parse_basic_offsets(pixel_data)
        # The first item is the offset table.
        fragments = [fragment for fragment in list(generate_fragments(pixel_data))[1:] if fragment]
    except Exception:
        # Whatever a broken stream makes of pydicom's parser; the message may quote it.
        raise Refused(Reason.CANNOT_DECODE) from None
    if not fragments:
        raise Refused(Reason.CANNOT_DECODE)
    starts = sum(_starts_frame(fragment, syntax) for fragment in fragments)
    if starts > 1 or (len(offsets) > 1 and len(fragments) > 1 and starts != 1):
        raise Refused(Reason.MULTI_FRAME)
    return fragments[0] if len(fragments) == 1 else b"".join(fragments)


def _starts_frame(fragment: bytes, syntax: str) -> bool:
    if syntax == RLELossless:
        return len(fragment) > 64 and 1 <= fragment[0] <= 15 and fragment[1:8] == b"\0\0\0\x40\0\0\0"
    start = _START_OF_CODESTREAM if syntax in JPEG2000TransferSyntaxes else _START_OF_IMAGE
    return fragment.startswith(start)


def parse_codestream(frame: bytes, syntax: str) -> Codestream | None:
    """What a frame of a JPEG syntax says of itself; None for RLE, which says nothing of width and height.

    Raises:
        Refused: it is no such codestream, or it is cut off.
    """
    if syntax == RLELossless:
        return None
    try:
        found = _parse_jpeg_2000(frame) if syntax in JPEG2000TransferSyntaxes else _parse_jpeg(frame)
    except (struct.error, IndexError):
        found = None
    if found is None or _END not in frame[-_TAIL_BYTES:]:
        raise Refused(Reason.CANNOT_DECODE)
    return found


def _parse_jpeg(frame: bytes) -> Codestream | None:
    """Walk the segments from the start of the image to the scan."""
    place = frame.find(_START_OF_IMAGE, 0, 64) + 2
    found, is_clean = None, place == 2
    while place >= 2:
        if frame[place] != 0xFF:
            # Bytes between segments, which most decoders skip.
            is_clean, place = False, frame.find(b"\xff", place)
            continue
        marker = frame[place + 1]
        if marker in _SCAN:
            break
        if marker in _FILL:
            place += 1
            continue
        if marker in _ALONE:
            is_clean, place = False, place + 2
            continue
        (length,) = struct.unpack_from(">H", frame, place + 2)
        segment = frame[place + 4 : place + 2 + length]
        if marker in _START_OF_FRAME and found is None:
            precision, height, width, components = struct.unpack_from(">BHHB", segment)
            found = Codestream(width, height, components, precision)
        is_clean &= (
            length >= 2 and (marker in _SEGMENTS or marker in _START_OF_FRAME) and _is_known_application(marker, segment)
        )
        place += 2 + max(length, 2)
    return None if found is None else replace(found, is_clean=is_clean)


def _is_known_application(marker: int, segment: bytes) -> bool:
    if marker == 0xE0 and segment.startswith(b"JFIF\0"):
        return segment[5:6] == b"\x01"
    if marker == 0xEE and segment.startswith(b"Adobe"):
        return segment[11:12] in (b"\0", b"\1", b"\2")
    return True


def _parse_jpeg_2000(frame: bytes) -> Codestream | None:
    """The SIZ segment, which follows the start directly; some files hold the boxes of JP2 before it."""
    start = frame.find(_START_OF_CODESTREAM, 0, 2**16)
    if start < 0:
        return None
    right, bottom, left, top, tile_width, tile_height, _, _, components = struct.unpack_from(">8LH", frame, start + 8)
    precision = (frame[start + 42] & 0x7F) + 1
    if not tile_width or not tile_height or right <= left or bottom <= top:
        return None
    if -(-right // tile_width) * -(-bottom // tile_height) > _MAX_TILES or frame[start + 43 : start + 45] != b"\x01\x01":
        return None
    return Codestream(right - left, bottom - top, components, precision)
