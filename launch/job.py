"""What a task of a SLURM job does: one rank of the training, or an evaluation worker.

A job that is to go on is queued again by `scontrol requeue` and starts from what is on disk. submitit's own way, to pickle the
callable anew and count time limits, is not taken: it acts on rank 0 alone and knows nothing of the other ranks' save.
"""

import os
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from cxrpt.attempts import LOST_ANOTHER, STOP_FILE
from cxrpt.config import RunConfig
from cxrpt.errors import InputError

_WAITS_FOR_ITS_END_S = 300.0


@dataclass(frozen=True)
class TrainJob:
    """One rank of a run."""

    run_dir: Path
    accept_data_change: bool
    last_good: bool
    max_restarts: int
    """Starts in a row, after the first, that may end without a new checkpoint; then the job ends."""

    def __call__(self) -> int:
        """Train; does not return to submitit unless the run is done or stopped."""
        from cxrpt.attempts import starts_without_progress
        from cxrpt.checkpoint.store import committed_steps
        from cxrpt.config import config_of
        from cxrpt.dist.world import slurm_task
        from cxrpt.preflight import check_node
        from cxrpt.track.sink import end_sink, start_sink
        from launch.rank import run_rank

        task = slurm_task()
        assert task is not None, "runs in a SLURM job"
        failed = self.run_dir / "meeting" / f"{task.job}-{task.restart}.failed"

        def before(config: RunConfig) -> None:
            if task.local_rank == 0:
                check_node(config, task.rank, task.size, task.local_size, self.accept_data_change, self.last_good)

        sink = None
        if task.rank == 0:
            starts = starts_without_progress(self.run_dir, task.job, (committed_steps(self.run_dir) or [0])[-1])
            if starts > self.max_restarts:
                sys.stderr.write(
                    f"cxrpt: {starts} starts in a row ended without a new checkpoint: the job is not started again; "
                    f"`cxrpt logs {self.run_dir}` shows why, `cxrpt submit` starts anew\n"
                )
                _end(1)
            if config_of(self.run_dir).track.uri != "none":
                sink = start_sink(self.run_dir)
        code = run_rank(self.run_dir, task.rank, self.accept_data_change, self.last_good, before)
        if sink is not None:
            end_sink(sink, self.run_dir)
        return self._ended(code, task.job, task.restart, task.rank, failed)

    def _ended(self, code: int, job: str, restart: int, rank: int, failed: Path) -> int:
        if code == 0 or (code == 75 and (rank > 0 or (self.run_dir / STOP_FILE).exists())):
            return 0
        if code == 75 or (code == LOST_ANOTHER and not failed.exists()):
            _go_on(self.run_dir, job, restart)
            _end(code if code == 75 else 1)
        if code != LOST_ANOTHER:
            # Those that lose this rank must not take it for a machine that has died.
            failed.parent.mkdir(exist_ok=True)
            failed.touch()
        _end(1 if code == LOST_ANOTHER else code)
        return code


@dataclass(frozen=True)
class EvaluateJob:
    """One evaluation worker of a run."""

    run_dir: Path

    def __call__(self) -> int:
        """Evaluate until the run has ended and its chosen checkpoints are scored."""
        from cxrpt.config import config_of
        from cxrpt.dist.world import slurm_task
        from cxrpt.eval.watch import watch_run
        from cxrpt.preempt import StopFlag, signals

        task = slurm_task()
        assert task is not None, "runs in a SLURM job"
        stop = StopFlag()
        stop.install(signals(config_of(self.run_dir).train.stop_signals))
        try:
            code = watch_run(self.run_dir, lambda: stop.raised)
        except InputError as error:
            refuse(error)
        if code == 75:
            _go_on(self.run_dir, task.job, task.restart)
        if code:
            # What a callable returns is no exit code to submitit.
            _end(code)
        return code


def _go_on(run_dir: Path, job: str, restart: int) -> None:
    """Queue this job again, unless it was cancelled or is not this one any more; it is killed meanwhile."""
    from launch import slurm

    if shutil.which("scontrol") is None:
        # In a container, which rarely holds SLURM's commands: the job's script does it, once all tasks have ended.
        note = again_note(run_dir, job, str(restart))
        note.parent.mkdir(exist_ok=True)
        note.touch()
        return
    try:
        if slurm.restarts(job) == ("RUNNING", restart):
            slurm.requeue(job)
    except InputError as error:
        sys.stderr.write(f"cxrpt: the job could not be queued again: {error}\n")
        return
    time.sleep(_WAITS_FOR_ITS_END_S)


def again_note(run_dir: Path, job: str, restart: str) -> Path:
    """What a task leaves that cannot queue its job again itself."""
    return run_dir / "meeting" / f"{job}-{restart}.again"


def refuse(error: InputError) -> NoReturn:
    """End this task as bad input ends a command: one line, code 2, where submitit would print a traceback and end with 1."""
    sys.stderr.write(f"cxrpt: {error}\n")
    _end(2)


def _end(code: int) -> NoReturn:
    # Without the interpreter's own clean-up: other ranks may never answer a collective again.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
