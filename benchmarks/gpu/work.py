"""Models, batches and steps that the items share."""

import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from benchmarks.gpu.machine import Machine
from benchmarks.packing import PATCH, SCALES, VOCAB, Setting, draw_examples, loss
from cxrpt.config import EngineConfig, OptimConfig
from cxrpt.data.batch import Batch, pack
from cxrpt.dist.engine import Engine
from cxrpt.dist.world import World, join_world
from cxrpt.model.pretrain import SIZES, PretrainModel, Shape

LONGEST = 160
_world: list[World] = []


def world(machine: Machine) -> World:
    """A world of this one process, joined once."""
    if not _world:
        _world.append(join_world(machine.device.type, 0))
    return _world[0]


def shape_of(machine: Machine, size: str, image_size: int) -> Shape:
    """Of a size; in a trial of something tiny in its place."""
    width, depth, heads = (64, 2, 2) if machine.small else SIZES[size]
    return Shape(width, depth, heads, 4.0, PATCH, image_size, VOCAB, LONGEST, SCALES, False, False)


def new_model(machine: Machine, size: str, image_size: int) -> PretrainModel:
    """Always with the same weights."""
    torch.manual_seed(0)
    return PretrainModel(shape_of(machine, size, image_size))


def batches(machine: Machine, image_size: int, samples: int, count: int = 2) -> list[Batch]:
    """Packs of pairs, images and texts, on the device."""
    rng, setting = np.random.default_rng(0), Setting("", image_size, "", samples, 0.0)
    drawn = [pack(draw_examples(rng, setting), image_size // PATCH, PATCH, SCALES, 1) for _ in range(count)]
    return [batch.to(machine.device) for batch in drawn]


def new_engine(machine: Machine, model: PretrainModel, samples: int, **settings: object) -> Engine:
    """DeepSpeed around a model."""
    config = EngineConfig(device=machine.device.type, **settings)  # type: ignore[arg-type]
    model.transformer.recompute(config.recompute_blocks)
    if config.compile:
        model.transformer.compile_blocks()
    return Engine(model, config, OptimConfig(), samples, 1, world(machine))


def engine_step(engine: Engine, batch: Batch) -> Tensor:
    """Forward, backward, update; the loss, of which nothing was fetched."""
    value = loss(engine.forward, batch)  # type: ignore[arg-type]
    engine.backward(value)
    engine.step(OptimConfig().lr)
    return value.detach()


def seconds_each(machine: Machine, call: Callable[[int], object], warm_up: int, repeats: int) -> float:
    """Mean time of a call, when many are launched one after the other."""
    for number in range(warm_up):
        call(number)
    machine.wait()
    began = time.perf_counter()
    for number in range(repeats):
        call(number)
    machine.wait()
    return (time.perf_counter() - began) / repeats
