"""One build, from an export to shards: read, convert, compose, write; killed at any place, it goes on where it was.

export ── source.collect ──► Export ── convert ──► .work/part-* ── compose ──► samples and ledger ── pack ──► shards
                                                     (spool)                                        build.json last

`<out>.<institution>.paths.jsonl`, the key and its list of time-outs lie beside the output, for the owner alone.
"""

import errno
import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from cxrpt.data.manifest import MANIFEST_NAME, Manifest, ShardEntry
from cxrpt.data.sample import SPLITS, Kind
from cxrpt.errors import InputError
from data_prep.build.build_folder import (
    NEAR,
    WORK,
    BuildSummary,
    claim,
    completed,
    forget_unbegun,
    identity_of,
    locked,
)  # fmt: skip
from data_prep.build.compose import Composition, compose
from data_prep.build.convert import Converter, Done, Encoding, ImageTask, ReportTask, Task, is_whole, read_part
from data_prep.build.near_report import near_pairs, near_text
from data_prep.build.pack import PackJob, ShardPacker
from data_prep.build.path_map import write_path_map
from data_prep.build.settings import BuildSettings, check
from data_prep.build.time_outs import add_time_outs, read_time_outs
from data_prep.build.write_shards import shard_name
from data_prep.inputs import Export
from data_prep.ledger import BUILD, LEDGER, LedgerCounts, Reason, count_lines, ledger_text, outcome_of
from data_prep.privacy.pseudonyms import Pseudonyms, passing_key, read_or_make_key
from data_prep.processes.durable import remove_remains, write_file
from data_prep.processes.progress import BuildProgress
from data_prep.processes.scan import Reading, ScanSpool
from data_prep.processes.workers import run_chunks
from data_prep.sources.open_source import open_source
from data_prep.sources.opened import OpenedSource

LEAST_IN_CHUNK, MOST_IN_CHUNK = 4, 64
"""Inputs of a part: a kill costs at most this many a process."""
_LOOK = "look"
"""Kind of pseudonym: a verdict of the first look is none on the pixels, nor the other way round, as a header that can be read
says whom the report must not name."""


def build(settings: BuildSettings, console: Console | None = None) -> BuildSummary:
    """Build, go on with an unfinished build, or find that it is complete.

    Raises:
        InputError: settings that cannot be meant, an output folder of another build, more failures than
            `max_failed`, or a full disk; the same command goes on once that is mended.
    """
    source, pseudonyms, identity = _open(settings)
    if (summary := completed(settings.folder, identity)) is not None:
        return summary
    with _full_disk_told(settings):
        work = claim(settings.folder, identity)
        with locked(work):
            try:
                return _run(settings, source, pseudonyms, identity, console or Console(stderr=True))
            except InputError:
                forget_unbegun(work)
                raise


@contextmanager
def _full_disk_told(settings: BuildSettings) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise InputError(f"the disk of {settings.out} is full: free some space and run the same command; it goes on") from None


def look_ahead(settings: BuildSettings) -> BuildSummary | None:
    """Refuse what `build` would refuse at once, before it is left to others; the export's folders are listed, no file is read.

    Returns:
        The summary where the build is complete.

    Raises:
        InputError: as `build`.
    """
    _, _, identity = _open(settings)
    if (summary := completed(settings.folder, identity)) is None:
        claim(settings.folder, identity)
    return summary


def convert_share(settings: BuildSettings, share: int, of: int, console: Console | None = None) -> int:
    """Do a share of a build's work, on any machine that sees its folders: `build` finds it done, and does the rest.

    The export is looked at first, once for all: let one process do its share (of 0 parts) before others begin theirs.

    Args:
        settings: of the build.
        share: which of the parts, from 0.
        of: number of parts; 0 only looks at the export.
        console: for progress.

    Returns:
        Inputs of the share; all of them are converted.

    Raises:
        InputError: as `build`.
    """
    source, pseudonyms, identity = _open(settings)
    if completed(settings.folder, identity) is not None:
        return 0
    with _full_disk_told(settings):
        work = claim(settings.folder, identity)
        with locked(work, shared=True):
            export = source.collect(_reading(settings, identity, pseudonyms))
            chunks = [chunk for chunk in _chunks(_tasks(export, pseudonyms)) if of and chunk[0] % of == share]
            return sum(map(len, _convert(settings, chunks, work, console or Console(stderr=True)).values()))


