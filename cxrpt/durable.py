"""Files that a reader finds whole or not at all, and that outlive the machine that wrote them."""

import os
import time
import uuid
from contextlib import suppress
from pathlib import Path


def flush(path: Path) -> None:
    """Return when a file, or the list of names of a folder, is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def replace_text(path: Path, text: str, mode: int = 0o666, sync: bool = True) -> None:
    """Give a file a new content (UTF-8), by way of a draft that nobody else writes into.

    Args:
        path: of the file, there or not.
        text: its new content.
        mode: rights of the file, before the umask.
        sync: whether the content is on the disk before the name is the new file's: after a power cut it is then the old one or
            the new one. Not worth its while for what is written again within seconds.

    Raises:
        OSError: the file is as it was before.
    """
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            if sync:
                os.fsync(file.fileno())
        draft.replace(path)
    except OSError:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        raise


def read_patiently(path: Path) -> str:
    """What a small file says that others replace: a network file system may say for a moment that it is stale.

    Raises:
        FileNotFoundError: there is none.
        OSError: it cannot be read, again and again for two seconds.
    """
    for _ in range(10):
        try:
            return path.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise
        except OSError:
            time.sleep(0.2)
    return path.read_text(encoding="utf-8")
