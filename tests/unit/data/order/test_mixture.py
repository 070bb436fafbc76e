"""Weights to slots of a table, and what every window of it holds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxrpt.data.order.mixture import Mixture, mixing_table, quantise_weights, tempered


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


def test_mix_stays_within_two_of_the_weights_in_every_lane():
    mixture = Mixture(quantise_weights([5, 1, 0.3, 2.2, 0.01], 1024))
    shares = mixture.counts / 1024
    for lane in range(16):
        numbers, draws = mixture.draw(np.full(3000, lane), np.arange(3000))
        for number in range(5):
            taken = np.concatenate([[0], (numbers == number).cumsum()])
            assert np.abs(taken - np.arange(3001) * shares[number]).max() < 2
            assert np.array_equal(draws[numbers == number], np.arange(taken[-1]))
        for slots in (0, 1, 777, 1024, 2999):
            assert np.array_equal(mixture.drawn(np.array([lane]), slots)[0], np.bincount(numbers[:slots], minlength=5))


@pytest.mark.parametrize("weights", [(2, 1, 1), (1, 1), (3, 1, 1), (1, 1, 1, 1, 1, 1, 1, 1), (10, 1, 0.5), (0.7, 0.3)])
@pytest.mark.parametrize("lanes", [8, 32, 64])
def test_every_step_is_mixed(weights, lanes):
    """Lanes that draw from one source at a time would make steps of one source each."""
    mixture = Mixture(quantise_weights(list(weights), 1024))
    shares = mixture.counts / 1024
    for slot in range(200):
        numbers, _ = mixture.draw(np.arange(lanes), np.full(lanes, slot))
        off = np.abs(np.bincount(numbers, minlength=len(weights)) - lanes * shares)
        assert off.max() < 2 + 0.15 * lanes, (slot, off)


def test_temperature_draws_by_size_and_then_more_evenly():
    assert tempered(2.0, 1000, 0) == 2.0
    assert tempered(2.0, 1000, 1) == 2000.0
    by_five = [tempered(1.0, n, 5) for n in (1_000_000, 1_000)]
    assert by_five[0] / by_five[1] == pytest.approx(1000**0.2)
    assert tempered(0.0, 0, 2) == 0.0
