"""A pre-norm transformer over packed rows. Shapes: N rows, D width, H heads."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from cxrpt.data.batch import Batch
from cxrpt.model import kernels
from cxrpt.model.attention import packed_attention


class LayerNorm(nn.LayerNorm):
    """Layer normalisation computed in fp32 whatever the type of its input and weights.

    On a GPU one kernel does so; elsewhere a copy in fp32 is made, and kept for the backward pass.
    """

    def forward(self, x: Tensor) -> Tensor:
        if kernels.in_half_on_gpu(x):
            return F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)
        weight, bias = self.weight.float(), self.bias.float()
        return F.layer_norm(x.float(), self.normalized_shape, weight, bias, self.eps).to(x.dtype)


class Block(nn.Module):
    """Attention and a feed-forward net, each behind a norm and beside a residual path."""

    def __init__(self, width: int, heads: int, hidden: int):
        super().__init__()
        self.heads = heads
        self.norm_attention = LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)
        self.norm_mlp = LayerNorm(width)
        self.expand = nn.Linear(width, hidden)
        self.contract = nn.Linear(hidden, width)

    def forward(self, x_ND: Tensor, batch: Batch) -> Tensor:
        q, k, v = self.before_attention(x_ND).unbind(1)
        return self.after_attention(x_ND, packed_attention(q, k, v, batch))

    def before_attention(self, x_ND: Tensor) -> Tensor:
        """(N, 3, H, D / H) queries, keys and values."""
        return self.qkv(self.norm_attention(x_ND)).unflatten(-1, (3, self.heads, -1))

    def after_attention(self, x_ND: Tensor, seen_NHD: Tensor) -> Tensor:
        """(N, D) rows with what attention has seen, through the feed-forward net."""
        x_ND = x_ND + self.project(seen_NHD.flatten(1))
        return x_ND + self.contract(F.gelu(self.expand(self.norm_mlp(x_ND))))


class Transformer(nn.Module):
    """The one stream that images, texts and pairs go through."""

    def __init__(self, width: int, depth: int, heads: int, mlp_ratio: float):
        super().__init__()
        self.blocks = nn.ModuleList(Block(width, heads, round(width * mlp_ratio)) for _ in range(depth))
        self.norm = LayerNorm(width)
        self.recomputed: frozenset[int] = frozenset()

    def recompute(self, num_blocks: int) -> None:
        """Keep no activations of so many blocks, spread evenly, but compute them again in the backward pass; -1 takes all."""
        depth = len(self.blocks)
        count = depth if num_blocks < 0 else num_blocks
        self.recomputed = frozenset(n for n in range(depth) if (n + 1) * count // depth > n * count // depth)

    def compile_blocks(self) -> None:
        """Compile what lies around attention, once for any number of rows.

        Attention stays as it is: its calls follow the lengths in the pack, and a program for each mixture of lengths would
        be compiled anew for nearly every batch.
        """
        for block in self.blocks:
            assert isinstance(block, Block)
            for part in ("before_attention", "after_attention"):
                setattr(block, part, torch.compile(getattr(block, part), dynamic=True, fullgraph=True))

    def forward(self, x_ND: Tensor, batch: Batch) -> Tensor:
        for number, block in enumerate(self.blocks):
            if number in self.recomputed and torch.is_grad_enabled():
                # Nothing in a block is random.
                x_ND = checkpoint(block, x_ND, batch, use_reentrant=False, preserve_rng_state=False)
            else:
                x_ND = block(x_ND, batch)
        return self.norm(x_ND)


def init_weights(module: nn.Module, depth: int) -> None:
    """Matrices keep the scale of what goes through them (Glorot and Bengio, 2010), smaller by sqrt(2 depth) where they write
    to the residual path (GPT-2); embeddings start at 0.02.

    A deviation of 0.02 for all, as is usual at width 768, makes patches of a narrow model fainter than their positions:
    `tiny` with 4 blocks at 128 px, trained on 9,600 labelled pictures of a made-up hospital, had a mean AUROC of 0.62 with
    it, 0.69 with this.
    """
    for name, child in module.named_modules():
        if isinstance(child, nn.Linear):
            # Queries, keys and values are three matrices laid side by side.
            rows = child.in_features if name.endswith(".qkv") else child.out_features
            std = (2 / (child.in_features + rows)) ** 0.5
            if name.endswith((".project", ".contract")):
                std /= (2 * depth) ** 0.5
            nn.init.trunc_normal_(child.weight, std=std)
            if child.bias is not None:
                nn.init.zeros_(child.bias)
        elif isinstance(child, nn.Embedding):
            nn.init.trunc_normal_(child.weight, std=0.02)


def gather_rows(x_ND: Tensor, rows: Tensor) -> Tensor:
    """Rows of a matrix; `rows` may have any shape, and may be empty (the gradient is then zero, not absent)."""
    return (
        torch.index_select(x_ND, 0, rows.flatten()).unflatten(0, rows.shape) if rows.dim() > 1 else x_ND.index_select(0, rows)
    )
