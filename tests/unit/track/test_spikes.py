"""Loss spikes: what is one, what is none, and that a resumed run finds the same."""

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cxrpt.data.storage.step_samples import StepSample
from cxrpt.errors import InputError
from cxrpt.model.objectives import LossSum
from cxrpt.model.pretrain import Losses
from cxrpt.track import spikes
from cxrpt.track.spikes import Spike, SpikeWatch, judge, read_spikes, spikes_path, write_spikes

THRESHOLD = 10.0


@pytest.fixture(autouse=True)
def one_rank(monkeypatch):
    monkeypatch.setattr(spikes, "sum_over_ranks", lambda values: values)


def losses(mlm: float, mvm: float = 1.0) -> Losses:
    def sum_of(value):
        return LossSum(torch.tensor(value), 1, torch.zeros(1), torch.zeros(1))

    return Losses(sum_of(mlm), {1: sum_of(mvm)}, None)


def run(watch, values, first=1, every=5):
    """Feed steps with two micro-batches of half the loss each; look every few steps."""
    found = []
    for step, value in enumerate(values, first):
        for _ in range(2):
            watch.add(losses(value * 4))
        watch.end_step(step, 2 * (step - 1), {"mlm": 8.0, "mvm1": 2.0})
        if step % every == 0:
            found += watch.look()
    return found


def quiet(steps=100, seed=0, noise=0.03):
    return (3 + np.random.default_rng(seed).normal(0, noise, steps)).tolist()


def test_a_spike_is_found_at_its_step_with_its_slot_and_the_usual_value():
    values = quiet()
    values[70] = 5.0
    (spike,) = run(SpikeWatch((1,), THRESHOLD), values)
    assert (spike.step, spike.slot, spike.objective) == (71, 140, "mlm")
    assert spike.value == pytest.approx(5.0) and spike.usual == pytest.approx(3.0, abs=0.03) and spike.deviations > 40


def test_a_low_loss_and_a_turned_off_watch_tell_nothing():
    values = quiet()
    values[70] = 0.1
    assert run(SpikeWatch((1,), THRESHOLD), values) == []
    values[70] = 50.0
    assert run(SpikeWatch((1,), 0.0), values) == []


def test_a_loss_that_is_not_finite_is_a_spike_even_early_and_never_the_usual():
    values = quiet()
    values[3] = math.nan
    watch = SpikeWatch((1,), THRESHOLD)
    (spike,) = run(watch, values)
    assert spike.step == 4 and math.isnan(spike.value) and watch.total == 1
    assert all(math.isfinite(value) for value in watch.state()["history"]["mlm"])


def test_what_follows_a_spike_is_counted_and_not_listed():
    values = quiet()
    values[60:66] = [5.0, 4.9, 4.8, 4.7, 4.6, 4.5]
    values[90] = 5.0
    watch = SpikeWatch((1,), THRESHOLD)
    assert [spike.step for spike in run(watch, values)] == [61, 91] and watch.total == 7


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 10**6),
    start=st.floats(1.0, 12.0),
    floor=st.floats(0.05, 4.0),
    tau=st.floats(3.0, 300.0),
    noise=st.floats(0.0, 0.2),
    bump=st.floats(0.0, 0.3),
)
def test_warm_up_noise_and_falling_losses_are_no_spikes_and_a_real_one_is(seed, start, floor, tau, noise, bump):
    rng, steps = np.random.default_rng(seed), 400
    t = np.arange(steps)
    curve = floor + start * np.exp(-t / tau) + bump * floor * np.exp(-(((t - 60) / 25) ** 2))  # the rate at its highest
    values = curve * np.exp(rng.normal(0, noise, steps))
    history = SpikeWatch((1,), THRESHOLD)
    assert run(history, values.tolist()) == []
    window = values[-64:]
    deviation = max(1.4826 * np.median(abs(window - np.median(window))), 0.01 * np.median(window))
    (spike,) = run(history, [float(np.median(window) + 11 * deviation)], first=405)
    assert spike.step == 405


def test_judge_by_hand():
    usual, deviations = judge([1.0, 2.0, 3.0, 4.0, 100.0], 3 + 5 * 1.4826)
    assert usual == 3.0 and deviations == pytest.approx(5.0)
    assert judge([2.0] * 5, 2.2)[1] == pytest.approx(10.0), "a loss that never moves has a deviation of a hundredth"


@pytest.mark.parametrize("stop", [3, 47, 60, 71, 72, 75])
def test_a_run_that_is_saved_and_resumed_at_any_step_finds_the_same(stop):
    values = quiet(seed=3)
    values[20], values[70], values[71], values[88] = math.inf, 6.0, 5.0, 6.0
    whole = SpikeWatch((1,), THRESHOLD)
    undisturbed = run(whole, values)
    assert [spike.step for spike in undisturbed] == [21, 71, 89]

    first, second = SpikeWatch((1,), THRESHOLD), SpikeWatch((1,), THRESHOLD)
    found = run(first, values[:stop])
    state = json.loads(json.dumps(first.state()))
    first.add(losses(99.0))  # what the first process still does is not in the state
    second.load(state)
    found += run(second, values[stop:], first=stop + 1)
    assert found == undisturbed and second.state() == whole.state()


def spike(step, value=9.0):
    return Spike(step, 2 * step, "mlm", value, 3.0, 41.0)


def test_the_file_holds_the_samples_and_readers_take_the_last_attempt(tmp_path):
    def samples_of(slot):
        return [StepSample("north", "north-train-000000.tar", f"k{slot}", 0)]

    write_spikes(tmp_path, 1, [spike(7), spike(20, math.inf)], samples_of)
    with spikes_path(tmp_path).open("a") as file:
        file.write('{"step": 9')  # a kill tore it
        file.write("\n")
    write_spikes(tmp_path, 2, [spike(20, 8.0)], samples_of)
    seven, twenty = read_spikes(tmp_path)
    assert seven["samples"] == [{"source": "north", "shard": "north-train-000000.tar", "key": "k14", "epoch": 0}]
    assert (twenty["step"], twenty["attempt"], twenty["value"]) == (20, 2, 8.0)
    assert all(json.loads(line, parse_constant=pytest.fail) for line in spikes_path(tmp_path).read_text().splitlines()[:2])


def test_training_goes_on_where_samples_cannot_be_looked_up_or_the_file_not_written(tmp_path):
    def fails(slot):
        raise InputError("an index is missing")

    write_spikes(tmp_path, 1, [spike(7)], fails)
    assert read_spikes(tmp_path)[0]["samples"] == []
    spikes_path(tmp_path).unlink()
    spikes_path(tmp_path).mkdir()
    write_spikes(tmp_path, 1, [spike(7)], lambda slot: [])
