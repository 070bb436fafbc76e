"""Shards of a folder or behind a URL prefix, opened in the same way.

    path/train/manifest.json ─► manifest, shards     a shard is the path of its tar, or a RemoteShard
    shard ─► ShardReader                             of the tar itself, or of its verified copy in the node's cache

The sha256 of a remote tar stands in its manifest. That of its index does not: an index is taken if it has the samples that
the manifest counts, all within the tar, and leads to samples whose checksums are right.
"""

import fcntl
import re
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cxrpt.config import DataConfig
from cxrpt.data.manifest import MANIFEST_NAME, Manifest, NoManifestError, ShardEntry, parse_manifest, read_manifest
from cxrpt.data.sample import Kind
from cxrpt.data.shards import INDEX_DTYPE, INDEX_HEADER_BYTES, BadSampleError, ShardReader, index_path, load_index
from cxrpt.data.storage.remote import (
    STALL_S,
    AbsentError,
    TransferError,
    check_url,
    is_remote,
    join_url,
    local_folder,
    redact,
    stream,
)
from cxrpt.data.storage.shard_cache import RemoteFile, ShardCache, is_intact
from cxrpt.errors import InputError

_MANIFEST_STALL_S = 20.0
_MANIFEST_PAUSES_S = (1.0, 2.0)
_PATIENCE_S = 30.0


@dataclass(frozen=True)
class RemoteShard:
    """A shard behind a URL, and the cache through which it is read."""

    prefix: str = field(repr=False)
    split: str
    entry: ShardEntry
    cache: ShardCache

    @property
    def name(self) -> str:
        """Of the tar."""
        return self.entry.name

    @property
    def parent(self) -> str:
        """Where it lies, for messages."""
        return shown_folder(self.prefix, self.split)

    @property
    def tar(self) -> RemoteFile:
        """The tar as the cache knows it."""
        url = join_url(self.prefix, f"{self.split}/{self.name}")
        return RemoteFile(url, self._cached_name, self.entry.num_bytes, self.entry.sha256)

    @property
    def index(self) -> RemoteFile:
        """The index as the cache knows it."""
        name = index_path(Path(self.name)).name
        most = self.entry.num_samples * INDEX_DTYPE.itemsize + INDEX_HEADER_BYTES
        return RemoteFile(join_url(self.prefix, f"{self.split}/{name}"), index_path(Path(self._cached_name)).name, most)

    def prefetch(self) -> None:
        """Bring index and tar into the cache, unless they are there or another process is at it; raises as `open_shard`."""
        self.cache.prefetch(self.index)
        self.cache.prefetch(self.tar)

    @property
    def _cached_name(self) -> str:
        return f"{self.name.removesuffix('.tar')}.{self.entry.sha256[:32]}.tar"


Shard = Path | RemoteShard
"""A shard, by its tar."""


@dataclass(frozen=True)
class ShardFolder:
    """The shards of one split of one source, in the order of its manifest."""

    shown: str
    """Where they lie, for messages: without credentials."""
    manifest: Manifest
    shards: tuple[Shard, ...]


def cache_of(config: DataConfig) -> ShardCache:
    """The node's cache, as the configuration has it."""
    return ShardCache(config.cache_dir, int(config.cache_gb * 1e9))


def shown_folder(path: str, split: str) -> str:
    """A split's place for messages, without credentials."""
    return f"{redact(path)} ({split})" if is_remote(path) else str(local_folder(path) / split)


def identity(path: str, split: str) -> str:
    """Equal for sources that name the same folder."""
    return f"{path} {split}" if is_remote(path) else str((local_folder(path) / split).resolve())


def open_folder(path: str, split: str, cache: ShardCache) -> ShardFolder:
    """Read the manifest of a split of a source, wherever it lies; no shard is looked at.

    Raises:
        NoManifestError: there is none.
        InputError: it cannot be read, or does not parse.
    """
    if not is_remote(path):
        folder = local_folder(path) / split
        manifest = read_manifest(folder)
        return ShardFolder(str(folder), manifest, tuple(folder / shard.name for shard in manifest.shards))
    check_url(path)
    shown = shown_folder(path, split)
    manifest = parse_manifest(_read_manifest_text(path, split, shown), f"{shown}: {MANIFEST_NAME}")
    for entry in manifest.shards:
        join_url(path, f"{split}/{entry.name}")
        if not re.fullmatch("[0-9a-f]{64}", entry.sha256) or not entry.name.endswith(".tar") or "/" in entry.name:
            raise InputError(
                f"{shown}: {MANIFEST_NAME} names {entry.name!r} without a name and sha256 of a shard: build it again"
            )
    return ShardFolder(shown, manifest, tuple(RemoteShard(path, split, entry, cache) for entry in manifest.shards))


