"""What a run is doing, from SLURM and from its directory: neither knows all of it.

SLURM knows which jobs wait and run; submitit calls a job lost whose node has died, though SLURM runs it again, so SLURM itself
is asked. The run directory knows steps, saves, what an attempt ended with, and runs that were started without SLURM.
"""

import shlex
import time
from dataclasses import dataclass, field
from pathlib import Path

from cxrpt.attempts import STOP_FILE, Attempt, read_attempts
from cxrpt.checkpoint.lease import is_held
from cxrpt.checkpoint.store import COMMITTED, committed_steps, step_folder
from cxrpt.config import config_of, require_run
from cxrpt.errors import InputError
from cxrpt.eval.backlog import backlog
from cxrpt.run_paths import JOURNAL
from cxrpt.track.journal import read_journal
from launch import slurm
from launch.cluster import Submitted, submitted_jobs


@dataclass(frozen=True)
class RunStatus:
    """One line of `cxrpt status`."""

    run: str
    state: str
    """queued, running, requeued, stopping, stopped, done, dead, unknown, never started; or unreadable, without the rest."""
    why: str
    jobs: str = ""
    step: int = 0
    """Last step that was logged."""
    steps: int = 0
    left_s: float | None = None
    """Expected seconds to the last step."""
    loss: dict[str, float] = field(default_factory=dict)
    """The newest of each objective, weights left out."""
    samples_per_s: float | None = None
    checkpoint: int = 0
    """Last committed step, 0 without one."""
    checkpoint_age_s: float | None = None
    to_evaluate: int = 0
    evaluators: int = 0
    next: str = ""
    """What a user would type now."""


def status_of(run_dir: Path, known: dict[str, slurm.JobState] | None = None) -> RunStatus:
    """Look at one run.

    Args:
        run_dir: its directory.
        known: states of its jobs; None asks SLURM, if there is one.

    Raises:
        InputError: no run directory, or a configuration that cannot be read.
    """
    require_run(run_dir)
    config = config_of(run_dir)
    jobs = submitted_jobs(run_dir)
    if known is None:
        known = slurm.states([job.job for job in jobs]) if slurm.has_slurm() else {}
    entries = [entry for entry in read_journal(run_dir / JOURNAL) if entry.kind == "train"]
    last = entries[-1] if entries else None
    committed = committed_steps(run_dir)
    newest = committed[-1] if committed else 0
    training = [job for job in jobs if job.kind == "train"]
    state, why = _state(run_dir, training, known, read_attempts(run_dir), newest >= config.train.steps)
    rate = (last.metrics.get("speed/samples_per_s") if last else None) or None
    step = max(last.step if last else 0, newest)
    left = (config.train.steps - step) * config.train.global_batch / rate if rate and state == "running" else None
    evaluators = [job for job in jobs if job.kind == "evaluate" and job.job in known and known[job.job].is_active]
    waiting = len(backlog(run_dir, config))
    return RunStatus(
        run=str(run_dir),
        state=state,
        why=why,
        jobs=", ".join(job.job for job in training if job.job in known and known[job.job].is_active),
        step=step,
        steps=config.train.steps,
        left_s=left,
        loss={name: last.metrics[f"loss/{name}"] for name in ("mlm", "mvm", "itc") if f"loss/{name}" in last.metrics}
        if last
        else {},
        samples_per_s=rate,
        checkpoint=newest,
        checkpoint_age_s=time.time() - (step_folder(run_dir, newest) / COMMITTED).stat().st_mtime if newest else None,
        to_evaluate=waiting,
        evaluators=len(evaluators),
        next=_next(run_dir, state, waiting, bool(evaluators), bool(jobs)),
    )


def active_jobs(run_dir: Path) -> dict[str, list[slurm.JobState]]:
    """The jobs of a run that wait or run, by kind; none where there is no SLURM.

    Raises:
        InputError: SLURM does not answer.
    """
    found: dict[str, list[slurm.JobState]] = {}
    if not slurm.has_slurm():
        return found
    jobs = submitted_jobs(run_dir)
    known = slurm.states([job.job for job in jobs])
    for job in jobs:
        if known[job.job].is_active:
            found.setdefault(job.kind, []).append(known[job.job])
    return found


def _state(
    run_dir: Path, training: list[Submitted], known: dict[str, slurm.JobState], attempts: list[Attempt], done: bool
) -> tuple[str, str]:
    job = known.get(training[-1].job) if training else None
    asked = (run_dir / STOP_FILE).exists()
    if job is not None and job.state in slurm.WAITING:
        before = any(one.job == job.job for one in attempts)
        return ("requeued" if before else "queued"), job.reason
    if job is not None and job.is_active:
        return ("stopping" if asked else "running"), job.nodes
    if is_held(run_dir):
        return "running", "without SLURM"
    if done:
        return "done", ""
    last = attempts[-1] if attempts else None
    if training and training[-1].job not in known and (last is None or (last.job and last.code in (None, 75) and not asked)):
        return "unknown", f"job {training[-1].job}: SLURM was not heard"
    ended = job.state if job is not None and job.state not in ("COMPLETED", slurm.GONE) else ""
    if asked and ended.startswith("CANCELLED") and not any(one.job == training[-1].job for one in attempts):
        return "stopped", "before it began"
    if last is None:
        return ("dead", ended) if job is not None else ("never started", "")
    if last.code == 75:
        return ("stopped", "after a save") if asked or not last.job else ("dead", ended or "was not queued again")
    if last.code is None:
        return "dead", ended or "was killed"
    return "dead", " ".join(filter(None, (ended, last.why)))


def _next(run_dir: Path, state: str, waiting: int, evaluators: bool, on_cluster: bool) -> str:
    run = shlex.quote(str(run_dir))
    again = f"cxrpt pretrain {run}/config.yaml"
    if on_cluster:
        again = f"cxrpt submit {run}/config.yaml --cluster {run}/cluster.yaml"
    if state in ("running", "stopping"):
        return f"cxrpt logs {run} -f"
    if state in ("queued", "requeued", "unknown"):
        return f"cxrpt status {run}"
    if state == "dead":
        return f"cxrpt logs {run}, then {again}"
    if state in ("stopped", "never started"):
        return again
    if waiting and not evaluators:
        return f"cxrpt evaluate {run} --watch"
    return f"cxrpt metrics {run}"


def find_runs(given: list[Path] | None) -> list[Path]:
    """The runs that are named, or all in `runs`.

    Raises:
        InputError: there is none.
    """
    if given:
        return given
    found = sorted(path.parent for path in Path("runs").glob("*/config.yaml"))
    if not found:
        raise InputError("there are no runs in runs/: name run directories")
    return found
