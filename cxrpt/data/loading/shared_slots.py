"""Memory that a loader worker fills and its trainer reads.

    slot 0 | micro-batch 0 ........... |      an anonymous file (memfd) a slot, grown to the largest batch it had to hold
    slot 1 | micro-batch 1 ...... |           a slot is the worker's, until it tells of a batch in it; then the trainer's,
                                              until that has copied the batch

The files have no name, so nothing is left in /dev/shm however the processes end, and its size (64 MB in many a container)
does not matter: the memory is the job's own.
"""

import mmap
import os

import numpy as np

_GROWTH = 1 << 16


class SharedSlots:
    """The slots as one process sees them; the numbers of the files are closed once they are mapped."""

    def __init__(self, files: list[int]):
        self._maps = [mmap.mmap(file, os.fstat(file).st_size) for file in files]
        for file in files:
            os.close(file)

    def __len__(self) -> int:
        return len(self._maps)

    def room(self, slot: int, num_bytes: int) -> np.ndarray:
        """The first `num_bytes` of a slot, uint8; drop it before the next call."""
        memory = self._maps[slot]
        if len(memory) < num_bytes:
            # The worker grows the file, the trainer finds it grown.
            memory.resize(max(memory.size(), -(-num_bytes // _GROWTH) * _GROWTH))
        return np.frombuffer(memory, np.uint8, num_bytes)

    def close(self) -> None:
        """Give the memory up, as far as this process goes."""
        for memory in self._maps:
            memory.close()


def new_slot_files(slots: int) -> list[int]:
    """Open files of so many slots, for the two processes to map."""
    files = []
    for _ in range(slots):
        files.append(os.memfd_create("cxrpt-batch"))
        os.ftruncate(files[-1], _GROWTH)
    return files
