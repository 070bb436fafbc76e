"""Processes that die cost their own item, and nothing else."""

import os
from collections.abc import Sequence

import pytest

from data_prep.workers import run_chunks


def doubled(number: int, items: Sequence[int], crashed: frozenset[int]) -> list[int | None]:
    """Doubles numbers; a negative one kills the process, as a codec may."""
    result: list[int | None] = []
    for place, item in enumerate(items):
        if place in crashed:
            result.append(None)
            continue
        if item < 0:
            os.abort()
        result.append(2 * item)
    return result


def full_disk(number: int, items: Sequence[int], crashed: frozenset[int]) -> None:
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
