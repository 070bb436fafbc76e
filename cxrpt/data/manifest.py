"""What a folder of shards holds.

    <out>/<institution>/<split>/manifest.json                      this module
    <out>/<institution>/<split>/<institution>-<split>-000000.tar   shards.py
    <out>/<institution>/<split>/<institution>-<split>-000000.idx.npy

`manifest.json` has one line a shard (name, counts of each kind, bytes, sha256) and the settings that made it.
It is at the same time a `wids` shard index: `wids.ShardListDataset("manifest.json")` opens the folder.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cxrpt.data.sample import KINDS_OF_USE, SCHEMA_VERSION, Kind
from cxrpt.errors import InputError

MANIFEST_NAME = "manifest.json"


class NoManifestError(InputError):
    """A folder that holds no manifest: the source has no such split, or the path is wrong."""


@dataclass(frozen=True)
class ShardEntry:
    """One shard of a manifest."""

    name: str
    num_pairs: int
    num_images: int
    num_texts: int
    num_bytes: int
    sha256: str

    @property
    def num_samples(self) -> int:
        return self.num_pairs + self.num_images + self.num_texts

    def count(self, use: str) -> int:
        """Samples of this shard that a source with `use` sees."""
        by_kind = {Kind.PAIR: self.num_pairs, Kind.IMAGE: self.num_images, Kind.TEXT: self.num_texts}
        return sum(by_kind[kind] for kind in KINDS_OF_USE[use])


@dataclass(frozen=True)
class Manifest:
    """The shards of one split of one institution."""

    institution: str
    split: str
    settings: dict[str, Any]
    """What the shards were made with (store size, split fractions, versions); no paths, no keys."""
    shards: tuple[ShardEntry, ...]

    def count(self, use: str = "all") -> int:
        """Samples that a source with `use` sees."""
        return sum(shard.count(use) for shard in self.shards)

    def fingerprint(self) -> str:
        """16 hexadecimal digits that change when any shard's content, name or place in the list changes."""
        digest = hashlib.sha256(f"{self.institution}/{self.split}".encode())
        for shard in self.shards:
            digest.update(f"\n{shard.name} {shard.num_samples} {shard.sha256}".encode())
        return digest.hexdigest()[:16]

    def to_json(self) -> str:
        """The text of `manifest.json`: stable bytes, one line a shard."""
        head = {
            "wids_version": 1,
            "name": f"{self.institution}-{self.split}",
            "schema": SCHEMA_VERSION,
            "institution": self.institution,
            "split": self.split,
            "settings": self.settings,
        }
        lines = [
            json.dumps(
                {
                    "url": shard.name,
                    "nsamples": shard.num_samples,
                    "filesize": shard.num_bytes,
                    "pairs": shard.num_pairs,
                    "images": shard.num_images,
                    "texts": shard.num_texts,
                    "sha256": shard.sha256,
                }
            )
            for shard in self.shards
        ]
        members = [f" {json.dumps(key)}: {json.dumps(value, sort_keys=True)}" for key, value in head.items()]
        members.append(' "shardlist": [' + ("\n  " + ",\n  ".join(lines) + "\n ]" if lines else "]"))
        return "{\n" + ",\n".join(members) + "\n}\n"


def parse_manifest(text: str, where: str) -> Manifest:
    """Read the text of a `manifest.json`.

    Raises:
        InputError: it is not such a file; the message names `where`.
    """
    try:
        fields = json.loads(text)
        if fields["schema"] != SCHEMA_VERSION:
            raise InputError(
                f"{where} has schema {fields['schema']}, this version reads {SCHEMA_VERSION}: build the shards again"
            )
        shards = tuple(
            ShardEntry(
                name=line["url"],
                num_pairs=line["pairs"],
                num_images=line["images"],
                num_texts=line["texts"],
                num_bytes=line["filesize"],
                sha256=line["sha256"],
            )
            for line in fields["shardlist"]
        )
        return Manifest(fields["institution"], fields["split"], fields["settings"], shards)
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise InputError(f"{where} is not a shard manifest ({error!r}): build the folder with `cxrpt prep`") from None


def read_manifest(folder: Path) -> Manifest:
    """Read `<folder>/manifest.json`, where folder is `<out>/<institution>/<split>`.

    Raises:
        NoManifestError: there is none.
        InputError: it does not parse.
    """
    path = folder / MANIFEST_NAME
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        raise NoManifestError(f"{folder} holds no {MANIFEST_NAME}: name a folder that `cxrpt prep` made") from None
    except UnicodeDecodeError:
        raise InputError(f"{path} is no text: build the shards again, or copy them again") from None
    return parse_manifest(text, str(path))
