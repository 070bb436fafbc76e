"""The training loop of one rank."""

import logging
import time
from contextlib import ExitStack, closing
from itertools import islice
from pathlib import Path

import torch

from cxrpt.bad_data import BadData, replaced_line, stop_line, too_many, worth_a_line
from cxrpt.checkpoint.export import export_model
from cxrpt.checkpoint.lease import take_lease
from cxrpt.checkpoint.resume import check_init, choose_checkpoint, init_model
from cxrpt.checkpoint.saver import Saver
from cxrpt.checkpoint.shards import ShardReader
from cxrpt.checkpoint.state import RUN_STATE, RunState, data_changes
from cxrpt.checkpoint.store import remove_uncommitted, withdraw_old
from cxrpt.config import RunConfig
from cxrpt.data.batch import Batch
from cxrpt.data.loading.lengths import measure_tokens_per_word
from cxrpt.data.loading.micro_batches import micro_batches
from cxrpt.data.loading.step import StepShape
from cxrpt.data.loading.to_device import on_device
from cxrpt.data.storage.step_samples import samples_of_step
from cxrpt.dist.collectives import from_first_rank, gather_objects, gather_rows_of_ranks, sum_over_ranks
from cxrpt.dist.engine import DTYPES, Engine
from cxrpt.dist.world import World, fit_timeouts, join_world, leave_world
from cxrpt.dry_run import dry_run, largest_micro_batch
from cxrpt.errors import InputError
from cxrpt.machine import raise_open_files
from cxrpt.model.flops import training_flops
from cxrpt.model.pretrain import PretrainModel
from cxrpt.optim import learning_rate
from cxrpt.preempt import StopFlag
from cxrpt.preflight import Prepared, new_state, prepare
from cxrpt.track.journal import Journal
from cxrpt.track.losses import LossWindow, step_loss
from cxrpt.track.metrics import SpeedMeter, matmul_flops
from cxrpt.track.progress import ProgressLine
from cxrpt.track.spans import Spans
from cxrpt.track.spikes import SpikeWatch, spike_line, write_spikes
from cxrpt.track.trace import Trace
from cxrpt.watchdog import watch

DONE, RESUME_LATER = 0, 75
"""Exit codes: the run is done; it stopped after a save and is to be started again."""

log = logging.getLogger(__name__)


def train(config: RunConfig, stop: StopFlag, accept_data_change: bool = False, last_good: bool = False) -> int:
    """Train from the last committed checkpoint, or from the start, to the last step or a stop signal.

    Returns:
        DONE or RESUME_LATER.

    Raises:
        InputError: the configuration does not fit the data or the run; another trainer works on the run; the last checkpoint
            is damaged; too many samples are bad, which is told after a save.
        SaveError: checkpoints could not be written.
        RuntimeError: the loss was not finite for too long; a loader worker was killed.
    """
    raise_open_files()
    world = join_world(config.engine.device, config.engine.hang_timeout_s)
    spans = Spans(world.device)
    try:
        with watch(config.run_dir, world.rank, world.size, config.engine.hang_timeout_s, spans), ExitStack() as open_parts:
            lease = take_lease(config.run_dir) if world.is_first else None
            if world.is_first:
                remove_uncommitted(config.run_dir)
            checkpoint = choose_checkpoint(config.run_dir, world.rank, world.size, last_good)
            saved = RunState.read(checkpoint) if checkpoint else None
            prepared = prepare(config, world.rank, world.size, world.local_size, saved, accept_data_change)
            if len(set(gather_objects(prepared.plan.fingerprint()))) > 1:
                raise InputError(
                    "ranks read different manifests: wait until the shards are whole on all nodes, and start again"
                )
            code = _train(config, prepared, world, stop, saved, checkpoint, open_parts, spans)
        del lease
        return code
    finally:
        leave_world()


