"""Shards built by a cluster: the same parts as on one machine, done by the tasks of an array, the same bytes.

look at the export (one job) ──► array: each task converts every n-th part ──► the rest, shards and manifests (one job)

Scripts and output lie beside the shards, in OUT.INSTITUTION.slurm/, for the owner alone.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import typer

from cxrpt.errors import InputError
from data_prep.build.run import build, convert_share, look_ahead
from data_prep.build.settings import BuildSettings
from launch import slurm
from launch.build_summary import show_summary
from launch.cluster import executor, keep_code, requeue_lines, submit_array, submit_job
from launch.cluster_config import load_cluster


@dataclass(frozen=True)
class ShareJob:
    """One task of the array; `of` 0 looks at the export only."""

    settings: BuildSettings
    share: int
    of: int

    def __call__(self) -> int:
        """Convert; gives the number of inputs."""
        from launch.job import refuse

        try:
            return convert_share(self.settings, self.share, self.of)
        except InputError as error:
            refuse(error)


@dataclass(frozen=True)
class FinishJob:
    """What is left, the shards and the manifests."""

    settings: BuildSettings

    def __call__(self) -> str:
        """Build, and tell what was built; gives the folder."""
        from launch.job import refuse

        try:
            summary = build(self.settings)
        except InputError as error:
            refuse(error)
        show_summary(summary)
        return str(summary.folder)


def submit_build(settings: BuildSettings, cluster: Path) -> None:
    """Submit the jobs of a build.

    Raises:
        InputError: no SLURM, or it refused a job; jobs of this build wait or run; settings that cannot be meant.
    """
    slurm.require_slurm()
    place = load_cluster(cluster, [])
    settings = replace(settings, processes=place.prep.cpus_per_task)
    folder = settings.out.with_name(f"{settings.out.name}.{settings.institution}.slurm").resolve()
    note = folder / "jobs"
    before = note.read_text().split() if note.exists() else []
    if any(one.is_active for one in slurm.states(before).values()):
        raise InputError(f"{settings.folder} is being built by jobs {', '.join(before)}: wait, or scancel {' '.join(before)}")
    if summary := look_ahead(settings):
        show_summary(summary)
        return
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    code = keep_code(folder)
    name = f"prep-{settings.institution}"

    tasks = place.prep.tasks
    at_once = place.prep.at_once or tasks  # submitit would set a limit of its own
    queued: list[str] = []

    def made(kind: str, after: str) -> Any:
        words = {"nodes": 1, "ntasks_per_node": 1, "dependency": after or None, "teardown": _once_more(place.prep.retries)}
        return executor(folder, f"{name}-{kind}", place, place.prep, code, array_parallelism=at_once, **words)

    def noted(job: str) -> str:
        queued.append(job)
        note.write_text(f"{' '.join(queued)}\n")
        return job

    with _or_taken_back(queued):
        look = noted(submit_job(made("look", ""), ShareJob(settings, 0, 0)))
        shares = [ShareJob(settings, share, tasks) for share in range(tasks)]
        array = noted(submit_array(made("convert", f"afterok:{look}"), shares))
        # Also after a task that failed for good: what it left is done here.
        finish = noted(submit_job(made("finish", f"afterany:{array}"), FinishJob(settings)))
    typer.echo(f"jobs: {look} looks at the export, {array} converts it in {tasks} tasks, {finish} writes {settings.folder}")
    told = folder / finish / f"{finish}_0_log"
    typer.echo(f"next: squeue --me; once they are through, {told}.out tells what was built, or {told}.err why not")


@contextmanager
def _or_taken_back(queued: list[str]) -> Iterator[None]:
    """Cancel what was queued before a job was refused: without the others it builds nothing."""
    try:
        yield
    except (InputError, OSError) as error:
        if queued:
            try:
                slurm.cancel(queued)
            except InputError:
                raise InputError(f"{error}; end what was queued before: scancel {' '.join(queued)}") from None
        raise


def _once_more(most: int) -> list[str]:
    """The lines by which a job, or one task of an array, that failed is queued again, alone, so often.

    By the script, as a task that ran out of memory cannot do it. Bad input (2) does not get better.
    """
    return requeue_lines(f'[ $code -ne 0 ] && [ $code -ne 2 ] && [ "$restart" -lt {most} ]')
