"""One build, from an export to shards: read, convert, compose, write; killed at any place, it goes on where it was.

<out>/<institution>/.work/     parts of the spool; removed at the end
<out>/<institution>/<split>/   shards, indexes, manifest.json
<out>/<institution>/ledger.jsonl
<out>/<institution>/build.json written last: a build without it is unfinished
<out>.key, <out>.<institution>.paths.jsonl     beside the output, for the owner alone
"""

import errno
import fcntl
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import pydicom
from rich.console import Console
from rich.progress import Progress

from cxrpt import __version__
from cxrpt.data.manifest import MANIFEST_NAME, Manifest, ShardEntry
from cxrpt.data.sample import SCHEMA_VERSION, SPLITS
from cxrpt.errors import InputError
from data_prep.compose import Composition, compose
from data_prep.convert import Converter, Done, Encoding, ImageTask, ReportTask, Task, read_part
from data_prep.inputs import Export
from data_prep.ledger import LedgerCounts, count_lines, ledger_text
from data_prep.pack import PackJob, ShardPacker
from data_prep.pseudonyms import Pseudonyms, read_or_make_key
from data_prep.settings import BuildSettings, check
from data_prep.sources.open_source import OpenedSource, open_source
from data_prep.workers import run_chunks
from data_prep.write_shards import shard_name, write_file

CHUNK = 64
"""Inputs of a part: a kill costs at most this many a process."""
WORK = ".work"
BUILD = "build.json"
LEDGER = "ledger.jsonl"


@dataclass(frozen=True)
class BuildSummary:
    """What a build came to; `splits` is split -> pairs, images, texts, patients, shards."""

    folder: Path
    found: int
    kept: int
    excluded: int
    failed: int
    reasons: dict[str, int]
    by_type: dict[str, dict[str, int]]
    splits: dict[str, dict[str, int]]
    remarks: tuple[str, ...] = ()
    was_complete: bool = False


def build(settings: BuildSettings, console: Console | None = None) -> BuildSummary:
    """Build, go on with an unfinished build, or find that it is complete.

    Raises:
        InputError: settings that cannot be meant, an output folder of another build, more failures than
            `max_failed`, or a full disk; the same command goes on once that is mended.
    """
    check(settings)
    settings.out.parent.mkdir(parents=True, exist_ok=True)
    pseudonyms = Pseudonyms(settings.institution, read_or_make_key(settings.key_path))
    source = open_source(settings)
    identity = _identity(settings, source, pseudonyms)
    folder = settings.folder
    if (folder / BUILD).exists():
        return _completed(folder, identity)
    work = _claim(folder, identity)
    try:
        with _locked(work):
            try:
                return _run(settings, source, pseudonyms, identity, console or Console(stderr=True))
            except InputError:
                _forget_unbegun(work)
                raise
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise InputError(f"the disk of {settings.out} is full: free some space and run the same command; it goes on") from None


def _run(
    settings: BuildSettings, source: OpenedSource, pseudonyms: Pseudonyms, identity: dict[str, Any], console: Console
) -> BuildSummary:
    folder, work = settings.folder, settings.folder / WORK
    with console.status("reading the export"):
        export = source.collect(settings.processes)
    _write_path_map(settings.path_map, export, pseudonyms)
    done = _convert_all(settings, export, pseudonyms, work, console)
    composition = compose(export, done, pseudonyms, settings.split)
    counts = count_lines(composition.ledger)
    write_file(folder / LEDGER, ledger_text(composition.ledger).encode())
    _judge(counts, settings)
    shards = _write_splits(settings, composition, identity["settings"], work, console)
    splits = {split: _split_counts(shards[split], composition.patients[split]) for split in SPLITS}
    summary = {**counts.__dict__, "splits": splits, "remarks": list(export.remarks)}
    write_file(folder / BUILD, (json.dumps({**identity, **summary}, indent=1, sort_keys=True) + "\n").encode())
    shutil.rmtree(work)
    return BuildSummary(folder=folder, **{**summary, "remarks": export.remarks})


