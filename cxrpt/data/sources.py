"""The sources of a run: their manifests, and what the plan must know of them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cxrpt.config import DataConfig
from cxrpt.data.manifest import Manifest, read_manifest
from cxrpt.data.timeline import PlanSource
from cxrpt.errors import InputError


@dataclass(frozen=True)
class Source:
    """A source of the mix, resolved against its manifest."""

    name: str
    use: str
    shards: tuple[Path, ...]
    plan: PlanSource
    kinds: tuple[int, int, int]
    """Pairs, images and texts, as the source's `use` shows them: the images of `use: images` have no text."""


def open_sources(config: DataConfig, split: str = "train") -> list[Source]:
    """Read the manifest of every source.

    Raises:
        InputError: a folder without a manifest, or whose shards are missing or not of the size the manifest says.
    """
    sources = []
    for name, entry in config.sources.items():
        folder = Path(entry.path) / split
        manifest = read_manifest(folder)
        for shard in manifest.shards:
            path = folder / shard.name
            size = path.stat().st_size if path.is_file() else None
            if size != shard.num_bytes:
                state = (
                    "is missing"
                    if size is None
                    else f"is {'truncated' if size < shard.num_bytes else 'changed'} ({size} bytes)"
                )
                raise InputError(
                    f"source {name!r}: {path} {state}, its manifest says {shard.num_bytes} bytes: copy or build it again"
                )
        counts = np.array([shard.count(entry.use) for shard in manifest.shards], np.int64)
        fingerprint = f"{manifest.fingerprint()} {entry.use}"
        shards = tuple(folder / shard.name for shard in manifest.shards)
        schedule = tuple(sorted(entry.weight_from_step.items()))
        plan = PlanSource(name, entry.weight, counts, fingerprint, schedule, entry.epochs)
        sources.append(Source(name, entry.use, shards, plan, _kinds(manifest, entry.use)))
    return sources


def _kinds(manifest: Manifest, use: str) -> tuple[int, int, int]:
    pairs = sum(shard.num_pairs for shard in manifest.shards)
    if use == "images":
        return 0, manifest.count(use), 0
    if use == "texts":
        return 0, 0, manifest.count(use)
    if use == "pairs":
        return pairs, 0, 0
    return pairs, sum(shard.num_images for shard in manifest.shards), sum(shard.num_texts for shard in manifest.shards)