def _train(
    config: RunConfig,
    prepared: Prepared,
    world: World,
    stop: StopFlag,
    saved: RunState | None,
    checkpoint: Path | None,
    open_parts: ExitStack,
    spans: Spans,
) -> int:
    # Model
    torch.manual_seed(config.seed)
    model = PretrainModel(prepared.shape, len(prepared.sources), gather_rows_of_ranks)
    if checkpoint is None and config.train.init_from:
        fresh = init_model(model, check_init(config.train.init_from, prepared.shape, prepared.tokenizer))
        log.info("weights from %s; new: %s", config.train.init_from, ", ".join(fresh) or "none")
    model.transformer.recompute(config.engine.recompute_blocks)
    if config.engine.compile:
        model.transformer.compile_blocks()
    engine = Engine(model, config.engine, config.optim, prepared.step.micro_batch, prepared.step.accumulation, world)
    fit_timeouts(config.engine.hang_timeout_s)
    spikes = SpikeWatch(prepared.shape.scales, config.train.spike_threshold)
    window = LossWindow(prepared.shape.scales, [source.name for source in prepared.sources], world.device)

    # Resume
    state = saved or new_state(config, prepared)
    if changes := data_changes(state.data, prepared.data) if saved else []:
        log.info("from step %d on, by request: %s", state.step, "; ".join(changes))
    state.data, state.timeline = prepared.data, [segment.to_json() for segment in prepared.plan.segments]
    if checkpoint is not None:
        engine.load(ShardReader(checkpoint), state.engine)
        window.load(state.window_of(world.rank, world.size))
    spikes.load(state.spikes)
    journal = open_parts.enter_context(closing(Journal(config.run_dir / "journal.jsonl"))) if world.is_first else None
    if state.step:
        log.info("resuming after step %d", state.step)
    weights = loss_weights(config)
    if config.train.dry_run and state.step < config.train.steps:
        largest = largest_micro_batch(prepared.sources, prepared.maker, prepared.step.micro_batch)
        dry_run(engine, largest.to(world.device), weights, config.engine, world)

    # Data
    rates = from_first_rank(measure_tokens_per_word(prepared.sources, prepared.maker) if world.is_first else None)
    dataset, pin = prepared.micro_batches(state.slot, rates), world.device.type == "cuda"
    from_workers = open_parts.enter_context(closing(micro_batches(dataset, config.data.workers, config.data.prefetch, pin)))
    stream = open_parts.enter_context(closing(on_device(from_workers, world.device)))
    bad_data = BadData([source.name for source in prepared.sources])
    peak = matmul_flops(world.device, DTYPES[config.engine.precision])
    speed, progress = SpeedMeter(world.device, peak), ProgressLine(config.train.steps)
    saver = open_parts.enter_context(closing(_saver(config, prepared, world, progress)))
    trace = Trace(config.train, config.run_dir, world.rank, world.device, spans)
    open_parts.callback(trace.end)
    began, first_step, problem = time.monotonic(), state.step, None

    spans.begin(state.step + 1)
    while state.step < config.train.steps:
        trace.before_step(state.step + 1)
        # One step's micro-batches, and what the ranks must know of each other's
        wait_from = time.perf_counter()
        with spans("data"):
            batches = list(islice(stream, prepared.step.accumulation))
        waited = time.perf_counter() - wait_from
        bad_data.see(batches)
        with spans("agree"):
            totals = _agree(batches, stop.raised, saver.flags(), list(weights), prepared.step, world)
            saver.advance(int(totals["sealed"]), int(totals["save failed"]), world.size)
        if totals["stop"]:
            with spans("save"):
                _save(saver, engine, state, window, spikes)
                saver.finish(state.step)
            return RESUME_LATER

        # Forward, backward, update
        lr = learning_rate(state.step + 1, config.train.steps, config.optim)
        skipped = False
        for batch in batches:
            with spans("forward"):
                losses = engine.forward(batch)
            with spans("backward"):
                engine.backward(step_loss(losses, totals, weights))
            with spans("optimizer"):
                skipped = engine.step(lr)
            window.add(losses)
            spikes.add(losses)
        state.step += 1
        spikes.end_step(state.step, state.slot, totals)
        state.slot += prepared.step.slots
        _count(config, prepared, state, totals, skipped)
        problem = _tell_bad(config, prepared, world, state, totals, bad_data, progress)
        flops = sum(training_flops(batch, prepared.shape) for batch in batches)
        speed.add(sum(b.num_samples for b in batches), sum(b.num_tokens for b in batches), flops, waited, totals["imbalance"])

        # Log, save
        last = state.step == config.train.steps or problem is not None
        if state.step % config.train.log_every == 0 or state.step == 1 or last:
            with spans("log"):
                metrics = (
                    window.means()
                    | speed.rates()
                    | spans.rates()
                    | _bookkeeping(prepared, state, saver, lr, engine.grad_norm())
                )
                metrics |= _tell_spikes(config, prepared, world, spikes, journal, progress)
                if journal is not None:
                    journal.write(state.step, metrics)
                    left = (time.monotonic() - began) / (state.step - first_step) * (config.train.steps - state.step)
                    progress.show(state.step, metrics, left)
        if state.step % config.train.checkpoint_every == 0 or last:
            with spans("save"):
                _save(saver, engine, state, window, spikes)
        spans.end_step()
        if problem is not None:
            break
    with spans("save"):
        saver.finish(state.step)
    if problem is not None:
        raise InputError(problem)
    return DONE


