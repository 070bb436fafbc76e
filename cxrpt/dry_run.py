"""The largest micro-batch of a run, through the engine once before the first step: whether memory suffices is found in the
first minute, not when the longest reports of a source meet, hours later."""

import logging
import sys
from contextlib import nullcontext

import numpy as np
import torch

from cxrpt import machine
from cxrpt.config import EngineConfig
from cxrpt.data.batch import Batch, pack
from cxrpt.data.example import ExampleMaker, Unmasked
from cxrpt.data.storage.sources import Source
from cxrpt.dist.collectives import max_over_ranks, wait_for_all
from cxrpt.dist.engine import Engine
from cxrpt.dist.world import World
from cxrpt.errors import InputError
from cxrpt.track.losses import step_loss

log = logging.getLogger(__name__)

_GIB = 2**30


def largest_micro_batch(sources: list[Source], maker: ExampleMaker, num_samples: int) -> Batch:
    """A micro-batch of samples as large as the sources can bring, with masks as they are drawn for others.

    Args:
        sources: if any of them has pairs, every sample is one with a text of full length; else an image or a text, whichever
            has more rows.
        maker: of the run.
        num_samples: of a micro-batch.
    """
    pairs, images, texts = (sum(source.kinds[kind] for source in sources) for kind in range(3))
    grid, longest = maker.data.image_size // maker.patch_size, maker.data.max_text_tokens
    has_image = pairs > 0 or (images > 0 and (not texts or grid**2 >= longest))
    has_text = pairs > 0 or not has_image
    rng = np.random.default_rng(0)

    def sample(number: int) -> Unmasked:
        pixels = rng.integers(0, 256, (grid**2, maker.patch_size**2), dtype=np.uint8) if has_image else None
        tokens = rng.integers(0, maker.tokenizer.vocab_size, longest, dtype=np.int32) if has_text else None
        return Unmasked(0, 0, number, str(number), pixels, tokens)

    examples = [maker.mask(sample(number)) for number in range(num_samples)]
    return pack(examples, grid, maker.patch_size, tuple(maker.objective.mvm_scales), len(sources))


def dry_run(engine: Engine, batch: Batch, weights: dict[str, float], config: EngineConfig, world: World) -> None:
    """Take a micro-batch through a step that is not applied, and say what memory that needs; every rank must call it.

    Nothing of the run changes: weights, optimizer state, loss scale and counters stay as they are. Moments that the first
    update will allocate are added.

    Args:
        engine: between steps.
        batch: on the engine's device.
        weights: of the objectives.
        config: for the message.
        world: ranks of a node share its memory evenly.

    Raises:
        InputError: memory does not suffice.
    """
    limit = _limit_bytes(world)
    wait_for_all()  # what is free is asked by all before any takes more
    room = machine.at_most(limit - machine.resident_bytes()) if world.device.type == "cpu" else nullcontext()
    _forget_peak(world)
    log.info("a dry run follows; what DeepSpeed calls an overflow here is its end")
    try:
        with room:
            engine.rehearse(lambda: step_loss(engine.forward(batch), batch.counts(), weights))
    except (RuntimeError, MemoryError) as error:
        if not _is_out_of_memory(error):
            raise
        raise InputError(_too_large(batch, f"more than the {limit / _GIB:.2f}", config, world)) from None
    needed = _peak_bytes(world) + engine.moments_to_come_bytes()
    _forget_peak(world)
    figures = torch.tensor([needed, -limit, needed - limit], dtype=torch.float64, device=world.device)
    most, least_limit, missing = max_over_ranks(figures).tolist()
    most, least_limit = most / _GIB, -least_limit / _GIB
    if missing > 0:
        raise InputError(_too_large(batch, f"{most:.2f} of the {least_limit:.2f}", config, world))
    line = f"memory: the largest micro-batch ({_describe(batch)}) needs {most:.2f} GiB of {least_limit:.2f} a rank"
    log.info("%s", line)
    if world.is_first:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


def _limit_bytes(world: World) -> int:
    """What this rank can hold: all of its GPU that others leave, or its share of what is free beside what it holds."""
    if world.device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(world.device)
        return free + torch.cuda.memory_reserved(world.device)
    return machine.resident_bytes() + machine.free_memory_bytes() // world.local_size


def _forget_peak(world: World) -> None:
    if world.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(world.device)
    else:
        machine.forget_peak()


def _peak_bytes(world: World) -> int:
    return torch.cuda.max_memory_reserved(world.device) if world.device.type == "cuda" else machine.peak_bytes()


def _is_out_of_memory(error: BaseException) -> bool:
    # torch's allocator of the CPU has no class of its own for it.
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def _describe(batch: Batch) -> str:
    return f"{batch.num_samples} samples, {batch.num_tokens:,} rows"


def _too_large(batch: Batch, needs: str, config: EngineConfig, world: World) -> str:
    mends, samples = [], batch.num_samples
    if samples > 1:
        mends.append(f"engine.micro_batch={samples // next(n for n in range(2, samples + 1) if samples % n == 0)}")
    if config.recompute_blocks != -1:
        mends.append("engine.recompute_blocks=-1")
    if world.size > 1 and config.zero_stage < 3:
        mends.append(f"engine.zero_stage={config.zero_stage + 1}")
    mend = f"set {' or '.join(mends)}" if mends else "take a smaller model.size or data.image_size, or more memory"
    return f"engine.micro_batch={samples}: the largest micro-batch ({_describe(batch)}) needs {needs} GiB of a rank: {mend}"
