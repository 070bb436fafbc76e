"""Frozen features of a trained model, as arrays.

chosen samples ─► plain examples ─► pack ─► states (N, D) ─► mean of patches | summary ─► (samples, F) float32

Legend of shapes: I images, X texts, D width, F features, P patches of an image.
"""

import dataclasses
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeVar

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cxrpt.checkpoint.export import Exported
from cxrpt.data.batch import Batch, pack
from cxrpt.data.example import Example
from cxrpt.data.sample import Kind, SampleMeta
from cxrpt.data.shards import BadSampleError, RawSample
from cxrpt.eval.samples import Place, SplitFolder, choose, plain_example, read, square_image, text_tokens, wording
from cxrpt.model.pretrain import PretrainModel

THUMBNAIL = 16
"""Side of the reduced pictures that the pixel baseline sees."""

IMAGE_POOLING = "mean of patch states, joined to the summary state"
"""Joined, the two score above the mean alone. Means over regions score higher still, much of it without any training, for they
keep the place of pixels. Mean AUROC by cross-validation on train, one small model of 200 steps on a made-up hospital, one seed,
trained against untrained: these two 0.637 and 0.595; 2 x 2 regions and summary 0.680 and 0.625; 4 x 4 regions 0.769 and 0.734;
pixels 0.773. The usual pooling was kept; which is best for a long run was never measured."""

WITH_IMAGE = (Kind.PAIR, Kind.IMAGE)

T = TypeVar("T")


@dataclass(frozen=True)
class ImageFeatures:
    """Features of labelled images; row n of every field belongs to one image."""

    features: dict[str, np.ndarray]
    """By what made them. (images, F) float32: "model"; "pixels", THUMBNAIL ** 2 of them, in 0..1; "vectors" where there
    is a contrastive head; "untrained", by the same network with fresh weights. (images, P, D) float16: "states", the summary's
    and then those of patches, and "untrained_states". (images, S, S) uint8: "images" as the model sees them."""
    sources: list[str]
    patients: list[str]
    labels: list[dict[str, int]]
    bad: Counter[str] = field(default_factory=Counter)
    """Samples by source that could not be used."""

    def __len__(self) -> int:
        return len(self.sources)

    def of_sources(self, names: list[str]) -> "ImageFeatures":
        """The images of some sources."""
        taken = np.flatnonzero(np.isin(self.sources, names))
        if len(taken) == len(self):
            return self
        features = {name: values[taken] for name, values in self.features.items()}
        return ImageFeatures(
            features,
            [self.sources[n] for n in taken],
            [self.patients[n] for n in taken],
            [self.labels[n] for n in taken],
            self.bad,
        )


@dataclass(frozen=True)
class PairVectors:
    """Vectors of paired images and texts; row n of every field belongs to one pair."""

    image_ID: np.ndarray
    """Unit vectors, float32."""
    text_ID: np.ndarray
    sources: list[str]
    studies: list[str]
    patients: list[str]
    wordings: list[int]
    places: list[Place]
    """Where each pair lies, to read it again."""
    labels: list[dict[str, int]]
    contrastive: bool
    """From the contrastive head; otherwise mean states with the mean of their modality removed."""
    bad: Counter[str] = field(default_factory=Counter)

    def __len__(self) -> int:
        return len(self.sources)


def batches_of(items: Iterator[T], size: int) -> Iterator[list[T]]:
    """Lists of at most `size` items."""
    while batch := list(islice(items, size)):
        yield batch


