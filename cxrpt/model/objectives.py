"""The losses, one function each. Every one returns sums and a count, so that the mean over a global batch does not
depend on how it was spread over ranks and accumulation.

Shapes: N rows, D width, M hidden tokens, V vocabulary, G groups of one scale, S patches of a group, E pixels, C pairs.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class LossSum:
    """A loss summed over what it counts."""

    total: Tensor
    """fp32 scalar."""
    count: int
    by_source: Tensor
    """(sources,) fp32, the same sum by source; without gradient."""
    count_by_source: Tensor
    """(sources,) fp32."""


def sum_by_source(loss_K: Tensor, source_K: Tensor, num_sources: int) -> LossSum:
    """Add single losses up, over all and by source."""
    zeros = torch.zeros(num_sources, device=loss_K.device)
    by_source = zeros.index_add(0, source_K, loss_K.detach())
    counts = zeros.index_add(0, source_K, torch.ones_like(loss_K))
    return LossSum(loss_K.sum(), len(loss_K), by_source, counts)


def mlm_loss(logits_MV: Tensor, targets_M: Tensor, source_M: Tensor, num_sources: int) -> LossSum:
    """Masked language modelling (Devlin et al., 2019): cross-entropy at the hidden places only, in nats a token."""
    loss_M = F.cross_entropy(logits_MV.float(), targets_M, reduction="none")
    return sum_by_source(loss_M, source_M, num_sources)


def group_targets(pixels_PE: Tensor, patches_GS: Tensor, normalise: bool) -> Tensor:
    """What a group of s x s hidden patches is to regenerate: the picture reduced s-fold over that group.

    Args:
        pixels_PE: normalised pixels of all patches.
        patches_GS: the patches of each group, row by row.
        normalise: subtract the mean and divide by the deviation of each target (He et al., 2022).

    Returns:
        (G, E) fp32: one patch of pixels, each the mean over s x s pixels.
    """
    scale, side = round(patches_GS.shape[1] ** 0.5), round(pixels_PE.shape[1] ** 0.5)
    pixels = pixels_PE.index_select(0, patches_GS.flatten()).view(-1, scale, scale, side, side)
    mosaic = pixels.transpose(2, 3).reshape(-1, 1, scale * side, scale * side)
    # An empty batch has no pooling kernel.
    target = F.avg_pool2d(mosaic, scale) if len(mosaic) else mosaic.new_zeros(0, 1, side, side)
    target = target.flatten(1)
    if normalise:
        target = (target - target.mean(1, keepdim=True)) / (target.var(1, keepdim=True) + 1e-6).sqrt()
    return target


def mvm_loss(predicted_GE: Tensor, target_GE: Tensor, source_G: Tensor, num_sources: int) -> LossSum:
    """Masked vision modelling at one scale: mean squared error of a group's pixels, summed over groups."""
    loss_G = (predicted_GE.float() - target_GE).square().mean(1)
    return sum_by_source(loss_G, source_G, num_sources)


Gather = Callable[[Tensor], tuple[Tensor, int]]
"""Rows of all ranks in rank order (differentiable), and where those of this rank begin."""


def itc_loss(
    image_CD: Tensor, text_CD: Tensor, study_C: Tensor, wording_C: Tensor, scale: Tensor, gather: Gather
) -> tuple[Tensor, int]:
    """Image-text contrast over the pairs of all ranks (Radford et al., 2021), without false negatives.

    Pairs of the same study or with the same text are no negatives of each other: they are left out of the softmax.

    Args:
        image_CD: unit vectors of this rank's split pairs, as text_CD.
        study_C: hash of each pair's study, as wording_C of its text.
        scale: the inverse temperature.
        gather: joins rows over ranks.

    Returns:
        The sum over this rank's pairs of the mean of both directions, and their number.
    """
    (images, first), (texts, _) = gather(image_CD), gather(text_CD)
    ids, _ = gather(torch.stack([study_C, wording_C], 1))
    own = first + torch.arange(len(study_C), device=study_C.device)
    same = (study_C[:, None] == ids[None, :, 0]) | (wording_C[:, None] == ids[None, :, 1])
    same = same.scatter(1, own[:, None], False)
    # A rank without pairs still takes part in the gradient of the others'.
    total = (images.sum() + texts.sum() + scale).float() * 0
    if len(own):
        for rows, columns in ((image_CD, texts), (text_CD, images)):
            logits = (scale * (rows.float() @ columns.float().T)).masked_fill(same, float("-inf"))
            total = total + F.cross_entropy(logits, own, reduction="sum") / 2
    return total, len(own)
