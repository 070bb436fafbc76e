"""Which rank this process is and how it meets the others: the only reader of RANK, WORLD_SIZE and SLURM_*.

Local ranks meet through a file, so that no port can be taken by another; ranks of a SLURM job through a TCP port of the first
one, which it picks itself and writes into the run directory.
"""

import os
import socket
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from torch.distributed.rendezvous import rendezvous

from cxrpt.errors import InputError

RENDEZVOUS = "CXRPT_RENDEZVOUS"
"""Environment variable with torch's init_method, such as file:///... or tcp://host:port."""

_MEETING_S = 900.0
"""The longest that ranks wait for each other to start."""
_COLLECTIVES_S = 1800.0
_OF_HANG_TIMEOUT = 5
"""A collective ends by itself only long after the watchdog, which says more, has found what hangs; see its SLOW_FACTOR."""


@dataclass(frozen=True)
class World:
    """This process's place."""

    rank: int
    size: int
    local_size: int
    """Ranks of this node."""
    device: torch.device
    job: str = ""
    """Number of the SLURM job; empty outside."""

    @property
    def is_first(self) -> bool:
        return self.rank == 0


def choose_device(wanted: str, local_rank: int) -> torch.device:
    """The device of a rank.

    Args:
        wanted: auto, cpu or cuda.
        local_rank: number of the rank on its node.

    Raises:
        InputError: cuda is wanted and there is none, or fewer of them than ranks on this node.
    """
    available = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if wanted == "cpu" or (wanted == "auto" and not available):
        return torch.device("cpu")
    if local_rank >= available:
        raise InputError(
            f"engine.device={wanted}: rank {local_rank} of this node needs a CUDA device of its own and {available} are there: "
            f"use at most {available} ranks a node, or engine.device=cpu"
        )
    return torch.device("cuda", local_rank)


def use_deterministic_kernels() -> None:
    """Let this process call only kernels that give the same bits every time; before anything is done on a GPU."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def local_environment(rank: int, size: int, rendezvous: str, threads: int) -> dict[str, str]:
    """What the local launcher sets for one of `size` ranks on this machine; `threads` 0 leaves the thread count alone."""
    environment = {"RANK": rank, "WORLD_SIZE": size, "LOCAL_RANK": rank, "LOCAL_SIZE": size, RENDEZVOUS: rendezvous}
    # torch on the CPU takes large tensors from huge pages: a step of ZeRO 1 touches fresh memory three times its gradient.
    environment["THP_MEM_ALLOC_ENABLE"] = 1
    if threads:
        environment["OMP_NUM_THREADS"] = threads
    return {name: str(value) for name, value in environment.items()}


@dataclass(frozen=True)
class SlurmTask:
    """What SLURM says of this process, a task of a job step."""

    job: str
    restart: int
    """How often the job was queued again."""
    rank: int
    size: int
    local_rank: int
    local_size: int
    node: str


def slurm_task() -> SlurmTask | None:
    """This process's place in its SLURM job; None outside of one, and for what a local launcher started in a job."""
    if "SLURM_PROCID" not in os.environ or "RANK" in os.environ:
        return None
    rank, size, local_rank, nodes, restart = (
        int(os.environ.get(name, default))
        for name, default in (
            ("SLURM_PROCID", "0"), ("SLURM_NTASKS", "1"), ("SLURM_LOCALID", "0"), ("SLURM_NNODES", "1"),
            ("SLURM_RESTART_COUNT", "0"),
        )
    )  # fmt: skip
    node = os.environ.get("SLURMD_NODENAME") or socket.gethostname()
    return SlurmTask(os.environ["SLURM_JOB_ID"], restart, rank, size, local_rank, size // nodes, node)


def join_world(device: str, hang_timeout_s: float, meeting: Path | None = None) -> World:
    """Read this process's place and meet the other ranks; a process started by hand is a world of one.

    Tensors on the CPU go between ranks by gloo on every machine, those on a GPU by nccl: what the host has to say to other
    hosts never waits for a GPU.

    Args:
        device: auto, cpu or cuda.
        hang_timeout_s: bound of the watchdog, 0 without one.
        meeting: folder, seen by all nodes, in which the ranks of a SLURM job find each other.
    """
    task = slurm_task()
    if task is not None:
        rank, size, local_rank, local_size = task.rank, task.size, task.local_rank, task.local_size
    else:
        values = (("RANK", "0"), ("WORLD_SIZE", "1"), ("LOCAL_RANK", "0"))
        rank, size, local_rank = (int(os.environ.get(name, default)) for name, default in values)
        local_size = int(os.environ.get("LOCAL_SIZE") or os.environ.get("LOCAL_WORLD_SIZE", "1"))
    world = World(rank, size, local_size, choose_device(device, local_rank), task.job if task else "")
    if world.device.type == "cuda":
        torch.cuda.set_device(world.device)
    # DeepSpeed asks the environment for these even when the process group is already there.
    os.environ.update({"RANK": str(rank), "WORLD_SIZE": str(size), "LOCAL_RANK": str(local_rank)})
    os.environ.setdefault("MASTER_ADDR", "127.0.0.1")
    os.environ.setdefault("MASTER_PORT", "29500")
    method = os.environ.get(RENDEZVOUS) or (f"tcp://127.0.0.1:{_free_port()}" if size == 1 else "env://")
    if task is not None and size > 1 and meeting is not None and RENDEZVOUS not in os.environ:
        method = _meet(task, meeting)
    backend = "cpu:gloo,cuda:nccl" if world.device.type == "cuda" else "gloo"
    try:
        store, _, _ = next(rendezvous(method, rank, size, timeout=timedelta(seconds=_MEETING_S)))
    except dist.DistError as error:
        raise RuntimeError(
            f"not all of {size} ranks came within {_MEETING_S:.0f} s: have all nodes started? ({error})"
        ) from None
    dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=_collective_timeout(hang_timeout_s))
    return world


def _meet(task: SlurmTask, folder: Path) -> str:
    """Where the ranks of a job meet: rank 0 picks a free port of its node and writes it down, the others read it.

    A port that were made of the job's number could be another job's.
    """
    place = folder / f"{task.job}-{task.restart}"
    if task.rank == 0:
        folder.mkdir(exist_ok=True)
        # Of earlier starts; what other jobs of the run note there has a suffix.
        for old in folder.iterdir():
            if not old.suffix:
                old.unlink(missing_ok=True)
        draft = place.with_suffix(".tmp")
        draft.write_text(f"tcp://{task.node}:{_free_port('')}")
        draft.replace(place)
    until = time.monotonic() + _MEETING_S
    while True:
        try:
            return place.read_text()
        except FileNotFoundError:
            if time.monotonic() > until:
                raise RuntimeError(f"rank 0 did not come within {_MEETING_S:.0f} s: has its node started?") from None
        time.sleep(0.2)


def fit_timeouts(hang_timeout_s: float) -> None:
    """Give groups that others have made (DeepSpeed's, by torch's default 10 minutes with nccl) the bound of the first one."""
    for group in dist.distributed_c10d._world.pg_map:
        dist.distributed_c10d._set_pg_timeout(_collective_timeout(hang_timeout_s), group)


def _collective_timeout(hang_timeout_s: float) -> timedelta:
    return timedelta(seconds=max(_COLLECTIVES_S, _OF_HANG_TIMEOUT * hang_timeout_s))


def leave_world() -> None:
    """End the process group, if there is one."""
    if dist.is_initialized():
        dist.destroy_process_group()


def _free_port(address: str = "127.0.0.1") -> int:
    with socket.socket() as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])
