"""What the largest micro-batch is, and what is said where memory does not suffice."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from cxrpt import dry_run as module
from cxrpt import machine
from cxrpt.config import DataConfig, EngineConfig, ObjectiveConfig
from cxrpt.data.example import ExampleMaker
from cxrpt.dist.world import World
from cxrpt.dry_run import dry_run, largest_micro_batch
from cxrpt.errors import InputError

MIB = 2**20
WORLD = World(0, 2, 2, torch.device("cpu"))
BATCH = SimpleNamespace(num_samples=6, num_tokens=1234, counts=dict)


def maker(max_text_tokens=12, mlm_ratio=0.5):
    tokenizer = SimpleNamespace(vocab_size=50, word_start=np.ones(50, bool), never_masked=(0, 1), mask_id=2)
    data = DataConfig(image_size=16, max_text_tokens=max_text_tokens)
    return ExampleMaker(data, ObjectiveConfig(mlm_ratio=mlm_ratio), 4, tokenizer, 0)


def sources(*kinds):
    return [SimpleNamespace(kinds=kind) for kind in kinds]


@pytest.mark.parametrize(
    ("kinds", "text", "rows"),
    [
        ([(0, 9, 9), (1, 0, 0)], 12, 3 * (1 + 16 + 1 + 12)),
        ([(0, 9, 9)], 12, 3 * (1 + 16)),
        ([(0, 9, 9)], 20, 3 * (1 + 20)),
        ([(0, 0, 9)], 12, 3 * (1 + 12)),
        ([(0, 9, 0)], 20, 3 * (1 + 16)),
    ],
)
def test_every_sample_is_as_large_as_the_sources_can_bring(kinds, text, rows):
    batch = largest_micro_batch(sources(*kinds), maker(text), 3)
    assert (batch.num_samples, batch.num_tokens) == (3, rows)
    assert isinstance(batch.order_N, torch.Tensor) and len(batch.num_by_source) == len(kinds)


def test_masks_are_those_of_the_configuration():
    counts = largest_micro_batch(sources((1, 0, 0)), maker(mlm_ratio=0.5), 4).counts()
    assert counts["mlm"] > 0 and counts["mvm1"] > 0
    assert largest_micro_batch(sources((1, 0, 0)), maker(mlm_ratio=0.0), 4).counts()["mlm"] == 0


class Rehearsing:
    """An engine that takes so much memory for a step, and will take so much for its moments."""

    def __init__(self, step_bytes, moments_bytes=0):
        self.step_bytes, self.moments_bytes = step_bytes, moments_bytes

    def rehearse(self, loss_of):
        torch.ones(self.step_bytes, dtype=torch.uint8)

    def moments_to_come_bytes(self):
        return self.moments_bytes


def run(monkeypatch, engine, free_bytes, **options):
    monkeypatch.setattr(machine, "free_memory_bytes", lambda: free_bytes)
    monkeypatch.setattr(module, "wait_for_all", lambda: None)
    monkeypatch.setattr(module, "max_over_ranks", lambda values: values)
    dry_run(engine, BATCH, {}, EngineConfig(**options), WORLD)


def test_what_is_needed_is_told(monkeypatch, capsys):
    held = machine.resident_bytes() / 2**30
    run(monkeypatch, Rehearsing(300 * MIB, 700 * MIB), 4096 * MIB)
    needed, limit = map(
        float, re.search(r"\(6 samples, 1,234 rows\) needs (\S+) GiB of (\S+) a rank", capsys.readouterr().out).groups()
    )
    assert needed == pytest.approx(held + 1000 / 1024, abs=0.1)
    assert limit == pytest.approx(held + 2, abs=0.1), "half of what is free: two ranks are here"


def test_too_large_a_step_is_an_error_before_the_kernel_kills(monkeypatch):
    with pytest.raises(InputError, match="needs more than the") as caught:
        run(monkeypatch, Rehearsing(3000 * MIB), 1000 * MIB)
    message = str(caught.value)
    assert "set engine.micro_batch=3 or engine.recompute_blocks=-1 or engine.zero_stage=2" in message and "\n" not in message
    torch.empty(3000 * MIB, dtype=torch.uint8)  # the limit is gone again


def test_moments_to_come_count(monkeypatch):
    with pytest.raises(InputError, match=r"needs .* of the .* GiB of a rank: set engine.micro_batch=3 or engine.zero_stage=3"):
        run(monkeypatch, Rehearsing(MIB, 2000 * MIB), 2000 * MIB, recompute_blocks=-1, zero_stage=2)


def test_other_errors_are_not_explained_away(monkeypatch):
    class Broken(Rehearsing):
        def rehearse(self, loss_of):
            raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes do not match"):
        run(monkeypatch, Broken(0), 1000 * MIB)
