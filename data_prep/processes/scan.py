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
        except Exception:
            # Not there, cut off by a loss of power, or of classes that are others by now.
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
    is_late: Callable[[str], bool] = lambda input_id: False
    """Whether an earlier build found that the first look at an input takes too long."""


@dataclass(frozen=True)
class _Kept(Generic[Item, Found]):
    """A scan whose results go into the spool, and which leaves alone what is known to be late."""

    scan: Callable[[Sequence[Item], Mapping[int, Reason]], list[Found]]
    what: str
    spool: ScanSpool | None
    late: frozenset[Item]

    def __call__(self, number: int, items: Sequence[Item], spoiled: Mapping[int, Reason]) -> list[Found]:
        known = {place: Reason.TIMED_OUT for place, item in enumerate(items) if item in self.late}
        found = self.scan(items, {**known, **spoiled})
        if self.spool is not None:
            write_file(self.spool.path(self.what, number), pickle.dumps((len(items), found)), mode=0o600, durably=False)
        return found


def scan_files(
    scan: Callable[[Sequence[Item], Mapping[int, Reason]], list[Found]],
    items: Sequence[Item],
    what: str,
    reading: Reading,
    chunk: int,
    id_of: Callable[[Item], str] = str,
) -> Iterator[tuple[Sequence[Item], list[Found]]]:
    """Yield chunks of items with what `scan` found in them, in their order; from the spool where they are there.

    Args:
        scan: looks at some items.
        items: all of them.
        what: the kind of scan, a part of the names in the spool.
        reading: processes, spool, and which inputs are late.
        chunk: number of items that are looked at together.
        id_of: the input id of an item.
    """
    spool = reading.spool
    if spool is not None:
        spool.folder.mkdir(mode=0o700, exist_ok=True)
    chunks = [(number, items[start : start + chunk]) for number, start in enumerate(range(0, len(items), chunk))]
    waiting = [one for one in chunks if spool is None or spool.read(what, one[0], len(one[1])) is None]
    late = frozenset(item for _, part in waiting for item in part if reading.is_late(id_of(item)))
    results = run_chunks(_Kept(scan, what, spool, late), waiting, reading.processes) if waiting else iter(())
    missing = {number for number, _ in waiting}
    early: dict[int, list[Found]] = {}
    for number, part in chunks:
        while number in missing and number not in early:
            done, found = next(results)
            if done == number or spool is None:
                early[done] = found
            else:
                # It waits for its turn on the disk: what was found in a million files is much.
                missing.remove(done)
        turn = early.pop(number, None)
        if turn is None and spool is not None:
            turn = spool.read(what, number, len(part))
        assert turn is not None, "what was found in a chunk lies in the spool until the build is done"
        yield part, turn
