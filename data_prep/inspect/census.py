"""What manifests and indexes say, in full: 45 bytes a sample, no member is opened.

    <root>/**/<institution>/<split>/manifest.json, *.idx.npy ──► SplitCensus, a row a sample

A manifest or an index that cannot be read is named in the problems; the others go on.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cxrpt.data.manifest import MANIFEST_NAME, Manifest, read_manifest
from cxrpt.data.sample import SPLITS
from cxrpt.data.shards import INDEX_DTYPE
from cxrpt.errors import InputError
from data_prep.checks.shard_members import DamageError, read_index


@dataclass(frozen=True)
class Problem:
    """Something below the folder that cannot be read."""

    where: str
    """Institution, split and file name."""
    words: str


@dataclass(frozen=True)
class SplitCensus:
    """One split of one institution; the arrays have a row for each sample of its readable shards."""

    institution: str
    split: str
    manifest: Manifest
    shards: tuple[Path, ...]
    """The readable ones."""
    starts: np.ndarray
    """int64 (shards + 1): the first row of each."""
    kinds: np.ndarray
    """uint8: a `sample.Kind`."""
    num_words: np.ndarray
    """int32."""
    texts: np.ndarray
    """uint64: checksum and size of the text, equal for equal texts; 0 without one."""
    hashes: np.ndarray
    """uint8 (rows, 32): perceptual hash of the picture; zeros without one."""

    @property
    def name(self) -> str:
        return f"{self.institution}/{self.split}"

    @property
    def num_bytes(self) -> int:
        return sum(entry.num_bytes for entry in self.manifest.shards)

    def __len__(self) -> int:
        return len(self.kinds)


@dataclass(frozen=True)
class Census:
    """All splits, by institution and then train, val, test."""

    splits: tuple[SplitCensus, ...]
    folders: tuple[Path, ...]
    """Of institutions."""
    problems: tuple[Problem, ...]

    @property
    def institutions(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(split.institution for split in self.splits))


def take_census(root: Path, advance: Callable[[int, int], None] = lambda done, total: None) -> Census:
    """Read every manifest and index below `root`; `advance(done, total)` is told of shards.

    Raises:
        InputError: there is no manifest below `root`, or none that can be read.
    """
    if not root.is_dir():
        raise InputError(f"{root} is no folder: name one that `cxrpt prep` made")
    folders = sorted(path.parent for path in root.rglob(MANIFEST_NAME))
    if not folders:
        raise InputError(f"{root} holds no {MANIFEST_NAME}: name a folder that `cxrpt prep` made")
    manifests: dict[Path, Manifest] = {}
    problems: list[Problem] = []
    for folder in folders:
        try:
            manifest = read_manifest(folder)
            if manifest.split not in SPLITS or any(Path(entry.name).name != entry.name for entry in manifest.shards):
                raise InputError("names no split of ours, or shards outside its folder: build again")
            manifests[folder] = manifest
        except (InputError, TypeError) as error:
            words = str(error).replace(str(folder) + "/", "").replace(str(folder), "the folder")
            problems.append(Problem(f"{folder.parent.name}/{folder.name}/{MANIFEST_NAME}", words))
    if not manifests:
        raise InputError(f"no {MANIFEST_NAME} below {root} can be read: run `cxrpt verify`, or build the shards again")
    total, done, splits = sum(len(manifest.shards) for manifest in manifests.values()), 0, []
    for folder, manifest in manifests.items():
        splits.append(_read_split(folder, manifest, problems))
        done += len(manifest.shards)
        advance(done, total)
    splits.sort(key=lambda split: (split.institution, SPLITS.index(split.split)))
    return Census(tuple(splits), tuple(sorted({folder.parent for folder in folders})), tuple(problems))


def _read_split(folder: Path, manifest: Manifest, problems: list[Problem]) -> SplitCensus:
    shards, kinds, num_words, texts, hashes = [], [], [], [], []
    for entry in manifest.shards:
        try:
            index = _read_whole_index(folder / entry.name, entry.num_samples, entry.num_bytes)
        except (DamageError, OSError) as error:
            words = str(error) if isinstance(error, DamageError) else f"cannot be read ({error.strerror})"
            problems.append(Problem(f"{manifest.institution}/{manifest.split}/{entry.name}", words))
            continue
        shards.append(folder / entry.name)
        kinds.append(index["kind"])
        num_words.append(index["num_words"])
        size = index["text"]["size"].astype(np.uint64)
        texts.append(np.where(size > 0, (index["text"]["crc32"].astype(np.uint64) << np.uint64(32)) | size, np.uint64(0)))
        hashes.append(np.ascontiguousarray(index["phash"]))
    starts = np.concatenate([[0], np.cumsum([len(one) for one in kinds], dtype=np.int64)])
    return SplitCensus(
        manifest.institution,
        manifest.split,
        manifest,
        tuple(shards),
        starts.astype(np.int64),
        _joined(kinds, np.uint8),
        _joined(num_words, np.int32),
        _joined(texts, np.uint64),
        _joined(hashes, np.uint8, (INDEX_DTYPE["phash"].itemsize,)),
    )


def _read_whole_index(shard: Path, num_samples: int, num_bytes: int) -> np.ndarray:
    index = np.array(read_index(shard))
    if not shard.exists():
        raise DamageError("is missing")
    if (found := shard.stat().st_size) != num_bytes:
        raise DamageError(f"has {found} bytes, its manifest says {num_bytes}")
    if len(index) != num_samples:
        raise DamageError(f"has {len(index)} samples in its index, {num_samples} in its manifest")
    if len(index) and (int(index["num_words"].min()) < 0 or int(index["kind"].max()) > 2):
        raise DamageError("has an index with values that cannot be")
    return index


def _joined(parts: list[np.ndarray], dtype: type, shape: tuple[int, ...] = ()) -> np.ndarray:
    joined = np.concatenate([np.zeros((0, *shape), dtype), *parts])
    parts.clear()
    return joined
