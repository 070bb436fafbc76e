"""DeepSpeed reads every key of its JSON, in every shape; a key that it ignores is found."""

import copy

import pytest

from cxrpt.config import EngineConfig, OptimConfig
from cxrpt.dist.deepspeed_json import Watched, deepspeed_json

SHAPES = [(0, "fp32"), *((stage, precision) for stage in (1, 2, 3) for precision in ("fp32", "bf16", "fp16"))]


def json_of(stage, precision):
    return deepspeed_json(EngineConfig(zero_stage=stage, precision=precision), OptimConfig(clip_norm=0.7), 3, 2, 1, 1000)


@pytest.mark.parametrize(("stage", "precision"), SHAPES)
def test_deepspeed_reads_every_key(stage, precision):
    from deepspeed.runtime.config import DeepSpeedConfig

    json = Watched(json_of(stage, precision))
    assert set(json.unread()) == set(json_of(stage, precision))
    DeepSpeedConfig(json)
    assert json.unread() == []


def test_a_key_that_deepspeed_ignores_is_found():
    from deepspeed.runtime.config import DeepSpeedConfig

    json = Watched(
        json_of(1, "bf16") | {"gradient_cliping": 1.0, "data_types": {"grad_accum_dtype": "fp32", "grad_dtype": "fp32"}}
    )
    DeepSpeedConfig(json)
    assert json.unread() == ["data_types.grad_dtype", "gradient_cliping"]


def test_what_is_asked_of_a_copy_and_by_unpacking_counts():
    watched = Watched({"a": {"b": 1, "c": 2}, "d": 3})
    dict(**copy.copy(watched)["a"])
    assert watched.unread() == ["d"]
