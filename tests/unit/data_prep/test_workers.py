"""Processes that die cost their own item, and nothing else."""

import os
import time
from collections.abc import Mapping, Sequence

import pytest

from data_prep.ledger import Reason
from data_prep.processes.workers import WORKER_BYTES, item_limits, run_chunks


def doubled(number: int, items: Sequence[int], spoiled: Mapping[int, Reason]) -> list[int | None]:
    """Doubles numbers; a negative one kills the process, as a codec may."""
    result: list[int | None] = []
    for place, item in enumerate(items):
        if place in spoiled:
            result.append(None)
            continue
        if item < 0:
            os.abort()
        result.append(2 * item)
    return result


def full_disk(number: int, items: Sequence[int], spoiled: Mapping[int, Reason]) -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("processes", [1, 2])
def test_every_chunk_comes_once(processes):
    chunks = [(number, [number, number + 1]) for number in range(7)]
    assert sorted(run_chunks(doubled, chunks, processes)) == [(number, [2 * number, 2 * number + 2]) for number in range(7)]


def test_a_killer_is_marked_and_its_neighbours_are_not():
    chunks = [(0, [1, 2]), (1, [3, -1, 4]), (2, [5]), (3, [-1]), (4, [6])]
    assert dict(run_chunks(doubled, chunks, 2)) == {0: [2, 4], 1: [6, None, 8], 2: [10], 3: [None], 4: [12]}


def test_a_full_disk_ends_the_run():
    with pytest.raises(OSError, match="No space"):
        list(run_chunks(full_disk, [(0, [1])], 1))


def hungry_or_stuck(number: int, items: Sequence[str], spoiled: Mapping[int, Reason]) -> list[str]:
    """What became of each item: `spin` uses up its time, `wait` lets the clock run, `eat` asks for too much memory."""
    result = []
    for place, item in enumerate(items):
        if place in spoiled:
            result.append(str(spoiled[place]))
            continue
        with item_limits(0.05):
            while item == "spin":
                pass
            if item == "wait":
                time.sleep(3600)
            try:
                result.append(str(len(bytearray(WORKER_BYTES if item == "eat" else 1))))
            except MemoryError:
                result.append("memory")
    return result


def test_a_hang_is_ended_and_told_from_a_crash():
    chunks = [(0, ["a", "spin", "b"]), (1, ["wait"]), (2, ["eat", "c"])]
    expected = {0: ["1", "timed_out", "1"], 1: ["timed_out"], 2: ["memory", "1"]}
    assert dict(run_chunks(hungry_or_stuck, chunks, 2)) == expected


def killed_by_company(number: int, items: Sequence[int], spoiled: Mapping[int, Reason]) -> list[str | None]:
    """Dies whenever more than one item is tried."""
    if len(items) - len(spoiled) > 1:
        os.abort()
    return [spoiled.get(place) for place in range(len(items))]


def test_items_that_kill_only_together_end_as_crashed():
    assert dict(run_chunks(killed_by_company, [(0, [1, 2])], 1)) == {0: ["crashed", "crashed"]}
