"""Are the shards below a folder whole: checksums, members, counts, and patients in one split only."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from cxrpt.data.manifest import MANIFEST_NAME, Manifest, ShardEntry, read_manifest
from cxrpt.data.sample import SPLITS, Kind
from cxrpt.data.shards import BadSampleError, RawSample, ShardReader
from cxrpt.errors import InputError


@dataclass(frozen=True)
class ShardCheck:
    """One shard (or, with an empty name, its whole split): what it holds, and what is wrong with it."""

    institution: str
    split: str
    name: str
    num_pairs: int = 0
    num_images: int = 0
    num_texts: int = 0
    problem: str = ""


def verify_shards(root: Path) -> Iterator[ShardCheck]:
    """Check every shard that a manifest below `root` names, one result each, then what only the whole shows.

    Raises:
        InputError: there is no manifest below `root`.
    """
    folders = sorted(path.parent for path in root.rglob(MANIFEST_NAME))
    if not folders:
        raise InputError(f"{root} holds no {MANIFEST_NAME}: name a folder that `cxrpt prep` made")
    splits_of: dict[tuple[str, str], set[str]] = defaultdict(set)
    keys_of: dict[str, Counter[str]] = defaultdict(Counter)
    for folder in folders:
        try:
            manifest = read_manifest(folder)
        except InputError as error:
            yield ShardCheck(folder.parent.name, folder.name, MANIFEST_NAME, problem=str(error))
            continue
        for entry in manifest.shards:
            yield _check_shard(folder, manifest, entry, splits_of, keys_of[manifest.institution])
        named = {entry.name for entry in manifest.shards}
        for stray in sorted(path.name for path in folder.glob("*.tar") if path.name not in named):
            yield ShardCheck(manifest.institution, manifest.split, stray, problem="is in no manifest: remove it or build again")
    yield from _check_whole(splits_of, keys_of)


def _check_shard(
    folder: Path, manifest: Manifest, entry: ShardEntry, splits_of: dict[tuple[str, str], set[str]], keys: Counter[str]
) -> ShardCheck:
    path = folder / entry.name
    check = ShardCheck(manifest.institution, manifest.split, entry.name, entry.num_pairs, entry.num_images, entry.num_texts)

    def wrong(problem: str) -> ShardCheck:
        return ShardCheck(**{**check.__dict__, "problem": problem})

    try:
        num_bytes = path.stat().st_size
        if num_bytes < entry.num_bytes:
            return wrong(f"is truncated: {num_bytes} of {entry.num_bytes} bytes")
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != entry.sha256:
                return wrong("does not have the sha256 of its manifest")
        reader = ShardReader(path)
        counts: Counter[Kind] = Counter()
        for number in range(len(reader)):
            sample = reader.read(number)
            counts[sample.kind] += 1
            _check_sample(sample, manifest)
            splits_of[manifest.institution, sample.meta.patient].add(manifest.split)
            keys[sample.key] += 1
        reader.close()
    except FileNotFoundError:
        return wrong("is missing")
    except (BadSampleError, InputError) as error:
        return wrong(str(error))
    except OSError as error:
        return wrong(f"cannot be read ({error.strerror})")
    if (counts[Kind.PAIR], counts[Kind.IMAGE], counts[Kind.TEXT]) != (entry.num_pairs, entry.num_images, entry.num_texts):
        return wrong("does not hold the numbers of samples that its manifest says")
    return check


def _check_sample(sample: RawSample, manifest: Manifest) -> None:
    if sample.meta.institution != manifest.institution:
        raise BadSampleError(f"sample {sample.key} is of institution {sample.meta.institution}")
    if sample.image is not None:
        pixels = cv2.imdecode(np.frombuffer(sample.image, np.uint8), cv2.IMREAD_UNCHANGED)
        if pixels is None or pixels.ndim != 2:
            raise BadSampleError(f"the picture of sample {sample.key} is no grayscale picture")
    length = len(sample.text or "")
    if any(not 0 <= start < end <= length for start, end in sample.meta.sections.values()):
        raise BadSampleError(f"a section of sample {sample.key} lies outside its text")


def _check_whole(splits_of: dict[tuple[str, str], set[str]], keys_of: dict[str, Counter[str]]) -> Iterator[ShardCheck]:
    for (institution, patient), splits in sorted(splits_of.items()):
        if len(splits) > 1:
            yield ShardCheck(
                institution, "+".join(split for split in SPLITS if split in splits), "", problem=f"share patient {patient}"
            )
    for institution, keys in sorted(keys_of.items()):
        twice = sum(count > 1 for count in keys.values())
        if twice:
            yield ShardCheck(institution, "", "", problem=f"{twice} sample keys come more than once")