def loss_weights(config: RunConfig) -> dict[str, float]:
    """The weight of each objective; those of MVM's scales sum to its own."""
    objective = config.objective
    whole = sum(objective.mvm_scale_weights)
    scales = zip(objective.mvm_scales, objective.mvm_scale_weights, strict=True)
    mvm = {f"mvm{scale}": objective.mvm_weight * weight / whole for scale, weight in scales}
    return {"mlm": objective.mlm_weight} | mvm | {"itc": objective.itc_weight}


def _agree(
    batches: list[Batch], stop: bool, save: tuple[bool, bool], objectives: list[str], shape: StepShape, world: World
) -> dict[str, float]:
    """Counts of the whole step over all ranks, how far its fullest rank is above the mean of tokens, whether any rank was told
    to stop, and what has become of the save under way, in one reduction.

    Raises:
        RuntimeError: ranks took samples by different lengths.
    """
    mine = {name: float(sum(batch.counts().get(name, 0) for batch in batches)) for name in objectives}
    mine |= {"stop": float(stop), "sealed": float(save[0]), "save failed": float(save[1])}
    for source in range(len(batches[0].num_by_source)):
        mine[f"samples {source}"] = float(sum(batch.num_by_source[source] for batch in batches))
        mine[f"bad {source}"] = float(sum(batch.num_bad_by_source[source] for batch in batches))
    of_ranks = torch.zeros(2, world.size, dtype=torch.float64)
    of_ranks[0, world.rank] = sum(batch.num_tokens for batch in batches)
    of_ranks[1, world.rank] = batches[0].exchange
    # On the CPU, also where a GPU computes: what hosts agree on does not wait for it.
    values = torch.cat([torch.tensor(list(mine.values()), dtype=torch.float64), of_ranks.flatten()])
    sums = sum_over_ranks(values).numpy()
    tokens, exchanges = sums[len(mine) :].reshape(2, world.size)
    if not (exchanges.reshape(-1, shape.group) == exchanges[:: shape.group, None]).all():
        raise RuntimeError(
            "ranks disagree on who takes which sample, as their nodes have different shard indexes: run `cxrpt verify` on "
            "the sources of each, or set data.balance=false"
        )
    imbalance = float(tokens.max() / tokens.mean()) - 1
    return dict(zip(mine, sums[: len(mine)].tolist(), strict=True)) | {"imbalance": imbalance}


