"""Read single samples of a tar by the index of member offsets that lies beside it.

    x-train-000000.tar       ordinary WebDataset tar
    x-train-000000.idx.npy   one INDEX_DTYPE record a sample, in the order of the tar

The index makes any sample one `pread` away, which is what lets the loader seek instead of replay. It stays in its file, record
by record: held open by hundreds, in every worker of a node, indexes would take gigabytes.
"""

import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cxrpt.data.sample import KINDS_OF_USE, META_EXTENSION, TEXT_EXTENSION, Kind, SampleMeta
from cxrpt.errors import InputError

INDEX_SUFFIX = ".idx.npy"
INDEX_HEADER_BYTES = 4096
"""More than the header of an index takes."""

_MEMBER = np.dtype([("offset", "<i8"), ("size", "<i4"), ("crc32", "<u4")])
INDEX_DTYPE = np.dtype(
    [
        ("key", "S40"),
        ("kind", "u1"),
        ("image_extension", "S4"),
        ("image", _MEMBER),
        ("text", _MEMBER),
        ("meta", _MEMBER),
        ("num_words", "<i4"),
        ("phash", "u1", (32,)),
    ]
)
"""`kind` is a `sample.Kind`; a member that the sample lacks has size 0; offsets are those of the member's data in
the tar; `num_words` counts the white-space separated words of the text; `phash` is the picture's
perceptual hash (zeros without one), by which near-duplicates are found."""

_RECORD = struct.Struct("<40sB4s" + 3 * "qiI" + "i32s")
assert _RECORD.size == INDEX_DTYPE.itemsize
_MEMBERS = {"image": 3, "text": 6, "meta": 9}
"""Where offset, size and checksum of each member stand in an unpacked record."""


class BadSampleError(Exception):
    """The content of a sample is wrong (checksum, picture, text): it is replaced, not retried.

    `key` is that of the sample, where it is known to who raises.
    """

    def __init__(self, what: str, key: str = ""):
        super().__init__(what)
        self.key = key


class MissingShardError(InputError, OSError):
    """A shard is missing or too short: wrong input, or a file system that is away for a while, so it may be tried again."""


@dataclass(frozen=True)
class RawSample:
    """The members of one sample, not decoded; `image` and `text` are None where the sample has none."""

    key: str
    kind: Kind
    image: bytes | None
    text: str | None
    meta: SampleMeta


def index_path(shard: Path) -> Path:
    """Where the index of a shard lies."""
    return shard.with_name(shard.name.removesuffix(".tar") + INDEX_SUFFIX)


def load_index(path: Path) -> np.ndarray:
    """All records of an index, (samples,) INDEX_DTYPE.

    Raises:
        MissingShardError: it is not there.
        InputError: it is no index, or one of another version.
        OSError: the file system failed.
    """
    try:
        index = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise _missing(path) from None
    except (ValueError, EOFError):
        raise InputError(f"{path} is not a shard index: build the shard again") from None
    if not isinstance(index, np.ndarray) or index.dtype != INDEX_DTYPE or index.ndim != 1:
        raise InputError(f"{path} is not a shard index of this version: build the shard again")
    return index


def _missing(path: Path) -> MissingShardError:
    return MissingShardError(f"{path} is missing: run `cxrpt verify` on its folder, or build it again")


class ShardReader:
    """Random access to one shard.

    `len()` and the numbers given to `read` count the samples that `use` admits, in the order of the tar.
    """

    def __init__(self, shard: Path, use: str = "all"):
        """Open a shard and its index.

        Raises:
            MissingShardError: the shard or its index is missing, or the tar is shorter than its index says.
            InputError: the index is none, or one of another version.
        """
        self.path, self.use = shard, use
        self._file = self._index_file = -1
        index = load_index(index_path(shard))
        try:
            self._index_file = os.open(index_path(shard), os.O_RDONLY | os.O_CLOEXEC)
            self._file = os.open(shard, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise _missing(Path(error.filename)) from None
        num_bytes = os.fstat(self._file).st_size
        for member in _MEMBERS:
            if len(index) and int((index[member]["offset"] + index[member]["size"]).max()) > num_bytes:
                raise MissingShardError(
                    f"{shard} is truncated ({num_bytes} bytes, its index names more): build or copy it again"
                )
        self._first_record = os.fstat(self._index_file).st_size - index.nbytes
        admitted = np.flatnonzero(np.isin(index["kind"], KINDS_OF_USE[use])).astype(np.int32)
        self._num_samples = len(admitted)
        self._admitted = None if len(admitted) == len(index) else admitted

    def __len__(self) -> int:
        return self._num_samples

    def fileno(self) -> int:
        """The descriptor of the open tar."""
        return self._file

    def close(self) -> None:
        """Close the files; the reader is of no use after it."""
        for file in (self._file, self._index_file):
            if file >= 0:
                os.close(file)
        self._file = self._index_file = -1

    def __del__(self) -> None:
        if hasattr(self, "_index_file"):
            self.close()

    def read(self, number: int) -> RawSample:
        """Read and check one sample; with `use` images or texts, the other half of a pair is left unread.

        Raises:
            BadSampleError: a member does not match its checksum or cannot be parsed.
            OSError: the file system failed, or the tar became shorter.
        """
        record = self._record(number)
        key = record[0].rstrip(b"\0").decode()
        image = None if self.use == "texts" else self._member(record, "image", key)
        text = None if self.use == "images" else self._member(record, "text", key)
        meta = self._member(record, "meta", key)
        kind = Kind.PAIR if image is not None and text is not None else Kind.IMAGE if image is not None else Kind.TEXT
        try:
            return RawSample(key, kind, image, None if text is None else text.decode(), SampleMeta.from_json(meta or b""))
        except ValueError as error:
            raise BadSampleError(str(error), key) from None

    def read_meta(self, number: int) -> SampleMeta:
        """Read what is known of one sample, and neither its picture nor its text; raises as `read`."""
        record = self._record(number)
        key = record[0].rstrip(b"\0").decode()
        try:
            return SampleMeta.from_json(self._member(record, "meta", key) or b"")
        except ValueError as error:
            raise BadSampleError(str(error), key) from None

    def _record(self, number: int) -> tuple[Any, ...]:
        if not 0 <= number < self._num_samples:
            raise IndexError(number)
        place = number if self._admitted is None else int(self._admitted[number])
        record = os.pread(self._index_file, _RECORD.size, self._first_record + place * _RECORD.size)
        if len(record) != _RECORD.size:
            raise OSError(f"the index of {self.path.name} became shorter while it was read")
        return _RECORD.unpack(record)

    def _member(self, record: tuple[Any, ...], name: str, key: str) -> bytes | None:
        offset, size, checksum = record[_MEMBERS[name] : _MEMBERS[name] + 3]
        if size == 0:
            return None
        data = os.pread(self._file, size, offset)
        if len(data) != size:
            # It was long enough when it was opened: no bad content, which would be replaced, but a file that changes.
            raise OSError(f"{self.path.name} ended {size - len(data)} bytes early")
        if zlib.crc32(data) != checksum:
            raise BadSampleError(f"member {name!r} does not match its checksum", key)
        return data


def member_name(key: str, member: str, image_extension: str = "jpg") -> str:
    """Name of a member (`image`, `text` or `meta`) in the tar."""
    return f"{key}.{ {'image': image_extension, 'text': TEXT_EXTENSION, 'meta': META_EXTENSION}[member] }"
