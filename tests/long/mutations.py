"""Seeded damage to files: what transfers, disks, converters and hostile senders do to them."""

import struct
from collections.abc import Callable

import numpy as np

EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)


def mutate(seed: bytes, others: list[bytes], generator: np.random.Generator) -> bytes:
    """A damaged copy of `seed`: one to six wounds, most of them in its first two kilobytes."""
    data = bytearray(seed)
    for _ in range(int(generator.integers(1, 7))):
        if not data:
            break
        reach = min(len(data), 2048) if generator.random() < 0.7 else len(data)
        wound = WOUNDS[int(generator.integers(len(WOUNDS)))]
        wound(data, int(generator.integers(reach)), generator)
    if generator.random() < 0.05 and others:
        other = others[int(generator.integers(len(others)))]
        data[int(generator.integers(len(data) + 1)) :] = other[int(generator.integers(len(other) + 1)) :]
    return bytes(data)


def flip_bits(data: bytearray, place: int, generator: np.random.Generator) -> None:
    for _ in range(int(generator.integers(1, 9))):
        where = min(len(data) - 1, place + int(generator.integers(16)))
        data[where] ^= 1 << int(generator.integers(8))


def overwrite(data: bytearray, place: int, generator: np.random.Generator) -> None:
    length = int(generator.integers(1, 65))
    run = (b"\0" * length, b"\xff" * length, generator.bytes(length))[int(generator.integers(3))]
    data[place : place + length] = run[: len(data) - place]


def delete(data: bytearray, place: int, generator: np.random.Generator) -> None:
    del data[place : place + int(generator.integers(1, 257))]


def insert(data: bytearray, place: int, generator: np.random.Generator) -> None:
    data[place:place] = generator.bytes(int(generator.integers(1, 129)))


def repeat(data: bytearray, place: int, generator: np.random.Generator) -> None:
    run = bytes(data[place : place + int(generator.integers(1, 257))])
    data[place:place] = run * int(generator.integers(1, 50))


def truncate(data: bytearray, place: int, generator: np.random.Generator) -> None:
    if generator.random() < 0.3:
        del data[int(generator.integers(len(data))) :]


def extreme_number(data: bytearray, place: int, generator: np.random.Generator) -> None:
    value, form = EXTREMES[int(generator.integers(len(EXTREMES)))], ("<H", "<I", ">H", ">I")[int(generator.integers(4))]
    packed = struct.pack(form, value & (0xFFFF if form[1] == "H" else 0xFFFFFFFF))
    data[place : place + len(packed)] = packed[: len(data) - place]


def swap(data: bytearray, place: int, generator: np.random.Generator) -> None:
    other, length = int(generator.integers(len(data))), int(generator.integers(1, 65))
    first, second = bytes(data[place : place + length]), bytes(data[other : other + length])
    data[place : place + len(second)] = second
    data[other : other + len(first)] = first


WOUNDS: tuple[Callable[[bytearray, int, np.random.Generator], None], ...] = (
    flip_bits, flip_bits, overwrite, delete, insert, repeat, truncate, extreme_number, extreme_number, swap,
)  # fmt: skip
