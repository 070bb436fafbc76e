"""What a cluster is asked for: one yaml file for each cluster, beside the configuration of the run.

cxrpt submit mine.yaml --cluster configs/cluster/NAME.yaml cluster.train.nodes=4
"""

import re
import signal
from dataclasses import dataclass, field
from pathlib import Path

from cxrpt.config_layers import read_layers
from cxrpt.config_rules import STOP_SIGNAL_NAMES, require
from cxrpt.errors import InputError

# TOKENIZERS_PARALLELISM and MAX_TOKENS are none, though the word begins so.
_SECRET = re.compile(r"token(?![a-z])|secret|passw|passphrase|_pwd|credential|(api|access|private)_?key", re.IGNORECASE)


@dataclass
class JobResources:
    """What any job asks of SLURM; empty or 0 leaves it to the cluster."""

    partition: str = ""
    """As `sbatch --partition`; so are the five below by their names."""
    account: str = ""
    """Who is charged."""
    qos: str = ""
    """Quality of service."""
    constraint: str = ""
    """Features that a node must have, as "h200"."""
    reservation: str = ""
    """Reserved nodes to take."""
    exclude: str = ""
    """Nodes that are not to be used."""
    time_min: int = 1440
    """Time limit. A training or evaluation job that reaches it saves and is queued again."""
    mem_gb: float = 0.0
    """Memory of a node."""
    cpus_per_task: int = 1
    """Cores of a rank, of a worker or of a task of `prep`."""
    gpus_per_node: int = 0
    """GPUs of a node; a rank takes one."""
    options: dict[str, str] = field(default_factory=dict)
    """Other options of sbatch, as {nodelist: "n1,n2"}."""


@dataclass
class TrainResources(JobResources):
    """The training job."""

    nodes: int = 1
    """Nodes of the training job."""
    ranks_per_node: int = 1
    """Training processes of a node: as many as it has GPUs."""
    signal: str = "USR2"
    """Signal that SLURM sends before the time limit (and, where the cluster says so, before a pre-emption); NCCL takes USR1."""
    signal_delay_s: int = 120
    """How long before the time limit; SLURM may be up to a minute early. It must suffice for a step and a save."""
    max_restarts: int = 3
    """Starts in a row, after the first, that may end without a new checkpoint; one more is not made."""


@dataclass
class EvaluateResources(JobResources):
    """The evaluation workers, each a job of its own; 0 of them leaves evaluation to `cxrpt evaluate`."""

    workers: int = 1
    """Jobs that evaluate checkpoints as they come."""
    signal_delay_s: int = 60
    """How long before the time limit a worker is told, gives its work back, and is queued again."""


@dataclass
class PrepResources(JobResources):
    """The tasks of an array that builds shards."""

    tasks: int = 8
    """Tasks of the array, each with its share of the files."""
    at_once: int = 0
    """Tasks that may run at one time; 0 sets no limit."""
    retries: int = 2
    """How often a task that failed is started again."""


@dataclass
class ContainerConfig:
    """An image that the jobs run in; it holds cxrpt's packages, the code comes from the run directory."""

    kind: str = ""
    """apptainer, pyxis, or empty for none."""
    image: str = ""
    """A .sif file for apptainer; what pyxis takes as --container-image."""
    mounts: list[str] = field(default_factory=list)
    """Folders as HOST:CONTAINER, those of the run directory and of the shards among them."""
    python: str = "python3"
    """Python inside the image."""


@dataclass
class ClusterConfig:
    """The root: one cluster."""

    train: TrainResources = field(default_factory=TrainResources)
    evaluate: EvaluateResources = field(default_factory=EvaluateResources)
    prep: PrepResources = field(default_factory=PrepResources)
    container: ContainerConfig = field(default_factory=ContainerConfig)
    environment: dict[str, str] = field(default_factory=dict)
    """Variables of all jobs. Credentials do not belong here: jobs have the variables of the shell that submits them."""
    setup: list[str] = field(default_factory=list)
    """Lines of shell that run on the first node before the ranks start, as `module load cuda`."""


PREFIX = "cluster."
"""Begins words of the command line that are meant for the cluster's file."""


def load_cluster(path: Path, overrides: list[str]) -> ClusterConfig:
    """Read a cluster's file, and words without their PREFIX.

    Raises:
        InputError: as `read_layers`, or a value out of its range.
    """
    config = read_layers(ClusterConfig, path, overrides, f"words {PREFIX}*")
    _check(config)
    return config


def split_words(words: list[str]) -> tuple[list[str], list[str]]:
    """Words meant for the run, and words meant for the cluster, without their PREFIX."""
    of_cluster = [word.removeprefix(PREFIX) for word in words if word.startswith(PREFIX)]
    return [word for word in words if not word.startswith(PREFIX)], of_cluster


def _check(config: ClusterConfig) -> None:
    train, container = config.train, config.container
    for section in ("train", "evaluate", "prep"):
        job: JobResources = getattr(config, section)
        for key in ("time_min", "cpus_per_task"):
            require(getattr(job, key) > 0, f"{PREFIX}{section}.{key}", getattr(job, key), "must be above 0")
        for key in ("mem_gb", "gpus_per_node"):
            require(
                getattr(job, key) >= 0,
                f"{PREFIX}{section}.{key}",
                getattr(job, key),
                "must be 0 (the cluster's default) or more",
            )
    for key in ("nodes", "ranks_per_node"):
        require(getattr(train, key) > 0, f"{PREFIX}train.{key}", getattr(train, key), "must be above 0")
    require(train.max_restarts >= 0, PREFIX + "train.max_restarts", train.max_restarts, "must be 0 or more")
    require(config.evaluate.workers >= 0, PREFIX + "evaluate.workers", config.evaluate.workers, "must be 0 (none) or more")
    for key, value in (("at_once", config.prep.at_once), ("retries", config.prep.retries)):
        require(value >= 0, f"{PREFIX}prep.{key}", value, "must be 0 or more")
    require(config.prep.tasks > 0, PREFIX + "prep.tasks", config.prep.tasks, "must be above 0")
    require(
        train.signal in STOP_SIGNAL_NAMES and hasattr(signal, f"SIG{train.signal}"),
        PREFIX + "train.signal", train.signal, f"must be one of {', '.join(STOP_SIGNAL_NAMES)}",
    )  # fmt: skip
    for section, delay in (("train", train.signal_delay_s), ("evaluate", config.evaluate.signal_delay_s)):
        limit = getattr(config, section).time_min * 60
        require(
            0 < delay < limit, f"{PREFIX}{section}.signal_delay_s", delay, f"must lie between 0 and the time limit, {limit} s"
        )
    require(
        container.kind in ("", "apptainer", "pyxis"),
        PREFIX + "container.kind",
        container.kind,
        "must be apptainer, pyxis or empty",
    )
    require(not container.kind or bool(container.image), PREFIX + "container.image", "", "name the image")
    for name in config.environment:
        if _SECRET.search(name):
            raise InputError(
                f"environment.{name}: credentials are kept in no file: take the line out, and export {name} in the shell that "
                "submits: its jobs have it"
            )
