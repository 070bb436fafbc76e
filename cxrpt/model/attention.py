"""Attention over packed sequences: each row sees the rows of its own sequence only.

Where `in_half_on_gpu`: variable-length flash attention over `cu_seqlens`. Elsewhere: sequences of equal length lie
side by side in the pack, so each run of them is one dense, fused `scaled_dot_product_attention` without any padding, in
fp32 also where the model is bf16.

Chosen by measurement: ms forward and backward of one layer on one core (AMD EPYC, Zen 4, torch 2.13.0; none with AMX was
there), a pack of 32 samples, pairs, images and texts 60/25/15, 23 to 25 runs; `small` at 224 px (6,900 to 7,050 rows), then
`tiny` at 128 px (3,170 to 3,210 rows). The chosen one and our own function call in fp32 for bf16 too, the others in bf16.

                                                         small fp32   bf16   tiny fp32   bf16
    chosen: rows split once, a call a run, in fp32              143    138        22.9   21.4
    rows sliced for every run (its gradient: zeros of the
      whole pack for every slice, added up)                     233    233        33.8   52.0
    as chosen, but in bf16 (slow backward of short sequences)     -    170           -   39.8
    an autograd function of ours over torch's private
      kernels, no copies but one: not worth what it ties to     139    132        22.8   19.3
    matrix products and a softmax (memory grows with the
      square of the length; in bf16 2.5 to 6 times as far
      from exact as the chosen, for scores are rounded too)     145     85        25.6   18.7
    lengths within 5 % padded to one masked call                167    175        24.4   42.8
    lengths within 15 %                                         173    193        26.6   43.8
    jagged nested tensors                                     1,360    509         145     66
    one call with a block-diagonal mask                       4,240  3,370         420    384
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from cxrpt.data.batch import Batch
from cxrpt.model import kernels


def packed_attention(q_NHD: Tensor, k_NHD: Tensor, v_NHD: Tensor, batch: Batch) -> Tensor:
    """Scaled dot-product attention within each sequence of the pack.

    Args:
        q_NHD: queries, as k_NHD and v_NHD of shape (rows, heads, head width).
        batch: the pack whose rows these are.

    Returns:
        (rows, heads, head width), the type of the queries.
    """
    if kernels.in_half_on_gpu(q_NHD):
        from torch.nn.attention.varlen import varlen_attn

        longest = batch.max_seqlen
        out = varlen_attn(q_NHD, k_NHD, v_NHD, batch.cu_seqlens, batch.cu_seqlens, longest, longest)
        assert isinstance(out, Tensor)  # a pair only where auxiliary outputs are asked for
        return out
    # Split at once: the gradient of a split is one join.
    wide = torch.promote_types(q_NHD.dtype, torch.float32)
    rows_of_runs = [count * length for _, count, length in batch.runs]
    outputs = []
    for q, k, v, (_, count, length) in zip(*(x.split(rows_of_runs) for x in (q_NHD, k_NHD, v_NHD)), batch.runs, strict=True):
        q, k, v = (x.unflatten(0, (count, length)).transpose(1, 2).to(wide) for x in (q, k, v))
        outputs.append(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(0, 1).to(q_NHD.dtype))
    return torch.cat(outputs)
