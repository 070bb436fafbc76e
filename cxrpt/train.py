"""The training loop of one rank."""

import logging
import time
from contextlib import ExitStack, closing
from itertools import islice

import torch

from cxrpt.bad_data import BadData, replaced_line, stop_line, too_many, worth_a_line
from cxrpt.checkpoint.export import export_model
from cxrpt.checkpoint.lease import take_lease
from cxrpt.checkpoint.state import RunState, data_changes
from cxrpt.checkpoint.store import (
    begin_save,
    check_files,
    commit,
    committed_steps,
    remove_uncommitted,
    seal_files,
    step_folder,
    withdraw_old,
)
from cxrpt.config import RunConfig
from cxrpt.data.batch import Batch
from cxrpt.data.loading.lengths import measure_tokens_per_word
from cxrpt.data.loading.micro_batches import micro_batches
from cxrpt.data.loading.step import StepShape
from cxrpt.data.loading.to_device import on_device
from cxrpt.data.storage.step_samples import samples_of_step
from cxrpt.dist.collectives import from_first_rank, gather_objects, gather_rows_of_ranks, sum_over_ranks, wait_for_all
from cxrpt.dist.engine import Engine
from cxrpt.dist.world import World, fit_timeouts, join_world, leave_world
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


def train(config: RunConfig, stop: StopFlag, accept_data_change: bool = False) -> int:
    """Train from the last committed checkpoint, or from the start, to the last step or a stop signal.

    Returns:
        DONE or RESUME_LATER.

    Raises:
        InputError: the configuration does not fit the data or the run; another trainer works on the run; too many samples
            are bad, which is told after a save.
        RuntimeError: the loss was not finite for too long; a loader worker was killed.
    """
    raise_open_files()
    world = join_world(config.engine.device, config.engine.hang_timeout_s)
    spans = Spans(world.device)
    try:
        with watch(config.run_dir, world.rank, world.size, config.engine.hang_timeout_s, spans), ExitStack() as loader:
            lease = take_lease(config.run_dir) if world.is_first else None
            saved = _last_saved(config, world)
            prepared = prepare(config, world.rank, world.size, world.local_size, saved, accept_data_change)
            if len(set(gather_objects(prepared.plan.fingerprint()))) > 1:
                raise InputError(
                    "ranks read different manifests: wait until the shards are whole on all nodes, and start again"
                )
            code = _train(config, prepared, world, stop, saved, loader, spans)
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
    loader: ExitStack,
    spans: Spans,
) -> int:
    # Model
    torch.manual_seed(config.seed)
    model = PretrainModel(prepared.shape, len(prepared.sources), gather_rows_of_ranks)
    engine = Engine(model, config.engine, config.optim, prepared.step.micro_batch, prepared.step.accumulation, world)
    fit_timeouts(config.engine.hang_timeout_s)
    spikes = SpikeWatch(prepared.shape.scales, config.train.spike_threshold)
    window = LossWindow(prepared.shape.scales, [source.name for source in prepared.sources], world.device)

    # Resume
    state = _resume(config, prepared, world, engine, window, saved)
    spikes.load(state.spikes)
    journal = Journal(config.run_dir / "journal.jsonl") if world.is_first else None
    if state.step:
        log.info("resuming after step %d", state.step)

    # Data
    rates = from_first_rank(measure_tokens_per_word(prepared.sources, prepared.maker) if world.is_first else None)
    dataset, pin = prepared.micro_batches(state.slot, rates), world.device.type == "cuda"
    from_workers = loader.enter_context(closing(micro_batches(dataset, config.data.workers, config.data.prefetch, pin)))
    stream = loader.enter_context(closing(on_device(from_workers, world.device)))
    bad_data = BadData([source.name for source in prepared.sources])
    peak = matmul_flops(world.device, torch.bfloat16 if config.engine.precision == "bf16" else torch.float32)
    speed, progress = SpeedMeter(world.device, peak), ProgressLine(config.train.steps)
    trace = Trace(config.train, config.run_dir, world.rank, world.device, spans)
    loader.callback(trace.end)
    weights = loss_weights(config)
    began, first_step = time.monotonic(), state.step

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
            totals = _agree(batches, stop.raised, list(weights), prepared.step, world)
        if totals["stop"]:
            with spans("save"):
                _save(config, prepared, world, engine, state, window, spikes)
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
                metrics = window.means() | speed.rates() | spans.rates() | _bookkeeping(prepared, state, lr, engine.grad_norm())
                metrics |= _tell_spikes(config, prepared, world, spikes, journal, progress)
                if journal is not None:
                    journal.write(state.step, metrics)
                    left = (time.monotonic() - began) / (state.step - first_step) * (config.train.steps - state.step)
                    progress.show(state.step, metrics, left)
        if state.step % config.train.checkpoint_every == 0 or last:
            with spans("save"):
                _save(config, prepared, world, engine, state, window, spikes)
        spans.end_step()
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


