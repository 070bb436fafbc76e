"""The trainer's side of the loader: starts workers, takes their batches in turn, and ends them.

    trainer ──(dataset, number, of how many)──► worker        over a socket
            ◄──("batch", slot, bytes, form)──                  the batch itself lies in a shared slot
            ──(slot)──► once the batch is copied, pinned for a GPU

Not torch's DataLoader: that passes each tensor of a batch as an open file of its own, raises a worker's death in the
midst of whatever the trainer does, and lets a worker killed while it holds the queue's lock stop all others.
"""

import contextlib
import itertools
import logging
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Iterator
from multiprocessing import Pipe
from typing import Any

import torch

from cxrpt.data.batch import Batch
from cxrpt.data.flat_batch import flatten, restore
from cxrpt.data.loading.micro_batches import MicroBatches
from cxrpt.data.loading.shared_slots import SharedSlots, new_slot_files
from cxrpt.preempt import STOP_SIGNALS

_SILENCE_S = 60.0
_FAREWELL_S = 5.0
_ENVIRONMENT = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
# Batches of megabytes are kept by the allocator and not given back after each: their page faults would take a fifth of the
# time at 512 pixels.
_ENVIRONMENT |= {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(256 << 20)}

log = logging.getLogger(__name__)


class WorkerEndedError(RuntimeError):
    """A loader worker is gone that nobody told to go."""


def batches_here(dataset: MicroBatches, pin: bool) -> Generator[Batch, None, None]:
    """Micro-batches made in this process."""
    for batch in dataset.every(0, 1):
        if pin:
            flat = flatten(batch)
            block = torch.empty(flat.num_bytes, dtype=torch.uint8, pin_memory=True)
            flat.write(block.numpy())
            yield restore(flat.form, block)
        else:
            yield batch.map(torch.from_numpy)


def batches_of_workers(dataset: MicroBatches, workers: int, prefetch: int, pin: bool) -> Generator[Batch, None, None]:
    """Micro-batches made by worker processes; closing the generator ends them."""
    with worker_pool(dataset, workers, prefetch) as pool:
        for worker in itertools.cycle(pool):
            yield worker.next_batch(pin)


@contextlib.contextmanager
def worker_pool(dataset: MicroBatches, workers: int, prefetch: int) -> Iterator[list["Worker"]]:
    """Running workers, worker n at micro-batches n, n + workers and so on; none is left when the block is left."""
    pool: list[Worker] = []
    try:
        # A signal to the whole process group must not end a worker before it has come to ignore it: workers are born
        # with the mask, and the trainer gets its signals a moment later.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        try:
            for number in range(workers):
                pool.append(Worker(number, workers, prefetch))
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        parcel = pickle.dumps(dataset)
        for worker in pool:
            worker.begin(parcel)
        yield pool
    finally:
        for worker in pool:
            worker.hang_up()
        until = time.monotonic() + _FAREWELL_S
        for worker in pool:
            worker.end(max(0.0, until - time.monotonic()))


class Worker:
    """One worker process."""

    def __init__(self, number: int, workers: int, prefetch: int):
        self._number, self._workers, self._prefetch = number, workers, prefetch
        self._line, theirs = Pipe()
        files = new_slot_files(prefetch)
        command = [sys.executable, "-P", "-m", "cxrpt.data.loading.loader_worker", *map(str, (theirs.fileno(), *files))]
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno(), *files], env=os.environ | _ENVIRONMENT
        )
        theirs.close()
        self._slots = SharedSlots(files)

    def begin(self, parcel: bytes) -> None:
        """Send the pickled dataset."""
        try:
            self._line.send((self._number, self._workers))
            self._line.send_bytes(parcel)
        except OSError:
            raise self._ended() from None

    def next_batch(self, pin: bool) -> Batch:
        """The worker's next micro-batch, once it is there.

        Raises:
            WorkerEndedError: the worker was killed.
            Exception: whatever ended the worker's work; its traceback there is the cause.
        """
        while True:
            kind, *content = self._next_message()
            if kind == "batch":
                slot, num_bytes, form = content
                block = torch.empty(num_bytes, dtype=torch.uint8, pin_memory=pin)
                block.numpy()[:] = self._slots.room(slot, num_bytes)
                with contextlib.suppress(OSError):  # a worker that is gone is told of when it is asked for more
                    self._line.send(slot)
                return restore(form, block)
            if kind == "log":
                logger = logging.getLogger(content[0].name)
                if logger.isEnabledFor(content[0].levelno):
                    logger.handle(content[0])
            else:
                error, there = content
                raise pickle.loads(error) from RuntimeError(f"in loader worker {self._number}:\n{there}")

    def _next_message(self) -> tuple[Any, ...]:
        try:
            waited = 0.0
            while not self._line.poll(_SILENCE_S):
                waited += _SILENCE_S
                log.warning("waiting for loader worker %d (pid %d) for %.0f s", self._number, self.process.pid, waited)
            return self._line.recv()
        except (EOFError, ConnectionResetError):
            raise self._ended() from None

    def _ended(self) -> WorkerEndedError:
        try:
            code = self.process.wait(_FAREWELL_S)
        except subprocess.TimeoutExpired:
            return WorkerEndedError(
                f"loader worker {self._number} (pid {self.process.pid}) hung up: see the log for the reason"
            )
        who = f"loader worker {self._number} (pid {self.process.pid})"
        less = f"give the job more memory, or lower data.workers={self._workers} or data.prefetch={self._prefetch}"
        if code == -signal.SIGKILL:
            return WorkerEndedError(f"{who} was killed, which is mostly the kernel's answer to a want of memory: {less}")
        if code < 0:
            return WorkerEndedError(f"{who} was ended by {signal.Signals(-code).name}: data.workers=0 shows where")
        return WorkerEndedError(f"{who} ended with code {code}: data.workers=0 shows why")

    def hang_up(self) -> None:
        """Tell the worker to end, whatever it is at."""
        self._line.close()

    def end(self, patience_s: float) -> None:
        """Wait for the worker's end, and force it if it does not come."""
        try:
            self.process.wait(patience_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            # One that waits for a file system that is away cannot even be killed, and must not keep the trainer.
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(_FAREWELL_S)
        self._slots.close()