def _open(settings: BuildSettings) -> tuple[OpenedSource, Pseudonyms, dict[str, Any]]:
    check(settings)
    source = open_source(settings)
    settings.out.parent.mkdir(parents=True, exist_ok=True)
    pseudonyms = Pseudonyms(settings.institution, read_or_make_key(settings.key_path))
    return source, pseudonyms, identity_of(settings, source.fingerprint, pseudonyms)


def census(settings: BuildSettings, console: Console | None = None) -> BuildSummary:
    """What a build would try: headers, tables and reports are read, no picture is decoded and nothing is written.

    What is set aside before any pixel is looked at is in `reasons`; all else counts as kept. Where there is no key yet, the
    splits are those of a passing one: their sizes are right, their patients are not.

    Raises:
        InputError: settings that cannot be meant, or a source that is not laid out as its kind.
    """
    check(settings)
    key = read_or_make_key(settings.key_path) if settings.key_path.exists() else passing_key()
    pseudonyms = Pseudonyms(settings.institution, key)
    source = open_source(settings)
    with (console or Console(stderr=True)).status("reading the export"):
        export = source.collect(Reading(settings.processes, settings.file_seconds))
    done = {task.input: Done(task.input, digest=task.input) for task in _tasks(export, pseudonyms)}
    composition = compose(export, done, pseudonyms, settings.split)
    splits = {split: _planned_counts(composition, split, settings.shard_samples) for split in SPLITS}
    counts = count_lines(composition.ledger)
    return BuildSummary(folder=settings.folder, **{**counts.__dict__, "splits": splits, "near": {}, "remarks": export.remarks})


def _run(
    settings: BuildSettings, source: OpenedSource, pseudonyms: Pseudonyms, identity: dict[str, Any], console: Console
) -> BuildSummary:
    folder, work = settings.folder, settings.folder / WORK
    with console.status("reading the export"):
        export = source.collect(_reading(settings, identity, pseudonyms))
    write_path_map(settings.path_map, export.input_ids(), pseudonyms)
    done = {
        one.input: one
        for part in _convert(settings, _chunks(_tasks(export, pseudonyms)), work, console).values()
        for one in part
    }
    _keep_time_outs(settings, export, done, pseudonyms)
    composition = compose(export, done, pseudonyms, settings.split)
    counts = count_lines(composition.ledger)
    write_file(folder / LEDGER, ledger_text(composition.ledger).encode())
    _judge(counts, settings)
    near = near_pairs(composition)
    write_file(folder / NEAR, near_text(near).encode())
    made_with = identity["settings"] | {"split_by": export.split_by}
    shards = _write_splits(settings, composition, made_with, work, console)
    splits = {split: _split_counts(shards[split], composition.patients[split]) for split in SPLITS}
    summary = {**counts.__dict__, "splits": splits, "near": near.counts(), "remarks": list(export.remarks)}
    remove_remains(folder)
    # Before the build is called whole: nobody would look for it afterwards, and it identifies patients.
    _spool(settings, identity).remove()
    write_file(folder / BUILD, (json.dumps({**identity, **summary}, indent=1, sort_keys=True) + "\n").encode())
    shutil.rmtree(work)
    return BuildSummary(folder=folder, **{**summary, "remarks": export.remarks})


def _tasks(export: Export, pseudonyms: Pseudonyms) -> list[Task]:
    """Every image and report that is to be converted, by hash: pictures and texts mix, so that parts cost about the same."""
    tasks: list[Task] = []
    for study in export.studies:
        tasks += [
            ImageTask(pseudonyms.of("input", image.input_id), image.type, image.path, image.by_content, image.inverted)
            for image in study.images
        ]
        if study.report is not None:
            name = pseudonyms.of("input", study.report.input_id)
            tasks.append(ReportTask(name, study.report.text, study.identifiers))
    tasks.sort(key=lambda task: task.input)
    assert len({task.input for task in tasks}) == len(tasks), "two inputs share an id"
    return tasks


def _reading(settings: BuildSettings, identity: dict[str, Any], pseudonyms: Pseudonyms) -> Reading:
    known = read_time_outs(settings.time_outs, settings.file_seconds)

    def is_late(input_id: str) -> bool:
        return bool(known) and pseudonyms.of(_LOOK, input_id) in known

    return Reading(settings.processes, settings.file_seconds, _spool(settings, identity), is_late)


