"""The sources of a run: their manifests, and what the plan must know of them."""

from dataclasses import dataclass

import numpy as np

from cxrpt.config import DataConfig
from cxrpt.data.manifest import Manifest
from cxrpt.data.order.timeline import PlanSource
from cxrpt.data.storage.remote import is_remote
from cxrpt.data.storage.shard_folder import Shard, cache_of, open_folder


@dataclass(frozen=True)
class Source:
    """A source of the mix, resolved against its manifest."""

    name: str
    use: str
    where: str
    """For messages: without credentials."""
    is_remote: bool
    manifest: Manifest
    shards: tuple[Shard, ...]
    """In the order of the manifest."""
    plan: PlanSource
    kinds: tuple[int, int, int]
    """Pairs, images and texts, as the source's `use` shows them: the images of `use: images` have no text."""


def open_sources(config: DataConfig, split: str = "train") -> list[Source]:
    """Read the manifest of every source; whether the shards are there is `check_shards`' to find, once and not on every rank.

    Raises:
        InputError: a folder without a manifest, or a manifest that cannot be read.
    """
    sources = []
    for name, entry in config.sources.items():
        folder = open_folder(entry.path, split, cache_of(config))
        counts = np.array([shard.count(entry.use) for shard in folder.manifest.shards], np.int64)
        fingerprint = f"{folder.manifest.fingerprint()} {entry.use}"
        schedule = tuple(sorted(entry.weight_from_step.items()))
        plan = PlanSource(name, entry.weight, counts, fingerprint, schedule, entry.epochs)
        kinds = _kinds(folder.manifest, entry.use)
        sources.append(
            Source(name, entry.use, folder.shown, is_remote(entry.path), folder.manifest, folder.shards, plan, kinds)
        )
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
