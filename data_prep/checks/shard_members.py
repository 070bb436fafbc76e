"""Members of a shard, read by its index with every doubt spoken out: for checks and for looking, not for training.

    read_index ──► one INDEX_DTYPE record a sample ──► read_member ──► bytes that match their checksum

`ShardReader` serves training: it stops at the first wrong thing. Here each wrong thing gets a name.
"""

import os
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from cxrpt.data.sample import IMAGE_EXTENSIONS, VIEWS, Kind, SampleMeta
from cxrpt.data.shards import INDEX_DTYPE, index_path

MEMBERS = ("image", "text", "meta")
"""In the order of the tar."""


class DamageError(Exception):
    """What is wrong with a shard, as words that follow its name; never holds content of a member."""


def read_index(shard: Path) -> np.ndarray:
    """The index of a shard, mapped read-only.

    Raises:
        DamageError: there is none, or it is no index of this version.
        OSError: the file system failed.
    """
    try:
        index = np.load(index_path(shard), mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise DamageError("has no index beside it") from None
    except (ValueError, EOFError, MemoryError, zipfile.BadZipFile):
        raise DamageError("has an index that cannot be read") from None
    if not isinstance(index, np.ndarray) or index.dtype != INDEX_DTYPE or index.ndim != 1:
        raise DamageError("has an index of another version: build the shard again")
    return index


def sample_key(record: np.void) -> str:
    """The key of an index record, fit to be shown whatever bytes it holds."""
    return record["key"].decode("ascii", "backslashreplace")


def read_member(file: int, record: np.void, member: str) -> bytes | None:
    """One member by the file descriptor of its tar; None where the sample has none.

    Raises:
        DamageError: it does not match its checksum.
    """
    size, offset = int(record[member]["size"]), int(record[member]["offset"])
    if size == 0:
        return None
    data = os.pread(file, size, offset) if size > 0 and offset >= 0 else b""
    if len(data) != size or zlib.crc32(data) != int(record[member]["crc32"]):
        raise DamageError(f"member {member!r} of sample {sample_key(record)} does not match its checksum")
    return data


def parse_meta(data: bytes | None, key: str) -> SampleMeta:
    """The `.json` member.

    Raises:
        DamageError: there is none, or it does not parse; a message of the parser could quote it.
    """
    try:
        return SampleMeta.from_json(data or b"")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise DamageError(f"the metadata of sample {key} is missing, or not of this version") from None


def parse_text(data: bytes, key: str) -> str:
    """The `.txt` member.

    Raises:
        DamageError: it is not UTF-8.
    """
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise DamageError(f"the text of sample {key} is not UTF-8") from None


def decode_picture(data: bytes, key: str) -> np.ndarray:
    """The picture of a sample: (height, width), 8 or 16 bits.

    Raises:
        DamageError: it is no grayscale picture.
    """
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        pixels = None
    if pixels is None or pixels.ndim != 2 or pixels.dtype not in (np.uint8, np.uint16):
        raise DamageError(f"the picture of sample {key} is no grayscale picture")
    return pixels


def eight_bits(pixels: np.ndarray) -> np.ndarray:
    """The picture in 8 bits, a 16-bit one by its upper half."""
    return pixels if pixels.dtype == np.uint8 else (pixels >> 8).astype(np.uint8)


def check_sample(record: np.void, meta: SampleMeta, text: str, institution: str) -> None:
    """Whether index, metadata and text ("" without one) of a sample fit each other and the contract of `cxrpt.data.sample`.

    Raises:
        DamageError: names the first thing that does not.
    """
    try:
        wrong = next(_contradictions(record, meta, text, institution), None)
    except (TypeError, ValueError, AttributeError):
        wrong = "has metadata of wrong types"
    if wrong is not None:
        raise DamageError(f"sample {sample_key(record)} {wrong}")


def _contradictions(record: np.void, meta: SampleMeta, text: str, institution: str) -> Iterator[str]:
    has_image, has_text = bool(record["image"]["size"]), bool(record["text"]["size"])
    if record["kind"] != (Kind.PAIR if has_image and has_text else Kind.IMAGE if has_image else Kind.TEXT):
        yield "has other members than its kind in the index says"
    if not has_image and not has_text:
        yield "has neither a picture nor a text"
    if has_image and record["image_extension"].decode("ascii", "replace") not in IMAGE_EXTENSIONS:
        yield "has a picture of no known format"
    if not has_image and record["phash"].any():
        yield "has a perceptual hash in the index, but no picture"
    if int(record["num_words"]) != len(text.split()):
        yield "has another number of words than its index says"
    if meta.institution != institution:
        yield "is of another institution than its folder"
    if not all(isinstance(name, str) and name for name in (meta.patient, meta.study)):
        yield "has no patient or no study"
    if meta.view not in VIEWS:
        yield f"has a view that is none of {', '.join(VIEWS)}"
    if any(not 0 <= start < end <= len(text) for start, end in meta.sections.values()):
        yield "has a section that lies outside its text"
    if any(type(value) is not int or value not in (-1, 0, 1) for value in meta.labels.values()):
        yield "has a label that is none of 1, 0, -1"
    if not (meta.age is None or meta.age == "90+" or (type(meta.age) is int and 0 <= meta.age < 90)):
        yield 'has an age that is neither below 90 nor "90+"'
    if meta.sex not in (None, "M", "F", "O"):
        yield "has a sex that is none of M, F, O"
    if not (meta.days is None or type(meta.days) is int):
        yield "has days that are no whole number"
    yield from _wrong_sizes(meta)


def _wrong_sizes(meta: SampleMeta) -> Iterator[str]:
    if meta.size is not None:
        width, height = meta.size
        if not (type(width) is type(height) is int and min(width, height) > 0):
            yield "has a size that cannot be"
    if meta.crop is not None:
        left, top, right, bottom = meta.crop
        if meta.size is None or not (0 <= left < right <= meta.size[0] and 0 <= top < bottom <= meta.size[1]):
            yield "has a crop that lies outside its picture"
