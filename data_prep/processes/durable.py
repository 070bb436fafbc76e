"""Files that are whole or not there, whatever is killed or loses its power while they are written.

A file is written under a name of its own process and renamed once it is on the disk: a worker that outlives a killed build
for a moment cannot spoil what the next one writes.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

FILE_MODE = 0o644
_TEMPORARY = ".tmp"


@contextlib.contextmanager
def whole_file(path: Path, mode: int = FILE_MODE, durably: bool = True) -> Iterator[IO[bytes]]:
    """A file to write to, which gets its name when the block has ended without an exception.

    Unless `durably`, a loss of power may leave a part of it under its name; a kill never does.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}{_TEMPORARY}")
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
            yield file
            if durably:
                file.flush()
                os.fsync(file.fileno())
        temporary.rename(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if durably:
        _sync_folder(path.parent)


def write_file(path: Path, content: bytes, mode: int = FILE_MODE, durably: bool = True) -> None:
    """Write a small file whole or not at all."""
    with whole_file(path, mode, durably) as file:
        file.write(content)


def remove_remains(folder: Path) -> None:
    """Remove what killed processes have left half written in a folder."""
    for path in folder.glob(f".*{_TEMPORARY}"):
        path.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Make renames in a folder survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
