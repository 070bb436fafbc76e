"""Name, size and sha256 of files, as COMMITTED of a checkpoint and checksums.json of an export hold them."""

import hashlib
from pathlib import Path
from typing import Any


def sum_of(folder: Path, name: str) -> dict[str, Any]:
    """The entry of one file: name relative to the folder, size in bytes, sha256."""
    path = folder / name
    return {"name": name, "size": path.stat().st_size, "sha256": _sha256(path)}


def first_damage(folder: Path, entries: list[dict[str, Any]]) -> str | None:
    """What is wrong with the first file that is not as its entry says, in words that begin with its name; None if all are."""
    for entry in entries:
        path = folder / entry["name"]
        if not path.is_file():
            return f"{entry['name']} is missing"
        if (size := path.stat().st_size) != entry["size"]:
            return f"{entry['name']} has {size} bytes instead of {entry['size']}"
        if _sha256(path) != entry["sha256"]:
            return f"{entry['name']} does not match its checksum"
    return None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
