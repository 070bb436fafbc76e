"""Floating-point operations of a training step, counted from shapes: forward once, backward twice, no recomputation."""

from cxrpt.data.batch import Batch
from cxrpt.model.pretrain import Shape


def training_flops(batch: Batch, shape: Shape) -> int:
    """Operations of forward and backward of one packed micro-batch; a multiply and an add are two.

    Matrix products only: 6 per weight and row, and for attention the two products of each sequence with itself.
    Norms, activations, embeddings' look-up and the optimizer are not counted.
    """
    width, pixels = shape.width, shape.patch_size**2
    hidden = round(width * shape.mlp_ratio)
    rows = batch.num_tokens
    block = rows * (4 * width * width + 2 * width * hidden)
    square = sum(count * length * length for _, count, length in batch.runs)
    attention = 2 * square * width
    embed = len(batch.patches_PE) * pixels * width
    mlm = len(batch.mlm_rows_M) * (width * width + width * shape.vocab_size)
    mvm = sum(len(groups.source_G) for groups in batch.mvm.values()) * (width * width + width * pixels)
    contrast = 2 * len(batch.pair_study_C) * width * width if shape.contrast else 0
    return 6 * (shape.depth * (block + attention) + embed + mlm + mvm + contrast)
