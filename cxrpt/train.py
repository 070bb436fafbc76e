"""The training loop of one rank."""

import logging
from contextlib import ExitStack, closing
from itertools import islice
from pathlib import Path

import torch

from cxrpt.agreement import agree
from cxrpt.attempts import recorded
from cxrpt.books import Books
from cxrpt.checkpoint.export import export_model
from cxrpt.checkpoint.init_from import check_init, init_model
from cxrpt.checkpoint.lease import Lease, hold_lease
from cxrpt.checkpoint.resume import choose_checkpoint
from cxrpt.checkpoint.saver import Saver
from cxrpt.checkpoint.shards import ShardReader
from cxrpt.checkpoint.state import RUN_STATE, RunState, data_changes
from cxrpt.checkpoint.store import remove_uncommitted, withdraw_old
from cxrpt.config import RunConfig
from cxrpt.data.loading.lengths import measure_tokens_per_word
from cxrpt.data.loading.micro_batches import micro_batches
from cxrpt.data.loading.to_device import on_device
from cxrpt.dist.collectives import from_first_rank, gather_objects, gather_rows_of_ranks
from cxrpt.dist.engine import DTYPES, Engine
from cxrpt.dist.world import World, fit_timeouts, join_world, leave_world, use_deterministic_kernels
from cxrpt.dry_run import dry_run, largest_micro_batch
from cxrpt.errors import InputError
from cxrpt.machine import raise_open_files
from cxrpt.model.pretrain import PretrainModel
from cxrpt.optim import learning_rate
from cxrpt.preempt import StopFlag
from cxrpt.preflight import Prepared, new_state, prepare
from cxrpt.run_paths import JOURNAL
from cxrpt.track.journal import Journal
from cxrpt.track.losses import LossWindow, step_loss
from cxrpt.track.metrics import SpeedMeter, matmul_flops
from cxrpt.track.progress import ProgressLine
from cxrpt.track.spans import Spans
from cxrpt.track.spikes import SpikeWatch
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
        DivergedError: the gradient was not finite for too long.
        RuntimeError: a loader worker was killed.
    """
    raise_open_files()
    if config.engine.deterministic:
        use_deterministic_kernels()
    world = join_world(config.engine.device, config.engine.hang_timeout_s, config.run_dir / "meeting")
    spans = Spans(world.device)
    try:
        with watch(config.run_dir, world.rank, world.size, config.engine.hang_timeout_s, spans), ExitStack() as open_parts:
            lease = open_parts.enter_context(hold_lease(config.run_dir)) if world.is_first else None
            if world.is_first:
                remove_uncommitted(config.run_dir)
            checkpoint = choose_checkpoint(config.run_dir, world.rank, world.size, last_good)
            saved = RunState.read(checkpoint) if checkpoint else None
            step = saved.step if saved else 0
            record = open_parts.enter_context(recorded(config.run_dir, world.job, world.size, step)) if world.is_first else None
            prepared = prepare(config, world.rank, world.size, world.local_size, saved, accept_data_change)
            if len(set(gather_objects(prepared.plan.fingerprint()))) > 1:
                raise InputError(
                    "ranks read different manifests: wait until the shards are whole on all nodes, and start again"
                )
            code = _train(config, prepared, world, stop, saved, checkpoint, lease, open_parts, spans)
            if record is not None:
                record.code = code
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
    lease: Lease | None,
    open_parts: ExitStack,
    spans: Spans,
) -> int:
    # Model
    torch.manual_seed(config.seed)
    model = PretrainModel(prepared.shape, len(prepared.sources), gather_rows_of_ranks)
    if checkpoint is None and config.train.init_from:
        # Rank 0's choice: the other run may commit a step meanwhile.
        given = from_first_rank(check_init(config.train.init_from, prepared.shape, prepared.tokenizer))
        fresh = init_model(model, given)
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
    journal = open_parts.enter_context(closing(Journal(config.run_dir / JOURNAL))) if world.is_first else None
    weights = loss_weights(config)
    if config.train.dry_run and state.step < config.train.steps:
        largest = largest_micro_batch(prepared.sources, prepared.maker, prepared.step.micro_batch)
        dry_run(engine, largest.to(world.device), weights, config.engine, world)

    # Data
    rates = from_first_rank(measure_tokens_per_word(prepared.sources, prepared.maker) if world.is_first else None)
    dataset, pin = prepared.micro_batches(state.slot, rates), world.device.type == "cuda"
    from_workers = open_parts.enter_context(closing(micro_batches(dataset, config.data.workers, config.data.prefetch, pin)))
    stream = open_parts.enter_context(closing(on_device(from_workers, world.device)))

    # What watches and tells
    speed = SpeedMeter(world.device, matmul_flops(world.device, DTYPES[config.engine.precision]))
    progress = ProgressLine(config.train.steps, state.step)
    if world.is_first and (begins := _begins(config, state, journal)):
        progress.say(begins)
    books = Books(config, prepared, state, progress)
    saver = open_parts.enter_context(closing(_saver(config, prepared, world, lease, progress)))
    saver.reserve(engine.pieces_to_save())
    trace = Trace(config.train, config.run_dir, world.rank, world.device, spans)
    open_parts.callback(trace.end)

    due = False
    spans.begin(state.step + 1)
    while state.step < config.train.steps:
        trace.before_step(state.step + 1)

        # One step's micro-batches, and what the ranks must know of each other's
        with spans("data"):
            batches = list(islice(stream, prepared.step.accumulation))
        books.bad_data.see(batches)
        with spans("agree"):
            totals = agree(batches, list(weights), prepared.step, world, stop.raised, saver.flags())
            saver.advance(*totals.saved, world.size)
        if totals.stop:
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
                engine.backward(step_loss(losses, totals.counts, weights))
            with spans("optimizer"):
                skipped = engine.step(lr)
            if not skipped:
                model.end_step()
            window.add(losses)
            spikes.add(losses)

        # Count
        spikes.end_step(state.step + 1, state.slot, totals.counts)
        books.end_step(totals, skipped)
        speed.add(batches, prepared.shape, totals.imbalance)
        problem = books.tell_bad(totals, world.is_first)

        # Log, save
        last = state.step == config.train.steps or problem is not None
        if state.step % config.train.log_every == 0 or state.step == 1 or last:
            with spans("log"):
                metrics = window.means() | speed.rates() | spans.rates() | books.metrics() | saver.metrics()
                metrics |= books.tell_spikes(spikes, journal) | {"optim/lr": lr, "optim/grad_norm": engine.grad_norm()}
                if journal is not None:
                    journal.write(state.step, metrics)
                    progress.show(state.step, metrics)
        # A run that diverges must not put its states in the place of those from before.
        due = due or state.step % config.train.checkpoint_every == 0
        if last or (due and not skipped):
            due = False
            with spans("save"):
                _save(saver, engine, state, window, spikes)
        spans.end_step()
        if problem is not None:
            with spans("save"):
                saver.finish(state.step)
            raise InputError(problem)
    with spans("save"):
        saver.finish(state.step)
    return DONE


def loss_weights(config: RunConfig) -> dict[str, float]:
    """The weight of each objective; those of MVM's scales sum to its own."""
    objective = config.objective
    whole = sum(objective.mvm_scale_weights)
    scales = zip(objective.mvm_scales, objective.mvm_scale_weights, strict=True)
    mvm = {f"mvm{scale}": objective.mvm_weight * weight / whole for scale, weight in scales}
    return {"mlm": objective.mlm_weight} | mvm | {"itc": objective.itc_weight}


