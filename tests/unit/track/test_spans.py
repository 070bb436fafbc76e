"""The parts of a step, timed and placed."""

import json

import pytest
import torch

from cxrpt.config import TrainConfig
from cxrpt.track import spans as module
from cxrpt.track.spans import PARTS, START, Spans
from cxrpt.track.trace import TRACED_RANKS, Trace


@pytest.fixture
def clock(monkeypatch):
    """A clock that only the test moves."""
    now = [100.0]
    monkeypatch.setattr(module.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(module, "max_over_ranks", lambda values: values)
    return now


def test_seconds_a_step_of_each_part(clock):
    spans = Spans(torch.device("cpu"))
    spans.begin(1)
    for _ in range(2):
        for part, seconds in (("data", 1.0), ("forward", 2.0), ("forward", 4.0), ("backward", 8.0)):
            with spans(part):
                clock[0] += seconds
            clock[0] += 0.25
        spans.end_step()
    rates = spans.rates()
    assert rates.keys() == {f"speed/span_{part}_s" for part in PARTS}
    told = [rates[f"speed/span_{part}_s"] for part in ("data", "forward", "backward", "optimizer")]
    assert told == [1.0, 6.0, 8.0, 0.0]
    assert set(spans.rates().values()) == {0.0}, "it starts anew"


def test_places_grow_and_a_part_that_fails_stays_the_place(clock):
    spans = Spans(torch.device("cpu"))
    assert spans.place.part == START and spans.steps_ended == 0
    spans.begin(12)
    seen = [spans.place]
    for part in ("data", "forward"):
        with spans(part):
            seen.append(spans.place)
        seen.append(spans.place)
    spans.end_step()
    seen.append(spans.place)
    assert seen == sorted(seen) and len({place[:2] for place in seen}) == len(seen)
    assert [place.step for place in seen] == [12] * 5 + [13] and spans.steps_ended == 1
    with pytest.raises(ValueError), spans("save"):
        raise ValueError
    assert spans.place.part == "save"


def traced(tmp_path, config, rank=0, steps=6):
    spans = Spans(torch.device("cpu"))
    trace = Trace(config, tmp_path, rank, torch.device("cpu"), spans)
    for step in range(1, steps + 1):
        trace.before_step(step)
        with spans("forward"):
            torch.ones(8) @ torch.ones(8)
        with spans("log"):
            pass
    trace.end()
    return sorted(tmp_path.glob("traces/*"))


def test_a_trace_holds_the_parts_of_its_steps_only(tmp_path):
    (path,) = traced(tmp_path, TrainConfig(trace_from_step=3, trace_steps=2))
    assert path.name == "rank-0-step-3.json"
    events = json.loads(path.read_text())["traceEvents"]
    parts = [event for event in events if event.get("cat") == "user_annotation" and event["name"] in PARTS]
    assert sorted(event["name"] for event in parts) == ["forward", "forward", "log", "log"]
    forward = next(event for event in parts if event["name"] == "forward")
    product = next(event for event in events if event.get("name") == "aten::dot")
    assert forward["ts"] <= product["ts"] and product["ts"] + product["dur"] <= forward["ts"] + forward["dur"]


def test_a_trace_that_the_run_does_not_outlast_is_written_and_one_not_asked_for_is_not(tmp_path):
    assert len(traced(tmp_path / "a", TrainConfig(trace_from_step=5, trace_steps=50))) == 0  # the run directory is not there
    (tmp_path / "b").mkdir()
    assert len(traced(tmp_path / "b", TrainConfig(trace_from_step=5, trace_steps=50))) == 1
    (tmp_path / "c").mkdir()
    assert not traced(tmp_path / "c", TrainConfig(trace_from_step=5))
    assert not traced(tmp_path / "c", TrainConfig(trace_from_step=2, trace_steps=2), rank=TRACED_RANKS)
    assert not traced(tmp_path / "c", TrainConfig(trace_from_step=9, trace_steps=2))
