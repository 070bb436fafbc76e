"""A packed micro-batch: sequences of different length laid end to end, without padding.

    image-only       [I] p p p p ...
    text-only        [T] w w w ...
    pair, fused      [I] p p p p ... [T] w w w ...       image and text attend to each other
    pair, split      [I] p p p p ...  and  [T] w w w ... as two sequences, for the contrast

[I] and [T] are summary tokens. Sequences stand in order of length, so that equal lengths form runs that attention
handles as one dense block. All places that a loss looks at come as index tensors: a step needs no host sync.

Legend of shapes: N rows of all sequences, S sequences, I images, X texts, P patches of all images, W words (tokens) of
all texts, M hidden tokens, G groups of one scale, E pixels of a patch, C split pairs.

torch is imported late: loader workers pack numpy arrays and do without it, which spares each of them 130 MB and a second.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from cxrpt.data.bad_samples import BadSample
from cxrpt.data.example import Example
from cxrpt.data.masking import hidden_groups_of_all

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class MvmGroups:
    """The hidden squares of one scale."""

    rows_GS: Tensor
    """(G, scale ** 2) rows of the group's patches among N."""
    patches_GS: Tensor
    """(G, scale ** 2) the same among P."""
    source_G: Tensor


@dataclass(frozen=True)
class Batch:
    """One packed micro-batch on one device; as a worker packs it, numpy arrays stand in for the tensors."""

    patches_PE: Tensor
    """uint8 pixels."""
    hidden_P: Tensor
    """bool, patches the model does not see."""
    place_P: Tensor
    """Number of the patch in its image's grid."""
    grid: int
    """Patches a side."""
    tokens_W: Tensor
    """int64, as the model sees them."""
    place_W: Tensor
    """Number of the token in its text."""
    order_N: Tensor
    """Which row of [image summaries; patches; text summaries; tokens] stands at each row of the pack."""
    cu_seqlens: Tensor
    """(S + 1) int32, where sequences begin and end."""
    max_seqlen: int
    runs: tuple[tuple[int, int, int], ...]
    """(first row, sequences, length) of each run of sequences of equal length."""
    image_rows_I: Tensor
    text_rows_X: Tensor
    """Rows of the summary tokens among N."""
    mlm_rows_M: Tensor
    mlm_targets_M: Tensor
    mlm_source_M: Tensor
    mvm: dict[int, MvmGroups]
    """Scale -> hidden groups."""
    pair_image_rows_C: Tensor
    pair_text_rows_C: Tensor
    pair_study_C: Tensor
    pair_wording_C: Tensor
    """Of split pairs: summary rows, and hashes that tell which pairs are no negatives."""
    num_samples: int
    num_by_source: tuple[int, ...]
    num_bad_by_source: tuple[int, ...] = ()
    """Samples of the micro-batch that stand in for one whose content is bad."""
    bad: tuple[BadSample, ...] = ()
    """A few of those whose content is bad."""
    exchange: int = 0
    """Checksum of which rank takes which sample of the step; equal on all ranks that exchange samples."""

    @property
    def num_tokens(self) -> int:
        """Rows that go through the transformer."""
        return len(self.order_N)

    def counts(self) -> dict[str, int]:
        """What each loss of this batch sums over, by objective (`mvm4` is the one of scale 4)."""
        counts = {"mlm": len(self.mlm_rows_M), "itc": len(self.pair_study_C)}
        return counts | {f"mvm{scale}": len(groups.source_G) for scale, groups in self.mvm.items()}

    def map(self, move: Callable[[Any], Any]) -> Batch:
        """The same batch with every tensor (or array) passed through `move`."""

        def each(value: Any) -> Any:
            if isinstance(value, MvmGroups):
                return MvmGroups(move(value.rows_GS), move(value.patches_GS), move(value.source_G))
            if isinstance(value, dict):
                return {key: each(item) for key, item in value.items()}
            return value if isinstance(value, int | tuple) else move(value)

        return Batch(**{entry.name: each(getattr(self, entry.name)) for entry in fields(self)})

    def to(self, device: torch.device) -> Batch:
        """The batch on a device. Tensors that lie in one buffer, as those from the loader do, go there in one copy."""
        from cxrpt.data.flat_batch import move_buffers

        return move_buffers(self, device)


@dataclass
class _Sequence:
    """Pieces of one sequence: numbers of an image and a text among the batch's, or None."""

    image: int | None
    text: int | None
    length: int


def pack(examples: list[Example], grid: int, patch_size: int, scales: tuple[int, ...], num_sources: int) -> Batch:
    """Lay examples end to end.

    Args:
        examples: at least one.
        grid: patches a side of every image.
        patch_size: pixels a side of a patch.
        scales: sides of the groups that are regenerated.
        num_sources: sources of the run, for the counts by source.
    """
    import torch

    return pack_arrays(examples, grid, patch_size, scales, num_sources).map(torch.from_numpy)


