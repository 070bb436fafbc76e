"""One loader worker, started by `worker_pool` as `python -m cxrpt.data.loading.loader_worker SOCKET SLOT...` (open files).

It makes every n-th micro-batch of its rank, lays each into a free slot and tells the trainer. Stop signals do not reach it:
they go to whole process groups, and the trainer needs batches until its save. It ends with the trainer, however that ends.
"""

import contextlib
import logging
import logging.handlers
import os
import pickle
import select
import signal
import sys
import threading
import traceback
from collections import deque
from multiprocessing.connection import Connection
from typing import Any

from cxrpt.errors import InputError
from cxrpt.preempt import STOP_SIGNALS


class _Line:
    """The socket to the trainer; what is logged in any thread goes the same way as batches."""

    def __init__(self, file: int):
        self._connection = Connection(file)
        self._lock = threading.Lock()

    def send(self, *message: Any) -> None:
        with self._lock:
            self._connection.send(message)

    def receive(self) -> Any:
        return self._connection.recv()

    def receive_bytes(self) -> bytes:
        return self._connection.recv_bytes()

    def waits(self) -> bool:
        return self._connection.poll()


class _ToTrainer(logging.handlers.QueueHandler):
    def __init__(self, line: _Line):
        super().__init__(line)  # type: ignore[arg-type]  # `enqueue` is all that knows what it is

    def enqueue(self, record: logging.LogRecord) -> None:
        self.queue.send("log", record)  # type: ignore[attr-defined]


def main() -> None:
    """Serve until the trainer hangs up."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    socket, *files = map(int, sys.argv[1:])
    threading.Thread(target=_end_with_trainer, args=(socket,), daemon=True).start()
    line = _Line(socket)
    logging.getLogger().addHandler(_ToTrainer(line))
    logging.getLogger("cxrpt").setLevel(logging.INFO)
    logging.captureWarnings(True)
    logging.raiseExceptions = False  # of a line that the trainer has hung up
    try:
        _serve(line, files)
    except (EOFError, ConnectionError):
        return  # the trainer has hung up
    except Exception as error:
        with contextlib.suppress(ConnectionError):
            line.send("error", _portable(error), traceback.format_exc())


def _end_with_trainer(socket: int) -> None:
    watch = select.poll()
    watch.register(socket, 0)  # a hang-up is told without being asked for
    watch.poll()
    os._exit(0)


def _serve(line: _Line, files: list[int]) -> None:
    number, workers = line.receive()
    parcel = line.receive_bytes()
    import cv2

    from cxrpt.data.flat_batch import flatten
    from cxrpt.data.loading.shared_slots import SharedSlots

    cv2.setNumThreads(1)
    slots = SharedSlots(files)
    free = deque(range(len(slots)))
    for batch in pickle.loads(parcel).every(number, workers):
        flat = flatten(batch)
        while not free or line.waits():
            free.append(line.receive())
        slot = free.popleft()
        flat.write(slots.room(slot, flat.num_bytes))
        line.send("batch", slot, flat.num_bytes, flat.form)


def _portable(error: Exception) -> bytes:
    """The error pickled, or what it says where it does not pickle."""
    if isinstance(error, InputError):
        return pickle.dumps(InputError(str(error)))
    try:
        packed = pickle.dumps(error)
        pickle.loads(packed)
        return packed
    except Exception:
        return pickle.dumps(RuntimeError(f"{type(error).__name__}: {error}"))


if __name__ == "__main__":
    main()
