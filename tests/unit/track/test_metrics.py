"""Speed, measured with a clock that the test turns."""

import resource
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from cxrpt.data.batch import pack
from cxrpt.model.pretrain import Shape
from cxrpt.track import metrics
from cxrpt.track.metrics import SpeedMeter
from tests.unit.model.examples import GRID, PATCH, VOCAB, make_example

SHAPE = Shape(8, 2, 2, 4.0, PATCH, GRID * PATCH, VOCAB, 24, (1,), False, False)


class Clock:
    """A clock that stands still between two turns."""

    def __init__(self):
        self.now = 100.0

    def perf_counter(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    """Time, with memory and what a second rank adds made up: as many counts, and 10 s a window."""
    made = Clock()
    monkeypatch.setattr(metrics, "time", made)
    monkeypatch.setattr(metrics, "sum_over_ranks", lambda values: values * 2)
    monkeypatch.setattr(metrics, "max_over_ranks", lambda values: torch.maximum(values, torch.tensor([10.0, 0.5])))
    usage = SimpleNamespace(RUSAGE_SELF=resource.RUSAGE_SELF, getrusage=lambda who: SimpleNamespace(ru_maxrss=3 * 2**20))
    monkeypatch.setattr(metrics, "resource", usage)
    return made


def texts(words):
    """A micro-batch of texts without a hidden word."""
    rng = np.random.default_rng(0)
    return pack([make_example(rng, False, number, mlm_ratio=0.0) for number in words], GRID, PATCH, (1,), 1)


def flops_of(lengths, masked):
    rows, squares = sum(lengths), sum(length**2 for length in lengths)
    layer = 2 * rows * (4 * 8 * 8 + 2 * 8 * 32) + 2 * 2 * squares * 8
    return 3 * (2 * layer + 2 * masked * (8 * 8 + 8 * VOCAB))


def test_rates_over_ranks_and_steps(clock):
    small, large = texts([3, 3]), texts([9])
    masked = len(small.mlm_rows_M) + len(large.mlm_rows_M)
    flops = flops_of([4, 4], 0) + flops_of([10], 0) + flops_of([], masked)
    meter = SpeedMeter(torch.device("cpu"), 1e6)
    clock.now += 1
    meter.add([small], SHAPE, 0.1)
    meter.add([large, small], SHAPE, 0.5)
    clock.now += 19
    rates = meter.rates()
    assert rates == pytest.approx(
        {
            "speed/samples_per_s": 2 * (2 + 1 + 2) / 20,
            "speed/tokens_per_s": 2 * (8 + 10 + 8) / 20,
            "speed/mfu": (flops + flops_of([4, 4], len(small.mlm_rows_M))) / 20 / 1e6,
            "speed/step_s": 20 / 2,
            "speed/token_imbalance": (0.1 + 0.5) / 2,
            "speed/token_imbalance_max": 0.5,
            "memory/peak_gib": 3.0,
        }
    )


def test_rates_start_anew_and_the_slowest_rank_tells_the_time(clock):
    meter = SpeedMeter(torch.device("cpu"), 1e6)
    meter.add([texts([3, 3])], SHAPE, 0.5)
    clock.now += 20
    meter.rates()
    meter.add([texts([9])], SHAPE, 0.25)
    clock.now += 4
    rates = meter.rates()
    assert rates["speed/samples_per_s"] == 2 * 1 / 10 and rates["speed/tokens_per_s"] == 2 * 10 / 10
    assert rates["speed/step_s"] == 10 and rates["speed/token_imbalance"] == rates["speed/token_imbalance_max"] == 0.25


def test_a_window_without_a_step_has_no_rates_that_break(clock):
    rates = SpeedMeter(torch.device("cpu"), 1e6).rates()
    assert rates["speed/samples_per_s"] == rates["speed/mfu"] == rates["speed/token_imbalance"] == 0
