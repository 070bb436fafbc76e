"""Run chunks of items over processes that may die: a codec that crashes costs its own file, nothing else.

chunks ──► pool ──► results, in the order in which they finish
            └ a worker dies: each suspect item alone in a fresh process; who dies alone again is marked
"""

import logging
import multiprocessing
import os
import sys
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def run_chunks(
    work: Callable[[int, Sequence[Item], frozenset[int]], Result],
    chunks: Sequence[tuple[int, Sequence[Item]]],
    processes: int,
) -> Iterator[tuple[int, Result]]:
    """Yield (number, result) of `work(number, items, crashed)` for every numbered chunk, as they finish.

    `crashed` holds the places of items that kill a process even when tried alone; `work` must not touch them. An
    exception of `work` ends the run: it is for the machine's failures (a full disk), not for an item's.
    """
    waiting = deque(chunks)
    while waiting:
        pool = _pool(processes)
        in_flight: dict[Future, tuple[int, Sequence[Item]]] = {}
        suspects: list[tuple[int, Sequence[Item]]] = []
        try:
            while (waiting or in_flight) and not suspects:
                while waiting and len(in_flight) < 2 * processes:
                    number, items = waiting.popleft()
                    try:
                        in_flight[pool.submit(work, number, items, frozenset())] = (number, items)
                    except BrokenProcessPool:
                        waiting.appendleft((number, items))
                        suspects += in_flight.values()
                        break
                for future in wait(in_flight, return_when=FIRST_COMPLETED).done:
                    chunk = in_flight.pop(future)
                    try:
                        result = future.result()
                    except BrokenProcessPool:
                        suspects.append(chunk)
                        continue
                    yield chunk[0], result
                if suspects:
                    suspects += in_flight.values()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
        for number, items in {chunk[0]: chunk for chunk in suspects}.values():
            yield number, _run_suspect(work, number, items)


def _run_suspect(work: Callable[[int, Sequence[Item], frozenset[int]], Result], number: int, items: Sequence[Item]) -> Result:
    """A chunk that was in flight when a worker died: again as a whole, then item by item to find who kills."""
    crashed: frozenset[int] = frozenset()
    try:
        return _alone(work, number, items, crashed)
    except BrokenProcessPool:
        pass
    for place in range(len(items)):
        others = frozenset(range(len(items))) - {place}
        try:
            _alone(work, number, items, others)
        except BrokenProcessPool:
            crashed |= {place}
    return _alone(work, number, items, crashed)


def _alone(work: Callable[..., Result], *arguments: object) -> Result:
    with _pool(1) as pool:
        return pool.submit(work, *arguments).result()


def _pool(processes: int) -> ProcessPoolExecutor:
    # Fork would copy the threads of the progress display in whatever state they are.
    context = multiprocessing.get_context("forkserver")
    return ProcessPoolExecutor(processes, mp_context=context, initializer=_start_worker)


def _start_worker() -> None:
    """One thread a worker, no word from libraries (they quote headers), and no life after the parent's."""
    import cv2

    cv2.setNumThreads(1)
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    nothing = os.open(os.devnull, os.O_WRONLY)
    sys.stdout.flush()
    sys.stderr.flush()
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
