import numpy as np
import pytest

from cxrpt.eval import retrieve as module
from cxrpt.eval.features import PairVectors
from cxrpt.eval.retrieve import chance, hit_groups, ranks_of_hits


def unit(rng, count, width=5):
    vectors = rng.normal(size=(count, width)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_ranks_equal_brute_force(monkeypatch):
    monkeypatch.setattr(module, "_BLOCK", 7)
    rng = np.random.default_rng(0)
    queries, candidates = unit(rng, 50), unit(rng, 50)
    study, wording = rng.integers(0, 30, 50), rng.integers(0, 35, 50)
    ranks, hits = ranks_of_hits(queries, candidates, study, wording)
    for n in range(50):
        right = {m for m in range(50) if study[m] == study[n] or wording[m] == wording[n]}
        order = sorted(range(50), key=lambda m: -float(queries[n] @ candidates[m]))
        assert ranks[n] == 1 + min(place for place, m in enumerate(order) if m in right), n
        assert hits[n] == len(right)


def test_own_pair_is_found_and_alike_vectors_find_nothing():
    rng = np.random.default_rng(1)
    vectors, alone = unit(rng, 20), np.arange(20)
    assert (ranks_of_hits(vectors, vectors, alone, alone)[0] == 1).all()
    same = np.ones((20, 4), np.float32) / 2
    assert (ranks_of_hits(same, same, alone, alone)[0] == 20).all()


def test_chance_is_what_random_order_gives():
    hits = np.array([1] * 6 + [2] * 3 + [5] * 3)
    rng = np.random.default_rng(0)
    found = np.array([[1 + rng.permutation(12)[:count].min() for count in hits] for _ in range(20_000)])
    expected = chance(hits)
    for cut in (1, 5, 10):
        assert expected[f"r{cut}"] == pytest.approx((found <= cut).mean(), abs=0.01)
    assert expected["median_rank"] == np.median(found)
    assert chance(np.ones(3, int))["r5"] == 1


def test_same_study_or_same_text_is_a_hit_but_not_over_institutions():
    none = np.zeros((4, 2), np.float32)
    pairs = PairVectors(none, none, ["a", "a", "b", "b"], ["s1", "s1", "s1", "s2"], [7, 8, 9, 7], [{}] * 4, True)
    study, wording = hit_groups(pairs)
    assert study[0] == study[1] != study[2] and wording[0] == wording[3] and len(set(wording)) == 3
