"""Which sources there are: each opens a folder or file and hands back its fingerprint and how to read it."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_prep.sources import hospital, mimic_cxr, nih14, openi, table
from data_prep.sources.opened import OpenedSource, fingerprint

if TYPE_CHECKING:
    from data_prep.build.settings import BuildSettings


def _open_hospital(src: Path, options: hospital.HospitalOptions) -> OpenedSource:
    files, options = hospital.files_of(src, options)
    tables = [path for path in (options.reports, options.labels) if path]
    named = [f"{name}={value}" for name, value in sorted(options.__dict__.items()) if name not in ("reports", "labels")]
    return OpenedSource(fingerprint(src, files, tables, named), partial(hospital.collect, src, files, options))


SOURCES: dict[str, Callable[[Path, Any], OpenedSource]] = {
    "hospital": _open_hospital,
    "table": table.open_source,
    "nih14": nih14.open_source,
    "openi": openi.open_source,
    "mimic-cxr": mimic_cxr.open_source,
}
"""Name -> opener of (SRC, options); it raises InputError where SRC is not laid out as that kind of source."""


def open_source(settings: "BuildSettings") -> OpenedSource:
    """The source of a build, found but not yet read.

    Raises:
        InputError: it is not laid out as that kind of source.
    """
    return SOURCES[settings.source](settings.src, settings.options)
