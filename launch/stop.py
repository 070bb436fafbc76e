"""`cxrpt stop` and `cxrpt cancel`: end a run with a save, or at once."""

import os
import signal
from pathlib import Path
from typing import Annotated

import typer

from cxrpt.attempts import STOP_FILE
from cxrpt.checkpoint.lease import holder_here
from cxrpt.config import config_of, require_run
from cxrpt.errors import InputError
from launch import slurm
from launch.run_state import active_jobs

RunDir = Annotated[Path, typer.Argument(help="Run directory.")]


def stop(run: RunDir) -> None:
    """Let a run save and end; evaluation workers go on until its checkpoints are scored. `cxrpt submit` resumes it.

    Example: cxrpt stop runs/mine
    """
    require_run(run)
    config = config_of(run)
    found = active_jobs(run).get("train", [])
    if found:
        (run / STOP_FILE).touch()
        for job in found:
            if job.state in slurm.WAITING:
                slurm.cancel([job.job])
                typer.echo(f"job {job.job} had not started: it is cancelled")
            else:
                slurm.send_signal(job.job, config.train.stop_signals[0].removeprefix("SIG"))
                typer.echo(f"job {job.job} saves and ends: cxrpt status {run}")
        return
    pid = holder_here(run)
    if pid is None:
        raise InputError(f"nothing is at work on {run}, {_seen_from_here()}")
    # The ranks agree at the next step, whichever of them hears of it.
    os.kill(pid, signal.Signals[f"SIG{config.train.stop_signals[0].removeprefix('SIG')}"])
    typer.echo(f"{run} saves and ends")


def cancel(run: RunDir) -> None:
    """End all jobs of a run, which saves if SLURM leaves it the time; what was saved stays, and `cxrpt submit` resumes it.

    Example: cxrpt cancel runs/mine
    """
    require_run(run)
    jobs = [job.job for found in active_jobs(run).values() for job in found]
    if not jobs:
        here = "" if holder_here(run) is None else f": what trains here without one ends by `cxrpt stop {run}`"
        raise InputError(f"{run} has no job that waits or runs, {_seen_from_here()}{here}")
    (run / STOP_FILE).touch()
    slurm.cancel(jobs)
    typer.echo(f"cancelled: {', '.join(jobs)}")


def _seen_from_here() -> str:
    return f"as far as can be seen from this machine{'' if slurm.has_slurm() else ', which has no SLURM'}"
