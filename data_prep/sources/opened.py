"""What opening a source gives, and the fingerprint by which a later run knows that the source is the same one.

    files      relative path and size of each: one look at the folder, no look into a file
    contents   the whole content: tables, lists of names, archives of reports
    named      options that change what is read

The bulk is told by name and size. Times are left out, as a copied export has others and its build must still resume. Bytes
are left out too: the first and last 4 KiB of each file take three more calls a file at every start (measured on a warm local
disk: 12 to 16 us a file, the size 3 to 4; over a network each call is a round trip), and still miss an edit in the middle.
"""

import hashlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from data_prep.inputs import Export
from data_prep.processes.scan import Reading


@dataclass(frozen=True)
class OpenedSource:
    """A source that was found: its fingerprint, and how to read it."""

    fingerprint: str
    collect: Callable[[Reading], Export]


def fingerprint(src: Path, files: Iterable[Path], contents: Iterable[Path] = (), named: Iterable[object] = ()) -> str:
    """SHA-256 over the options in `named`, the bulk of `files` below `src`, and all of `contents` (files or folders)."""
    digest = hashlib.sha256(repr([str(value) for value in named]).encode())
    for path in files:
        try:
            size = path.stat().st_size
        except OSError:
            # A link to nowhere is an input too: it ends in the ledger.
            size = -1
        digest.update(f"{os.path.relpath(path, src)}\0{size}\n".encode("utf-8", "surrogateescape"))
    for one in contents:
        for path in sorted(one.rglob("*")) if one.is_dir() else [one]:
            name = path.name.encode("utf-8", "surrogateescape")
            try:
                if path.is_file():
                    with path.open("rb") as file:
                        digest.update(name + hashlib.file_digest(file, "sha256").digest())
            except OSError:
                # As above; a table that has to be read is refused when it is.
                digest.update(name + b"\0cannot be read")
    return digest.hexdigest()
