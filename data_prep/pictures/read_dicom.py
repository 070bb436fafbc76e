"""A DICOM file to facts and to an upright 8-bit grayscale picture.

    file ─ dicom_file ─ decode ─► stored values ─ voi ─► 8 bits ─ orientation ─► Picture, bright = dense, head up
                                       └► digest

Nothing that pydicom or a codec says leaves: their messages quote header values.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xxhash
from pydicom.dataset import Dataset, FileDataset

from data_prep.ledger import Reason
from data_prep.pictures.decode import decode, pixel_layout
from data_prep.pictures.dicom_file import libraries_silenced, load
from data_prep.pictures.elements import text
from data_prep.pictures.orientation import make_square, turn_upright
from data_prep.pictures.refused import Refused
from data_prep.pictures.views import header_view
from data_prep.pictures.voi import to_display


@dataclass(frozen=True)
class Picture:
    """An 8-bit grayscale picture (height, width), bright = dense, upright, and how it came to be."""

    pixels: np.ndarray
    digest: str
    """Of the decoded values before any table; equal ones mean a copy."""
    notes: tuple[str, ...] = ()


def digest_of(stored: np.ndarray) -> str:
    """32 hexadecimal digits of shape, type and values.

    XXH3 with 128 bits: no secret, but equal only where the values are, at the speed of memory (BLAKE2b took 11 ms of the 29
    that an uncompressed radiograph takes in all).
    """
    digest = xxhash.xxh3_128(repr((stored.shape, stored.dtype.str)).encode())
    digest.update(np.ascontiguousarray(stored).data)
    return digest.hexdigest()


def read_header(path: Path) -> FileDataset:
    """The elements before the pixels.

    Raises:
        Refused: not DICOM, a DICOMDIR, a header that does not parse, or the file cannot be read.
    """
    header, _ = load(path, with_pixels=False)
    with libraries_silenced():
        if "DirectoryRecordSequence" in header or _is_dicomdir(header):
            raise Refused(Reason.DICOMDIR)
        # Without a preamble, anything parses as something: a picture must at least say its size and class.
        if not any(keyword in header for keyword in ("SOPClassUID", "Modality", "Rows")):
            raise Refused(Reason.NOT_DICOM)
        return header


def _is_dicomdir(header: FileDataset) -> bool:
    meta = getattr(header, "file_meta", None)
    return meta is not None and text(meta, "MediaStorageSOPClassUID") == "1.2.840.10008.1.3.10"


def check_size(header: Dataset) -> None:
    """Refuse by the header's word what must not be decoded.

    Raises:
        Refused: no pixels, several frames, one bit a pixel, too small, or absurdly large.
    """
    pixel_layout(header)


def read_picture(path: Path) -> Picture:
    """Decode one file into a picture as a radiologist sees it: bones bright, air dark, head up.

    Raises:
        Refused: it cannot be decoded, holds no contrast, or is no radiograph.
    """
    with libraries_silenced():
        try:
            return _read_picture(path)
        except MemoryError:
            raise Refused(Reason.TOO_MUCH_MEMORY) from None


def _read_picture(path: Path) -> Picture:
    dataset, is_cut_off = load(path, with_pixels=True)
    try:
        stored, colour_notes = decode(dataset)
    except Refused as refused:
        # An element that reached over the file's end is lost: what misses it is a broken file, not one without pixels.
        raise Refused(Reason.CANNOT_DECODE) if is_cut_off and refused.reason == Reason.NO_PIXELS else refused from None
    digest = digest_of(stored)
    pixels, voi_notes = to_display(stored, dataset)
    del stored
    pixels, square_notes = make_square(pixels, dataset)
    pixels, turn_notes = turn_upright(pixels, dataset, header_view(dataset))
    return Picture(pixels, digest, (*colour_notes, *voi_notes, *square_notes, *turn_notes))