def _agree(batches: list[Batch], stop: bool, objectives: list[str], shape: StepShape, world: World) -> dict[str, float]:
    """Counts of the whole step over all ranks, how far its fullest rank is above the mean of tokens, and whether any rank
    was told to stop, in one reduction.

    Raises:
        RuntimeError: ranks took samples by different lengths.
    """
    mine = {name: float(sum(batch.counts().get(name, 0) for batch in batches)) for name in objectives}
    mine["stop"] = float(stop)
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


def _bookkeeping(prepared: Prepared, state: RunState, lr: float, grad_norm: float) -> dict[str, float]:
    metrics = {"optim/lr": lr, "optim/grad_norm": grad_norm, "optim/skipped_steps": float(state.skipped_total)}
    epochs = prepared.plan.epochs(state.slot)
    for source in prepared.sources:
        metrics[f"data/epochs/{source.name}"] = epochs.get(source.name, 0.0)
        metrics[f"data/bad_samples/{source.name}"] = float(state.bad_by_source.get(source.name, 0))
    return metrics


def _last_saved(config: RunConfig, world: World) -> RunState | None:
    """The state of the last committed step, on every rank; None if there is none."""
    if world.is_first:
        remove_uncommitted(config.run_dir)
    steps = from_first_rank(committed_steps(config.run_dir) if world.is_first else None)
    return RunState.read(step_folder(config.run_dir, steps[-1])) if steps else None


def _resume(
    config: RunConfig, prepared: Prepared, world: World, engine: Engine, window: LossWindow, saved: RunState | None
) -> RunState:
    """The state to go on from, with engine and window set to it."""
    state = saved or new_state(config, prepared, world.size)
    changes = data_changes(state.data, prepared.data)
    state.data, state.timeline = prepared.data, [segment.to_json() for segment in prepared.plan.segments]
    if saved is None:
        return state
    if changes:
        log.info("from step %d on, by request: %s", state.step, "; ".join(changes))
    folder = step_folder(config.run_dir, state.step)
    # Rank 0 reads everything once; a bad file must stop all ranks, with one message.
    problem = None
    if world.is_first:
        try:
            check_files(folder)
        except InputError as error:
            problem = str(error)
    if problem := from_first_rank(problem):
        raise InputError(problem)
    engine.load(folder)
    window.load(saved.windows[world.rank])
    return state


def _save(
    config: RunConfig,
    prepared: Prepared,
    world: World,
    engine: Engine,
    state: RunState,
    window: LossWindow,
    spikes: SpikeWatch,
) -> None:
    """Save and commit the state after `state.step`, unless that is already there."""
    if from_first_rank(state.step in committed_steps(config.run_dir) or state.step == 0):
        return
    if world.is_first:
        begin_save(config.run_dir, state.step)
    wait_for_all()
    folder = step_folder(config.run_dir, state.step)
    state.windows, state.spikes = gather_objects(window.state()), spikes.state()
    engine.save(folder)
    if world.is_first:
        state.write(folder)
        export_model(folder, engine.weights(), prepared.shape, prepared.tokenizer, config.data, state.step)
    wait_for_all()
    entries = [entry for part in gather_objects(seal_files(folder, world.rank, world.size)) for entry in part]
    if world.is_first:
        commit(folder, entries)
        withdraw_old(config.run_dir, config.train.keep_last, config.train.keep_every)
    wait_for_all()
