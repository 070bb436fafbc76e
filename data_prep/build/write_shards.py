"""Samples to a tar, its index and its line of the manifest: the same samples give the same bytes.

    x-train-000000.tar       ustar; 3f9a...e1.jpg 3f9a...e1.txt 3f9a...e1.json | next key ...
    x-train-000000.idx.npy   INDEX_DTYPE, a record a sample

Every file gets its name once it is whole and on the disk.
"""

import hashlib
import io
import tarfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from cxrpt.data.manifest import ShardEntry
from cxrpt.data.sample import Kind, SampleMeta
from cxrpt.data.shards import INDEX_DTYPE, index_path, member_name
from data_prep.processes.durable import FILE_MODE, whole_file, write_file


@dataclass(frozen=True)
class ShardSample:
    """One sample as it goes into a tar."""

    key: str
    meta: SampleMeta
    image: bytes | None
    text: bytes | None
    image_format: str = "jpg"
    num_words: int = 0
    phash: bytes = b""
    """Perceptual hash of the picture; empty without one."""

    @property
    def kind(self) -> Kind:
        if self.image is not None:
            return Kind.IMAGE if self.text is None else Kind.PAIR
        return Kind.TEXT


def shard_name(institution: str, split: str, number: int) -> str:
    """`<institution>-<split>-000000.tar`."""
    return f"{institution}-{split}-{number:06d}.tar"


def write_shard(path: Path, samples: Iterable[ShardSample]) -> ShardEntry:
    """Write one tar and its index; samples are taken in the order given, one in memory at a time."""
    with whole_file(path) as file:
        writer = _TarWriter(file)
        index = np.array([_write_sample(writer, sample) for sample in samples], dtype=INDEX_DTYPE)
        writer.finish()
        buffer = io.BytesIO()
        np.save(buffer, index, allow_pickle=False)
        # The index first: a tar without one would be taken for whole.
        write_file(index_path(path), buffer.getvalue())
    counts = np.bincount(index["kind"], minlength=3)
    return ShardEntry(
        name=path.name,
        num_pairs=int(counts[Kind.PAIR]),
        num_images=int(counts[Kind.IMAGE]),
        num_texts=int(counts[Kind.TEXT]),
        num_bytes=writer.num_bytes,
        sha256=writer.sha256.hexdigest(),
    )


def _write_sample(writer: "_TarWriter", sample: ShardSample) -> tuple[Any, ...]:
    members = {"image": sample.image, "text": sample.text, "meta": sample.meta.to_json()}
    places = {}
    for member, content in members.items():
        if content is None:
            places[member] = (0, 0, 0)
            continue
        offset = writer.add(member_name(sample.key, member, sample.image_format), content)
        places[member] = (offset, len(content), zlib.crc32(content))
    extension = sample.image_format if sample.image is not None else ""
    head = (sample.key.encode(), int(sample.kind), extension.encode())
    return (*head, places["image"], places["text"], places["meta"], sample.num_words, _hash_record(sample.phash))


def _hash_record(phash: bytes) -> np.ndarray:
    return np.frombuffer(phash.ljust(INDEX_DTYPE["phash"].itemsize, b"\0"), np.uint8)


class _TarWriter:
    """A ustar of regular files with fixed owner, mode and time, hashed while it is written."""

    def __init__(self, file: IO[bytes]):
        self._file = file
        self.num_bytes = 0
        self.sha256 = hashlib.sha256()

    def _write(self, content: bytes) -> None:
        self._file.write(content)
        self.sha256.update(content)
        self.num_bytes += len(content)

    def add(self, name: str, content: bytes) -> int:
        """Append a member; returns the offset of its data."""
        info = tarfile.TarInfo(name)
        info.size, info.mode, info.mtime = len(content), FILE_MODE, 0
        self._write(info.tobuf(tarfile.USTAR_FORMAT, "utf-8"))
        offset = self.num_bytes
        self._write(content)
        self._write(b"\0" * (-len(content) % tarfile.BLOCKSIZE))
        return offset

    def finish(self) -> None:
        self._write(b"\0" * (2 * tarfile.BLOCKSIZE))
        self._write(b"\0" * (-self.num_bytes % tarfile.RECORDSIZE))