def _identity(settings: BuildSettings, source: OpenedSource, pseudonyms: Pseudonyms) -> dict[str, Any]:
    """What makes two builds the same: settings, source and key, the last two as keyed hashes."""
    return {
        "settings": {
            "source": settings.source,
            "store_size": settings.store_size,
            "image_format": settings.image_format,
            "shard_samples": settings.shard_samples,
            "split": list(settings.split),
            "schema": SCHEMA_VERSION,
            "cxrpt": __version__,
            "opencv": cv2.__version__,
            "pydicom": pydicom.__version__,
        },
        "institution": settings.institution,
        "source": pseudonyms.of("source", source.fingerprint),
        "key": pseudonyms.of("key", "id"),
    }


def _completed(folder: Path, identity: dict[str, Any]) -> BuildSummary:
    try:
        fields = json.loads((folder / BUILD).read_text())
        shutil.rmtree(folder / WORK, ignore_errors=True)
        _refuse_other(folder, identity, fields)
        names = ("found", "kept", "excluded", "failed", "reasons", "by_type", "splits")
        picked = {name: fields[name] for name in names}
        return BuildSummary(folder=folder, remarks=tuple(fields["remarks"]), was_complete=True, **picked)
    except (KeyError, json.JSONDecodeError):
        raise InputError(f"{folder / BUILD} is broken: remove {folder} and build again") from None


def _refuse_other(folder: Path, identity: dict[str, Any], there: dict[str, Any]) -> None:
    for part in ("institution", "key", "source", "settings"):
        if there.get(part) == identity[part]:
            continue
        what = {"key": "another key", "source": "another source, or one that has changed since"}.get(part, "other settings")
        if part == "settings" and isinstance(there.get(part), dict):
            differing = sorted(name for name in identity[part] if there[part].get(name) != identity[part][name])
            what = f"other settings ({', '.join(differing)})"
        raise InputError(f"{folder} holds a build with {what}: name another --out, or remove that folder")


def _claim(folder: Path, identity: dict[str, Any]) -> Path:
    """The work folder of this build, made or found again."""
    work = folder / WORK
    note = work / "identity.json"
    if note.exists():
        _refuse_other(folder, identity, json.loads(note.read_text()))
        return work
    if folder.exists() and any(path.name != WORK for path in folder.iterdir()):
        raise InputError(f"{folder} holds files that are no build of cxrpt: name another --out, or remove that folder")
    work.mkdir(parents=True, exist_ok=True)
    write_file(note, json.dumps(identity).encode())
    return work


def _forget_unbegun(work: Path) -> None:
    """Give the folder back where nothing was made yet, so that a mended command is not taken for another build."""
    if next(work.glob("part-*.json"), None) is None and not (work.parent / LEDGER).exists():
        shutil.rmtree(work)
        work.parent.rmdir()


@contextmanager
def _locked(work: Path) -> Iterator[None]:
    """One build at a time in a folder; the lock goes with the process, however it ends."""
    with (work / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"another build is at work in {work.parent}: wait for it, or stop it") from None
        yield


def _convert_all(
    settings: BuildSettings, export: Export, pseudonyms: Pseudonyms, work: Path, console: Console
) -> dict[str, Done]:
    """Every image and report of the export, by the keyed hash of the input; finished parts are taken as they are."""
    tasks: list[Task] = []
    for study in export.studies:
        tasks += [
            ImageTask(pseudonyms.of("input", image.input_id), image.type, image.path, image.by_content)
            for image in study.images
        ]
        if study.report is not None:
            name = pseudonyms.of("input", study.report.input_id)
            tasks.append(ReportTask(name, study.report.text, study.identifiers))
    # By hash: pictures and texts mix, so that parts cost about the same.
    tasks.sort(key=lambda task: task.input)
    assert len({task.input for task in tasks}) == len(tasks), "two inputs share an id"
    chunks = [(number, tasks[start : start + CHUNK]) for number, start in enumerate(range(0, len(tasks), CHUNK))]
    done: dict[int, list[Done]] = {}
    for number, items in chunks:
        part = read_part(work, number)
        if part is not None and [one.input for one in part] == [task.input for task in items]:
            done[number] = part
    converter = Converter(work, Encoding(settings.store_size, settings.image_format))
    with Progress(console=console, transient=True) as progress:
        bar = progress.add_task("converting", total=len(tasks), completed=sum(map(len, done.values())))
        for _, count in run_chunks(converter, [chunk for chunk in chunks if chunk[0] not in done], settings.processes):
            progress.advance(bar, count)
    return {one.input: one for number, _ in chunks for one in done.get(number) or read_part(work, number) or ()}


