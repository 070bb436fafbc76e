"""What a run has drawn, lost and skipped: counted every step, told now and then."""

from cxrpt.agreement import StepTotals
from cxrpt.bad_data import BadData, replaced_line, stop_line, too_many, worth_a_line
from cxrpt.checkpoint.state import RunState
from cxrpt.checkpoint.store import committed_steps
from cxrpt.config import RunConfig
from cxrpt.data.storage.step_samples import samples_of_step
from cxrpt.dist.collectives import gather_objects
from cxrpt.preflight import Prepared
from cxrpt.track.journal import Journal
from cxrpt.track.progress import ProgressLine
from cxrpt.track.spikes import SpikeWatch, spike_line, write_spikes


class DivergedError(RuntimeError):
    """A run whose loss or gradient has not been finite for too long."""


class Books:
    """Keeps a run's state up to date; every rank calls every method."""

    def __init__(self, config: RunConfig, prepared: Prepared, state: RunState, progress: ProgressLine):
        """`state` is what checkpoints keep; it is changed here."""
        self._config, self._prepared, self._state, self._progress = config, prepared, state, progress
        self.bad_data = BadData([source.name for source in prepared.sources])

    def end_step(self, totals: StepTotals, skipped: bool) -> None:
        """One step more.

        Raises:
            DivergedError: too many steps in a row were skipped.
        """
        state, sources = self._state, self._prepared.sources
        state.step += 1
        state.slot += self._prepared.step.slots
        for source, samples, bad in zip(sources, totals.samples, totals.bad, strict=True):
            state.samples_by_source[source.name] = state.samples_by_source.get(source.name, 0) + samples
            state.bad_by_source[source.name] = state.bad_by_source.get(source.name, 0) + bad
        state.skipped_in_row = state.skipped_in_row + 1 if skipped else 0
        state.skipped_total += skipped
        if state.skipped_in_row > self._config.engine.max_skipped_steps:
            raise DivergedError(self._diverged())

    def tell_bad(self, totals: StepTotals, is_first: bool) -> str | None:
        """Let rank 0 say now and then what was bad; what there is to say, on every rank, if it is too much to go on."""
        for number, (source, new) in enumerate(zip(self._prepared.sources, totals.bad, strict=True)):
            bad, seen = self._state.bad_by_source[source.name], self._state.samples_by_source[source.name]
            stop = new > 0 and too_many(bad, seen, self._config.data.max_bad_fraction)
            if not stop and not worth_a_line(bad - new, bad):
                continue
            about = (gather_objects(self.bad_data), number, source.name, source.where, bad, seen)
            if stop:
                return stop_line(*about, self._config.data.max_bad_fraction, self._state.step)
            if is_first:
                self._progress.say(replaced_line(*about))
        return None

    def tell_spikes(self, spikes: SpikeWatch, journal: Journal | None) -> dict[str, float]:
        """Write the new loss spikes down, on rank 0, and say so now and then; their number, as a metric."""
        before = spikes.total
        found = spikes.look()
        if found and journal is not None:
            plan, sources, slots = self._prepared.plan, self._prepared.sources, self._prepared.step.slots
            run_dir = self._config.run_dir
            write_spikes(run_dir, journal.attempt, found, lambda slot: samples_of_step(plan, sources, slots, slot))
            if worth_a_line(before, spikes.total):
                self._progress.say(spike_line(found[-1], run_dir))
        return {"train/loss_spikes": float(spikes.total)}

    def _diverged(self) -> str:
        steps, config = committed_steps(self._config.run_dir), self._config
        where = f"step {steps[-1]} is the last that is saved: go on from there" if steps else "nothing is saved: begin again"
        wider = "" if config.engine.precision == "fp32" else ", or engine.precision=fp32 in a new run"
        what = f"step {self._state.step}: the gradient was not finite for {self._state.skipped_in_row} steps in a row"
        return f"{what}; {where} with a lower optim.lr than {config.optim.lr:g}{wider}"

    def metrics(self) -> dict[str, float]:
        """What the books hold, for the journal."""
        metrics = {"optim/skipped_steps": float(self._state.skipped_total)}
        epochs = self._prepared.plan.epochs(self._state.slot)
        for source in self._prepared.sources:
            metrics[f"data/epochs/{source.name}"] = epochs.get(source.name, 0.0)
            metrics[f"data/bad_samples/{source.name}"] = float(self._state.bad_by_source.get(source.name, 0))
        return metrics
