"""Which files an export holds: every file below a folder once, by relative path, links and locked folders included.

src/a.dcm                       a file
src/b -> src/a.dcm, src/c/      nothing of its own: what it leads to is found where it lies
src/d -> /elsewhere, src/e -> gone      an input that is set aside, as is a folder that cannot be opened
src/reports -> /elsewhere               nothing here, where what it leads to is left out: it is read as what it is
"""

import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import overload

from data_prep.ledger import Reason


class ExportFiles(Sequence[Path]):
    """The paths of an export, sorted by relative name; a path is made when it is asked for (a million weigh too much)."""

    def __init__(self, root: Path, names: list[str]):
        self.root = root
        self.names = names

    def __len__(self) -> int:
        return len(self.names)

    @overload
    def __getitem__(self, place: int) -> Path: ...
    @overload
    def __getitem__(self, place: slice) -> "ExportFiles": ...
    def __getitem__(self, place: int | slice) -> "Path | ExportFiles":
        if isinstance(place, slice):
            return ExportFiles(self.root, self.names[place])
        return self.root / self.names[place]

    def __iter__(self) -> Iterator[Path]:
        return (self.root / name for name in self.names)


def find_files(root: Path, without: Collection[Path] = ()) -> ExportFiles:
    """Everything below a folder that is to be tried or set aside, but for the resolved paths `without` and what is in them.

    No folder is entered by a link, so that none is entered twice and no circle has an end.
    """
    top = os.path.realpath(root)
    skipped = {str(path) for path in without}
    names: list[str] = []
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(os.path.join(top, folder)) as entries:  # noqa: PTH118
                found = list(entries)
        except OSError:
            names.append(folder)
            continue
        for entry in found:
            name = f"{folder}/{entry.name}" if folder else entry.name
            if entry.is_symlink():
                if not _leads_inside(entry.path, top) and os.path.realpath(entry.path) not in skipped:
                    names.append(name)
            elif f"{top}/{name}" in skipped:
                continue
            elif entry.is_dir(follow_symlinks=False):
                waiting.append(name)
            else:
                names.append(name)
    names = [name for name in names if name]
    return ExportFiles(root, sorted(names, key=lambda name: name.split("/")))


def _leads_inside(link: str, top: str) -> bool:
    try:
        target = os.path.realpath(link, strict=True)
    except (OSError, RuntimeError):
        return False
    return target == top or target.startswith(top + os.sep)


def reason_against_path(path: Path) -> Reason | None:
    """Why a path of `find_files` cannot be looked into: a link out of the export or to nothing, a locked folder, a pipe."""
    if path.is_symlink():
        return Reason.OUTSIDE_SOURCE if os.path.exists(path) else Reason.MISSING_FILE  # noqa: PTH110
    return None if path.is_file() else Reason.CANNOT_READ