def _read_manifest_text(path: str, split: str, shown: str) -> str:
    """Not by way of the cache: what it holds must be known by its content first."""
    url, until = join_url(path, f"{split}/{MANIFEST_NAME}"), time.monotonic() + _PATIENCE_S

    def reason(error: TransferError) -> str:
        return str(error).removeprefix(f"{redact(url)}: ")

    for pause in (*_MANIFEST_PAUSES_S, None):
        try:
            return b"".join(stream(url, _MANIFEST_STALL_S)).decode(errors="replace")
        except AbsentError as error:
            raise NoManifestError(
                f"{shown} holds no {MANIFEST_NAME} ({reason(error)}): name the place of a folder that `cxrpt prep` made"
            ) from None
        except TransferError as error:
            if pause is None or time.monotonic() + pause > until:
                raise InputError(
                    f"{shown}: {MANIFEST_NAME} cannot be read ({reason(error)}): mend the address, the access or the server"
                ) from None
            time.sleep(pause)
    raise AssertionError("unreachable")


def open_shard(shard: Shard, use: str = "all", stall_s: float = STALL_S) -> ShardReader:
    """Open a shard; a remote one is fetched if it is not in the cache, and stays there for as long as the reader is open.

    Raises:
        MissingShardError: the shard or its index is missing, or too short.
        InputError: the index is none of this version; what a URL holds is not what its manifest says.
        CacheFullError: the cache has no room.
        OSError: the file system or the transfer failed.
    """
    if isinstance(shard, Path):
        return ShardReader(shard, use)
    for left in (1, 0):
        read_index(shard, stall_s)
        with shard.cache.held(shard.index, stall_s), shard.cache.held(shard.tar, stall_s) as tar:
            reader = ShardReader(tar, use)
            # The reader's own lock, which goes with its descriptor.
            fcntl.flock(reader.fileno(), fcntl.LOCK_SH)
        if _fits(reader):
            return reader
        shard.cache.discard(shard.index)
        if not is_intact(shard.tar, reader.fileno()):
            shard.cache.discard(shard.tar, reader.fileno())
        reader.close()
        if not left:
            raise InputError(f"{shard.index.shown} is not the index of its tar: copy or build the folder again")
    raise AssertionError("unreachable")


def read_index(shard: Shard, stall_s: float = STALL_S) -> np.ndarray:
    """All records of a shard's index, (samples,) INDEX_DTYPE; no tar is fetched. Raises as `open_shard`."""
    if isinstance(shard, Path):
        return load_index(index_path(shard))
    problem = ""
    for _ in range(2):
        with shard.cache.held(shard.index, stall_s) as path:
            try:
                index = load_index(path)
                problem = _disagrees(index, shard.entry)
                if not problem:
                    return index
            except InputError:
                problem = "is no shard index of this version"
        # A transfer can end early and not say so.
        shard.cache.discard(shard.index)
    raise InputError(f"{shard.index.shown} {problem}: copy or build the folder again")


def _disagrees(index: np.ndarray, entry: ShardEntry) -> str:
    """What is wrong with the index of a shard; empty if nothing is."""
    counts = [int((index["kind"] == kind).sum()) for kind in (Kind.PAIR, Kind.IMAGE, Kind.TEXT)]
    if len(index) != entry.num_samples or counts != [entry.num_pairs, entry.num_images, entry.num_texts]:
        return f"has {len(index)} samples {counts}, its manifest says {entry.num_samples}"
    for member in ("image", "text", "meta"):
        offset, size = index[member]["offset"], index[member]["size"].astype(np.int64)
        if len(index) and (min(offset.min(), size.min()) < 0 or (offset + size).max() > entry.num_bytes):
            return f"points outside its tar of {entry.num_bytes} bytes"
    return ""


def _fits(reader: ShardReader) -> bool:
    """Whether the index belongs to the tar: of the first, the middle and the last sample not all are bad."""
    numbers = {0, len(reader) // 2, len(reader) - 1} if len(reader) else set()
    for number in numbers:
        try:
            reader.read(number)
            return True
        except BadSampleError:
            pass
    return not numbers
