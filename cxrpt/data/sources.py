"""The sources of a run: their manifests, and what the plan must know of them."""

from dataclasses import dataclass

import numpy as np

from cxrpt.config import DataConfig
from cxrpt.data.manifest import Manifest
from cxrpt.data.plan import PlanSource
from cxrpt.data.remote import is_remote
from cxrpt.data.shard_folder import Shard, cache_of, open_folder


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


def open_sources(config: DataConfig, split: str = "train") -> list[Source]:
    """Read the manifest of every source; whether the shards are there is `check_shards`' to find, once and not on every rank.

    Raises:
        InputError: a folder without a manifest, or a manifest that cannot be read.
    """
    sources = []
    for name, entry in config.sources.items():
        folder = open_folder(entry.path, split, cache_of(config))
        counts = np.array([shard.count(entry.use) for shard in folder.manifest.shards], np.int64)
        plan = PlanSource(name, entry.weight, counts, f"{folder.manifest.fingerprint()} {entry.use}")
        remote = is_remote(entry.path)
        sources.append(Source(name, entry.use, folder.shown, remote, folder.manifest, folder.shards, plan))
    return sources
