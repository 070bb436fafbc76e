"""Small splits, sample by sample: pictures with a pattern of their own, reports, and whatever a test wants wrong."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from made_exports import phantom

from cxrpt.data.manifest import Manifest, read_manifest
from cxrpt.data.sample import SampleMeta
from data_prep.build.write_shards import ShardSample, shard_name, write_shard
from data_prep.pictures.near_copies import perceptual_hash
from data_prep.processes.durable import write_file

SETTINGS = {"store_size": 128, "image_format": "jpg"}


def picture(seed: int, quality: int = 95) -> tuple[bytes, bytes]:
    """A chest that is near to no other seed's: JPEG, and its perceptual hash."""
    coarse = np.random.default_rng(seed).integers(0, 200, (9, 9)).astype(np.float32)
    pixels = np.clip(phantom(seed, (160, 144)) / 40 + cv2.resize(coarse, (144, 160), interpolation=cv2.INTER_CUBIC), 0, 255)
    data = cv2.imencode(".jpg", pixels.astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
    return data, perceptual_hash(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED))


def sample(key: str, seed: int | None = None, text: str | None = None, quality: int = 95, **meta) -> ShardSample:
    """A sample whose patient and study are named after its key, unless `meta` names others."""
    image, phash = (None, b"") if seed is None else picture(seed, quality)
    sections = {}
    if text is not None and text.startswith("FINDINGS: "):
        sections = {"FINDINGS": (10, len(text.rstrip()))}
    fields = {"institution": "north", "study": f"s-{key}", "patient": f"p-{key}", "sections": sections, **meta}
    if seed is not None:
        fields = {"view": "PA", "size": (288, 320), **fields}
    encoded = None if text is None else text.encode()
    return ShardSample(key, SampleMeta(**fields), image, encoded, num_words=len((text or "").split()), phash=phash)


def write_split(out: Path, institution: str, split: str, *shards: list[ShardSample]) -> Path:
    """Write `<out>/<institution>/<split>` with a shard for each list of samples."""
    folder = out / institution / split
    folder.mkdir(parents=True, exist_ok=True)
    entries = []
    for number, samples in enumerate(shards):
        own = [replace(one, meta=replace(one.meta, institution=institution)) for one in samples]
        entries.append(write_shard(folder / shard_name(institution, split, number), own))
    write_file(folder / "manifest.json", Manifest(institution, split, SETTINGS, tuple(entries)).to_json().encode())
    return folder


def renew_manifest(folder: Path, **changes) -> None:
    """Write the manifest again with its first line changed."""
    manifest = read_manifest(folder)
    first, *rest = manifest.shards
    shards = (replace(first, **changes), *rest)
    write_file(folder / "manifest.json", replace(manifest, shards=shards).to_json().encode())


def sound(out: Path) -> Path:
    """North with pairs, pictures and a report in three splits; south with pictures; nobody in two splits."""
    report = "FINDINGS: The lungs are clear. Heart size ___ is normal.\n"
    write_split(
        out, "north", "train",
        [sample("a1", 1, report, age=64, sex="F", days=0, labels={"effusion": 1, "nodule": 0}), sample("a2", 2, report)],
        [sample("a3", 3, age="90+", sex="M"), sample("a4", None, "FINDINGS: Small effusion.\n")],
    )  # fmt: skip
    write_split(out, "north", "val", [sample("a5", 5, report, view="LATERAL", labels={"effusion": -1})])
    write_split(out, "north", "test", [sample("a6", 6), sample("a7", 7, "FINDINGS: Fracture.\n")])
    write_split(out, "south", "train", [sample(f"b{seed}", 10 + seed) for seed in range(3)])
    return out
