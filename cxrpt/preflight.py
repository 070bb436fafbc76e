"""Everything that can be found wrong before the first step, found there."""

import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cxrpt.check_machine import check_machine
from cxrpt.checkpoint.init_from import check_init
from cxrpt.checkpoint.resume import last_state
from cxrpt.checkpoint.state import RunState, check_resumable
from cxrpt.config import RunConfig
from cxrpt.data.example import ExampleMaker
from cxrpt.data.loading.lengths import Lengths, measure_tokens_per_word
from cxrpt.data.loading.micro_batches import MicroBatches
from cxrpt.data.loading.step import StepShape, shape_step
from cxrpt.data.order.plan import Plan
from cxrpt.data.order.timeline import PlanSource, Segment, describe_data, plan_segments
from cxrpt.data.storage.check_shards import check_shards
from cxrpt.data.storage.open_shards import OpenShards
from cxrpt.data.storage.sources import Source, open_sources
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
    data: dict[str, str]
    """What the configuration says of the data, part by part."""

    def micro_batches(self, first_slot: int, tokens_per_word: tuple[float, ...] | None = None) -> MicroBatches:
        """This rank's micro-batches from a slot on; ranks of a run pass what one of them has measured for all."""
        rates = tokens_per_word or measure_tokens_per_word(self.sources, self.maker)
        return MicroBatches(self.plan, self.sources, self.maker, self.step, first_slot, rates)


def prepare(
    config: RunConfig,
    rank: int,
    world: int,
    node_ranks: int | None = None,
    saved: RunState | None = None,
    accept_data_change: bool = False,
) -> Prepared:
    """Open what a rank needs.

    Args:
        config: of the run.
        rank: of this process.
        world: ranks of the run.
        node_ranks: those of one node; all of them if it is left out.
        saved: the state that the run resumes from.
        accept_data_change: go on with other sources, weights or shards than the saved run had.

    Raises:
        InputError: sources, tokenizer, lanes, batch, ranks or objectives are missing or do not fit together, or do not
            fit the saved run.
    """
    tokenizer = load_tokenizer(config)
    sources = open_sources(config.data)
    # A sample that changes nodes would take its whole shard along where shards are fetched.
    exchange = ((node_ranks or world) if any(source.is_remote for source in sources) else world) if config.data.balance else 1
    step = shape_step(config.train.global_batch, config.data.lanes, config.engine.micro_batch, rank, world, exchange)
    if config.objective.itc_weight > 0 and step.accumulation > 1:
        raise InputError(
            f"engine.micro_batch={step.micro_batch}: the contrast (objective.itc_weight) needs all samples of a step at once: "
            f"set engine.micro_batch=0"
        )
    shape = model_shape(config.model, config.data, config.objective, tokenizer.vocab_size)
    if config.engine.recompute_blocks > shape.depth:
        raise InputError(
            f"engine.recompute_blocks={config.engine.recompute_blocks}: the model has {shape.depth} blocks: -1 takes all"
        )
    maker = ExampleMaker(config.data, config.objective, config.model.patch_size, tokenizer, config.seed)
    of_plan = [source.plan for source in sources]
    data = describe_data(of_plan, config.seed, config.data.mix_slots, config.data.temperature)
    if saved is not None:
        check_resumable(saved, _frozen(config, tokenizer, shape), data, accept_data_change)
    plan = Plan(of_plan, config.data.lanes, _segments(config, of_plan, step, data, saved))
    if plan.end_slot is not None and config.train.steps * step.slots > plan.end_slot:
        raise InputError(
            f"train.steps={config.train.steps}: every source has ended by step {plan.end_slot // step.slots} "
            "(data.sources.*.epochs): name fewer steps or more epochs"
        )
    return Prepared(sources, plan, tokenizer, shape, step, maker, data)


def prepare_lengths(prepared: Prepared) -> Lengths:
    """Estimated rows of all samples, for this process alone; ranks of a run take one rank's word for tokens per word."""
    rates = measure_tokens_per_word(prepared.sources, prepared.maker)
    return Lengths(prepared.sources, prepared.maker, rates, OpenShards(prepared.sources).index)