def run_model(exported: Exported, examples: list[Example]) -> tuple[Tensor, Batch]:
    """States (N, D) of a pack of examples, and the pack, both where the model is."""
    shape = exported.model.shape
    batch = pack(examples, shape.image_size // shape.patch_size, shape.patch_size, (), 1)
    batch = batch.to(exported.model.mlm_bias.device)
    return exported.model.states(batch), batch


def mean_states(states_ND: Tensor, summary_rows: Tensor, lengths: list[int]) -> Tensor:
    """The mean over the rows that follow each summary row: (summaries, D); an empty text keeps its summary."""
    means = []
    for row, length in zip(summary_rows.tolist(), lengths, strict=True):
        means.append(states_ND[row + 1 : row + 1 + length].mean(0) if length else states_ND[row])
    return torch.stack(means)


def labelled_sources(folders: list[SplitFolder]) -> list[SplitFolder]:
    """The folders in which one of the first 200 images (by hash) has a label."""
    found = []
    for folder in folders:
        places = choose([folder], WITH_IMAGE, 200)
        if any(raw.meta.labels for _, raw in read(places, Counter())):
            found.append(folder)
    return found


def untrained(exported: Exported, seed: int = 0) -> Exported:
    """The same network with fresh weights: what its features are worth shows what is owed to its shape alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fresh = PretrainModel(exported.model.shape).eval()
    return dataclasses.replace(exported, model=fresh.to(exported.model.mlm_bias.device))


@dataclass(frozen=True)
class Wanted:
    """What is kept of images beside pooled features and reduced pixels."""

    control: Exported | None = None
    """A network whose features are kept too, as "untrained" and, with states, as "untrained_states"."""
    states_side: int = 0
    """Above 0 the states are kept, each the mean over squares of so many patches a side."""
    images: bool = False


@torch.inference_mode()
def image_features(
    exported: Exported, folders: list[SplitFolder], limit: int, batch_size: int, wanted: Wanted = Wanted()
) -> ImageFeatures:
    """Features of at most `limit` images of the folders, those with labels."""
    bad: Counter[str] = Counter()
    places = choose(folders, WITH_IMAGE, limit)
    # Filled row by row: joining the batches in the end would take their memory twice. Rows that stay empty take none.
    found: dict[str, np.ndarray] = {
        name: np.empty((len(places), *shape), kind) for name, (shape, kind) in _kept(exported, wanted).items()
    }
    metas: list[SampleMeta] = []
    sources: list[str] = []
    for batch in batches_of(_decoded(exported, places, bad), batch_size):
        rows = slice(len(metas), len(metas) + len(batch))
        images = [image for _, _, image in batch]
        for name, values in _features_of(exported, images, wanted).items():
            found[name][rows] = values
        metas += [meta for _, meta, _ in batch]
        sources += [place.source for place, _, _ in batch]
    features = {name: values[: len(metas)] for name, values in found.items()}
    return ImageFeatures(features, sources, [meta.patient for meta in metas], [meta.labels for meta in metas], bad)


def _kept(exported: Exported, wanted: Wanted) -> dict[str, tuple[tuple[int, ...], type]]:
    """Shape of one image's row and type of each kind of features."""
    shape = exported.model.shape
    kinds: dict[str, tuple[tuple[int, ...], type]] = {"model": ((2 * shape.width,), np.float32)}
    if wanted.control is not None:
        kinds["untrained"] = kinds["model"]
    kinds["pixels"] = (THUMBNAIL**2,), np.float32
    if shape.contrast:
        kinds["vectors"] = (shape.width,), np.float32
    if wanted.states_side:
        kinds["states"] = (num_states(exported, wanted.states_side), shape.width), np.float16
        if wanted.control is not None:
            kinds["untrained_states"] = kinds["states"]
    if wanted.images:
        kinds["images"] = (shape.image_size, shape.image_size), np.uint8
    return kinds


def _features_of(exported: Exported, images: list[np.ndarray], wanted: Wanted) -> dict[str, np.ndarray]:
    """The features of a batch of pictures, of every kind that is kept."""
    examples = [plain_example(image, None, exported.model.shape.patch_size) for image in images]
    states, packed = run_model(exported, examples)
    made = {"model": pooled_images(states, packed)}
    if exported.model.shape.contrast:
        made["vectors"] = image_vectors(exported, states, packed)
    if wanted.states_side:
        made["states"] = patch_states(states, packed, wanted.states_side)
    if wanted.control is not None:
        states, packed = run_model(wanted.control, examples)
        made["untrained"] = pooled_images(states, packed)
        if wanted.states_side:
            made["untrained_states"] = patch_states(states, packed, wanted.states_side)
    found = {name: values.float().cpu().numpy() for name, values in made.items()}
    found["pixels"] = np.stack([_thumbnail(image) for image in images])
    return found | ({"images": np.stack(images)} if wanted.images else {})


def num_states(exported: Exported, side: int) -> int:
    """States of an image that are kept: its summary's, and one for each square of `side` x `side` patches."""
    grid = exported.model.shape.image_size // exported.model.shape.patch_size
    return 1 + math.ceil(grid / side) ** 2


def states_side(exported: Exported, num_images: int, most_bytes: int) -> int:
    """The smallest side of squares of patches so that the states of so many images take at most so many bytes."""
    grid = exported.model.shape.image_size // exported.model.shape.patch_size
    a_state = 2 * exported.model.shape.width
    sides = (side for side in range(1, grid) if num_images * num_states(exported, side) * a_state <= most_bytes)
    return next(sides, grid)


def patch_states(states_ND: Tensor, batch: Batch, side: int) -> Tensor:
    """(I, 1 + squares, D): the summary state of each image, then the means over squares of patches; those at the far edges
    may be smaller."""
    rows = batch.image_rows_I[:, None] + torch.arange(1 + batch.grid**2, device=states_ND.device)
    states_IPD = states_ND[rows]
    if side == 1:
        return states_IPD
    plane = states_IPD[:, 1:].float().transpose(1, 2).unflatten(2, (batch.grid, batch.grid))
    squares = F.avg_pool2d(plane, side, ceil_mode=True, count_include_pad=False).flatten(2).transpose(1, 2)
    return torch.cat([states_IPD[:, :1].float(), squares], 1)


def _thumbnail(image: np.ndarray) -> np.ndarray:
    small = cv2.resize(image, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)
    return small.ravel().astype(np.float32) / 255


def _decoded(exported: Exported, places: list[Place], bad: Counter[str]) -> Iterator[tuple[Place, SampleMeta, np.ndarray]]:
    for place, raw in read(places, bad):
        if raw.meta.labels:
            try:
                yield place, raw.meta, square_image(raw, exported)
            except BadSampleError:
                bad[place.source] += 1


def pooled_images(states_ND: Tensor, batch: Batch) -> Tensor:
    """(I, 2 D): what IMAGE_POOLING says. Nothing trains the summary by itself; patches are trained by every objective."""
    lengths = [batch.grid**2] * len(batch.image_rows_I)
    summary = states_ND.index_select(0, batch.image_rows_I)
    return torch.cat([mean_states(states_ND, batch.image_rows_I, lengths), summary], dim=1)


@torch.inference_mode()
def pair_vectors(exported: Exported, folders: list[SplitFolder], limit: int, batch_size: int) -> PairVectors:
    """Unit vectors of at most `limit` pairs; image and text go through the model each on its own."""
    bad: Counter[str] = Counter()
    images, texts, metas, places, wordings = [], [], [], [], []
    pairs = _encoded(exported, choose(folders, (Kind.PAIR,), limit), bad)
    for batch in batches_of(pairs, batch_size):
        patch_size = exported.model.shape.patch_size
        alone = [plain_example(image, None, patch_size) for _, _, image, _ in batch]
        alone += [plain_example(None, tokens, patch_size) for _, _, _, tokens in batch]
        states, packed = run_model(exported, alone)
        lengths = [len(tokens) for _, _, _, tokens in batch]
        images.append(image_vectors(exported, states, packed).float().cpu().numpy())
        texts.append(text_vectors(exported, states, packed, lengths).float().cpu().numpy())
        for place, raw, _, tokens in batch:
            metas.append(raw.meta)
            places.append(place)
            wordings.append(wording(tokens))
    contrastive = exported.model.shape.contrast
    none = [np.empty((0, exported.model.shape.width), np.float32)]
    image_ID, text_ID = np.concatenate(images or none), np.concatenate(texts or none)
    if not contrastive and len(metas):
        image_ID, text_ID = _centred(image_ID), _centred(text_ID)
    return PairVectors(
        image_ID,
        text_ID,
        [place.source for place in places],
        [meta.study for meta in metas],
        [meta.patient for meta in metas],
        wordings,
        places,
        [meta.labels for meta in metas],
        contrastive,
        bad,
    )


def _encoded(
    exported: Exported, places: list[Place], bad: Counter[str]
) -> Iterator[tuple[Place, RawSample, np.ndarray, np.ndarray]]:
    for place, raw in read(places, bad):
        try:
            image = square_image(raw, exported)
        except BadSampleError:
            bad[place.source] += 1
            continue
        if len(tokens := text_tokens(raw, exported)):
            yield place, raw, image, tokens


def image_vectors(exported: Exported, states_ND: Tensor, batch: Batch) -> Tensor:
    """(I, D) unit vectors of the contrastive head where there is one, else the means of patch states."""
    if exported.model.shape.contrast:
        return exported.model.image_vectors(states_ND, batch)
    return mean_states(states_ND, batch.image_rows_I, [batch.grid**2] * len(batch.image_rows_I))


def text_vectors(exported: Exported, states_ND: Tensor, batch: Batch, lengths: list[int]) -> Tensor:
    """(X, D) unit vectors of the contrastive head where there is one, else the means of word states.

    Args:
        exported: the model.
        states_ND: of the pack.
        batch: the pack.
        lengths: tokens of each text, in the order of the examples.
    """
    if exported.model.shape.contrast:
        return exported.model.text_vectors(states_ND, batch)
    return mean_states(states_ND, batch.text_rows_X, lengths)


def _centred(vectors_ID: np.ndarray) -> np.ndarray:
    """Unit vectors after the mean of all is taken away."""
    vectors = vectors_ID - vectors_ID.mean(0)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
