"""What a build is told: source, output, and how samples are made."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cxrpt.errors import InputError
from data_prep.sources.hospital import HospitalOptions
from data_prep.sources.mimic_cxr import MimicOptions
from data_prep.sources.nih14 import Nih14Options
from data_prep.sources.open_source import SOURCES
from data_prep.sources.table_options import TableOptions

MOST_FILE_SECONDS = 86_400
_INSTITUTION = re.compile(r"[a-z0-9][a-z0-9-]*")


@dataclass(frozen=True)
class BuildSettings:
    """One build: one institution's export to one folder of shards."""

    source: str
    """A name of `open_source.SOURCES`."""
    src: Path
    out: Path
    institution: str
    key_file: Path | None = None
    """Default: `<out>.key`, beside the output folder."""
    processes: int = 1
    store_size: int = 512
    """Pixels of the short side; larger pictures are reduced, smaller ones kept."""
    image_format: str = "jpg"
    shard_samples: int = 1000
    split: tuple[float, float, float] = (0.8, 0.1, 0.1)
    max_failed: float = 0.2
    file_seconds: float = 60.0
    """Processor time that one file may take; a file that takes more fails, here and in later builds."""
    hospital: HospitalOptions = field(default_factory=HospitalOptions)
    table: TableOptions = field(default_factory=TableOptions)
    nih14: Nih14Options = field(default_factory=Nih14Options)
    mimic_cxr: MimicOptions = field(default_factory=MimicOptions)

    @property
    def options(self) -> Any:
        """Those of this build's source; None where it has none."""
        return getattr(self, self.source.replace("-", "_"), None)

    @property
    def folder(self) -> Path:
        """`<out>/<institution>`."""
        return self.out / self.institution

    @property
    def key_path(self) -> Path:
        return self.key_file or self.out.with_name(self.out.name + ".key")

    @property
    def path_map(self) -> Path:
        """Where ledger hashes are resolved: beside the output, for the owner alone."""
        return self.out.with_name(f"{self.out.name}.{self.institution}.paths.jsonl")

    @property
    def scan_folder(self) -> Path:
        """Where the first look at the files is kept while a build is unfinished: beside the output, for the owner alone."""
        return self.out.with_name(f"{self.out.name}.{self.institution}.scan")

    @property
    def time_outs(self) -> Path:
        """Which inputs took too long: beside the key, as whoever uses the key again builds from the same files."""
        return self.key_path.with_name(self.key_path.name + ".timeouts.jsonl")


def check(settings: BuildSettings) -> None:
    """Refuse settings that cannot be meant.

    Raises:
        InputError: names the option, the value and the rule.
    """
    rules = (
        (settings.source in SOURCES, f"source {settings.source!r} is none of {', '.join(SOURCES)}"),
        (
            _INSTITUTION.fullmatch(settings.institution) is not None and len(settings.institution) <= 40,
            f"--institution {settings.institution!r}: at most 40 small letters, digits and hyphens",
        ),
        (settings.image_format in ("jpg", "png"), f"--image-format {settings.image_format!r} is neither jpg nor png"),
        (32 <= settings.store_size <= 8192, f"--store-size {settings.store_size} is not between 32 and 8192"),
        (settings.shard_samples >= 1, f"--shard-samples {settings.shard_samples} is not at least 1"),
        (settings.processes >= 1, f"--processes {settings.processes} is not at least 1"),
        (
            0 < settings.file_seconds <= MOST_FILE_SECONDS,
            f"--file-seconds {settings.file_seconds} is not above 0 and at most {MOST_FILE_SECONDS}",
        ),
        (0 <= settings.max_failed <= 1, f"--max-failed {settings.max_failed} is not between 0 and 1"),
        (
            len(settings.split) == 3 and min(settings.split) >= 0 and abs(sum(settings.split) - 1) < 1e-6,
            f"--split {','.join(map(str, settings.split))}: three shares (train, val, test) that add up to 1",
        ),
        (settings.src.exists(), f"{settings.src} does not exist: name the folder or file of the export"),
    )
    for kept, message in rules:
        if not kept:
            raise InputError(message)
    out, src = settings.out.resolve(), settings.src.resolve()
    if file := next(
        (path for path in (settings.folder.resolve(), out, *out.parents) if path.exists() and not path.is_dir()), None
    ):
        raise InputError(f"--out {settings.out}: {file.name} is a file there: name a folder")
    if out == src or (src.is_dir() and out.is_relative_to(src)):
        raise InputError("--out is SRC or lies inside it: a second build would read the first; name a folder outside the export")
    if settings.key_path.resolve().is_relative_to(out):
        raise InputError(f"the key {settings.key_path} lies inside --out: the key must not travel with the shards")


def parse_split(written: str) -> tuple[float, float, float]:
    """Three shares from `0.8,0.1,0.1`.

    Raises:
        InputError: not three numbers.
    """
    try:
        train, val, test = (float(part) for part in written.split(","))
    except ValueError:
        raise InputError(f"--split {written!r}: three shares for train, val and test, as in 0.8,0.1,0.1") from None
    return train, val, test
