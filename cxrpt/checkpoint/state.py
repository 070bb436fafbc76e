"""What a run remembers beside its weights, and whether a configuration may continue it."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cxrpt.errors import InputError

RUN_STATE = "run.json"


@dataclass
class RunState:
    """The state of a run after `step` steps; small, the same on every rank."""

    step: int = 0
    slot: int = 0
    """Slots of each lane that the trainer has consumed: all there is to the loader's state."""
    data: dict[str, str] = field(default_factory=dict)
    """What the configuration said of the data (`describe_data`), part by part."""
    timeline: list[dict[str, Any]] = field(default_factory=list)
    """Segments of the plan, those that are passed and those to come: a mix that changed in mid-run is recorded here."""
    frozen: dict[str, Any] = field(default_factory=dict)
    """What must not change while the run goes on: shape of the model, tokenizer, precision, batch, lanes."""
    engine: dict[str, Any] = field(default_factory=dict)
    """Of the optimizer, what is no tensor (`Engine.scalars`)."""
    samples_by_source: dict[str, int] = field(default_factory=dict)
    bad_by_source: dict[str, int] = field(default_factory=dict)
    skipped_in_row: int = 0
    skipped_total: int = 0
    windows: list[dict[str, list[float]]] = field(default_factory=list)
    """Of each rank: loss sums since the last logged step, so that a resumed run logs the same numbers."""
    spikes: dict[str, Any] = field(default_factory=dict)
    """Losses of the last steps, by which those of the next are judged (`cxrpt.track.spikes`)."""

    def to_json(self) -> str:
        """The content of `run.json`."""
        return json.dumps(asdict(self), indent=1) + "\n"

    @classmethod
    def read(cls, folder: Path) -> "RunState":
        """Read `run.json` of a checkpoint's folder.

        Raises:
            InputError: it is missing or damaged.
        """
        try:
            return cls(**json.loads((folder / RUN_STATE).read_text()))
        except (OSError, ValueError, TypeError):
            raise InputError(
                f"checkpoint {folder.name}: {RUN_STATE} cannot be read: restore it, or resume from the step before with "
                "--resume=last-good"
            ) from None

    def window_of(self, rank: int, ranks: int) -> dict[str, list[float]]:
        """Loss sums that a rank begins with: its own, or on another number of ranks all of them on the first."""
        if len(self.windows) == ranks:
            return self.windows[rank]
        summed: dict[str, list[float]] = {}
        for window in self.windows if rank == 0 else []:
            for name, cell in window.items():
                summed[name] = [a + b for a, b in zip(summed.get(name, [0.0, 0.0]), cell, strict=True)]
        return summed


_MENDS = {
    "tokenizer": "name the tokenizer that the run began with, or start a new run",
}


def check_resumable(saved: RunState, frozen: dict[str, Any], data: dict[str, str], accept_data_change: bool) -> None:
    """Whether a run saved as `saved` may go on under this configuration.

    Raises:
        InputError: something that must not change has; the message says what, and what accepts or mends it.
    """
    for name, now in frozen.items():
        before, now = saved.frozen.get(name), json.loads(json.dumps(now))
        if before == now:
            continue
        mend = _MENDS.get(name, "set it back, or start a new run under another name")
        parts = [(name, before, now)]
        if isinstance(before, dict) and isinstance(now, dict):
            parts = [(f"{name}.{key}", before.get(key), now[key]) for key in now if before.get(key) != now[key]]
        told = ", ".join(f"{key}={was!r} and the configuration {is_now!r}" for key, was, is_now in parts)
        raise InputError(f"the run at step {saved.step} has {told}: {mend}")
    changes = data_changes(saved.data, data)
    if changes and not accept_data_change:
        raise InputError(
            f"the data of the run changed since step {saved.step}: {'; '.join(changes)}: "
            "set it back, or accept it from there on with --accept-data-change"
        )


def data_changes(before: dict[str, str], now: dict[str, str]) -> list[str]:
    """What differs between two descriptions of the data, in words."""
    names = [name for name in before | now if before.get(name) != now.get(name)]
    return [f"{name} ({before.get(name, 'absent')} -> {now.get(name, 'absent')})" for name in names]
