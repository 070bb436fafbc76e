"""Attention over packed sequences: each row sees the rows of its own sequence only.

On a GPU in half precision: variable-length flash attention over `cu_seqlens`. Elsewhere: sequences of equal length lie
side by side in the pack, so each run of them is one dense, fused `scaled_dot_product_attention` without any padding.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from cxrpt.data.batch import Batch


def packed_attention(q_NHD: Tensor, k_NHD: Tensor, v_NHD: Tensor, batch: Batch) -> Tensor:
    """Scaled dot-product attention within each sequence of the pack.

    Args:
        q_NHD: queries, as k_NHD and v_NHD of shape (rows, heads, head width).
        batch: the pack whose rows these are.

    Returns:
        (rows, heads, head width), the type of the queries.
    """
    if q_NHD.is_cuda and q_NHD.dtype in (torch.bfloat16, torch.float16):
        from torch.nn.attention.varlen import varlen_attn

        longest = batch.max_seqlen
        out = varlen_attn(q_NHD, k_NHD, v_NHD, batch.cu_seqlens, batch.cu_seqlens, longest, longest)
        assert isinstance(out, Tensor)  # a pair only where auxiliary outputs are asked for
        return out
    rows_of_runs = [count * length for _, count, length in batch.runs]
    outputs = []
    for q, k, v, (_, count, length) in zip(*(x.split(rows_of_runs) for x in (q_NHD, k_NHD, v_NHD)), batch.runs, strict=True):
        q, k, v = (x.unflatten(0, (count, length)).transpose(1, 2) for x in (q, k, v))
        outputs.append(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(0, 1))
    return torch.cat(outputs)
