"""What a run's sources held when it was started: `data.json`, so that it can still be told when the shards are gone.

    {"contents": {"75d403c5cedd9dfa all": {"institution": "north", "pairs": 87, ..., "settings": {...}, "build": {...}}},
     "tokenizer": {"fingerprint": "3e11a92c233e2cc4", "num_texts": 180, "min_patients": 3, ...}}

A content is named by the fingerprint that the plan gives it (`Content.fingerprint`), under which checkpoints remember what they
were trained on. What an earlier start of the run saw stays.
"""

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from cxrpt.data.storage.sources import Source
from cxrpt.durable import replace_text

DATA_RECORD = "data.json"
BUILD_SUMMARY = "build.json"
_OF_TOKENIZER = ("fingerprint", "institutions", "num_texts", "min_patients")
_OF_BUILD = ("found", "kept", "excluded", "failed")


@dataclass(frozen=True)
class SourceRecord:
    """The training split of one source."""

    institution: str
    use: str
    pairs: int
    images: int
    texts: int
    """Samples in the manifest, whatever `use` takes of them."""
    shards: int
    settings: dict[str, Any] = field(default_factory=dict)
    """What the shards were made with, as their manifest says."""
    build: dict[str, Any] = field(default_factory=dict)
    """Of all splits: files found, kept, excluded and failed, and `reasons`; of this split: `patients`. Empty if not known."""


def write_data_record(run_dir: Path, sources: list[Source], tokenizer: Path) -> None:
    """Add what the sources hold now to the run's record, and what `cxrpt tokenizer` noted beside the tokenizer."""
    contents = {source.plan.fingerprint: _record(source) for source in sources}
    known = read_data_record(run_dir) | contents
    fields = {"contents": {name: asdict(one) for name, one in known.items()}, "tokenizer": _summary_beside(tokenizer)}
    replace_text(run_dir / DATA_RECORD, json.dumps(fields, indent=1) + "\n")


def read_data_record(run_dir: Path) -> dict[str, SourceRecord]:
    """Records by fingerprint; empty for a run of a version that wrote none, or where the file does not parse."""
    try:
        contents = json.loads((run_dir / DATA_RECORD).read_text())["contents"]
        return {name: SourceRecord(**fields) for name, fields in contents.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def read_tokenizer_record(run_dir: Path, fingerprint: str) -> dict[str, Any]:
    """What is known of the making of the tokenizer of this fingerprint; empty if nothing is."""
    try:
        summary = json.loads((run_dir / DATA_RECORD).read_text())["tokenizer"]
        return summary if summary["fingerprint"] == fingerprint else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _summary_beside(tokenizer: Path) -> dict[str, Any]:
    try:
        summary = json.loads(tokenizer.with_name(tokenizer.name + ".json").read_text())
        return {name: summary[name] for name in _OF_TOKENIZER}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _record(source: Source) -> SourceRecord:
    manifest = source.manifest
    pairs, images, texts = (
        sum(getattr(shard, count) for shard in manifest.shards) for count in ("num_pairs", "num_images", "num_texts")
    )
    record = SourceRecord(manifest.institution, source.use, pairs, images, texts, len(manifest.shards), manifest.settings)
    return replace(record, build=_build(source, record))


def _build(source: Source, record: SourceRecord) -> dict[str, Any]:
    """What lies beside the manifests of a local source, if it is of the build that made them."""
    if source.is_remote or not source.shards or not isinstance(source.shards[0], Path):
        return {}
    try:
        built = json.loads((source.shards[0].parents[1] / BUILD_SUMMARY).read_text())
        split = built["splits"][source.manifest.split]
        counts = (record.pairs, record.images, record.texts)
        # A manifest tells more than its build was told: what made the splits.
        same = built["settings"].items() <= record.settings.items()
        if not same or (split["pairs"], split["images"], split["texts"]) != counts:
            return {}
        numbers = {name: int(built[name]) for name in _OF_BUILD}
        reasons = {str(reason): int(count) for reason, count in built["reasons"].items()}
        return numbers | {"reasons": reasons, "patients": int(split["patients"])}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
