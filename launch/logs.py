"""`cxrpt logs`: what the ranks of a run, or its evaluation workers, wrote."""

import time
from pathlib import Path
from typing import Annotated

import typer

from cxrpt.config import require_run
from cxrpt.errors import InputError
from launch.cluster import slurm_folder, submitted_jobs

_POLL_S = 0.5


def logs(
    run: Annotated[Path, typer.Argument(help="Run directory.")],
    rank: Annotated[int, typer.Option(help="Which rank's.", min=0)] = 0,
    evaluation: Annotated[bool, typer.Option("--evaluate", help="Those of the evaluation workers instead.")] = False,
    lines: Annotated[int, typer.Option(help="Last lines of each file to begin with.", min=1)] = 40,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as they are written; Ctrl-C ends it.")] = False,
) -> None:
    """Print the end of a run's logs: what its job said on the terminal, and the rank's own log.

    Example: cxrpt logs runs/mine --rank 3 -f
    """
    files = log_files(run, rank, evaluation)
    at: dict[Path, int] = {}
    if follow and not any(file.exists() for file in files):
        typer.echo(f"{run} has written nothing yet; cxrpt status {run} tells what it waits for", err=True)
    while True:
        for file in files:
            if not file.exists():
                continue
            if file not in at:
                written = file.read_bytes()
                at[file] = len(written)
                if told := written.decode(errors="replace").splitlines()[-lines:]:
                    typer.echo(f"==> {file} <==\n" + "\n".join(told))
                continue
            with file.open("rb") as opened:
                opened.seek(at[file])
                if new := opened.read():
                    at[file] += len(new)
                    typer.echo(new.decode(errors="replace"), nl=False)
        if not follow:
            break
        time.sleep(_POLL_S)
        files = log_files(run, rank, evaluation)
    if not at:
        raise InputError(f"{run} has written no such log yet: `cxrpt status {run}` tells what it is doing")


def log_files(run: Path, rank: int, evaluation: bool) -> list[Path]:
    """The files of one rank of the newest job that has written any, or of all evaluation workers.

    Raises:
        InputError: no run directory.
    """
    require_run(run)
    kind = "evaluate" if evaluation else "train"
    jobs = [job.job for job in submitted_jobs(run) if job.kind == kind]
    told = {
        job: [slurm_folder(run) / job / f"{job}_{0 if evaluation else rank}_log.{end}" for end in ("out", "err")]
        for job in jobs
    }
    if evaluation:
        return [file for files in told.values() for file in files]
    # A job that was cancelled while it waited has said nothing: the one before has.
    newest = next((files for files in reversed(told.values()) if any(file.exists() for file in files)), [])
    return [*newest, run / "logs" / f"rank-{rank}.log"]