def _spool(settings: BuildSettings, identity: dict[str, Any]) -> ScanSpool:
    """What other settings, another version of ours or other decoders found is not taken."""
    told = json.dumps([identity["source"], identity["settings"]], sort_keys=True)
    return ScanSpool(settings.scan_folder, hashlib.sha256(told.encode()).hexdigest())


def _chunks(tasks: list[Task]) -> list[tuple[int, list[Task]]]:
    """The parts of a build, which depend on nothing but its inputs."""
    # Small builds in small parts, so that the processes end together.
    size = min(MOST_IN_CHUNK, max(LEAST_IN_CHUNK, len(tasks) // 128))
    return [(number, tasks[start : start + size]) for number, start in enumerate(range(0, len(tasks), size))]


def _convert(
    settings: BuildSettings, chunks: list[tuple[int, list[Task]]], work: Path, console: Console
) -> dict[int, list[Done]]:
    """What became of every task of some parts, by the part's number; finished parts are taken as they are."""
    known = read_time_outs(settings.time_outs, settings.file_seconds)
    converter = Converter(work, Encoding(settings.store_size, settings.image_format), settings.file_seconds, known)
    finished: dict[int, list[Done]] = {}
    for number, items in chunks:
        part = read_part(work, number)
        if part is not None and [one.input for one in part] == [task.input for task in items] and is_whole(work, number, part):
            finished[number] = part
    earlier = Counter(outcome_of(one.reason) for part in finished.values() for one in part)
    with BuildProgress(console, "converting", sum(len(items) for _, items in chunks), earlier) as progress:
        for _, counts in run_chunks(converter, [chunk for chunk in chunks if chunk[0] not in finished], settings.processes):
            progress.advance(counts)
    return {number: finished.get(number) or read_part(work, number) or [] for number, _ in chunks}


def _keep_time_outs(settings: BuildSettings, export: Export, done: dict[str, Done], pseudonyms: Pseudonyms) -> None:
    """Later builds pass the verdict on without trying: it must not hang on the load of the machine."""
    late = {one.input for one in done.values() if one.reason is Reason.TIMED_OUT}
    late |= {pseudonyms.of(_LOOK, one.input_id) for one in export.set_aside if one.reason is Reason.TIMED_OUT}
    add_time_outs(settings.time_outs, late - read_time_outs(settings.time_outs, settings.file_seconds), settings.file_seconds)


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
    jobs = list(_pack_jobs(settings, composition))
    for split in SPLITS:
        (settings.folder / split).mkdir(exist_ok=True)
    packer = ShardPacker(work, settings.image_format)
    written: dict[int, ShardEntry] = {}
    with BuildProgress(console, "writing shards", len(jobs)) as progress:
        for number, entry in run_chunks(packer, [(number, [job]) for number, job in enumerate(jobs)], settings.processes):
            written[number] = entry
            progress.advance(Counter(shards=1))
    shards = {split: [written[number] for number, job in enumerate(jobs) if job.split == split] for split in SPLITS}
    for split in SPLITS:
        remove_remains(settings.folder / split)
        manifest = Manifest(settings.institution, split, made_with, tuple(shards[split]))
        write_file(settings.folder / split / MANIFEST_NAME, manifest.to_json().encode())
    return shards


def _pack_jobs(settings: BuildSettings, composition: Composition) -> Iterator[PackJob]:
    for split in SPLITS:
        planned = composition.samples[split]
        for number, start in enumerate(range(0, len(planned), settings.shard_samples)):
            path = settings.folder / split / shard_name(settings.institution, split, number)
            yield PackJob(split, path, planned[start : start + settings.shard_samples])


def _split_counts(shards: list[ShardEntry], patients: int) -> dict[str, int]:
    return {
        "pairs": sum(shard.num_pairs for shard in shards),
        "images": sum(shard.num_images for shard in shards),
        "texts": sum(shard.num_texts for shard in shards),
        "patients": patients,
        "shards": len(shards),
    }


def _planned_counts(composition: Composition, split: str, shard_samples: int) -> dict[str, int]:
    planned = composition.samples[split]
    kinds = Counter(one.kind for one in planned)
    return {
        "pairs": kinds[Kind.PAIR],
        "images": kinds[Kind.IMAGE],
        "texts": kinds[Kind.TEXT],
        "patients": composition.patients[split],
        "shards": -(-len(planned) // shard_samples),
    }