def _judge(counts: LedgerCounts, settings: BuildSettings) -> None:
    share = counts.failed / counts.found if counts.found else 0.0
    if share > settings.max_failed:
        reasons = ", ".join(
            f"{reason} {number}" for reason, number in sorted(counts.reasons.items(), key=lambda pair: -pair[1])
        )
        raise InputError(
            f"{counts.failed} of {counts.found} inputs failed ({share:.1%}, allowed {settings.max_failed:.1%}; {reasons}): "
            f"look at {settings.folder / LEDGER} with `cxrpt prep explain`, mend the export or raise --max-failed"
        )


def _write_splits(
    settings: BuildSettings, composition: Composition, made_with: dict[str, Any], work: Path, console: Console
) -> dict[str, list[ShardEntry]]:
    jobs = []
    for split in SPLITS:
        target = settings.folder / split
        target.mkdir(exist_ok=True)
        planned = composition.samples[split]
        for number, start in enumerate(range(0, len(planned), settings.shard_samples)):
            path = target / shard_name(settings.institution, split, number)
            jobs.append(PackJob(split, path, planned[start : start + settings.shard_samples]))
    packer = ShardPacker(work, settings.image_format)
    written: dict[int, ShardEntry] = {}
    with Progress(console=console, transient=True) as progress:
        bar = progress.add_task("writing shards", total=len(jobs))
        for number, entry in run_chunks(packer, [(number, [job]) for number, job in enumerate(jobs)], settings.processes):
            written[number] = entry
            progress.advance(bar)
    shards = {split: [written[number] for number, job in enumerate(jobs) if job.split == split] for split in SPLITS}
    for split in SPLITS:
        manifest = Manifest(settings.institution, split, made_with, tuple(shards[split]))
        write_file(settings.folder / split / MANIFEST_NAME, manifest.to_json().encode())
    return shards


def _split_counts(shards: list[ShardEntry], patients: int) -> dict[str, int]:
    return {
        "pairs": sum(shard.num_pairs for shard in shards),
        "images": sum(shard.num_images for shard in shards),
        "texts": sum(shard.num_texts for shard in shards),
        "patients": patients,
        "shards": len(shards),
    }


def _write_path_map(path: Path, export: Export, pseudonyms: Pseudonyms) -> None:
    """Hash and input, a line each, readable by the owner alone."""
    ids = [one.input_id for one in export.set_aside]
    for study in export.studies:
        ids += [image.input_id for image in study.images] + ([study.report.input_id] if study.report else [])
    lines = sorted((pseudonyms.of("input", input_id), input_id) for input_id in ids)
    text = "".join(json.dumps({"hash": name, "input": input_id}) + "\n" for name, input_id in lines)
    write_file(path, text.encode(), mode=0o600)


def explain(digits: str, out: Path) -> list[str]:
    """The inputs whose ledger hash starts with `digits`, from the path maps beside `out`.

    Raises:
        InputError: there is no path map, or none of its lines fits.
    """
    maps = sorted(out.absolute().parent.glob(f"{out.absolute().name}.*.paths.jsonl"))
    if not maps:
        raise InputError(f"there is no path map beside {out}: it lies where the build was made")
    if not digits:
        raise InputError("give the hash, or its first digits")
    lines = [json.loads(line) for path in maps for line in path.read_text().splitlines()]
    found = [line["input"] for line in lines if line["hash"].startswith(digits)]
    if not found:
        raise InputError(f"no input of {out} has the hash {digits}: take it from the `input` of a ledger line")
    return found