def _count(config: RunConfig, prepared: Prepared, state: RunState, totals: dict[str, float], skipped: bool) -> None:
    """Take the step into the books; raise RuntimeError above the limit of skipped steps."""
    for number, source in enumerate(prepared.sources):
        for books, what in ((state.samples_by_source, "samples"), (state.bad_by_source, "bad")):
            books[source.name] = books.get(source.name, 0) + int(totals[f"{what} {number}"])
    state.skipped_in_row = state.skipped_in_row + 1 if skipped else 0
    state.skipped_total += skipped
    if state.skipped_in_row > config.engine.max_skipped_steps:
        raise RuntimeError(
            f"step {state.step}: loss or gradient not finite for {state.skipped_in_row} steps in a row; "
            "the last checkpoint is good: lower optim.lr or use engine.precision=fp32"
        )


def _tell_bad(
    config: RunConfig,
    prepared: Prepared,
    world: World,
    state: RunState,
    totals: dict[str, float],
    bad_data: BadData,
    progress: ProgressLine,
) -> str | None:
    """Let rank 0 say now and then what was bad; what there is to say, on every rank, if it is too much to go on."""
    for number, source in enumerate(prepared.sources):
        new = int(totals[f"bad {number}"])
        bad, seen = state.bad_by_source[source.name], state.samples_by_source[source.name]
        stop = new > 0 and too_many(bad, seen, config.data.max_bad_fraction)
        if not stop and not worth_a_line(bad - new, bad):
            continue
        told = gather_objects(bad_data)
        about = (told, number, source.name, source.where, bad, seen)
        if stop:
            return stop_line(*about, config.data.max_bad_fraction, state.step)
        if world.is_first:
            progress.say(replaced_line(*about))
    return None


def _tell_spikes(
    config: RunConfig, prepared: Prepared, world: World, spikes: SpikeWatch, journal: Journal | None, progress: ProgressLine
) -> dict[str, float]:
    """Write the new loss spikes down, on rank 0, and say so now and then."""
    before = spikes.total
    found = spikes.look()
    if found and journal is not None:
        write_spikes(
            config.run_dir, journal.attempt, found,
            lambda slot: samples_of_step(prepared.plan, prepared.sources, prepared.step.slots, slot),
        )  # fmt: skip
        if worth_a_line(before, spikes.total):
            progress.say(spike_line(found[-1], config.run_dir))
    return {"train/loss_spikes": float(spikes.total)}


def _bookkeeping(prepared: Prepared, state: RunState, saver: Saver, lr: float, grad_norm: float) -> dict[str, float]:
    metrics = {"optim/lr": lr, "optim/grad_norm": grad_norm, "optim/skipped_steps": float(state.skipped_total)}
    metrics |= {"save/stall_s": saver.stall_s, "save/failed": float(saver.failed_total)}
    epochs = prepared.plan.epochs(state.slot)
    for source in prepared.sources:
        metrics[f"data/epochs/{source.name}"] = epochs.get(source.name, 0.0)
        metrics[f"data/bad_samples/{source.name}"] = float(state.bad_by_source.get(source.name, 0))
    return metrics


def _saver(config: RunConfig, prepared: Prepared, world: World, progress: ProgressLine) -> Saver:
    dtype = DTYPES[config.engine.precision]

    def add_weights(folder: Path) -> None:
        weights, step = ShardReader(folder).weights(dtype), RunState.read(folder).step
        export_model(folder, weights, prepared.shape, prepared.tokenizer, config.data, step)

    def withdraw() -> None:
        withdraw_old(config.run_dir, config.train.keep_last, config.train.keep_every)

    return Saver(config.run_dir, world.rank, config.train.max_failed_saves, add_weights, withdraw, progress.say)


def _save(saver: Saver, engine: Engine, state: RunState, window: LossWindow, spikes: SpikeWatch) -> None:
    """Begin to save the state after `state.step`."""
    if state.step:
        state.windows, state.spikes, state.engine = gather_objects(window.state()), spikes.state(), engine.scalars()
        saver.save(state.step, engine.pieces_to_save(), {RUN_STATE: state.to_json()})
