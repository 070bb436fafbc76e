"""The order of samples: every promise of the plan, checked on random shapes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxrpt.data.hashing import derive, permute
from cxrpt.data.plan import SMALL_SOURCE_LANES, Plan, PlanSource, mixing_table, quantise_weights
from cxrpt.errors import InputError


def source(name, counts, weight=1.0):
    return PlanSource(name, weight, np.asarray(counts, np.int64), "f")


def all_places(plan, slots):
    lane, slot = plan.step_slots(0, slots, 0, 1)
    return plan.places(lane, slot)


@given(st.integers(1, 3000), st.integers(0, 2**40))
@settings(max_examples=60, deadline=None)
def test_permute_is_one_to_one(size, key):
    image = permute(np.arange(size), size, derive(key))
    assert np.array_equal(np.sort(image), np.arange(size))


def test_permute_scrambles_and_depends_on_the_key():
    a, b = (permute(np.arange(1000), 1000, derive(k)) for k in (1, 2))
    assert (a == b).mean() < 0.02 and (a == np.arange(1000)).mean() < 0.02
    assert abs(np.corrcoef(a, np.arange(1000))[0, 1]) < 0.1


@given(st.lists(st.floats(0.001, 1000), min_size=1, max_size=12), st.integers(12, 700))
@settings(max_examples=100, deadline=None)
def test_quantised_weights_and_every_window_of_the_table(weights, slots):
    counts = quantise_weights(weights, slots)
    assert sum(counts) == slots and min(counts) >= 1
    table = mixing_table(counts)
    assert np.array_equal(np.bincount(table, minlength=len(counts)), counts)
    shares = np.asarray(counts) / slots
    prefix = np.concatenate([np.zeros((1, len(counts))), (table[:, None] == np.arange(len(counts))).cumsum(0)])
    deviation = prefix - np.arange(slots + 1)[:, None] * shares
    assert np.abs(deviation).max() < 1 + 1e-9
    assert (deviation.max(0) - deviation.min(0)).max() < 2


plans = st.builds(
    lambda seed, lanes, sources, slots: Plan(seed, [source(str(i), c, w) for i, (c, w) in enumerate(sources)], lanes, slots),
    st.integers(0, 2**31),
    st.sampled_from([1, 2, 4, 8]),
    st.lists(st.tuples(st.lists(st.integers(1, 400), min_size=1, max_size=6), st.floats(0.1, 10)), min_size=1, max_size=4),
    st.integers(8, 64),
)


@given(plans, st.integers(0, 5000), st.integers(1, 3))
@settings(max_examples=60, deadline=None)
def test_a_step_has_the_same_samples_on_any_world(plan, first_slot, slots):
    def step(world):
        found = []
        for rank in range(world):
            lane, slot = plan.step_slots(first_slot, slots, rank, world)
            places = plan.places(lane, slot)
            found += zip(places.source, places.epoch, places.shard, places.sample, strict=True)
        return sorted(found)

    whole = step(1)
    assert len(whole) == slots * plan.lanes
    assert all(step(world) == whole for world in (2, 4, 8) if plan.lanes % world == 0)


@given(plans)
@settings(max_examples=40, deadline=None)
def test_each_sample_once_a_source_epoch(plan):
    places = all_places(plan, 1500)
    for number, one in enumerate(plan.sources):
        mine = places.source == number
        triples = np.stack([places.epoch[mine], places.shard[mine], places.sample[mine]], 1)
        assert len(np.unique(triples, axis=0)) == len(triples), "a sample came twice in a source epoch"
        assert (places.sample[mine] < one.shard_counts[places.shard[mine]]).all()
        if (places.epoch[mine] >= 2).any() and one.num_samples < SMALL_SOURCE_LANES * plan.lanes:
            assert (places.epoch[mine] == 0).sum() == one.num_samples, "a finished epoch lacks a sample"


def test_a_large_source_is_gone_through_by_every_lane():
    plan = Plan(3, [source("a", [700] * 5 + [13])], 8, 4)
    places = all_places(plan, 3513 // 8 + 1)
    first = places.epoch == 0
    assert first.sum() == 3513
    seen = places.shard[first] * 1000 + places.sample[first]
    assert len(np.unique(seen)) == 3513


def test_walking_equals_seeking_and_the_seed_matters():
    plan = Plan(7, [source("a", [500, 20, 300], 3), source("b", [5000], 1)], 4, 100)
    lane, slot = plan.step_slots(0, 4000, 0, 1)
    walked = plan.places(lane, slot)
    for at in (0, 17, 9999, 15999):
        sought = Plan(7, plan.sources, 4, 100).places(lane[at : at + 1], slot[at : at + 1])
        assert (sought.source[0], sought.epoch[0], sought.shard[0], sought.sample[0]) == (
            walked.source[at], walked.epoch[at], walked.shard[at], walked.sample[at])  # fmt: skip
    other = Plan(8, plan.sources, 4, 100).places(lane, slot)
    assert (other.sample != walked.sample).mean() > 0.9


def test_mix_stays_within_two_of_the_weights_in_every_lane():
    plan = Plan(0, [source(c, [1000], w) for c, w in zip("abcde", (5, 1, 0.3, 2.2, 0.01), strict=True)], 16, 1024)
    shares = np.asarray(plan.slot_counts) / 1024
    for lane in range(16):
        numbers, draws = plan.draws(np.full(3000, lane), np.arange(3000))
        for number in range(5):
            taken = np.concatenate([[0], (numbers == number).cumsum()])
            assert np.abs(taken - np.arange(3001) * shares[number]).max() < 2
            assert np.array_equal(draws[numbers == number], np.arange(taken[-1]))


@pytest.mark.parametrize("weights", [(2, 1, 1), (1, 1), (3, 1, 1), (1, 1, 1, 1, 1, 1, 1, 1), (10, 1, 0.5), (0.7, 0.3)])
@pytest.mark.parametrize("lanes", [8, 32, 64])
def test_every_step_is_mixed(weights, lanes):
    """Lanes that draw from one source at a time would make steps of one source each."""
    plan = Plan(0, [source(str(i), [1000], w) for i, w in enumerate(weights)], lanes, 1024)
    shares = np.asarray(plan.slot_counts) / 1024
    for slot in range(200):
        numbers, _ = plan.draws(np.arange(lanes), np.full(lanes, slot))
        off = np.abs(np.bincount(numbers, minlength=len(weights)) - lanes * shares)
        assert off.max() < 2 + 0.15 * lanes, (slot, off)


def test_a_lane_reads_few_shards_at_a_time():
    plan = Plan(0, [source("a", [1000] * 64)], 8, 1)
    lane, slot = np.full(500, 3), np.arange(500)
    assert len(np.unique(plan.places(lane, slot).shard)) <= 2


def test_bad_sources_are_input_errors():
    with pytest.raises(InputError, match="sum to 0"):
        Plan(0, [source("a", [5], 0)], 2, 8)
    with pytest.raises(InputError, match="'a' has no sample"):
        Plan(0, [source("a", [0], 1)], 2, 8)
    assert Plan(0, [source("a", [5]), source("b", [0], 0)], 2, 8).slot_counts == [8, 0]


def test_fingerprint_says_what_changed():
    a = Plan(0, [source("a", [5]), source("b", [5])], 2, 8)
    b = Plan(0, [source("a", [5], 3), source("b", [5])], 2, 8)
    assert a.fingerprint() != b.fingerprint()
    assert {k for k, v in a.parts().items() if b.parts()[k] != v} == {"source a", "source b"}
