"""Everything that can be found wrong before the first step, found there."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cxrpt.checkpoint.state import RunState, check_resumable
from cxrpt.checkpoint.store import committed_steps, step_folder
from cxrpt.config import RunConfig
from cxrpt.data.check_shards import check_shards
from cxrpt.data.example import ExampleMaker
from cxrpt.data.loader import MicroBatches
from cxrpt.data.plan import Plan
from cxrpt.data.sources import Source, open_sources
from cxrpt.data.step import StepShape, shape_step
from cxrpt.data.text import Tokenizer
from cxrpt.dist.world import choose_device
from cxrpt.errors import InputError
from cxrpt.model.pretrain import Shape, model_shape
from cxrpt.track.address import check_tracking_uri


@dataclass(frozen=True)
class Prepared:
    """A configuration resolved against what is on disk, for one rank."""

    sources: list[Source]
    plan: Plan
    tokenizer: Tokenizer
    shape: Shape
    step: StepShape
    maker: ExampleMaker

    def micro_batches(self, first_slot: int) -> MicroBatches:
        """This rank's micro-batches from a slot on."""
        return MicroBatches(self.plan, self.sources, self.maker, self.step, first_slot)


def prepare(config: RunConfig, rank: int, world: int) -> Prepared:
    """Open what a rank needs.

    Raises:
        InputError: sources, tokenizer, lanes, batch, ranks or objectives are missing or do not fit together.
    """
    tokenizer = load_tokenizer(config)
    sources = open_sources(config.data)
    plan = Plan(config.seed, [source.plan for source in sources], config.data.lanes, config.data.mix_slots)
    step = shape_step(config.train.global_batch, config.data.lanes, config.engine.micro_batch, rank, world)
    if config.objective.itc_weight > 0 and step.accumulation > 1:
        raise InputError(
            f"engine.micro_batch={step.micro_batch}: the contrast (objective.itc_weight) needs all samples of a step at once: "
            f"set engine.micro_batch=0"
        )
    shape = model_shape(config.model, config.data, config.objective, tokenizer.vocab_size)
    maker = ExampleMaker(config.data, config.objective, config.model.patch_size, tokenizer, config.seed)
    return Prepared(sources, plan, tokenizer, shape, step, maker)


def load_tokenizer(config: RunConfig) -> Tokenizer:
    """The tokenizer that the configuration names."""
    if not config.data.tokenizer:
        raise InputError("data.tokenizer='': name the file that `cxrpt tokenizer` made")
    return Tokenizer.load(Path(config.data.tokenizer))


def frozen(config: RunConfig, prepared: Prepared, ranks: int) -> dict[str, Any]:
    """What must not change while a run goes on."""
    return {
        "tokenizer": prepared.tokenizer.fingerprint,
        "model": asdict(prepared.shape) | {"scales": list(prepared.shape.scales)},
        "global_batch": config.train.global_batch,
        "precision": config.engine.precision,
        "zero_stage": config.engine.zero_stage,
        "ranks": ranks,
    }


def check_launch(config: RunConfig, ranks: int, accept_data_change: bool) -> Prepared:
    """What the launcher asks before it starts local ranks, so that the answer comes once.

    Raises:
        InputError: as `prepare`, `check_shards` and `check_resumable`; too few devices; a tracking server that is not there.
    """
    if ranks < 1:
        raise InputError(f"--ranks {ranks}: must be at least 1")
    prepared = prepare(config, 0, ranks)
    check_shards(prepared.sources, config.data.lanes)
    choose_device(config.engine.device, ranks - 1)
    steps = committed_steps(config.run_dir)
    if steps and steps[-1] > config.train.steps:
        raise InputError(
            f"train.steps={config.train.steps}: the run is at step {steps[-1]} already: name more steps or another run"
        )
    if steps:
        saved = RunState.read(step_folder(config.run_dir, steps[-1]))
        check_resumable(saved, frozen(config, prepared, ranks), prepared.plan.parts(), accept_data_change)
    if config.track.uri and config.track.uri != "none":
        # Once a run is under way, a server that is gone costs nothing but delay.
        check_tracking_uri(config.track.uri, must_answer=config.track.require_at_start and not steps)
    return prepared
