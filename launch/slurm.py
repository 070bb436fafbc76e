"""What SLURM says of jobs, and what it is told of them: its own commands, read into plain records.

squeue knows jobs that wait or run, sacct those that have ended; without accounting, a job that squeue has forgotten is GONE.
"""

import shutil
import subprocess
from dataclasses import dataclass

from cxrpt.errors import InputError

GONE = "GONE"
"""State of a job of which SLURM knows nothing any more."""
WAITING = ("PENDING", "REQUEUED", "REQUEUE_HOLD", "SPECIAL_EXIT", "SUSPENDED", "RESV_DEL_HOLD", "REQUEUE_FED")
RUNNING = ("RUNNING", "CONFIGURING", "COMPLETING", "STAGE_OUT", "SIGNALING", "STOPPED", "RESIZING")
_SECONDS = 60


@dataclass(frozen=True)
class JobState:
    """One job, or one task of an array."""

    job: str
    state: str
    """As SLURM writes it, as RUNNING or NODE_FAIL."""
    reason: str = ""
    """Why it waits."""
    nodes: str = ""

    @property
    def is_active(self) -> bool:
        """Whether it waits or runs."""
        return self.state in WAITING or self.state in RUNNING


def require_slurm() -> None:
    """Raise InputError where there is no SLURM."""
    if shutil.which("sbatch") is None or shutil.which("srun") is None:
        raise InputError("no SLURM here (sbatch is not found): submit from a login node, or train here with `cxrpt pretrain`")


def has_slurm() -> bool:
    """Whether this machine can ask a cluster."""
    return shutil.which("squeue") is not None


def states(jobs: list[str]) -> dict[str, JobState]:
    """The state of each job; of an array, of each of its tasks that SLURM knows, as ID_TASK.

    Raises:
        InputError: SLURM does not answer.
    """
    if not jobs:
        return {}
    found = _ended(jobs) | _queued(jobs)
    known = {name.split("_")[0] for name in found}
    return found | {job: JobState(job, GONE) for job in jobs if job not in known and job not in found}


def _queued(jobs: list[str]) -> dict[str, JobState]:
    # squeue complains of a number that it has forgotten, but not beside one that it knows: all of the user's are asked for.
    words = ["squeue", "--me", "--noheader", "--array", "--states=all", "--format=%i|%T|%r|%N"]
    found = {}
    for line in _asked(words).splitlines():
        name, state, reason, nodes = line.split("|", 3)
        if name in jobs or name.split("_")[0] in jobs:
            found[name] = JobState(name, state, "" if reason == "None" else reason, nodes)
    return found


def _ended(jobs: list[str]) -> dict[str, JobState]:
    words = ["sacct", "--noheader", "--parsable2", "--allocations", "--array", "--format=JobID,State,NodeList"]
    try:
        told = _asked([*words, "--jobs", ",".join(jobs)])
    except (InputError, FileNotFoundError):
        return {}  # accounting is off, or away: squeue remains
    found = {}
    for line in told.splitlines():
        name, state, nodes = line.split("|")
        found[name] = JobState(name, state.split()[0], nodes=nodes)
    return found


def restarts(job: str) -> tuple[str, int]:
    """State of a job and how often it was queued again.

    Raises:
        InputError: SLURM does not know it, or does not answer.
    """
    fields = dict(word.split("=", 1) for word in _asked(["scontrol", "show", "job", job, "--oneliner"]).split() if "=" in word)
    return fields.get("JobState", GONE), int(fields.get("Restarts", 0))


def requeue(job: str) -> None:
    """Queue a job that runs again; it is killed."""
    _asked(["scontrol", "requeue", job])


def cancel(jobs: list[str]) -> None:
    """End jobs, without a save."""
    _asked(["scancel", *jobs])


def send_signal(job: str, name: str) -> None:
    """Send a signal to all tasks of a job that runs."""
    _asked(["scancel", f"--signal={name}", job])


def _asked(words: list[str]) -> str:
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=_SECONDS)
    except subprocess.TimeoutExpired:
        raise InputError(f"SLURM does not answer ({words[0]}, {_SECONDS} s): try again later") from None
    except FileNotFoundError:
        raise InputError(f"no SLURM here ({words[0]} is not found)") from None
    if done.returncode:
        said = " ".join(done.stderr.split()) or f"code {done.returncode}"
        what = "does not answer" if words[0] in ("squeue", "sacct") else "refused"
        raise InputError(f"SLURM {what} ({words[0]}): {said}")
    return done.stdout
