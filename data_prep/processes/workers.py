"""Run chunks of items over processes that may die: a codec that crashes or hangs costs its own file, nothing else.

chunks ──► pool ──► results, in the order in which they finish
            └ a worker dies: when all else is done, its chunk again, alone; then item by item; who kills alone is spoiled

A hang is made a death: `item_limits` has the kernel kill the process once an item has used up its processor time (or, where
a file system hangs, a multiple of it on the clock), since no code of ours runs while a codec holds the interpreter.
Processor time hardly depends on what else the machine does, and no verdict is passed but on an item tried alone.
"""

import contextlib
import logging
import multiprocessing
import os
import resource
import signal
import sys
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from multiprocessing import forkserver
from typing import Any, TypeVar

from pebble import ProcessExpired, ProcessPool
from threadpoolctl import threadpool_limits

from data_prep.ledger import Reason

Item = TypeVar("Item")
Result = TypeVar("Result")
Work = Callable[[int, Sequence[Item], Mapping[int, Reason]], Result]

WORKER_BYTES = 1024**3
"""What a worker may hold; what asks for more is refused as `too_much_memory`."""
CHUNKS_A_WORKER = 64
"""A worker is replaced after so many chunks: codecs leak."""
CLOCK_FACTOR = 20
"""Seconds on the clock for each second of processor time that an item may use."""
_TRIES_OF_A_CHUNK = 3


def run_chunks(
    work: Callable[[int, Sequence[Item], Mapping[int, Reason]], Result],
    chunks: Sequence[tuple[int, Sequence[Item]]],
    processes: int,
) -> Iterator[tuple[int, Result]]:
    """Yield (number, result) of `work(number, items, spoiled)` for every numbered chunk, as they finish.

    `spoiled` says of items by their place why they kill a process even when tried alone; `work` must not touch them. An
    exception of `work` ends the run: it is for the machine's failures (a full disk), not for an item's.
    """
    suspects: list[tuple[int, Sequence[Item]]] = []
    with _pool(min(processes, len(chunks))) as pool:
        for (number, items), future in _as_they_finish(pool, work, chunks, 2 * processes):
            try:
                result = future.result()
            except ProcessExpired:
                suspects.append((number, items))
                continue
            yield number, result
    if suspects:
        with _pool(1) as pool:
            for number, items in sorted(suspects):
                yield number, _run_suspect(pool, work, number, items)


def _as_they_finish(
    pool: ProcessPool, work: Work[Item, Result], chunks: Sequence[tuple[int, Sequence[Item]]], most: int
) -> Iterator[tuple[tuple[int, Sequence[Item]], Future[Any]]]:
    """Chunks with their finished futures; at most `most` of them wait in the pool, as chunks may hold much text."""
    waiting = deque(chunks)
    in_flight: dict[Future[Any], tuple[int, Sequence[Item]]] = {}
    while waiting or in_flight:
        while waiting and len(in_flight) < most:
            chunk = waiting.popleft()
            in_flight[pool.schedule(work, args=(*chunk, {}))] = chunk
        for future in wait(in_flight, return_when=FIRST_COMPLETED).done:
            yield in_flight.pop(future), future


def _run_suspect(pool: ProcessPool, work: Work[Item, Result], number: int, items: Sequence[Item]) -> Result:
    """A chunk during which a worker died: again as a whole, then item by item to find who kills."""
    spoiled: dict[int, Reason] = {}
    for _ in range(_TRIES_OF_A_CHUNK):
        with contextlib.suppress(ProcessExpired):
            return pool.schedule(work, args=(number, items, spoiled)).result()
        for place, item in enumerate(items):
            if place in spoiled:
                continue
            try:
                # What `work` keeps of this must not be taken for the chunk's: it has one item.
                pool.schedule(work, args=(number, [item], {})).result()
            except ProcessExpired as error:
                spoiled[place] = _reason_of(error)
    # Items that kill only together with others: which of them, nobody can say.
    everyone = {place: spoiled.get(place, Reason.CRASHED) for place in range(len(items))}
    return pool.schedule(work, args=(number, items, everyone)).result()


def _reason_of(error: ProcessExpired) -> Reason:
    return Reason.TIMED_OUT if error.exitcode in (-signal.SIGPROF, -signal.SIGALRM) else Reason.CRASHED


@contextlib.contextmanager
def item_limits(seconds: float) -> Iterator[None]:
    """The kernel kills this process if the block takes more than `seconds` of processor time; for workers only."""
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.setitimer(signal.ITIMER_REAL, seconds * CLOCK_FACTOR)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)


@contextlib.contextmanager
def _pool(processes: int) -> Iterator[ProcessPool]:
    # Fork would copy the threads of the progress display in whatever state they are.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["data_prep.build.convert"])
    with _silent():
        forkserver.ensure_running()
    pool = ProcessPool(max(1, processes), CHUNKS_A_WORKER, initializer=_start_worker, context=context)
    try:
        yield pool
        pool.close()
    except BaseException:
        pool.stop()
        raise
    finally:
        pool.join()


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """What is started in the block writes to nowhere: a worker that is interrupted, or that is started as its pool ends, would
    print a traceback; what went wrong in one is told by its end."""
    if os.environ.get("CXRPT_DEBUG"):
        yield
        return
    sys.stderr.flush()
    kept, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nothing)


def _start_worker() -> None:
    """One thread a worker, bounded memory, no word from libraries (they quote headers), and no life after the parent's."""
    import cv2

    cv2.setNumThreads(1)
    threadpool_limits(1)
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    nothing = os.open(os.devnull, os.O_WRONLY)
    sys.stdout.flush()
    sys.stderr.flush()
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)
    for killer in (signal.SIGPROF, signal.SIGALRM):
        signal.signal(killer, signal.SIG_DFL)
    # Nobody looks into the memory of a process that a hostile file has killed: it holds patients.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_DATA, (WORKER_BYTES, resource.getrlimit(resource.RLIMIT_DATA)[1]))
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
