"""The order of samples: every promise of the plan, checked on random shapes."""

import itertools

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cxrpt.data.hashing import derive, permute
from cxrpt.data.order.plan import Plan
from cxrpt.data.order.source_order import SMALL_SOURCE_LANES, draws_of_epochs, epochs_begun
from cxrpt.data.order.timeline import PlanSource, Segment, describe_data, plan_segments
from cxrpt.errors import InputError


def source(name, counts, weight=1.0, schedule=(), epochs=0, content="f"):
    return PlanSource(name, weight, np.asarray(counts, np.int64), content, schedule, epochs)


def make_plan(sources, lanes, mix_slots, seed=0, step_slots=1, temperature=0.0, from_slot=0, history=()):
    segments = plan_segments(sources, seed, lanes, mix_slots, temperature, step_slots, from_slot, history)
    return Plan(sources, lanes, segments)


def places_of(plan, first, slots, rank=0, world=1):
    return plan.places(*plan.step_slots(first, slots, rank, world))


def listed(places):
    return list(zip(*(a.tolist() for a in (places.source, places.epoch, places.shard, places.sample)), strict=True))


@given(st.integers(1, 3000), st.integers(0, 2**40))
@settings(max_examples=60, deadline=None)
def test_permute_is_one_to_one(size, key):
    image = permute(np.arange(size), size, derive(key))
    assert np.array_equal(np.sort(image), np.arange(size))


def test_permute_scrambles_and_depends_on_the_key():
    a, b = (permute(np.arange(1000), 1000, derive(k)) for k in (1, 2))
    assert (a == b).mean() < 0.02 and (a == np.arange(1000)).mean() < 0.02
    assert abs(np.corrcoef(a, np.arange(1000))[0, 1]) < 0.1
    reached = {tuple(permute(np.arange(3), 3, derive(k)).tolist()) for k in range(200)}
    assert len(reached) == 6, "every order of three can come out"


@given(st.integers(1, 2000), st.integers(1, 40), st.integers(0, 5))
@settings(max_examples=80, deadline=None)
def test_draws_of_epochs_add_up_to_the_epochs(size, lanes, epochs):
    lane = np.arange(lanes)
    draws = draws_of_epochs(size, lanes, lane, epochs)
    assert draws.clip(0).sum() == size * epochs
    if epochs:
        assert epochs_begun(size, lanes, draws.clip(0)) <= epochs < epochs_begun(size, lanes, draws.clip(0) + 1) + 1


counts = st.lists(st.integers(1, 400), min_size=1, max_size=6)
schedules = st.lists(st.tuples(st.integers(1, 400), st.floats(0.1, 10)), max_size=3).map(
    lambda entries: tuple(sorted(dict(entries).items()))
)
plans = st.builds(
    lambda seed, lanes, sources, slots, step_slots, temperature: make_plan(
        [source(str(i), c, w, s) for i, (c, w, s) in enumerate(sources)], lanes, slots, seed, step_slots, temperature
    ),
    st.integers(0, 2**31),
    st.sampled_from([1, 2, 4, 8, 12]),
    st.lists(st.tuples(counts, st.floats(0.1, 10), schedules), min_size=1, max_size=4),
    st.integers(8, 64),
    st.integers(1, 3),
    st.sampled_from([0.0, 1.0, 3.0]),
)


@given(plans, st.integers(0, 5000), st.integers(1, 3), st.data())
@settings(max_examples=80, deadline=None)
def test_a_step_has_the_same_samples_on_any_world(plan, first_slot, slots, data):
    whole = listed(places_of(plan, first_slot, slots))
    assert len(whole) == slots * plan.lanes
    world = data.draw(st.sampled_from([w for w in range(1, plan.lanes + 1) if plan.lanes % w == 0]))
    by_ranks = [listed(places_of(plan, first_slot, slots, rank, world)) for rank in range(world)]
    assert sorted(itertools.chain(*by_ranks)) == sorted(whole)
    # A worker that takes any part of a rank's samples finds what stands there.
    lane, slot = plan.step_slots(first_slot, slots, world - 1, world)
    workers = data.draw(st.integers(1, 4))
    by_workers = [listed(plan.places(lane[w::workers], slot[w::workers])) for w in range(workers)]
    assert sorted(itertools.chain(*by_workers)) == sorted(by_ranks[-1])


