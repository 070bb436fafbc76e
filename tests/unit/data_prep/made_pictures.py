"""Small made picture files, and the samples that a build made of them."""

from pathlib import Path

import cv2
import made_exports as made
import numpy as np

from cxrpt.data.shards import ShardReader


def picture(path: Path, seed: int, channels: int = 1, bits: int = 8, inverted: bool = False) -> Path:
    """A frontal chest in the format of the file's name (PNG where it names none), low values white where inverted."""
    pixels = made.phantom(seed) * 16 if bits == 16 else (made.phantom(seed) // 16).astype(np.uint8)
    if inverted:
        pixels = pixels.max() - pixels
    if channels > 1:
        pixels = np.dstack([pixels] * 3 + [np.full_like(pixels, 255)] * (channels - 3))
    path.parent.mkdir(parents=True, exist_ok=True)
    suffix = path.suffix if path.suffix in (".jpg", ".png") else ".png"
    path.write_bytes(cv2.imencode(suffix, pixels)[1].tobytes())
    return path


def samples(folder: Path) -> list:
    """Every sample below a folder."""
    readers = [ShardReader(path) for path in sorted(folder.rglob("*.tar"))]
    return [reader.read(number) for reader in readers for number in range(len(reader))]


def lines(path: Path, *text: str) -> Path:
    """A text file of some lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(line + "\n" for line in text))
    return path
