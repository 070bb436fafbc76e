"""How the splits of each source were made, and which sources must not be averaged.

manifest's settings ─► protocol, in words ─► groups of sources that share one table

Scores of one data set under two splits (NIH ChestX-ray14 by its official lists and by random ones) are scores of two tasks, and
what one split trains on the other tests.
"""

from collections import defaultdict
from typing import Any

from cxrpt.data.manifest import Manifest
from cxrpt.eval.samples import SplitFolder

UNKNOWN = "not recorded"
_PUBLISHED = ("nih14", "mimic-cxr", "openi")
"""Sources of `cxrpt prep` that are one data set each, whatever institution they were built as."""


def protocols(folders: list[SplitFolder]) -> dict[str, str]:
    """How the splits of each source were made, in words."""
    return {folder.source: protocol_of(folder.manifest) for folder in folders}


def protocol_of(manifest: Manifest | None) -> str:
    """How the splits of shards were made: by which lists, or by the hash and in which shares."""
    settings: dict[str, Any] = manifest.settings if manifest else {}
    split_by = str(settings.get("split_by", UNKNOWN))
    try:
        train, val, test = (float(share) for share in settings["split"])
    except (KeyError, TypeError, ValueError):
        return split_by
    if settings.get("source") == "nih14" and split_by == "official lists" and train + val > 0:
        # Its lists tell no val.
        return f"official lists, val by the hash of the patient ({val / (train + val):.3g} of train_val)"
    return f"{split_by} {train:g}/{val:g}/{test:g}" if split_by == "hash of the patient" else split_by


def groups_of(folders: list[SplitFolder]) -> tuple[list[list[str]], str]:
    """Sources that are fitted and averaged together, and why they are not all, empty if they are.

    Where two sources are the same data set under different protocols, each source stands alone.
    """
    told = protocols(folders)
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for folder in folders:
        found[_data_set(folder)][folder.source] = told[folder.source]
    clash = next((by_source for by_source in found.values() if len(set(by_source.values())) > 1), None)
    names = list(told)
    if clash is None:
        return [names], ""
    both = "; ".join(f"{source}: {protocol}" for source, protocol in clash.items())
    return [[name] for name in names], f"one data set under different splits ({both}): no common mean, each source stands alone"


def _data_set(folder: SplitFolder) -> str:
    """A name that is equal for sources of the same data set, as far as manifests tell."""
    if folder.manifest is None:
        return folder.source
    source = str(folder.manifest.settings.get("source"))
    return source if source in _PUBLISHED else f"institution {folder.manifest.institution}"
