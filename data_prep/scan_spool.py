"""What was read from headers, kept until the build is done: a killed build need not open every file of an export again.

<out>.<institution>.scan/<fingerprint>-000012.pickle    beside the output, for the owner alone: it identifies patients
"""

import pickle
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from data_prep.durable import write_file
from data_prep.ledger import Reason
from data_prep.workers import run_chunks

Item = TypeVar("Item")
Found = TypeVar("Found")


@dataclass(frozen=True)
class ScanSpool:
    """A folder of scanned chunks of one source; a source that has changed has another fingerprint."""

    folder: Path
    fingerprint: str

    def path(self, number: int) -> Path:
        return self.folder / f"{self.fingerprint[:16]}-{number:06d}.pickle"

    def read(self, number: int, num_items: int) -> list | None:
        """The results of a finished chunk, one an item; None where there are none."""
        try:
            # Ours, from a folder that nobody else may write to.
            results = pickle.loads(self.path(number).read_bytes())
        except (OSError, EOFError, pickle.UnpicklingError):
            return None
        return results if len(results) == num_items else None

    def remove(self) -> None:
        """Forget everything; for the end of a build."""
        shutil.rmtree(self.folder, ignore_errors=True)


@dataclass(frozen=True)
class _Kept(Generic[Item, Found]):
    """`scan` whose results go into the spool."""

    scan: Callable[[Sequence[Item], Mapping[int, Reason]], list[Found]]
    spool: ScanSpool | None

    def __call__(self, number: int, items: Sequence[Item], spoiled: Mapping[int, Reason]) -> list[Found]:
        results = self.scan(items, spoiled)
        if self.spool is not None:
            write_file(self.spool.path(number), pickle.dumps(results), mode=0o600)
        return results


def scan_chunks(
    scan: Callable[[Sequence[Item], Mapping[int, Reason]], list[Found]],
    items: Sequence[Item],
    processes: int,
    spool: ScanSpool | None = None,
    chunk: int = 256,
) -> Iterator[list[Found]]:
    """Yield the results of `scan` for all items, one an item, in their order, from the spool where they are there.

    `spoiled` tells `scan` by place which items kill or stall a process; they end with that reason.
    """
    chunks = [(number, items[start : start + chunk]) for number, start in enumerate(range(0, len(items), chunk))]
    if spool is not None:
        spool.folder.mkdir(mode=0o700, exist_ok=True)
    finished = {number for number, part in chunks if spool is not None and spool.read(number, len(part)) is not None}
    results = dict(run_chunks(_Kept(scan, spool), [one for one in chunks if one[0] not in finished], processes))
    for number, part in chunks:
        yield results.pop(number) if number in results else (spool.read(number, len(part)) if spool else None) or []
