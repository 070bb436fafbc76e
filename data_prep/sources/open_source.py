"""Which source a build reads, and the fingerprint by which a later run knows that it is the same one."""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from data_prep.inputs import Export
from data_prep.sources import hospital, nih14, openi, table

if TYPE_CHECKING:
    from data_prep.settings import BuildSettings


@dataclass(frozen=True)
class OpenedSource:
    """A source that was found: its fingerprint, and how to read it with a number of processes."""

    fingerprint: str
    collect: Callable[[int], Export]


def open_source(settings: "BuildSettings") -> OpenedSource:
    """Find the files of the source; the bulk is told by name and size, tables by content.

    Raises:
        InputError: it is not laid out as that kind of source.
    """
    src = settings.src
    if settings.source == "hospital":
        files, hospital_options = hospital.files_of(src, settings.hospital)
        tables = [path for path in (hospital_options.reports, hospital_options.labels) if path]
        named = [str(value) for name, value in sorted(hospital_options.__dict__.items()) if name not in ("reports", "labels")]
        return OpenedSource(_fingerprint(src, files, tables, named), partial(hospital.collect, src, files, hospital_options))
    if settings.source == "table":
        files, root = table.files_of(src, settings.table)
        named = [repr(sorted(settings.table.columns.items())), settings.table.label_separator]
        return OpenedSource(_fingerprint(root, files, [src], named), partial(table.collect, src, files, root, settings.table))
    if settings.source == "nih14":
        files, data_entry, lists = nih14.files_of(src)
        fingerprint = _fingerprint(src, files, [data_entry, *lists.values()], ())
        return OpenedSource(fingerprint, partial(nih14.collect, src, files, data_entry, lists))
    files, reports, projections = openi.files_of(src)
    fingerprint = _fingerprint(src, files, [*reports, *([projections] if projections else [])], ())
    return OpenedSource(fingerprint, partial(openi.collect, src, files, reports, projections))


def _fingerprint(src: Path, files: Iterable[Path], tables: Iterable[Path], named: Iterable[str]) -> str:
    digest = hashlib.sha256(repr(list(named)).encode())
    for path in files:
        size = path.stat().st_size if path.is_file() else -1
        digest.update(f"{path.relative_to(src)}\0{size}\n".encode("utf-8", "surrogateescape"))
    for one in tables:
        for path in sorted(one.rglob("*")) if one.is_dir() else [one]:
            if path.is_file():
                digest.update(path.name.encode("utf-8", "surrogateescape"))
                digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