def _segments(
    config: RunConfig, sources: list[PlanSource], step: StepShape, data: dict[str, str], saved: RunState | None
) -> tuple[Segment, ...]:
    """Those of the saved run; from where it stands on those of the configuration, if that changed."""
    history = () if saved is None else tuple(Segment.from_json(fields) for fields in saved.timeline)
    if saved is not None and saved.data == data:
        return history
    part = config.data
    from_slot = 0 if saved is None else saved.slot
    return plan_segments(sources, config.seed, part.lanes, part.mix_slots, part.temperature, step.slots, from_slot, history)


def load_tokenizer(config: RunConfig) -> Tokenizer:
    """The tokenizer that the configuration names.

    Raises:
        InputError: it names none, or one that cannot be read.
    """
    if not config.data.tokenizer:
        raise InputError("data.tokenizer='': name the file that `cxrpt tokenizer` made")
    return Tokenizer.load(Path(config.data.tokenizer))


def new_state(config: RunConfig, prepared: Prepared) -> RunState:
    """The state of a run that has not begun."""
    return RunState(frozen=_frozen(config, prepared.tokenizer, prepared.shape))


def _frozen(config: RunConfig, tokenizer: Tokenizer, shape: Shape) -> dict[str, Any]:
    """What must not change while a run goes on."""
    return {
        "tokenizer": tokenizer.fingerprint,
        "model": asdict(shape) | {"scales": list(shape.scales)},
        "train.global_batch": config.train.global_batch,
        "data.lanes": config.data.lanes,
        "engine.precision": config.engine.precision,
    }


def check_launch(config: RunConfig, ranks: int, accept_data_change: bool, last_good: bool = False, nodes: int = 0) -> Prepared:
    """What a launcher asks before it starts ranks, so that the answer comes once.

    Args:
        config: of the run.
        ranks: of the run.
        accept_data_change: as of `prepare`.
        last_good: damaged checkpoints are passed over.
        nodes: other machines that the ranks are for, each to be asked by `check_node` then; 0 is this machine.

    Raises:
        InputError: as `prepare`, `check_shards` and `check_resumable`; too few devices; too little memory or too few open
            files; a tracking server that is not there.
    """
    if ranks < 1:
        raise InputError(f"--ranks {ranks}: must be at least 1")
    if config.run_dir.exists() and not config.run_dir.is_dir():
        raise InputError(f"{config.run_dir} is a file, where the run's folder would be: name another run, or remove it")
    saved = last_state(config.run_dir, last_good)
    prepared = prepare(config, 0, ranks, ranks // (nodes or 1), saved, accept_data_change)
    check_shards(prepared.sources, config.data.lanes, nodes or 1)
    if saved is not None and saved.step > config.train.steps:
        raise InputError(
            f"train.steps={config.train.steps}: the run is at step {saved.step} already: name more steps or another run"
        )
    if saved is None and config.train.init_from:
        check_init(config.train.init_from, prepared.shape, prepared.tokenizer)
    if not nodes:
        _check_here(config, prepared, saved, ranks)
    if config.track.uri and config.track.uri != "none":
        # Once a run is under way, a server that is gone costs nothing but delay.
        check_tracking_uri(config.track.uri, must_answer=config.track.require_at_start and saved is None)
    return prepared


def check_node(config: RunConfig, rank: int, ranks: int, node_ranks: int, accept_data_change: bool, last_good: bool) -> None:
    """What one rank of a node asks before the node's ranks train.

    Raises:
        InputError: as `prepare`; too few devices; too little memory or too few open files.
    """
    saved = last_state(config.run_dir, last_good)
    _check_here(config, prepare(config, rank, ranks, node_ranks, saved, accept_data_change), saved, node_ranks)


def _check_here(config: RunConfig, prepared: Prepared, saved: RunState | None, ranks: int) -> None:
    if config.engine.compile and not shutil.which(os.environ.get("CXX", "g++")):
        raise InputError(
            "engine.compile=True: there is no C++ compiler here (g++, or what CXX names): install one or set it false"
        )
    choose_device(config.engine.device, ranks - 1)
    check_machine(prepared.micro_batches(saved.slot if saved else 0), config.data, ranks)
