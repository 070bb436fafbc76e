"""Attention of a pack against attention written down one sequence and one head after the other."""

import itertools

import numpy as np
import pytest
import torch

from cxrpt.model.attention import packed_attention

from .examples import make_example, mixed_examples
from .one_by_one import packed, plain_attention


def heads_of(batch, dtype=torch.float32, scale=2.0):
    generator = torch.Generator().manual_seed(1)
    shape = (batch.num_tokens, 3, 4, 8)
    qkv = (torch.randn(shape, generator=generator) * scale).to(dtype).requires_grad_()
    return qkv, torch.randn(batch.num_tokens, 4, 8, generator=generator)


@pytest.mark.parametrize("dtype, bound", [(torch.float64, 1e-12), (torch.float32, 1e-5), (torch.bfloat16, 2**-8)])
def test_equals_plain_attention(dtype, bound):
    """bf16 is computed in fp32: nothing but the rounding of what comes out, half a unit of 8 bits, may be lost."""
    batch = packed(mixed_examples())
    qkv, towards = heads_of(batch, dtype)
    out = packed_attention(*qkv.unbind(1), batch)
    plain = plain_attention(*qkv.unbind(1), batch.cu_seqlens)
    assert out.dtype == dtype
    torch.testing.assert_close(out.double(), plain, atol=bound, rtol=bound)
    towards = towards.to(dtype)
    (gradient,) = torch.autograd.grad(out, qkv, towards)
    (expected,) = torch.autograd.grad(plain, qkv, towards.double())
    torch.testing.assert_close(gradient.double(), expected.double(), atol=4 * bound, rtol=4 * bound)


def test_nothing_of_another_sequence_is_seen():
    batch = packed(mixed_examples())
    qkv, _ = heads_of(batch)
    out = packed_attention(*qkv.unbind(1), batch)
    bounds = batch.cu_seqlens.tolist()
    for first, last in itertools.pairwise(bounds):
        (gradient,) = torch.autograd.grad(out[first:last].sum(), qkv, retain_graph=True)
        touched = gradient.flatten(1).ne(0).any(1).nonzero()[:, 0]
        assert touched.tolist() == list(range(first, last))


def test_one_sequence_of_one_word():
    batch = packed([make_example(np.random.default_rng(0), False, 1)])
    qkv, _ = heads_of(batch)
    torch.testing.assert_close(
        packed_attention(*qkv.unbind(1), batch).double(),
        plain_attention(*qkv.unbind(1), batch.cu_seqlens),
        atol=1e-5,
        rtol=1e-5,
    )
