"""Small shards for tests of training and evaluation, written by hand so that they check the contract, not our writer.

Each picture holds a bright disc on the left or on the right, and its report and label say which.
"""

import hashlib
import io
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from cxrpt.data.manifest import Manifest, ShardEntry
from cxrpt.data.sample import Kind, SampleMeta
from cxrpt.data.shards import INDEX_DTYPE, index_path

_EXTENSIONS = {"image": "jpg", "text": "txt", "meta": "json"}
_WORDS = ("today", "again", "since before", "as seen", "in part", "on this view", "at rest")


Study = tuple[np.ndarray, str, SampleMeta]
"""Picture, report and metadata of one made study."""


def bright_disc(key: str, institution: str, size: int, rng: np.random.Generator) -> Study:
    """A disc on one side, which the report and the label name."""
    right = int(rng.integers(2))
    image = rng.integers(30, 50, (size, size), dtype=np.uint8)
    cv2.circle(image, (size // 4 + right * size // 2, size // 2), size // 8 + int(rng.integers(size // 16)), 200, -1)
    text = (
        f"FINDINGS: There is a bright opacity on the {'right' if right else 'left'} side {_WORDS[rng.integers(len(_WORDS))]}."
    )
    return image, text, SampleMeta(institution, key[:16], key[:12], "PA", {"FINDINGS": (10, len(text))}, {"right": right})


def make_shards(
    root: Path,
    institution: str,
    kind: Kind,
    train: int,
    seed: int = 0,
    per_shard: int = 40,
    size: int = 96,
    study: Callable[[str, str, int, np.random.Generator], Study] = bright_disc,
) -> Path:
    """Write `<root>/<institution>/{train,val,test}`; val and test hold an eighth of `train` each."""
    rng = np.random.default_rng(seed)
    for split, count in (("train", train), ("val", train // 8), ("test", train // 8)):
        folder = root / institution / split
        folder.mkdir(parents=True)
        entries = []
        for first in range(0, count, per_shard):
            shard = folder / f"{institution}-{split}-{first // per_shard:06d}.tar"
            records = _write_shard(
                shard, institution, split, kind, range(first, min(count, first + per_shard)), size, rng, study
            )
            counts = {one: len(records) if one == kind else 0 for one in Kind}
            data = shard.read_bytes()
            entries.append(
                ShardEntry(
                    shard.name,
                    counts[Kind.PAIR],
                    counts[Kind.IMAGE],
                    counts[Kind.TEXT],
                    len(data),
                    hashlib.sha256(data).hexdigest(),
                )
            )
        (folder / "manifest.json").write_text(Manifest(institution, split, {}, tuple(entries)).to_json())
    return root / institution


def _write_shard(shard, institution, split, kind, numbers, size, rng, study):
    records = []
    with tarfile.open(shard, "w", format=tarfile.USTAR_FORMAT) as tar:
        for number in numbers:
            key = hashlib.sha256(f"{institution}/{split}/{number}".encode()).hexdigest()[:32]
            members = _members(kind, *study(key, institution, size, rng))
            record = np.zeros((), INDEX_DTYPE)
            record["key"], record["kind"], record["image_extension"] = key, kind, "jpg"
            record["num_words"] = len(members["text"].split())
            for name, data in members.items():
                if data:
                    info = tarfile.TarInfo(f"{key}.{_EXTENSIONS[name]}")
                    info.size = len(data)
                    record[name] = (tar.offset + tarfile.BLOCKSIZE, len(data), zlib.crc32(data))
                    tar.addfile(info, io.BytesIO(data))
            records.append(record)
    np.save(index_path(shard), np.array(records, INDEX_DTYPE))
    return records


def _members(kind, image, text, meta):
    return {
        "image": b"" if kind == Kind.TEXT else cv2.imencode(".jpg", image)[1].tobytes(),
        "text": b"" if kind == Kind.IMAGE else text.encode(),
        "meta": meta.to_json(),
    }
