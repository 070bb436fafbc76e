"""Which samples of a split are evaluated, and how they are read: unaugmented, unmasked, the same at every step.

source folders ─ manifests, indexes ─► choose (the smallest hashes of keys) ─► Place ... ─► RawSample ─► Example

`use` of a source says what training takes of it; an evaluation takes all that the split holds, so that a model trained
on unpaired data can be judged on pairs.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from cxrpt.checkpoint.export import Exported
from cxrpt.config import RunConfig
from cxrpt.data.example import Example
from cxrpt.data.hashing import derive, hash_text
from cxrpt.data.manifest import MANIFEST_NAME, Manifest, NoManifestError
from cxrpt.data.masking import MaskedText
from cxrpt.data.sample import Kind
from cxrpt.data.shards import INDEX_DTYPE, BadSampleError, RawSample
from cxrpt.data.storage.shard_folder import Shard, cache_of, identity, open_folder, open_shard, read_index, shown_folder
from cxrpt.data.text import select_text
from cxrpt.data.transforms import load_square, to_patches
from cxrpt.errors import InputError

_CHOICE = 41


class CannotRunError(Exception):
    """A task has nothing to run on; the message is the reason that the results give."""


@dataclass(frozen=True)
class SplitFolder:
    """The shards of one split of one source."""

    source: str
    shards: tuple[Shard, ...]
    manifest: Manifest | None = None


@dataclass(frozen=True)
class Place:
    """Where one sample lies."""

    source: str
    shard: Shard
    number: int


def open_split(config: RunConfig, split: str) -> list[SplitFolder]:
    """The folders of a split of the sources that are evaluated, each once however many name it; none without it.

    Raises:
        InputError: a manifest cannot be read or does not parse.
    """
    folders: dict[str, SplitFolder] = {}
    for name, source in config.evaluated.items():
        place = identity(source.path, split)
        if place not in folders:
            with suppress(NoManifestError):
                opened = open_folder(source.path, split, cache_of(config.data))
                folders[place] = SplitFolder(name, opened.shards, opened.manifest)
    return list(folders.values())


def require_split(folders: list[SplitFolder], config: RunConfig, split: str) -> None:
    """Raise InputError where no source has the split."""
    if not folders:
        looked = ", ".join(shown_folder(source.path, split) for source in config.evaluated.values())
        raise InputError(
            f"no source has the split {split!r} (no {MANIFEST_NAME} in {looked}): "
            "start in the folder in which training was started, or build the split"
        )


def choose(folders: list[SplitFolder], kinds: tuple[Kind, ...], limit: int) -> list[Place]:
    """At most `limit` samples of the given kinds, those with the smallest hashes of their keys.

    The choice depends on the keys only, not on the order of the shards; it is returned in the order of reading.
    """
    hashes, owners, numbers = [], [], []
    shards = [(folder.source, shard) for folder in folders for shard in folder.shards]
    for owner, (_, shard) in enumerate(shards):
        index = read_index(shard)
        wanted = np.flatnonzero(np.isin(index["kind"], kinds))
        hashes.append(_hash_keys(index["key"][wanted]))
        owners.append(np.full(len(wanted), owner))
        numbers.append(wanted)
    if not shards:
        return []
    taken = np.argsort(np.concatenate(hashes), kind="stable")[:limit]
    owner_N, number_N = np.concatenate(owners)[taken], np.concatenate(numbers)[taken]
    in_order = np.lexsort((number_N, owner_N)).tolist()
    return [Place(shards[owner_N[n]][0], shards[owner_N[n]][1], int(number_N[n])) for n in in_order]


def _hash_keys(keys: np.ndarray) -> np.ndarray:
    """One uint64 a key; the key's 40 bytes are taken as five integers."""
    if not len(keys):
        return np.empty(0, np.uint64)
    words = np.ascontiguousarray(keys, INDEX_DTYPE["key"]).view(np.uint64).reshape(len(keys), -1)
    return derive(_CHOICE, *words.T)


def read(places: list[Place], bad: Counter[str]) -> Iterator[tuple[Place, RawSample]]:
    """Read chosen samples one after the other; those whose content is bad are counted by source and left out.

    Raises:
        InputError: a shard is missing or truncated.
        OSError: the file system failed.
    """
    for shard, of_shard in groupby(places, key=lambda place: place.shard):
        reader = open_shard(shard)
        for place in of_shard:
            try:
                yield place, reader.read(place.number)
            except BadSampleError:
                bad[place.source] += 1
        reader.close()


def square_image(raw: RawSample, exported: Exported) -> np.ndarray:
    """The picture as the model sees it: (S, S) uint8.

    Raises:
        BadSampleError: it does not decode.
    """
    assert raw.image is not None
    return load_square(raw.image, exported.model.shape.image_size)


def text_tokens(raw: RawSample, exported: Exported) -> np.ndarray:
    """The tokens as the model sees them: the sections it was trained on, cut to its longest text; (T,) int32."""
    assert raw.text is not None
    return tokens_of(select_text(raw.text, raw.meta.sections, exported.sections), exported)


def tokens_of(chosen: str, exported: Exported) -> np.ndarray:
    """The tokens of a text whose sections are chosen already, cut to the longest that the model takes; (T,) int32."""
    return exported.tokenizer.encode(chosen)[: exported.model.shape.max_text_tokens]


def plain_example(
    image: np.ndarray | None, tokens: np.ndarray | None, patch_size: int, hidden: np.ndarray | None = None
) -> Example:
    """An example for the packer, with nothing masked unless `hidden` (grid, grid) says so; image and text are fused."""
    patches = None if image is None else to_patches(image, patch_size)
    if image is not None and hidden is None:
        hidden = np.zeros((image.shape[0] // patch_size,) * 2, bool)
    text = None if tokens is None else MaskedText(tokens, np.empty(0, np.int64), np.empty(0, np.int32))
    return Example(0, patches, hidden, text, split=False, study=0, wording=0)


def wording(tokens: np.ndarray) -> int:
    """A hash that is equal for texts that are equal to the model."""
    return hash_text(tokens.tobytes().hex())
