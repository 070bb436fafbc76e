"""Whether this machine has room for the ranks of a run and their loader workers, found before they start."""

import os
import sys
from dataclasses import dataclass

from cxrpt import machine
from cxrpt.config import DataConfig
from cxrpt.data.loading.micro_batches import MicroBatches
from cxrpt.errors import InputError

_OPEN_FILES = 640
"""Open files of a process, batches not counted: 256 shards with an index each, libraries, sockets."""


@dataclass(frozen=True)
class LoaderCost:
    """What one loader worker takes."""

    private_bytes: int
    """Memory of its own."""
    batch_bytes: int
    """A micro-batch in a slot."""


def check_machine(dataset: MicroBatches, data: DataConfig, ranks: int) -> None:
    """Whether memory, open files and processors of this machine suffice for so many ranks and their workers.

    One worker is started and makes the run's next micro-batch: what it takes is measured, and a shard that it cannot read
    is found before any rank starts. More workers than processors is only worth a line.

    Raises:
        InputError: memory or open files do not suffice, or as `MicroBatches.arrays`.
    """
    workers, prefetch = data.workers, data.prefetch
    files = machine.raise_open_files()
    needed_files = _OPEN_FILES + workers * (prefetch + 1)
    if files < needed_files:
        raise InputError(
            f"a process may open {files} files here and a rank needs up to {needed_files}: raise the limit (`ulimit -n`, or "
            f"--ulimit nofile={needed_files} of docker), or lower data.workers={workers} or data.prefetch={prefetch}"
        )
    cost = measure_worker(dataset) if workers else LoaderCost(0, 0)
    check_memory(machine.free_memory_bytes(), machine.private_bytes(os.getpid()), cost, ranks, data)
    cores = machine.num_cores()
    if ranks * workers > cores:
        sys.stderr.write(
            f"cxrpt: {ranks * workers} loader workers (data.workers={workers}, {ranks} ranks) share {cores} cores: "
            f"data.workers={cores // ranks} may be as fast\n"
        )


def measure_worker(dataset: MicroBatches) -> LoaderCost:
    """What a worker takes that has made its first micro-batch.

    Raises:
        InputError: as `MicroBatches.arrays`; the worker was killed.
    """
    from cxrpt.data.loading.worker_pool import WorkerEndedError, worker_pool

    try:
        with worker_pool(dataset, 1, 1) as (worker,):
            batch = worker.next_batch(pin=False)
            return LoaderCost(machine.private_bytes(worker.process.pid), batch.order_N.untyped_storage().nbytes())
    except WorkerEndedError as error:
        raise InputError(f"before the run: {error}") from None


def check_memory(free_bytes: int, rank_bytes: int, cost: LoaderCost, ranks: int, data: DataConfig) -> None:
    """Raise InputError if ranks and workers, before any model, take more than is free."""
    of_worker = cost.private_bytes + data.prefetch * cost.batch_bytes
    needed = ranks * (rank_bytes + data.workers * of_worker)
    if needed <= free_bytes:
        return
    fit = (free_bytes // ranks - rank_bytes) // of_worker if of_worker else 0
    mend = f"set data.workers={fit}, lower data.prefetch, or " if fit > 0 else ""
    raise InputError(
        f"{ranks} ranks need {_size(needed)} of memory before they hold a model, and {_size(free_bytes)} are free "
        f"({_size(rank_bytes)} a rank, data.workers={data.workers} of {_size(cost.private_bytes)}, "
        f"data.prefetch={data.prefetch} micro-batches of {_size(cost.batch_bytes)}): {mend}give the job more memory"
    )


def _size(num_bytes: int) -> str:
    return f"{num_bytes / 2**30:.1f} GiB" if num_bytes >= 2**30 else f"{num_bytes / 2**20:.1f} MiB"