@given(plans, st.integers(0, 3000))
@settings(max_examples=40, deadline=None)
def test_walking_equals_seeking(plan, at):
    walked = Plan(plan.sources, plan.lanes, plan.segments)
    for first in range(max(0, at - 20), at):
        places_of(walked, first, 1)
    assert listed(places_of(walked, at, 1)) == listed(places_of(plan, at, 1))


@given(plans)
@settings(max_examples=40, deadline=None)
def test_each_sample_once_a_source_epoch(plan):
    places = places_of(plan, 0, 1500)
    for number, one in enumerate(plan.sources):
        mine = places.source == number
        triples = np.stack([places.epoch[mine], places.shard[mine], places.sample[mine]], 1)
        assert len(np.unique(triples, axis=0)) == len(triples), "a sample came twice in a source epoch"
        assert (places.sample[mine] < one.shard_counts[places.shard[mine]]).all()
        small = one.num_samples < SMALL_SOURCE_LANES * plan.lanes
        if small and len(plan.segments) == 1 and (places.epoch[mine] >= 2).any():
            assert (places.epoch[mine] == 0).sum() == one.num_samples, "a finished epoch lacks a sample"


def test_a_large_source_is_gone_through_by_every_lane():
    plan = make_plan([source("a", [700] * 5 + [13])], 8, 4, seed=3)
    places = places_of(plan, 0, 3513 // 8 + 1)
    first = places.epoch == 0
    assert first.sum() == 3513
    seen = places.shard[first] * 1000 + places.sample[first]
    assert len(np.unique(seen)) == 3513


def test_the_seed_matters():
    sources = [source("a", [500, 20, 300], 3), source("b", [5000], 1)]
    one, other = (places_of(make_plan(sources, 4, 100, seed=seed), 0, 4000) for seed in (7, 8))
    assert (other.sample != one.sample).mean() > 0.9


def test_a_lane_reads_few_shards_at_a_time():
    plan = make_plan([source("a", [1000] * 64)], 8, 1)
    lane, slot = np.full(500, 3), np.arange(500)
    assert len(np.unique(plan.places(lane, slot).shard)) <= 2


def test_a_schedule_changes_the_mix_with_its_step():
    sources = [source("a", [1000], 3, ((10, 0.0), (20, 1.0))), source("b", [1000], 1)]
    plan = make_plan(sources, 8, 4, step_slots=2)
    assert [segment.first_slot for segment in plan.segments] == [0, 20, 40]
    assert [plan.shares_at(slot) for slot in (0, 19, 20, 40)] == [
        {"a": 0.75, "b": 0.25}, {"a": 0.75, "b": 0.25}, {"b": 1.0}, {"a": 0.5, "b": 0.5}]  # fmt: skip
    assert set(places_of(plan, 20, 20).source.tolist()) == {1}
    assert plan.drawn(60) == {"a": 20 * 6 + 20 * 4, "b": 20 * 2 + 20 * 8 + 20 * 4}
    assert plan.epochs(60) == {"a": 0.2, "b": 0.28}


@given(
    st.integers(1, 3000),
    st.integers(0, 100),
    st.integers(1, 3),
    st.sampled_from([1, 4, 8]),
    st.floats(0.2, 5),
    st.integers(1, 4),
)
@example(1, 0, 2, 4, 0.75, 1)
@settings(max_examples=60, deadline=None)
def test_a_source_ends_on_all_lanes_with_one_step_and_without_a_repeat(size, extra, epochs, lanes, weight, step_slots):
    sources = [source("ends", [size, 1 + extra], weight, epochs=epochs), source("stays", [100], 1.0)]
    plan = make_plan(sources, lanes, 16, step_slots=step_slots)
    places = places_of(plan, 0, 4000 * epochs)
    mine = places.source == 0
    assert mine.sum() == 0 or places.epoch[mine].max() < epochs
    if len(plan.segments) == 2:
        end = plan.segments[1].first_slot
        assert end % step_slots == 0
        assert not (places_of(plan, end, 200).source == 0).any()
        unending = make_plan([source("ends", [size, 1 + extra], weight), sources[1]], lanes, 16, step_slots=step_slots)
        beyond = places_of(unending, 0, end + step_slots)
        # A source with fewer samples than lanes may pass over an epoch.
        assert (beyond.epoch[beyond.source == 0] >= epochs).any(), "it could have gone on for a step"


def test_when_all_sources_end_the_plan_does():
    plan = make_plan([source("a", [800], epochs=1), source("b", [1600], epochs=1)], 8, 2, step_slots=4)
    assert plan.end_slot is not None and plan.end_slot % 4 == 0
    assert [sorted(segment.shares) for segment in plan.segments] == [["a", "b"], ["b"], []]
    assert plan.drawn(plan.end_slot)["a"] > 700 and plan.drawn(plan.end_slot)["b"] > 1500
    assert make_plan([source("a", [8]), source("b", [8], epochs=1)], 8, 2).end_slot is None


def test_a_source_added_in_mid_run_leaves_the_others_in_their_order():
    before = make_plan([source("a", [900, 900]), source("b", [700], 2)], 4, 12)
    after = make_plan(
        [source("a", [900, 900]), source("b", [700], 2), source("c", [500])], 4, 12, from_slot=100, history=before.segments
    )
    assert listed(places_of(before, 0, 100)) == listed(places_of(after, 0, 100))
    alone = [s for s in listed(places_of(before, 100, 300)) if s[0] == 0]
    joined = [s for s in listed(places_of(after, 100, 600)) if s[0] == 0]
    assert len(set(alone) & set(joined)) > 0.9 * len(alone), "a goes on where it stood"
    places = places_of(after, 0, 2000)
    for number in range(3):
        mine = [s for s in listed(places) if s[0] == number]
        assert len(mine) == len(set(mine))
    # Again, from a later step, as a run does that resumes with what it recorded.
    recorded = tuple(Segment.from_json(segment.to_json()) for segment in after.segments)
    later = make_plan(after.sources, 4, 12, from_slot=300, history=recorded)
    assert listed(places_of(later, 0, 300)) == listed(places_of(after, 0, 300))


def test_new_content_begins_the_next_epoch():
    before = make_plan([source("a", [300]), source("b", [1000])], 4, 2)
    grown = [source("a", [300, 50], content="g"), source("b", [1000])]
    after = make_plan(grown, 4, 2, from_slot=200, history=before.segments)
    places = places_of(after, 200, 400)
    first = places.epoch[places.source == 0].min()
    assert first == places_of(before, 0, 200).epoch.max() + 1 == 2
    mine = [s for s in listed(places) if s[0] == 0 and s[1] == first]
    assert len(mine) == len(set(mine)) == 350
    kept = [s for s in listed(places) if s[0] == 1 and s[1] == 0]
    assert not set(kept) & set(listed(places_of(before, 0, 200)))


def test_bad_sources_are_input_errors():
    with pytest.raises(InputError, match="sum to 0"):
        make_plan([source("a", [5], 0)], 2, 8)
    with pytest.raises(InputError, match="sum to 0 from step 7 on"):
        make_plan([source("a", [5], 1, ((7, 0.0),))], 2, 8)
    with pytest.raises(InputError, match="'a' has no sample"):
        make_plan([source("a", [0], 1)], 2, 8)
    assert make_plan([source("a", [5]), source("b", [0], 0)], 2, 8).shares_at(0) == {"a": 1.0}


def test_a_description_says_what_changed():
    a = describe_data([source("a", [5]), source("b", [5])], 0, 8, 0.0)
    b = describe_data([source("a", [5], 3), source("b", [5])], 0, 8, 0.0)
    assert [name for name in a if a[name] != b[name]] == ["source a"]
    assert a["source a"] == "weight 1, epochs 0, 5 samples, f"
