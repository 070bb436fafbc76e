"""From a run directory and a cluster's file to jobs: sbatch scripts made and submitted by submitit.

RUN_DIR/slurm/
    code/<digest>/    the code that the jobs run, so that a checkout may change while they wait
    jobs.jsonl        {"kind": "train", "job": "4711", "time": ..., "nodes": 2, "ranks": 4}
    <job>/            script, pickled callable, stdout and stderr of each task
"""

import hashlib
import json
import re
import shlex
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import asdict, dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from cxrpt.errors import InputError
from launch.cluster_config import ClusterConfig, JobResources

_PACKAGES = ("cxrpt", "data_prep", "launch")


@dataclass(frozen=True)
class Submitted:
    """A job of a run."""

    kind: str
    """train, evaluate or prep."""
    job: str
    time: float
    nodes: int = 1
    ranks: int = 1


def slurm_folder(run_dir: Path) -> Path:
    """Where a run keeps what it has to do with SLURM."""
    return run_dir / "slurm"


def submitted_jobs(run_dir: Path) -> list[Submitted]:
    """The jobs of a run, first to last; lines that a full disk has torn are passed over."""
    try:
        lines = (slurm_folder(run_dir) / "jobs.jsonl").read_text(errors="replace").splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return []
    found = []
    for line in lines:
        with suppress(ValueError, TypeError):
            found.append(Submitted(**json.loads(line)))
    return found


def note_job(run_dir: Path, job: Submitted) -> None:
    """Add a job to those of the run."""
    path = slurm_folder(run_dir) / "jobs.jsonl"
    is_torn = path.exists() and not path.read_bytes().endswith(b"\n")
    with path.open("a") as file:
        # After a torn line, one of its own.
        file.write(("\n" if is_torn else "") + json.dumps(asdict(job)) + "\n")


def keep_code(folder: Path) -> Path:
    """A copy of the packages as they are now, kept once for equal contents.

    Returns:
        The folder to put first on the path of modules.
    """
    root = Path(__file__).parents[1]
    files = sorted(
        path
        for package in _PACKAGES
        for path in (root / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    )
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.relative_to(root)}\0{path.stat().st_size}\0".encode() + path.read_bytes())
    kept = folder / "code" / digest.hexdigest()[:16]
    if kept.exists():
        return kept
    draft = kept.with_suffix(".tmp")
    shutil.rmtree(draft, ignore_errors=True)
    for path in files:
        (draft / path.relative_to(root)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, draft / path.relative_to(root))
    draft.rename(kept)
    return kept


def executor(folder: Path, name: str, cluster: ClusterConfig, resources: JobResources, code: Path, **more: Any) -> Any:
    """submitit's executor for jobs of one kind.

    Args:
        folder: for scripts, pickles and output; all nodes see it.
        name: of the jobs.
        cluster: what all jobs share.
        resources: what these ask for.
        code: as `keep_code` gives it.
        more: other parameters of submitit.

    Raises:
        InputError: no SLURM, or an option that submitit does not take.
    """
    import submitit

    python, srun = _python(cluster)
    try:
        made = submitit.SlurmExecutor(folder / "%j", python=python)
    except RuntimeError:
        raise InputError(
            "no SLURM here (srun is not found): submit from a login node, or train here with `cxrpt pretrain`"
        ) from None
    threads = resources.cpus_per_task
    variables = {
        # Before the user's own, which may say otherwise.
        "OMP_NUM_THREADS": str(threads), "THP_MEM_ALLOC_ENABLE": "1", **cluster.environment,
        "PYTHONPATH": str(code.resolve()), "PYTHONSAFEPATH": "1",
    }  # fmt: skip
    setup = [*cluster.setup, *(f"export {key}={shlex.quote(value)}" for key, value in variables.items())]
    words = {
        "partition": resources.partition, "account": resources.account, "qos": resources.qos,
        "constraint": resources.constraint, "exclude": resources.exclude, "time": resources.time_min, "cpus_per_task": threads,
        "gpus_per_node": resources.gpus_per_node, "mem": f"{round(resources.mem_gb * 1024)}M" if resources.mem_gb else "",
    }  # fmt: skip
    extra: dict[str, Any] = {"requeue": True, "kill-on-invalid-dep": "yes"} | (
        {"reservation": resources.reservation} if resources.reservation else {}
    )
    # Ranks that remain when one has ended see to the job themselves, and then have time to say why.
    srun = [*srun, "--kill-on-bad-exit=0", "--wait=300"]
    made.update_parameters(
        job_name=name,
        **{key: value for key, value in words.items() if value},
        additional_parameters=extra | resources.options | more.pop("additional", {}),
        setup=setup,
        srun_args=srun,
        wckey=None,
        **more,
    )
    return made


def requeue_lines(condition: str) -> list[str]:
    """Lines of shell after srun, with its exit code in `$code`, that queue the job, or this task of an array, again.

    What was cancelled meanwhile stays so. The script ends with srun's code.
    """
    return [
        "code=$?",
        'job="${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID}"',
        'job="${job:-$SLURM_JOB_ID}"',
        'restart="${SLURM_RESTART_COUNT:-0}"',
        f'if {condition} && scontrol show job "$job" --oneliner | grep -q "JobState=RUNNING"',
        'then scontrol requeue "$job" && sleep 300',
        "fi",
        "exit $code",
    ]


def submit_job(made: Any, call: Callable[[], Any]) -> str:
    """Submit one callable; gives the job's number.

    Raises:
        InputError: SLURM refused it.
    """
    with _refusals():
        return str(made.submit(call).job_id)


def submit_array(made: Any, calls: Sequence[Callable[[], Any]]) -> str:
    """Submit an array with a task for each callable; gives its number.

    Raises:
        InputError: SLURM refused it.
    """
    with _refusals(), made.batch():
        jobs = [made.submit(call) for call in calls]
    return str(jobs[0].job_id).split("_")[0]


@contextmanager
def _refusals() -> Iterator[None]:
    """What sbatch says against a job, as one line; submitit would also copy it to the terminal."""
    from submitit.core.utils import FailedJobError

    try:
        with redirect_stderr(StringIO()), redirect_stdout(StringIO()):
            yield
    except FailedJobError as error:
        said = re.findall(r"sbatch: error: (.+)", str(error)) or [" ".join(str(error).split())[-300:]]
        raise InputError(f"SLURM refused the job ({'; '.join(said)}): `sinfo` shows partitions and limits") from None


def script_of(made: Any) -> str:
    """The sbatch script that `submit_job` would submit."""
    return str(made._make_submission_file_text(made._submitit_command_str, "dry-run"))


def new_job(kind: str, job: str, nodes: int = 1, ranks: int = 1) -> Submitted:
    """A job that was submitted just now."""
    return Submitted(kind, job, time.time(), nodes, ranks)


def _python(cluster: ClusterConfig) -> tuple[str | None, list[str]]:
    """Python as the job calls it, and words for srun."""
    container = cluster.container
    if container.kind == "apptainer":
        words = [
            "apptainer",
            "exec",
            "--nv",
            *(f"--bind={mount}" for mount in container.mounts),
            container.image,
            container.python,
        ]
        return shlex.join(words), []
    if container.kind == "pyxis":
        mounts = [f"--container-mounts={','.join(container.mounts)}"] if container.mounts else []
        return container.python, [f"--container-image={container.image}", *mounts]
    return None, []
