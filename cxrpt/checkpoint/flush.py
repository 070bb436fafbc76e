"""What is written is on the disk, not only on its way there."""

import os
from pathlib import Path


def flush(path: Path) -> None:
    """Return when a file, or the list of names of a folder, is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