def _begins(config: RunConfig, state: RunState, journal: Journal | None) -> str | None:
    """From where a run that was started before goes on."""
    if state.step:
        return f"{config.run_dir} goes on after step {state.step}"
    if journal is not None and journal.attempt > 1:
        return f"{config.run_dir} was started before, but holds no checkpoint: it begins at step 1 again"
    return None


def _saver(config: RunConfig, prepared: Prepared, world: World, lease: Lease | None, progress: ProgressLine) -> Saver:
    dtype = DTYPES[config.engine.precision]

    def add_weights(folder: Path) -> None:
        weights, step = ShardReader(folder).weights(dtype), RunState.read(folder).step
        export_model(folder, weights, prepared.shape, prepared.tokenizer, config.data, step)
        if lease is not None:
            lease.check()

    def withdraw() -> None:
        withdraw_old(config.run_dir, config.train.keep_last, config.train.keep_every)

    return Saver(config.run_dir, world.rank, config.train.max_failed_saves, add_weights, withdraw, progress.say)


def _save(saver: Saver, engine: Engine, state: RunState, window: LossWindow, spikes: SpikeWatch) -> None:
    """Begin to save the state after `state.step`."""
    if state.step:
        state.windows, state.spikes, state.engine = gather_objects(window.state()), spikes.state(), engine.scalars()
        saver.save(state.step, engine.pieces_to_save(), {RUN_STATE: state.to_json()})
