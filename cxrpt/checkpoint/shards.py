"""Weights and optimizer state as pieces by parameter name: what any number of ranks and any ZeRO stage reads back.

    shards/rank-00000.safetensors   1-D fp32 tensors `weight/NAME`, `exp_avg/NAME`, `exp_avg_sq/NAME` of one rank's pieces
    shards/index.json               of each parameter: its shape, and which file holds which range of it, flattened

A rank's pieces are what ZeRO made it the keeper of. Resuming on the same ranks reads the same bits into the same places;
on others each rank fetches the ranges that are now its own.
"""

import hashlib
import json
import os
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor

from cxrpt.errors import InputError

SHARDS, INDEX = "shards", "index.json"
KINDS = ("weight", "exp_avg", "exp_avg_sq")
"""The weight in fp32, and what Adam keeps of its gradient: mean and mean square."""

_CHUNK = 16 * 2**20


@dataclass(frozen=True)
class Piece:
    """A contiguous range of a flattened parameter, and what this rank keeps of it."""

    name: str
    shape: tuple[int, ...]
    """Of the whole parameter."""
    start: int
    tensors: tuple[Tensor, Tensor, Tensor]
    """By KINDS: fp32, (length of the range,); views of what the optimizer works on."""

    @property
    def range(self) -> tuple[int, int]:
        return self.start, self.start + self.tensors[0].numel()


class ShardBuffer:
    """A copy of one rank's pieces in host memory, kept from save to save, laid out as its file."""

    def __init__(self, pieces: list[Piece]):
        """Take the memory; `pieces` must be the same, in the same order, in every later call."""
        header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
        self._lengths, offset = [], 0
        for number, kind in enumerate(KINDS):
            for piece in pieces:
                length = piece.tensors[number].numel()
                header[f"{kind}/{piece.name}"] = {
                    "dtype": "F32",
                    "shape": [length],
                    "data_offsets": [offset, offset + 4 * length],
                }
                self._lengths.append(length)
                offset += 4 * length
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        self._head = struct.pack("<Q", len(text)) + text
        on_gpu = any(tensor.is_cuda for piece in pieces for tensor in piece.tensors)
        # Written once, so that the first copy does not wait for the system to find the pages.
        self._values = torch.empty(offset // 4, pin_memory=on_gpu).zero_()

    @property
    def num_bytes(self) -> int:
        """Size of the file."""
        return len(self._head) + 4 * self._values.numel()

    def copy(self, pieces: list[Piece]) -> None:
        """Take over what the pieces hold now; training may go on when this returns."""
        sources = (piece.tensors[number] for number in range(len(KINDS)) for piece in pieces)
        with torch.no_grad():
            for mine, source in zip(self._values.split(self._lengths), sources, strict=True):
                mine.copy_(source, non_blocking=True)
        if self._values.is_pinned():
            torch.cuda.synchronize()

    def write(self, path: Path) -> dict[str, Any]:
        """Write the file, which must not be there yet, and flush it to the disk.

        Returns:
            Its size in bytes and its sha256, under those names.
        """
        digest = hashlib.sha256(self._head)
        values = self._values.numpy().view(np.uint8).data
        with path.open("xb", buffering=0) as file:
            _write_all(file.fileno(), memoryview(self._head))
            for begin in range(0, len(values), _CHUNK):
                chunk = values[begin : begin + _CHUNK]
                digest.update(chunk)
                _write_all(file.fileno(), chunk)
            os.fsync(file.fileno())
        return {"size": self.num_bytes, "sha256": digest.hexdigest()}


def _write_all(file: int, chunk: memoryview) -> None:
    while chunk:
        chunk = chunk[os.write(file, chunk) :]


def shard_name(rank: int) -> str:
    """A rank's file, relative to the checkpoint's folder."""
    return f"{SHARDS}/rank-{rank:05d}.safetensors"


def layout_of(pieces: Iterable[Piece]) -> list[tuple[str, tuple[int, ...], int, int]]:
    """Name, shape, start and end of each piece, for `write_index`."""
    return [(piece.name, piece.shape, *piece.range) for piece in pieces]


def write_index(folder: Path, layouts: list[list[tuple[str, tuple[int, ...], int, int]]]) -> None:
    """Write the index of a checkpoint from the layout of each rank."""
    index: dict[str, Any] = {}
    for rank, layout in enumerate(layouts):
        for name, shape, start, end in layout:
            index.setdefault(name, {"shape": shape, "ranges": []})["ranges"].append([start, end, shard_name(rank)])
    (folder / SHARDS / INDEX).write_text(json.dumps(index) + "\n")


class ShardReader:
    """Reads any range of any parameter of a checkpoint."""

    def __init__(self, folder: Path):
        """Open the index.

        Raises:
            InputError: there is none.
        """
        self._folder = folder
        path = folder / SHARDS / INDEX
        if not path.is_file():
            raise InputError(
                f"{folder} holds no {SHARDS}/{INDEX}: it is no checkpoint of this version; name another, or start anew"
            )
        self._index = json.loads(path.read_text())
        self._open: dict[str, Any] = {}

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of all parameters."""
        return {name: tuple(entry["shape"]) for name, entry in self._index.items()}

    def read(self, kind: str, name: str, start: int, out: Tensor) -> None:
        """Fill `out` (1-D, of any type, on any device) with the range of a parameter that begins at `start`.

        Raises:
            InputError: the checkpoint does not hold the whole range.
        """
        end, found = start + out.numel(), 0
        for begin, stop, file in self._index.get(name, {"ranges": []})["ranges"]:
            first, last = max(start, begin), min(end, stop)
            if first < last:
                values = self._file(file).get_slice(f"{kind}/{name}")[first - begin : last - begin]
                out[first - start : last - start].copy_(values)
                found += last - first
        if found != out.numel():
            raise InputError(
                f"checkpoint {self._folder.name} holds {found} of {out.numel()} values of {kind} of {name}: use another"
            )

    def load(self, pieces: Iterable[Piece]) -> None:
        """Fill pieces."""
        with torch.no_grad():
            for piece in pieces:
                for kind, tensor in zip(KINDS, piece.tensors, strict=True):
                    self.read(kind, piece.name, piece.start, tensor)

    def weights(self, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
        """The whole model's weights by name, on the CPU."""
        weights = {}
        for name, shape in self.shapes.items():
            flat = torch.empty(prod(shape), dtype=dtype)
            self.read("weight", name, 0, flat)
            weights[name] = flat.view(shape)
        return weights

    def _file(self, name: str) -> Any:
        if name not in self._open:
            self._open[name] = safe_open(self._folder / name, "pt")
        return self._open[name]
