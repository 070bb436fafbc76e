"""A DICOM file to pydicom's dataset, whatever the file is: reading is bounded, and no message of the library leaves.

    file ─ BoundedFile: no read past the end, a budget of bytes, a bound on what inflates ─ pydicom ─► dataset

pydicom believes lengths: it asks for as many bytes as an element claims, and inflates a deflated file without a bound.
"""

import contextlib
import logging
import os
import re
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pydicom
from pydicom.dataset import FileDataset
from pydicom.errors import InvalidDicomError

from data_prep.ledger import Reason
from data_prep.pictures.refused import Refused

MAX_FILE_BYTES = 160 * 2**20
"""Of a file that is decoded, and of what a deflated one inflates to: the largest picture (`pixel_layout`) and its header."""
MAX_HEADER_BYTES = 64 * 2**20
"""Read of a file before its pixels; private blocks of some vendors take a few MiB."""
MAX_READS = 1_000_000
"""Of a file, about two an element; a million take three seconds."""
_FIRST_TAGS = frozenset({b"\x02\x00", b"\x08\x00", b"\x00\x08"})
"""Group 2 or 8, little or big endian: what a file without the DICOM preamble must start with to be worth a try."""
_LOGGERS = ("pydicom", "pylibjpeg", "libjpeg", "openjpeg", "rle", "PIL")


class BoundedFile:
    """What pydicom needs of a file. `is_cut_off` tells whether an element reached over the file's end."""

    def __init__(self, file: BinaryIO, size: int, budget: int, with_pixels: bool):
        self._file = file
        self._with_pixels = with_pixels
        self._size = size
        self._left = budget
        self._reads_left = MAX_READS
        self._place = 0
        self.is_cut_off = False

    def read(self, size: int | None = -1, /) -> bytes:
        """At most `size` bytes.

        Raises:
            Refused: the budget is spent, or all is asked for (as pydicom does to inflate) and inflates beyond any picture.
        """
        left = self._size - self._place
        inflates = size is None or size < 0
        wanted = left if size is None or size < 0 else size
        self.is_cut_off |= wanted > max(left, 8)
        wanted = min(wanted, left)
        self._left -= wanted
        self._reads_left -= 1
        if self._left < 0:
            raise Refused(Reason.ABSURD_SIZE)
        if self._reads_left < 0:
            raise Refused(Reason.BROKEN_HEADER)
        data = self._file.read(wanted)
        self._place += len(data)
        return _stored(data, self._with_pixels) if inflates else data

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """As a file's; a place beyond the end is the end."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._size}[whence]
        self.is_cut_off |= start + offset > self._size
        self._place = self._file.seek(min(max(start + offset, 0), self._size))
        return self._place

    def tell(self) -> int:
        return self._place


def _stored(data: bytes, with_pixels: bool) -> bytes:
    """A deflated dataset inflated within bounds, and wrapped so that pydicom, which inflates without any, finds it as it was.

    Without pixels, no more is inflated than holds the header: deflated data sets are always explicit and little endian.
    """
    inflater, wrapper = zlib.decompressobj(-zlib.MAX_WBITS), zlib.compressobj(0, zlib.DEFLATED, -zlib.MAX_WBITS)
    size, rest, pieces = 0, data, []
    while rest and not inflater.eof:
        piece = inflater.decompress(rest, 2**20)
        rest = inflater.unconsumed_tail
        size += len(piece)
        if size > MAX_FILE_BYTES:
            raise Refused(Reason.ABSURD_SIZE)
        pieces.append(wrapper.compress(piece))
        if not with_pixels and _PIXEL_TAG.search(piece):
            break
    return b"".join([*pieces, wrapper.flush()])


_PIXEL_TAG = re.compile(rb"\xe0\x7f[\x08\x09\x10]\x00O[BWFD]")


def load(path: Path, with_pixels: bool) -> tuple[FileDataset, bool]:
    """The dataset of a file, and whether the file was cut off inside an element.

    Raises:
        Refused: not DICOM, broken, absurdly large, or it cannot be read.
    """
    is_dicom = False
    try:
        with libraries_silenced(), path.open("rb") as file:
            start = file.read(132)
            is_dicom = start[128:] == b"DICM"
            if not is_dicom and start[:2] not in _FIRST_TAGS:
                raise Refused(Reason.NOT_DICOM)
            size = os.fstat(file.fileno()).st_size
            if with_pixels and size > MAX_FILE_BYTES:
                raise Refused(Reason.ABSURD_SIZE)
            file.seek(0)
            bounded = BoundedFile(file, size, 2 * MAX_FILE_BYTES if with_pixels else MAX_HEADER_BYTES, with_pixels)
            dataset = pydicom.dcmread(bounded, stop_before_pixels=not with_pixels, force=not is_dicom)
            # The dataset would keep the file, and its copy of an inflated one, for as long as it lives.
            dataset.buffer = None
            return dataset, bounded.is_cut_off
    except Refused as refused:
        raise Refused(refused.reason if is_dicom else Reason.NOT_DICOM) from None
    except MemoryError:
        raise Refused(Reason.TOO_MUCH_MEMORY) from None
    except InvalidDicomError:
        raise Refused(Reason.NOT_DICOM) from None
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            # pydicom raises OSError without a number for what it cannot parse.
            raise Refused(Reason.CANNOT_READ) from None
        # Among them RecursionError, for sequences nested hundreds deep.
        raise Refused(Reason.BROKEN_HEADER if is_dicom else Reason.NOT_DICOM) from None


@contextlib.contextmanager
def libraries_silenced() -> Iterator[None]:
    """Drop warnings and log lines of pydicom and its codecs: they quote header values verbatim."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    disabled = [logger.disabled for logger in loggers]
    for logger in loggers:
        logger.disabled = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, was in zip(loggers, disabled, strict=True):
            logger.disabled = was
