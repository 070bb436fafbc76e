"""Read single samples of a tar by the index of member offsets that lies beside it.

    x-train-000000.tar       ordinary WebDataset tar
    x-train-000000.idx.npy   one INDEX_DTYPE record a sample, in the order of the tar

The index makes any sample one `pread` away, which is what lets the loader seek instead of replay.
"""

import os
import zlib
from dataclasses import dataclass
from pathlib import Path

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


class BadSampleError(Exception):
    """The content of a sample is wrong (checksum, picture, text): it is replaced, not retried."""


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
        self.path = shard
        index = load_index(index_path(shard))
        try:
            self._file = os.open(shard, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise _missing(shard) from None
        num_bytes = os.fstat(self._file).st_size
        for member in ("image", "text", "meta"):
            if len(index) and int((index[member]["offset"] + index[member]["size"]).max()) > num_bytes:
                raise MissingShardError(
                    f"{shard} is truncated ({num_bytes} bytes, its index names more): build or copy it again"
                )
        self.use = use
        self.index = index[np.isin(index["kind"], KINDS_OF_USE[use])]

    def __len__(self) -> int:
        return len(self.index)

    def fileno(self) -> int:
        """The descriptor of the open tar."""
        return self._file

    def close(self) -> None:
        """Close the file; the reader is of no use after it."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __del__(self) -> None:
        if getattr(self, "_file", -1) >= 0:
            self.close()

    def read(self, number: int) -> RawSample:
        """Read and check one sample; with `use` images or texts, the other half of a pair is left unread.

        Raises:
            BadSampleError: a member does not match its checksum or cannot be parsed.
            OSError: the file system failed, or the tar became shorter.
        """
        record = self.index[number]
        key = record["key"].decode()
        image = None if self.use == "texts" else self._member(record, "image", key)
        text = None if self.use == "images" else self._member(record, "text", key)
        meta = self._member(record, "meta", key)
        kind = Kind.PAIR if image is not None and text is not None else Kind.IMAGE if image is not None else Kind.TEXT
        try:
            return RawSample(key, kind, image, None if text is None else text.decode(), SampleMeta.from_json(meta or b""))
        except ValueError as error:
            raise BadSampleError(f"sample {key} of {self.path.name}: {error}") from None

    def _member(self, record: np.void, name: str, key: str) -> bytes | None:
        size = int(record[name]["size"])
        if size == 0:
            return None
        data = os.pread(self._file, size, int(record[name]["offset"]))
        if len(data) != size:
            # It was long enough when it was opened: no bad content, which would be replaced, but a file that changes.
            raise OSError(f"{self.path.name} ended {size - len(data)} bytes early")
        if zlib.crc32(data) != int(record[name]["crc32"]):
            raise BadSampleError(f"sample {key} of {self.path.name}: member {name!r} does not match its checksum")
        return data


def member_name(key: str, member: str, image_extension: str = "jpg") -> str:
    """Name of a member (`image`, `text` or `meta`) in the tar."""
    return f"{key}.{ {'image': image_extension, 'text': TEXT_EXTENSION, 'meta': META_EXTENSION}[member] }"
