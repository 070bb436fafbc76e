"""Steps whose loss is far above the usual, and what they were made of.

    each step      this rank's sums by objective stay on its device
    log steps      one reduction fetches them; each step's losses are judged by those of the 64 steps before it
    RUN/spikes.jsonl   {"attempt": 1, "step": 812, "objective": "mlm", "value": 9.3, "usual": 3.2, "deviations": 41.0,
                        "samples": [{"source": "north", "shard": "north-train-000004.tar", "key": "...", "epoch": 0}, ...]}

As in the journal, steps after the last checkpoint run again after a kill, and readers take a step's last attempt.
"""

import json
import logging
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor

from cxrpt.data.storage.step_samples import StepSample
from cxrpt.dist.collectives import sum_over_ranks
from cxrpt.errors import InputError
from cxrpt.model.pretrain import Losses

_HISTORY = 64
_ENOUGH = 32
"""Steps that must have been seen before any is judged."""
_SMALLEST_DEVIATION = 0.01
"""Of the usual value: a loss that hardly moves would else make a spike of every ripple."""
_AFTERMATH = 8
"""Spikes this soon after another are counted, and not listed: a loss takes some steps to come down again."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Spike:
    """A step whose loss was far above the usual."""

    step: int
    slot: int
    """Where the step begins in the plan."""
    objective: str
    """The one that is farthest off."""
    value: float
    usual: float
    deviations: float


def judge(before: Sequence[float], value: float) -> tuple[float, float]:
    """How far a value is above the usual.

    Args:
        before: values of the steps before it, at least one.
        value: the one to judge.

    Returns:
        The median of `before`, and the distance in deviations (median absolute ones, scaled as a normal distribution's);
        infinite for a value that is not finite.
    """
    usual = median(before)
    if not math.isfinite(value):
        return usual, math.inf
    spread = 1.4826 * median(abs(one - usual) for one in before)
    return usual, (value - usual) / max(spread, _SMALLEST_DEVIATION * abs(usual), 1e-12)


class SpikeWatch:
    """Judges every step's losses, at log steps."""

    def __init__(self, scales: tuple[int, ...], threshold: float):
        """`threshold` is in deviations; 0 judges nothing."""
        self._names = ["mlm", *(f"mvm{scale}" for scale in scales), "itc"]
        self._threshold = threshold
        self._row: Tensor | None = None
        self._rows: list[Tensor] = []
        self._steps: list[tuple[int, int, dict[str, float]]] = []
        """Step, slot and counts of each of `_rows`."""
        self._known: list[tuple[int, int, dict[str, float]]] = []
        """Step, slot and losses over all ranks of steps that are not judged yet."""
        self._history: dict[str, list[float]] = {}
        self._last = -_AFTERMATH
        self.total = 0
        """Steps that were spikes, since the run began."""

    def add(self, losses: Losses) -> None:
        """Add one micro-batch; no host sync."""
        if not self._threshold:
            return
        parts = {"mlm": losses.mlm.total} | {f"mvm{scale}": part.total for scale, part in losses.mvm.items()}
        if losses.itc is not None:
            parts["itc"] = losses.itc[0]
        nothing = torch.zeros_like(losses.mlm.total)
        row = torch.stack([parts.get(name, nothing).detach() for name in self._names]).double()
        self._row = row if self._row is None else self._row + row

    def end_step(self, step: int, slot: int, counts: dict[str, float]) -> None:
        """The micro-batches of a step are added; `counts` are those over all ranks, by objective."""
        if self._row is not None:
            self._rows.append(self._row)
            self._steps.append((step, slot, {name: counts.get(name, 0.0) for name in self._names}))
            self._row = None

    def look(self) -> list[Spike]:
        """Spikes to list among the steps since the last call, the same on every rank. Waits for the GPU."""
        self._fetch()
        found = []
        for step, slot, losses in self._known:
            spike = self._judge(step, slot, losses)
            if spike is not None:
                self.total += 1
                if step > self._last + _AFTERMATH:
                    found.append(spike)
                self._last = step
        self._known = []
        return found

    def _judge(self, step: int, slot: int, losses: dict[str, float]) -> Spike | None:
        worst = None
        for name, value in losses.items():
            before = self._history.setdefault(name, [])
            if len(before) >= _ENOUGH or (before and not math.isfinite(value)):
                usual, deviations = judge(before, value)
                if deviations > self._threshold and (worst is None or deviations > worst.deviations):
                    worst = Spike(step, slot, name, value, usual, deviations)
            if math.isfinite(value):
                self._history[name] = [*before, value][-_HISTORY:]
        return worst

    def _fetch(self) -> None:
        if not self._rows:
            return
        sums = sum_over_ranks(torch.stack(self._rows)).tolist()
        for (step, slot, counts), row in zip(self._steps, sums, strict=True):
            losses = {name: total / counts[name] for name, total in zip(self._names, row, strict=True) if counts[name]}
            self._known.append((step, slot, losses))
        self._rows, self._steps = [], []

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps, the same on every rank, so that any ranks go on with it. Waits for the GPU."""
        self._fetch()
        return {"history": dict(self._history), "pending": list(self._known), "total": self.total, "last": self._last}

    def load(self, state: dict[str, Any]) -> None:
        """Take up what `state` gave; an empty one begins anew."""
        self._history = dict(state.get("history", {}))
        self._known = [(step, slot, losses) for step, slot, losses in state.get("pending", [])]
        self.total, self._last = state.get("total", 0), state.get("last", -_AFTERMATH)


def spikes_path(run_dir: Path) -> Path:
    """The file of a run's spikes."""
    return run_dir / "spikes.jsonl"


def write_spikes(run_dir: Path, attempt: int, spikes: list[Spike], samples_of: Callable[[int], list[StepSample]]) -> None:
    """Append spikes with the samples of their steps, `samples_of(slot)`. Rank 0 only.

    What cannot be looked up or written is told in the log: training goes on.
    """
    try:
        with spikes_path(run_dir).open("a") as file:
            for spike in spikes:
                fields = asdict(spike) | {"attempt": attempt}
                try:
                    fields["samples"] = [asdict(sample) for sample in samples_of(spike.slot)]
                except (InputError, OSError) as error:
                    log.warning("the samples of step %d could not be looked up: %s", spike.step, error)
                    fields["samples"] = []
                strict = {k: str(v) if isinstance(v, float) and not math.isfinite(v) else v for k, v in fields.items()}
                file.write(json.dumps(strict, allow_nan=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        log.warning("spikes could not be written to %s: %s", spikes_path(run_dir), error)


def read_spikes(run_dir: Path) -> list[dict[str, Any]]:
    """The spikes of a run by step, each of its last attempt; a line that a kill tore is passed over."""
    latest: dict[int, dict[str, Any]] = {}
    path = spikes_path(run_dir)
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            fields = json.loads(line)
            fields |= {name: float(fields[name]) for name in ("value", "usual", "deviations")}
            if fields["step"] not in latest or fields["attempt"] >= latest[fields["step"]]["attempt"]:
                latest[fields["step"]] = fields
        except (ValueError, KeyError, TypeError):
            continue
    return [latest[step] for step in sorted(latest)]


def spike_line(spike: Spike, run_dir: Path) -> str:
    """What the terminal says of a spike."""
    return (
        f"loss spike at step {spike.step}: {spike.objective} is {spike.value:.4g}, usually {spike.usual:.4g} "
        f"({spike.deviations:.0f} deviations); its samples stand in {spikes_path(run_dir)}"
    )
