"""A micro-batch as one block of bytes, so that it travels between processes and to a device in one piece.

    block   | patches_PE ... | hidden_P . | place_P .... | tokens_W .. | ...      each array at a multiple of 64 bytes
    form    the batch, pickled, with (offset, bytes, dtype, shape) in the place of each array

A worker lays numpy arrays out; the trainer gets a batch of tensors that are views of its copy of the block.
"""

from __future__ import annotations

import io
import pickle
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cxrpt.data.batch import Batch

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_ALIGNMENT = 64
"""Of what is read as wide as a cache line or a GPU's vector loads."""


@dataclass(frozen=True)
class FlatBatch:
    """A batch of numpy arrays, ready to be written to `num_bytes` of memory."""

    form: bytes
    arrays: tuple[tuple[int, np.ndarray], ...]
    """Each array with its offset in the block."""
    num_bytes: int

    def write(self, block: np.ndarray) -> None:
        """Copy the arrays to their places in a block of at least `num_bytes` uint8."""
        for offset, array in self.arrays:
            block[offset : offset + array.nbytes].view(array.dtype).reshape(array.shape)[...] = array


class _FormWriter(pickle.Pickler):
    def __init__(self, file: io.BytesIO):
        super().__init__(file, protocol=pickle.HIGHEST_PROTOCOL)
        self.arrays: list[tuple[int, np.ndarray]] = []
        self.num_bytes = 0

    def persistent_id(self, value: Any) -> Any:
        if not isinstance(value, np.ndarray):
            return None
        offset = self.num_bytes
        self.arrays.append((offset, value))
        self.num_bytes = offset + -(-value.nbytes // _ALIGNMENT) * _ALIGNMENT
        return offset, value.nbytes, value.dtype.name, value.shape


class _FormReader(pickle.Unpickler):
    def __init__(self, form: bytes, block: Tensor):
        super().__init__(io.BytesIO(form))
        self._block = block

    def persistent_load(self, place: Any) -> Tensor:
        import torch

        offset, size, name, shape = place
        return self._block[offset : offset + size].view(getattr(torch, name)).view(shape)


def flatten(batch: Batch) -> FlatBatch:
    """Lay out a batch of numpy arrays; nothing is copied yet."""
    file = io.BytesIO()
    writer = _FormWriter(file)
    writer.dump(batch)
    return FlatBatch(file.getvalue(), tuple(writer.arrays), writer.num_bytes)


def restore(form: bytes, block: Tensor) -> Batch:
    """The batch whose arrays lie in `block` (uint8), as tensors that are views of it."""
    return _FormReader(form, block).load()


def move_buffers(batch: Batch, device: torch.device) -> Batch:
    """A batch of tensors on a device; every buffer is copied once, however many of the tensors are views of it."""
    import torch

    moved: dict[tuple[int, int], torch.UntypedStorage] = {}

    def move(tensor: Tensor) -> Tensor:
        if tensor.device == device:
            return tensor
        storage = tensor.untyped_storage()
        place = storage.data_ptr(), storage.nbytes()
        if place not in moved:
            whole = torch.empty(0, dtype=torch.uint8, device=tensor.device).set_(storage)
            moved[place] = whole.to(device, non_blocking=True).untyped_storage()
        there = torch.empty(0, dtype=tensor.dtype, device=device)
        return there.set_(moved[place], tensor.storage_offset(), tensor.shape, tensor.stride())

    return batch.map(move)
