import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxrpt.data.masking import hidden_groups, hidden_groups_of_all, mask_regions, mask_words

STARTS = np.arange(50) % 3 == 0
NEVER = (0, 1, 2, 3, 4)


@given(st.integers(1, 16), st.floats(0, 1), st.integers(0, 10_000))
@settings(max_examples=150, deadline=None)
def test_regions_meet_the_ratio_exactly(grid, ratio, seed):
    hidden = mask_regions(grid, (1, 2, 4), ratio, np.random.default_rng(seed))
    assert hidden.sum() == round(ratio * grid * grid)


def regions_by_definition(grid, scales, ratio, rng):
    """As the docstring of `mask_regions` says it: a random scale, then a random square of those that are open."""
    hidden, missing = np.zeros((grid, grid), bool), round(ratio * grid * grid)
    usable = [scale for scale in scales if scale <= grid]
    while missing:
        scale = usable[rng.integers(len(usable))]
        corners = [(y, x) for y in range(0, grid - scale + 1, scale) for x in range(0, grid - scale + 1, scale)]
        squares = [np.s_[y : y + scale, x : x + scale] for y, x in corners]
        choices = [square for square in squares if not hidden[square].any()]
        if scale * scale > missing or not choices:
            usable.remove(scale)
            continue
        hidden[choices[rng.integers(len(choices))]] = True
        missing -= scale * scale
    return hidden


@pytest.mark.parametrize(
    ("grid", "scales", "ratio"), [(7, (1, 2, 4), 0.5), (5, (1, 2), 0.8), (6, (1, 3), 0.3), (4, (4, 2, 1), 0.75)]
)
def test_regions_are_distributed_as_defined(grid, scales, ratio):
    """How often each patch, and each whole square of each scale, is hidden; and how many of them."""
    num = 4000
    drawn = [
        np.array([draw(grid, scales, ratio, rng) for _ in range(num)])
        for draw, rng in ((mask_regions, np.random.default_rng(1)), (regions_by_definition, np.random.default_rng(2)))
    ]
    for scale in scales:
        found = []
        for hidden in drawn:
            image, groups = hidden_groups_of_all(hidden, scale)
            by_place = np.bincount(groups[:, 0], minlength=grid * grid) / num
            by_count = np.bincount(np.bincount(image, minlength=num), minlength=grid * grid) / num
            found.append(np.concatenate([by_place, by_count]))
        deviation = np.sqrt(np.maximum(found[1] * (1 - found[1]), 1 / num) * 2 / num)
        assert (np.abs(found[0] - found[1]) < 4.5 * deviation).all(), scale
    pairs = [(hidden.reshape(num, -1).T.astype(float) @ hidden.reshape(num, -1)) / num for hidden in drawn]
    assert np.abs(pairs[0] - pairs[1]).max() < 4.5 * np.sqrt(0.25 * 2 / num)


def test_scales_in_any_order_and_large_grids():
    assert mask_regions(32, (4, 2, 1, 2), 0.5, np.random.default_rng(0)).sum() == 512
    a, b = (mask_regions(14, scales, 0.5, np.random.default_rng(5)) for scales in ((1, 2, 4), (4, 1, 2)))
    assert np.array_equal(a, b) and a.dtype == bool
    a[:] = True  # a mask of its own: the next is not touched
    assert mask_regions(14, (1, 2, 4), 0.5, np.random.default_rng(5)).sum() == 98


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


def test_groups_of_many_pictures_are_those_of_each():
    rng = np.random.default_rng(3)
    hidden = np.array([mask_regions(14, (1, 2, 4), ratio, rng) for ratio in (0.5, 0.0, 1.0, 0.7)])
    for scale in (1, 2, 4):
        image, groups = hidden_groups_of_all(hidden, scale)
        for number, one in enumerate(hidden):
            assert np.array_equal(groups[image == number], hidden_groups(one, scale))
            side = 14 // scale
            whole = [
                (row, column)
                for row, column in np.ndindex(side, side)
                if one[row * scale : (row + 1) * scale, column * scale : (column + 1) * scale].all()
            ]
            assert [(int(g[0]) // 14 // scale, int(g[0]) % 14 // scale) for g in hidden_groups(one, scale)] == whole


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


def test_words_are_equally_likely_and_swaps_come_from_the_whole_vocabulary():
    rng = np.random.default_rng(4)
    tokens = np.array([6, 7, 8, 4, 9, 10, 12, 15], np.int32)  # words: 6 7 8 | 4 | 9 10 | 12 | 15; 4 stays in the middle one
    starts = np.isin(np.arange(50), [6, 4, 9, 12, 15])
    times, swaps = np.zeros(len(tokens)), np.zeros(50)
    for _ in range(6000):
        masked = mask_words(tokens, starts, NEVER, 3, 0.12, rng)
        times[masked.positions] += 1
        seen = masked.tokens[masked.positions]
        swaps += np.bincount(seen[(seen != 3) & (seen != masked.targets)], minlength=50)
    assert times[3] == 0 and times[0] == times[1] == times[2] and times[4] == times[5]
    assert np.ptp(times[[0, 4, 6, 7]]) / 6000 < 0.04
    assert swaps[:5].sum() == 0 and (swaps[5:] > 0).all()
