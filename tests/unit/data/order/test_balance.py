"""Samples of a step spread over ranks so that rows are balanced, and nothing else changes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxrpt.data.order.balance import GROUP_SAMPLES, balance, deal, group_ranks


def drawn_rows(rng, shape):
    """Rows of pairs, images and texts 60/25/15, as the packing benchmark draws them."""
    kind = rng.choice(3, shape, p=[0.6, 0.25, 0.15])
    tokens = 1 + np.minimum(160, np.rint(np.exp(rng.normal(np.log(58), 0.55, shape))))
    return np.where(kind == 0, 197 + tokens, np.where(kind == 1, 197, tokens)).astype(np.int64)


def imbalance(loads):
    return loads.max() / loads.mean() - 1


@pytest.mark.parametrize("ranks", [2, 3, 8, 64, 128])
def test_ranks_of_32_samples_come_within_one_per_cent(ranks):
    rng = np.random.default_rng(ranks)
    for _ in range(10):
        rows = drawn_rows(rng, (ranks, 32))
        taken = balance(rows)
        assert imbalance(rows.ravel()[taken].sum(1)) < 0.01
        assert (taken // 32 != np.arange(ranks)[:, None]).mean() < 0.2, "most samples stay with the rank that has their shard"


def test_thousands_of_ranks_come_within_three_per_cent_by_groups():
    rng = np.random.default_rng(0)
    rows = drawn_rows(rng, (1024, 32))
    group = group_ranks(1024, 32, 1024)
    assert group * 32 == GROUP_SAMPLES
    loads = np.concatenate([part.ravel()[balance(part)].sum(1) for part in rows.reshape(-1, group, 32)])
    assert imbalance(rows.sum(1)) > 0.15 and imbalance(loads) < 0.03


@given(st.integers(1, 12), st.integers(1, 40), st.integers(0, 2**31), st.integers(1, 500))
@settings(max_examples=60, deadline=None)
def test_every_sample_is_taken_once_and_no_rank_is_worse_off(ranks, samples, seed, spread):
    rows = np.random.default_rng(seed).integers(1, 1 + spread, (ranks, samples))
    taken = balance(rows)
    assert np.array_equal(np.sort(taken.ravel()), np.arange(ranks * samples))
    assert rows.ravel()[taken].sum(1).max() <= rows.sum(1).max()
    assert np.array_equal(taken, balance(rows.copy()))


def test_micro_batches_are_dealt_evenly():
    rows = drawn_rows(np.random.default_rng(1), 64)
    dealt = deal(rows, 4)
    assert dealt.shape == (4, 16) and np.array_equal(np.sort(dealt.ravel()), np.arange(64))
    assert imbalance(rows[dealt].sum(1)) < 0.03


def test_groups_divide_the_world_and_hold_enough():
    assert group_ranks(8, 32, 8) == 8
    assert group_ranks(8192, 32, 8192) == 128
    assert group_ranks(6, 4096, 6) == 1
    assert group_ranks(30, 300, 30) == 15
    assert group_ranks(8192, 32, 8) == 8, "of one node"
    assert group_ranks(30, 300, 4) == 1, "nodes that are not alike do not exchange"