def pack_arrays(examples: list[Example], grid: int, patch_size: int, scales: tuple[int, ...], num_sources: int) -> Batch:
    """As `pack`, without torch: the batch holds numpy arrays."""
    images = [(e.patches, e.hidden, e) for e in examples if e.patches is not None and e.hidden is not None]
    texts = [(e.text, e) for e in examples if e.text is not None]
    image_number = {id(e): n for n, (_, _, e) in enumerate(images)}
    text_number = {id(e): n for n, (_, e) in enumerate(texts)}
    sequences = sorted(_sequences(examples, image_number, text_number, grid * grid), key=lambda s: s.length)

    # Rows of [image summaries; patches; text summaries; tokens], and where each image and text lands in the pack.
    num_images, num_patches = len(images), grid * grid
    text_lengths = np.array([len(text.tokens) for text, _ in texts], np.int64)
    text_starts = np.concatenate([[0], np.cumsum(text_lengths)])
    first_patch, first_text = num_images, num_images + num_images * num_patches
    first_token = first_text + len(texts)
    order = np.empty(sum(s.length for s in sequences), np.int64)
    numbers = np.arange(first_token + text_starts[-1])
    image_at, text_at, row = np.zeros(num_images, np.int64), np.zeros(len(texts), np.int64), 0
    for sequence in sequences:
        if (n := sequence.image) is not None:
            image_at[n], order[row] = row, n
            row, first = row + 1 + num_patches, first_patch + n * num_patches
            order[row - num_patches : row] = numbers[first : first + num_patches]
        if (n := sequence.text) is not None:
            text_at[n], order[row] = row, first_text + n
            length, first = int(text_lengths[n]), first_token + int(text_starts[n])
            row += 1 + length
            order[row - length : row] = numbers[first : first + length]
    lengths = np.array([s.length for s in sequences], np.int64)

    mlm_rows = [text_at[n] + 1 + text.positions for n, (text, _) in enumerate(texts)]
    mlm_source = [np.full(len(text.positions), e.source) for text, e in texts]
    split = [(image_number[id(e)], text_number[id(e)], e) for e in examples if e.split]
    hidden = _join([hidden for _, hidden, _ in images], bool).reshape(num_images, grid, grid)
    image_sources = np.array([e.source for _, _, e in images], np.int64)
    return Batch(
        patches_PE=_join([p for p, _, _ in images], np.uint8).reshape(-1, patch_size**2),
        hidden_P=hidden.ravel(),
        place_P=_index(np.tile(np.arange(num_patches), num_images)),
        grid=grid,
        tokens_W=_index(_join([text.tokens for text, _ in texts], np.int64)),
        place_W=_index(_join([np.arange(length) for length in text_lengths], np.int64)),
        order_N=_index(order),
        cu_seqlens=_join([np.zeros(1, np.int64), np.cumsum(lengths)], np.int32),
        max_seqlen=int(lengths.max()),
        runs=_runs(lengths),
        image_rows_I=_index(image_at),
        text_rows_X=_index(text_at),
        mlm_rows_M=_index(_join(mlm_rows, np.int64)),
        mlm_targets_M=_index(_join([text.targets for text, _ in texts], np.int64)),
        mlm_source_M=_index(_join(mlm_source, np.int64)),
        mvm={scale: _groups(hidden, image_at, image_sources, scale) for scale in scales if scale <= grid},
        pair_image_rows_C=_index(image_at[[i for i, _, _ in split]]),
        pair_text_rows_C=_index(text_at[[t for _, t, _ in split]]),
        pair_study_C=_index(np.array([e.study for _, _, e in split], np.int64)),
        pair_wording_C=_index(np.array([e.wording for _, _, e in split], np.int64)),
        num_samples=len(examples),
        num_by_source=tuple(np.bincount([e.source for e in examples], minlength=num_sources).tolist()),
    )


def _sequences(examples: list[Example], images: dict[int, int], texts: dict[int, int], num_patches: int) -> list[_Sequence]:
    sequences = []
    for example in examples:
        image, text = images.get(id(example)), texts.get(id(example))
        image_length = 0 if image is None else 1 + num_patches
        text_length = 0 if example.text is None else 1 + len(example.text.tokens)
        if example.split:
            sequences += [_Sequence(image, None, image_length), _Sequence(None, text, text_length)]
        else:
            sequences.append(_Sequence(image, text, image_length + text_length))
    return sequences


def _runs(lengths: np.ndarray) -> tuple[tuple[int, int, int], ...]:
    runs, row = [], 0
    for length, count in zip(*np.unique(lengths, return_counts=True), strict=True):
        runs.append((row, int(count), int(length)))
        row += int(length) * int(count)
    return tuple(runs)


def _groups(hidden: np.ndarray, image_at: np.ndarray, sources: np.ndarray, scale: int) -> MvmGroups:
    image, group = hidden_groups_of_all(hidden, scale)
    rows, patches = image_at[image, None] + 1 + group, image[:, None] * hidden.shape[1] ** 2 + group
    return MvmGroups(_index(rows), _index(patches), _index(sources[image]))


def _join(arrays: list[np.ndarray], dtype: type) -> Any:
    return np.concatenate(arrays).astype(dtype, copy=False) if arrays else np.empty(0, dtype)


def _index(array: np.ndarray) -> Any:
    return np.ascontiguousarray(array, np.int64)
