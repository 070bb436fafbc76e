"""The pre-training model: embeddings, one transformer, and a head for each objective.

patches ─┐
         ├─ order_N ─► packed rows (N, D) ─► transformer ─► states (N, D) ─┬─► hidden words      (MLM)
tokens ──┘                                                                 ├─► hidden squares    (MVM, a head a scale)
                                                                           └─► means of sequences (ITC, if on)
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cxrpt.config import DataConfig, ModelConfig, ObjectiveConfig
from cxrpt.data.batch import Batch
from cxrpt.data.transforms import PIXEL_MEAN, PIXEL_STD
from cxrpt.errors import InputError
from cxrpt.model.contrast_head import CentredProjection, Sharpness, sequence_means
from cxrpt.model.embed import ImageEmbedding, TextEmbedding, normalise_pixels
from cxrpt.model.objectives import Gather, LossSum, group_targets, itc_loss, mlm_loss, mvm_loss
from cxrpt.model.transformer import LayerNorm, Transformer, gather_rows, init_weights

SIZES = {"tiny": (192, 12, 3), "small": (384, 12, 6), "base": (768, 12, 12), "large": (1024, 24, 16)}
"""Width, depth, heads."""


@dataclass(frozen=True)
class Shape:
    """All numbers that the weights' shapes depend on; stored beside exported weights."""

    width: int
    depth: int
    heads: int
    mlp_ratio: float
    patch_size: int
    image_size: int
    vocab_size: int
    max_text_tokens: int
    scales: tuple[int, ...]
    normalize_targets: bool
    contrast: bool


def model_shape(model: ModelConfig, data: DataConfig, objective: ObjectiveConfig, vocab_size: int) -> Shape:
    """Resolve the configuration to numbers.

    Raises:
        InputError: an unknown size, or a width that the heads do not divide.
    """
    if model.size not in SIZES:
        raise InputError(f"model.size={model.size!r}: must be one of {', '.join(SIZES)}")
    width, depth, heads = (
        own or usual for own, usual in zip((model.width, model.depth, model.heads), SIZES[model.size], strict=True)
    )
    if width % heads:
        raise InputError(f"model.width={width} is no multiple of model.heads={heads}")
    return Shape(
        width, depth, heads, model.mlp_ratio, model.patch_size, data.image_size, vocab_size, data.max_text_tokens,
        tuple(sorted(objective.mvm_scales)), objective.normalize_targets, objective.itc_weight > 0,
    )  # fmt: skip


@dataclass(frozen=True)
class Losses:
    """Losses of one micro-batch, as sums. `mvm` is by scale; `itc` is None when the contrast is off."""

    mlm: LossSum
    mvm: dict[int, LossSum]
    itc: tuple[Tensor, int] | None


class PretrainModel(nn.Module):
    """See the module's picture."""

    def __init__(self, shape: Shape, num_sources: int = 1, gather: Gather | None = None):
        """Build the model with fresh weights from torch's default generator.

        Args:
            shape: its numbers.
            num_sources: sources of the run, for losses by source.
            gather: joins rows over ranks, for the contrast; None stands for one rank.
        """
        super().__init__()
        self.shape, self.num_sources = shape, num_sources
        self.gather: Gather = gather or (lambda rows: (rows, 0))
        self.image = ImageEmbedding(shape.width, shape.patch_size, shape.image_size // shape.patch_size)
        self.text = TextEmbedding(shape.width, shape.vocab_size, shape.max_text_tokens)
        self.transformer = Transformer(shape.width, shape.depth, shape.heads, shape.mlp_ratio)
        self.mlm_head = nn.Sequential(nn.Linear(shape.width, shape.width), nn.GELU(), LayerNorm(shape.width))
        self.mlm_bias = nn.Parameter(torch.zeros(shape.vocab_size))
        self.mvm_heads = nn.ModuleDict({str(scale): _mvm_head(shape) for scale in shape.scales})
        if shape.contrast:
            self.image_projection = CentredProjection(shape.width)
            self.text_projection = CentredProjection(shape.width)
            self.sharpness = Sharpness()
        init_weights(self, shape.depth)

    def forward(self, batch: Batch) -> Losses:
        """Losses of a packed micro-batch."""
        states = self.states(batch)
        mlm = mlm_loss(self.word_logits(states, batch.mlm_rows_M), batch.mlm_targets_M, batch.mlm_source_M, self.num_sources)
        pixels, mvm = normalise_pixels(batch.patches_PE), {}
        for scale, groups in batch.mvm.items():
            predicted = self.regenerate(states, groups.rows_GS, scale)
            target = group_targets(pixels, groups.patches_GS, self.shape.normalize_targets)
            mvm[scale] = mvm_loss(predicted, target, groups.source_G, self.num_sources)
        itc = None
        if self.shape.contrast:
            images = self.image_projection(sequence_means(states, batch, batch.pair_image_rows_C), self.gather)
            texts = self.text_projection(sequence_means(states, batch, batch.pair_text_rows_C), self.gather)
            itc = itc_loss(images, texts, batch.pair_study_C, batch.pair_wording_C, self.sharpness(), self.gather)
        return Losses(mlm, mvm, itc)

    def states(self, batch: Batch) -> Tensor:
        """(N, D) last states of all rows of the pack."""
        image_summaries, patches = self.image(batch)
        text_summaries, tokens = self.text(batch)
        rows = torch.cat([image_summaries, patches, text_summaries, tokens])
        return self.transformer(rows.index_select(0, batch.order_N), batch)

    def word_logits(self, states: Tensor, rows: Tensor) -> Tensor:
        """(M, V) scores of each word of the vocabulary at the given rows, by the tied embedding."""
        return F.linear(self.mlm_head(states.index_select(0, rows)), self.text.token.weight, self.mlm_bias)

    def regenerate(self, states: Tensor, rows_GS: Tensor, scale: int) -> Tensor:
        """(G, E) normalised pixels of hidden groups of one scale, from the mean of their states."""
        return self.mvm_heads[str(scale)](gather_rows(states, rows_GS).mean(1))

    def image_vectors(self, states: Tensor, batch: Batch) -> Tensor:
        """(I, D) unit vectors of the images of a pack, each a sequence of its own; only with the contrast on."""
        return self.image_projection(sequence_means(states, batch, batch.image_rows_I))

    def text_vectors(self, states: Tensor, batch: Batch) -> Tensor:
        """(X, D) unit vectors of the texts of a pack, each a sequence of its own; only with the contrast on."""
        return self.text_projection(sequence_means(states, batch, batch.text_rows_X))

    def end_step(self) -> None:
        """After a step that was applied: running means take in what its pairs had. Every rank does the same."""
        if self.shape.contrast:
            self.image_projection.follow()
            self.text_projection.follow()


def _mvm_head(shape: Shape) -> nn.Module:
    return nn.Sequential(
        nn.Linear(shape.width, shape.width), nn.GELU(), LayerNorm(shape.width), nn.Linear(shape.width, shape.patch_size**2)
    )


def denormalise_pixels(pixels: Tensor) -> Tensor:
    """The model's pixels to 0..1, clipped."""
    return (pixels.float() * PIXEL_STD + PIXEL_MEAN).clamp(0, 1)
