import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxrpt.data.masking import hidden_groups, mask_regions, mask_words

STARTS = np.arange(50) % 3 == 0
NEVER = (0, 1, 2, 3, 4)


@given(st.integers(1, 16), st.floats(0, 1), st.integers(0, 10_000))
@settings(max_examples=150, deadline=None)
def test_regions_meet_the_ratio_exactly(grid, ratio, seed):
    hidden = mask_regions(grid, (1, 2, 4), ratio, np.random.default_rng(seed))
    assert hidden.sum() == round(ratio * grid * grid)


def test_regions_come_at_every_scale_and_a_rest_of_the_grid_is_reached():
    rng = np.random.default_rng(0)
    masks = [mask_regions(14, (1, 2, 4), 0.5, rng) for _ in range(200)]
    assert all(len(hidden_groups(m, 4)) > 0 for m in masks)
    share = np.mean(masks, 0)
    assert share.min() > 0.1, "some patch is hardly ever hidden"


def test_groups_are_hidden_as_a_whole_and_lie_on_the_grid():
    hidden = mask_regions(14, (1, 2, 4), 0.5, np.random.default_rng(1))
    for scale in (1, 2, 4):
        groups = hidden_groups(hidden, scale)
        assert hidden.ravel()[groups].all()
        assert (groups[:, 0] // 14 % scale == 0).all() and (groups[:, 0] % 14 % scale == 0).all()
        assert len(np.unique(groups)) == groups.size
    assert len(hidden_groups(hidden, 1)) == hidden.sum()


@given(st.integers(1, 150), st.floats(0.05, 0.6), st.integers(0, 10_000))
@settings(max_examples=150, deadline=None)
def test_whole_words_and_only_allowed_ones(length, ratio, seed):
    rng = np.random.default_rng(seed)
    tokens = rng.integers(0, 50, length, dtype=np.int32)
    masked = mask_words(tokens, STARTS, NEVER, 3, ratio, rng)
    chosen = np.zeros(length, bool)
    chosen[masked.positions] = True
    assert np.array_equal(masked.targets, tokens[masked.positions])
    assert np.array_equal(masked.tokens[~chosen], tokens[~chosen])
    assert not np.isin(masked.targets, NEVER).any()
    changed = masked.tokens[chosen]
    assert not np.isin(changed[changed != 3], NEVER).any()
    for i in range(1, length):
        if not STARTS[tokens[i]]:
            assert chosen[i] == chosen[i - 1], "a word was cut"


def test_the_shares_of_masked_random_and_kept():
    rng = np.random.default_rng(0)
    tokens = rng.integers(5, 50, 60_000, dtype=np.int32)
    masked = mask_words(tokens, STARTS, NEVER, 3, 0.15, rng)
    assert len(masked.positions) / len(tokens) == pytest.approx(0.15, abs=0.01)
    seen = masked.tokens[masked.positions]
    assert (seen == 3).mean() == pytest.approx(0.8, abs=0.02)
    assert ((seen != 3) & (seen != masked.targets)).mean() == pytest.approx(0.1, abs=0.02)


def test_nothing_to_hide():
    rng = np.random.default_rng(0)
    for tokens, ratio in (([], 0.5), ([4, 4], 0.5), ([7, 8], 0.0)):
        masked = mask_words(np.array(tokens, np.int32), STARTS, NEVER, 3, ratio, rng)
        assert len(masked.positions) == 0 and masked.tokens.tolist() == tokens
    assert len(mask_words(np.array([9], np.int32), STARTS, NEVER, 3, 0.01, rng).positions) == 1
