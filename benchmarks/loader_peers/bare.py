"""What every contestant does with the bytes of a picture, and how its speed is taken. Runs in the peers' environments too."""

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np

BATCH = 32


def square(data: bytes, size: int) -> np.ndarray:
    """Decode, cut the middle square out, average it to the size: what one writes with OpenCV."""
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    height, width = image.shape
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    middle = image[top : top + side, left : left + side]
    return middle if side == size else cv2.resize(middle, (size, size), interpolation=cv2.INTER_AREA)


def decoder(name: str) -> Callable[[bytes, int], np.ndarray]:
    """`square`, or for "reduced" cxrpt's own, which decodes JPEGs at a reduced scale."""
    if name == "whole":
        return square
    from cxrpt.data.transforms import load_square

    return load_square


def pictures(shards: list[Path], offsets: list[np.ndarray]) -> Iterator[bytes]:
    """The pictures of tars by their offsets, (n, 2) offset and size: nothing is parsed, checked or shuffled."""
    for shard, places in zip(shards, offsets, strict=True):
        file = os.open(shard, os.O_RDONLY)
        for offset, size in places.tolist():
            yield os.pread(file, size, offset)
        os.close(file)


def speed(epoch: Callable[[], Iterable[int]], epochs: int) -> dict[str, float]:
    """Samples a second of `epoch`, which yields how many samples each of its batches has; one epoch before warms up.

    Returns:
        `core`: by the processor time of the whole process, all threads; `wall`: by the clock.
    """
    cv2.setNumThreads(1)
    sum(epoch())
    core, wall = time.process_time(), time.perf_counter()
    samples = sum(sum(epoch()) for _ in range(epochs))
    return {"core": samples / (time.process_time() - core), "wall": samples / (time.perf_counter() - wall)}


def report(speeds: dict[str, float]) -> None:
    """The last line of a peer's output."""
    print(json.dumps(speeds))
