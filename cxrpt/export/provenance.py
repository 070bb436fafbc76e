"""What a checkpoint was trained on, from the run directory alone: the shards may be gone.

checkpoints/step-*/run.json   what was drawn, and from which contents      ┐
data.json                     what those contents held                     ├─► Provenance
journal.jsonl                 losses                                       │
code.txt                      versions                                     ┘
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cxrpt.checkpoint.state import RUN_STATE, RunState
from cxrpt.data.order.timeline import Segment, pass_segments
from cxrpt.data_record import SourceRecord, read_data_record
from cxrpt.run_paths import JOURNAL, evaluation_folder
from cxrpt.track.journal import read_journal


@dataclass(frozen=True)
class SourceSeen:
    """One source, as far as a checkpoint has seen it."""

    name: str
    samples: int
    """That it held, of the kind it was used for, when it was last drawn from."""
    seen: int
    """Draws up to the checkpoint."""
    bad: int
    """Of them, how many could not be read and were replaced by another sample of the source."""
    epochs: float
    """Passes over the source."""
    contents: tuple[str, ...]
    """Fingerprints of what it held, oldest first; more than one if it changed in mid-run."""
    record: SourceRecord | None
    """Of the newest content; None where the run wrote none."""


@dataclass(frozen=True)
class Provenance:
    """What is known of a checkpoint beside its weights."""

    sources: tuple[SourceSeen, ...]
    mixes: tuple[tuple[int, dict[str, float]], ...]
    """(first step, share of each source in the samples) of each stretch of the run in which the mix stayed as it was."""
    frozen: dict[str, object]
    """What did not change during the run, as the checkpoint remembers it."""
    skipped_steps: int
    losses: dict[str, float]
    """Means since the logged step before, by objective, of the last logged step up to the checkpoint."""
    losses_at: int | None
    versions: dict[str, str]
    """Of cxrpt and what it stands on, at the last start of the run."""


def read_provenance(run_dir: Path, folder: Path, step: int, lanes: int) -> Provenance | None:
    """What the run directory tells of a checkpoint; None where the checkpoint holds no state of the run that can be read.

    Args:
        run_dir: of the run.
        folder: of the checkpoint.
        step: of the checkpoint.
        lanes: of the run.
    """
    if not (folder / RUN_STATE).is_file():
        return None
    try:
        state = RunState.read(folder)
        slots = state.slot // max(state.step, 1)
        segments = [one for one in map(Segment.from_json, state.timeline) if one.first_slot < state.slot and one.shares]
        mixes = tuple((segment.first_slot // slots + 1, _shares(segment)) for segment in segments)
        sources = _sources(run_dir, state, segments, lanes)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    losses_at, losses = _losses(run_dir, step)
    return Provenance(
        sources, mixes, state.frozen, state.skipped_total, losses, losses_at, _versions(run_dir)
    )  # fmt: skip


def _shares(segment: Segment) -> dict[str, float]:
    whole = sum(segment.shares.values())
    return {name: slots / whole for name, slots in segment.shares.items()}


def _sources(run_dir: Path, state: RunState, segments: list[Segment], lanes: int) -> tuple[SourceSeen, ...]:
    progress = pass_segments(segments, lanes, state.slot)
    records = read_data_record(run_dir)
    found = []
    for name in dict.fromkeys(name for segment in segments for name in segment.shares):
        contents = [segment.contents[name] for segment in segments if name in segment.shares]
        last = contents[-1]
        epochs = progress.first_epoch(name) + float(progress.draws(name).sum()) / last.num_samples
        fingerprints = tuple(dict.fromkeys(content.fingerprint for content in contents))
        seen, bad = state.samples_by_source.get(name, 0), state.bad_by_source.get(name, 0)
        found.append(SourceSeen(name, last.num_samples, seen, bad, epochs, fingerprints, records.get(last.fingerprint)))
    return tuple(found)


def _losses(run_dir: Path, step: int) -> tuple[int | None, dict[str, float]]:
    entries = [one for one in read_journal(run_dir / JOURNAL) if one.kind == "train" and one.step <= step]
    if not entries:
        return None, {}
    last = entries[-1].metrics
    return entries[-1].step, {name: last[f"loss/{name}"] for name in ("mlm", "mvm", "itc") if f"loss/{name}" in last}


def _versions(run_dir: Path) -> dict[str, str]:
    try:
        lines = (run_dir / "code.txt").read_text().splitlines()
    except OSError:
        return {}
    return dict(line.split(" ", 1) for line in lines if " " in line)


def results_of_step(run_dir: Path, step: int) -> list[dict[str, Any]]:
    """The results of a step's evaluations, one for each split that was scored; what does not parse is passed over."""
    found = []
    for path in sorted(evaluation_folder(run_dir, step).glob("results*.json")):
        try:
            found.append(json.loads(path.read_text()))
        except ValueError:
            continue
    return found
