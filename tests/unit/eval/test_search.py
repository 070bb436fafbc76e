import tracemalloc

import numpy as np
import pytest

from cxrpt.eval.search import (
    on_grid,
    precision_by_chance,
    precisions,
    ranks_of_hits,
    recall_by_chance,
    right_in_top,
)


def unit(rng, count, width=5):
    vectors = rng.normal(size=(count, width)).astype(np.float32)
    return on_grid(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


@pytest.fixture
def tied():
    """50 queries and candidates of which many are equal, with groups."""
    rng = np.random.default_rng(0)
    queries, candidates = unit(rng, 50)[rng.integers(0, 50, 50)], unit(rng, 8)[rng.integers(0, 8, 50)]
    groups = {name: rng.integers(0, count, 50) for name, count in (("study", 30), ("wording", 35), ("findings", 6))}
    return queries, candidates, groups


def order_of(queries, candidates, query, right):
    """Candidates from best to worst, of equal ones those that are wrong first."""
    scores = [float(queries[query].astype(float) @ one.astype(float)) for one in candidates]
    return sorted(range(len(candidates)), key=lambda m: (-scores[m], m in right))


def test_ranks_and_hits_equal_brute_force(tied):
    queries, candidates, groups = tied
    study, wording = groups["study"], groups["wording"]
    ranks, hits = ranks_of_hits(queries, candidates, study, wording)
    for n in range(50):
        right = {m for m in range(50) if study[m] == study[n] or wording[m] == wording[n]}
        places = [place for place, m in enumerate(order_of(queries, candidates, n, right)) if m in right]
        assert ranks[n] == 1 + places[0], n
        assert hits[n] == len(right)


def test_precision_equals_brute_force(tied):
    queries, candidates, groups = tied
    findings = groups["findings"]
    right_NK = right_in_top(queries, candidates, findings)
    for n in range(50):
        right = set(np.flatnonzero(findings == findings[n]))
        best = order_of(queries, candidates, n, right)
        assert right_NK[n].tolist() == [m in right for m in best[:10]], n
        assert precisions(right_NK)[n].tolist() == [sum(m in right for m in best[:cut]) / cut for cut in (5, 10)]


@pytest.mark.parametrize("block", [(1, 7), (7, 3), (64, 9), (3, 64)])
def test_blocks_change_nothing(tied, block):
    queries, candidates, groups = tied
    wide = unit(np.random.default_rng(3), 50, 257), unit(np.random.default_rng(4), 50, 257)
    for vectors in ((queries, candidates), wide, (wide[0], wide[0])):
        for whole, parted in zip(
            ranks_of_hits(*vectors, groups["study"], groups["wording"]),
            ranks_of_hits(*vectors, groups["study"], groups["wording"], block),
            strict=True,
        ):
            np.testing.assert_array_equal(whole, parted)
        np.testing.assert_array_equal(
            right_in_top(*vectors, groups["findings"]), right_in_top(*vectors, groups["findings"], block)
        )


def test_scores_are_exact_in_whatever_order_they_are_added():
    rng = np.random.default_rng(5)
    queries, candidates = unit(rng, 20, 700), unit(rng, 30, 700)
    shuffled = rng.permutation(700)
    scores = queries.astype(float) @ candidates.astype(float).T
    np.testing.assert_array_equal(scores, queries[:, shuffled].astype(float) @ candidates[:, shuffled].astype(float).T)
    np.testing.assert_array_equal(scores * 2.0**48, np.rint(scores * 2.0**48))


def test_memory_is_that_of_blocks_whatever_the_pool():
    rng = np.random.default_rng(6)
    peaks = []
    for count in (1_000, 4_000):
        vectors, alone, sets = unit(rng, count, 4), np.arange(count), rng.integers(0, 9, count)
        tracemalloc.start()
        ranks_of_hits(vectors, vectors, alone, alone, (100, 500))
        right_in_top(vectors, vectors, sets, (100, 500))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # A block's scores take 0.4 MB; all of the second pool's would take 128.
    assert peaks[1] < 2e6 and peaks[1] - peaks[0] < 100 * 3_000, peaks


def test_own_pair_is_found_and_alike_vectors_find_nothing():
    vectors, alone = unit(np.random.default_rng(1), 20), np.arange(20)
    assert (ranks_of_hits(vectors, vectors, alone, alone)[0] == 1).all()
    same = np.ones((20, 4), np.float32) / 2
    assert (ranks_of_hits(same, same, alone, alone)[0] == 20).all()
    assert not right_in_top(same, same, np.arange(20) // 10).any()


def test_chance_is_what_random_order_gives():
    hits = np.array([1] * 6 + [2] * 3 + [5] * 3)
    rng = np.random.default_rng(0)
    orders = rng.permuted(np.tile(np.arange(12), (20_000, 1)), axis=1)
    found = np.stack([1 + orders[:, :count].min(1) for count in hits], axis=1)
    expected = recall_by_chance(hits)
    for cut in (1, 5, 10):
        assert expected[f"r{cut}"] == pytest.approx((found <= cut).mean(), abs=0.01)
    assert expected["median_rank"] == np.median(found)
    assert recall_by_chance(np.ones(3, int))["r5"] == 1

    sets = np.array([0] * 7 + [1] * 4 + [2])
    drawn = [sets[orders[:, :5]] == one for one in sets]
    assert precision_by_chance(sets)["p5"] == pytest.approx(np.mean(drawn), abs=0.005)
    assert precision_by_chance(sets)["p10"] == (49 + 16 + 1) / 144


def test_a_pool_smaller_than_k():
    vectors = unit(np.random.default_rng(2), 3)
    right_NK = right_in_top(vectors, vectors, np.array([0, 0, 1]))
    assert right_NK.shape == (3, 3)
    np.testing.assert_allclose(precisions(right_NK), [[2 / 3] * 2, [2 / 3] * 2, [1 / 3] * 2])
