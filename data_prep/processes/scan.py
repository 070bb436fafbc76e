"""The first look at the files of an export, over processes, and kept until the build is done.

    files ── chunks ── scan (headers, reports) ──► images, reports, set aside
                         └► <out>.<institution>.scan/<what>-<fingerprint>-000012.pickle

A killed build need not open every file of an export again. The folder lies beside the output, for the owner alone: what is
in it identifies patients.
"""

import pickle
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from data_prep.ledger import Reason
from data_prep.processes.durable import write_file
from data_prep.processes.workers import run_chunks

Item = TypeVar("Item")
Found = TypeVar("Found")
Scan = Callable[[Sequence[Item], Mapping[int, Reason]], list[Found]]
"""What is found in some items; the mapping says by place which of them kill or stall a process and must not be touched."""


@dataclass(frozen=True)
class ScanSpool:
    """A folder of scanned chunks; those of another source, or of one that has changed, have another fingerprint."""

    folder: Path
    fingerprint: str

    def path(self, what: str, number: int) -> Path:
        return self.folder / f"{what}-{self.fingerprint[:16]}-{number:06d}.pickle"

    def read(self, what: str, number: int, num_items: int) -> list[Any] | None:
        """What was found in a chunk; None where it was not finished."""
        try:
            # Ours, from a folder that nobody else may write to.
            kept, found = pickle.loads(self.path(what, number).read_bytes())
        except (OSError, EOFError, ValueError, IndexError, pickle.UnpicklingError):
            # Not there, or cut off by a loss of power.
            return None
        return found if kept == num_items else None

    def remove(self) -> None:
        """Forget everything; for the end of a build."""
        shutil.rmtree(self.folder, ignore_errors=True)


@dataclass(frozen=True)
class Reading:
    """How a source is to be read."""

    processes: int = 1
    file_seconds: float = 60.0
    """Processor time that the first look at one file may take."""
    spool: ScanSpool | None = None


@dataclass(frozen=True)
class _Kept(Generic[Item, Found]):
    """A scan whose results go into the spool."""

    scan: Callable[[Sequence[Item], Mapping[int, Reason]], list[Found]]
    what: str
    spool: ScanSpool | None

    def __call__(self, number: int, items: Sequence[Item], spoiled: Mapping[int, Reason]) -> list[Found]:
        found = self.scan(items, spoiled)
        if self.spool is not None:
            write_file(self.spool.path(self.what, number), pickle.dumps((len(items), found)), mode=0o600, durably=False)
        return found


def scan_files(
    scan: Callable[[Sequence[Item], Mapping[int, Reason]], list[Found]],
    items: Sequence[Item],
    what: str,
    reading: Reading,
    chunk: int,
) -> Iterator[tuple[Sequence[Item], list[Found]]]:
    """Yield chunks of items with what `scan` found in them, as they finish; from the spool where they are there.

    `what` names the kind of scan, a file name's part.
    """
    spool = reading.spool
    if spool is not None:
        spool.folder.mkdir(mode=0o700, exist_ok=True)
    chunks = [(number, items[start : start + chunk]) for number, start in enumerate(range(0, len(items), chunk))]
    waiting = []
    for number, part in chunks:
        found = spool.read(what, number, len(part)) if spool is not None else None
        if found is None:
            waiting.append((number, part))
        else:
            yield part, found
    for number, found in run_chunks(_Kept(scan, what, spool), waiting, reading.processes) if waiting else ():
        yield chunks[number][1], found
