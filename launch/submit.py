"""`cxrpt submit`: a run on a SLURM cluster, with evaluation workers beside it."""

import fcntl
import hashlib
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from omegaconf import OmegaConf

from cxrpt.config import RunConfig, load_config
from cxrpt.errors import InputError
from launch import slurm
from launch.cluster import (
    executor,
    keep_code,
    new_job,
    note_job,
    requeue_lines,
    script_of,
    slurm_folder,
    submit_job,
    submitted_jobs,
)
from launch.cluster_config import ClusterConfig, load_cluster, split_words
from launch.job import EvaluateJob, TrainJob, again_note
from launch.pretrain import ConfigFile, Overrides, Resume


def submit(
    config: ConfigFile,
    overrides: Overrides = None,
    cluster: Annotated[Path, typer.Option(help="Yaml file of the cluster; words cluster.KEY=VALUE override it.")] = ...,  # type: ignore[assignment]
    accept_data_change: Annotated[bool, typer.Option(help="Go on although sources, shards, weights or seed changed.")] = False,
    resume: Annotated[
        Resume, typer.Option(help="last: stop if it is damaged. last-good: set damaged checkpoints aside.")
    ] = Resume.LAST,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print the script of the training job.")] = False,
) -> None:
    """Submit a run to SLURM; the same command again finds its job, or resumes the run from its last checkpoint.

    Example: cxrpt submit mine.yaml --cluster configs/cluster/example.yaml cluster.train.nodes=4
    """
    from cxrpt.preflight import check_launch

    slurm.require_slurm()
    words, of_cluster = split_words(overrides or [])
    run, place = load_config(config, words), load_cluster(cluster, of_cluster)
    ranks = place.train.nodes * place.train.ranks_per_node
    prepared = check_launch(run, ranks, accept_data_change, resume is Resume.LAST_GOOD, place.train.nodes)
    call = TrainJob(run.run_dir.resolve(), accept_data_change, resume is Resume.LAST_GOOD, place.train.max_restarts)
    if dry_run:
        typer.echo(script_of(_training(run, place, Path("CODE"))))
        return
    slurm_folder(run.run_dir).mkdir(parents=True, exist_ok=True)
    with _alone(run.run_dir):
        _submit(run, place, call, ranks, prepared)


def _submit(run: RunConfig, place: ClusterConfig, call: TrainJob, ranks: int, prepared: Any) -> None:
    from cxrpt.checkpoint.store import committed_steps
    from cxrpt.eval.backlog import backlog
    from cxrpt.rundir import changed_settings, write_run_files

    jobs = submitted_jobs(run.run_dir)
    known = slurm.states([one.job for one in jobs])
    active = {
        kind: [one.job for one in jobs if one.kind == kind and known[one.job].is_active] for kind in ("train", "evaluate")
    }
    folder = slurm_folder(run.run_dir)
    if active["train"]:
        job = active["train"][0]
        typer.echo(f"{run.run_dir}: job {job} is at it ({known[job].state}); nothing was submitted or changed")
        _tell_next(run.run_dir)
        return
    done = (committed_steps(run.run_dir) or [0])[-1] >= run.train.steps
    if done and not backlog(run.run_dir, run):
        typer.echo(f"{run.run_dir} is done and evaluated: {run.train.steps} steps; cxrpt metrics {run.run_dir}")
        return
    if changed := changed_settings(run):
        typer.echo(f"cxrpt: {run.run_dir} was last started with other settings: {', '.join(changed)}", err=True)
    write_run_files(run, prepared.plan.fingerprint(), prepared.sources)
    (run.run_dir / "cluster.yaml").write_text(OmegaConf.to_yaml(OmegaConf.structured(place)))
    code = keep_code(folder)
    if not done:
        job = submit_job(_training(run, place, code), call)
        note_job(run.run_dir, new_job("train", job, place.train.nodes, ranks))
        typer.echo(f"training: job {job}, {place.train.nodes} nodes x {place.train.ranks_per_node} ranks")
    else:
        typer.echo(f"{run.run_dir} is done: {run.train.steps} steps")
    for _ in range(place.evaluate.workers - len(active["evaluate"])):
        try:
            job = submit_job(_evaluation(run, place, code), EvaluateJob(run.run_dir.resolve()))
        except InputError as error:
            goes_on = "" if done else f" (training goes on as job {submitted_jobs(run.run_dir)[-1].job})"
            raise InputError(f"only evaluation was refused{goes_on}: {error}") from None
        note_job(run.run_dir, new_job("evaluate", job))
        typer.echo(f"evaluation: job {job}")
    _tell_next(run.run_dir)


def _training(run: RunConfig, place: ClusterConfig, code: Path) -> Any:
    train = place.train
    return executor(
        slurm_folder(run.run_dir).resolve(), job_name(run.run_dir), place, train, code,
        nodes=train.nodes, ntasks_per_node=train.ranks_per_node,
        # SLURM itself sees to it that of two jobs of a run only one runs; the run's lease sees to the rest.
        dependency="singleton", teardown=_by_script(run.run_dir),
        additional={"signal": f"{train.signal}@{train.signal_delay_s}"},
    )  # fmt: skip


def _evaluation(run: RunConfig, place: ClusterConfig, code: Path) -> Any:
    signal = f"{place.train.signal}@{place.evaluate.signal_delay_s}"
    name = f"{job_name(run.run_dir)}-evaluate"
    return executor(
        slurm_folder(run.run_dir).resolve(), name, place, place.evaluate, code, nodes=1, ntasks_per_node=1,
        teardown=_by_script(run.run_dir),
        additional={"signal": signal},
    )  # fmt: skip


def _by_script(run_dir: Path) -> list[str]:
    """Lines that queue a job again whose tasks, in a container, could not."""
    note = again_note(run_dir.resolve(), "$SLURM_JOB_ID", "$restart")
    return requeue_lines(f'[ -e {shlex.quote(str(note.parent))}/"{note.name}" ]')


def job_name(run_dir: Path) -> str:
    """Of the training job: the run's name, and what tells it from a run of the same name elsewhere."""
    place = hashlib.sha256(str(run_dir.resolve()).encode()).hexdigest()[:8]
    return f"{run_dir.name}-{place}"


@contextmanager
def _alone(run_dir: Path) -> Iterator[None]:
    """Two submits of a run come one after the other."""
    with (slurm_folder(run_dir) / "submit.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError:
            raise InputError(f"{run_dir} lies on a file system without locks: name another folder with runs=FOLDER") from None
        yield


def _tell_next(run_dir: Path) -> None:
    run = shlex.quote(str(run_dir))
    typer.echo(f"next: cxrpt status {run} | cxrpt logs {run} -f | cxrpt stop {run}")
