"""A file system so small that a test can fill it."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk_at(folder: Path, size: str = "4m") -> Iterator[Path]:
    """Mount one at a new folder; the test is skipped where that cannot be done."""
    if os.geteuid():
        pytest.skip("only root mounts a file system")
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"no file system can be mounted here: {made.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def fill(file: Path, leave: int = 0) -> None:
    """Write until there is no room, but for so many bytes; removing the file gives it back."""
    with file.open("wb", buffering=0) as handle, pytest.raises(OSError, match="No space"):
        while True:
            handle.write(bytes(4096))
    os.truncate(file, file.stat().st_size - leave)
