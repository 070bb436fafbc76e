"""Are the shards below a folder whole, and is no patient in two splits.

manifests ──► a job a shard ──► processes (verify_shard.py) ──► SampleTable (leaks.py) ──► what only the whole shows
    └ sums, names, build.json, ledger.jsonl
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cxrpt.data.manifest import MANIFEST_NAME, Manifest, read_manifest
from cxrpt.data.sample import SPLITS
from cxrpt.data.shards import INDEX_SUFFIX
from cxrpt.errors import InputError
from data_prep.checks.leaks import SampleTable
from data_prep.checks.verify_shard import ShardFacts, ShardJob, check_chunk
from data_prep.ledger import BUILD, LEDGER
from data_prep.processes.workers import run_chunks

WORK = ".work"


@dataclass(frozen=True)
class ShardCheck:
    """One shard (or, with an empty name, something between samples): what it holds, and what is wrong with it."""

    institution: str
    split: str
    name: str
    num_pairs: int = 0
    num_images: int = 0
    num_texts: int = 0
    num_bytes: int = 0
    problem: str = ""
    warning: str = ""
    """Worth a look, but nothing is broken by it: near copies of a picture in another split."""


def verify_shards(root: Path, processes: int = 0, console: Console | None = None) -> Iterator[ShardCheck]:
    """Check every shard that a manifest below `root` names, one result each, then what only the whole shows.

    `processes` of 0 works in this process, without protection against a codec that crashes. The order of the results
    depends on the shards alone. Memory: 53 bytes a sample.

    Raises:
        InputError: there is no manifest below `root`.
    """
    folders = sorted((path.parent for path in root.rglob(MANIFEST_NAME)), key=_place)
    if not folders:
        raise InputError(f"{root} holds no {MANIFEST_NAME}: name a folder that `cxrpt prep` made")
    manifests: dict[Path, Manifest] = {}
    for folder in folders:
        try:
            manifests[folder] = read_manifest(folder)
        except InputError as error:
            yield ShardCheck(folder.parent.name, folder.name, MANIFEST_NAME, problem=str(error))
            continue
        for problem in _manifest_problems(folder, manifests[folder]):
            yield ShardCheck(folder.parent.name, folder.name, MANIFEST_NAME, problem=problem)
    sound = {folder: manifest for folder, manifest in manifests.items() if not _is_unfit(manifest)}
    yield from _check_shards(sound, processes, console)
    for folder, manifest in sound.items():
        for stray in _strays(folder, manifest):
            yield ShardCheck(manifest.institution, manifest.split, stray, problem="is in no manifest: remove it or build again")
    yield from _check_builds(root, manifests)


def _place(folder: Path) -> tuple[Path, int, Path]:
    """By institution, then train, val, test."""
    return folder.parent, SPLITS.index(folder.name) if folder.name in SPLITS else len(SPLITS), folder


def _check_shards(manifests: dict[Path, Manifest], processes: int, console: Console | None) -> Iterator[ShardCheck]:
    jobs = [
        ShardJob(manifest.institution, manifest.split, folder / entry.name, entry)
        for folder, manifest in manifests.items()
        for entry in manifest.shards
    ]
    table = SampleTable(jobs)
    waiting: dict[int, str] = {}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("shards"), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=console is None) as progress:
        bar = progress.add_task("verifying", total=len(jobs))
        said = 0
        for number, facts in _check_all(jobs, processes):
            progress.advance(bar)
            table.put(number, facts)
            waiting[number] = facts.problem
            while said in waiting:
                yield _check_of(jobs[said], waiting.pop(said))
                said += 1
        progress.update(bar, description="comparing splits")
        for finding in table.findings():
            problem, warning = (finding.words, "") if finding.is_problem else ("", finding.words)
            yield ShardCheck(finding.institution, finding.split, "", problem=problem, warning=warning)


def _check_all(jobs: Sequence[ShardJob], processes: int) -> Iterator[tuple[int, ShardFacts]]:
    if processes:
        return run_chunks(check_chunk, [(number, [job]) for number, job in enumerate(jobs)], processes)
    return ((number, check_chunk(number, [job], {})) for number, job in enumerate(jobs))


def _check_of(job: ShardJob, problem: str) -> ShardCheck:
    entry = job.entry
    counts = (entry.num_pairs, entry.num_images, entry.num_texts, entry.num_bytes)
    return ShardCheck(job.institution, job.split, entry.name, *counts, problem=problem)


_SHARD_NAME = re.compile(r"[\w-][\w.-]*\.tar")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def _is_unfit(manifest: Manifest) -> bool:
    """Whether its lines cannot even be looked up."""
    names = [entry.name for entry in manifest.shards]
    numbers = [
        number for entry in manifest.shards for number in (entry.num_pairs, entry.num_images, entry.num_texts, entry.num_bytes)
    ]
    return (
        manifest.split not in SPLITS
        or len(set(names)) != len(names)
        or not all(isinstance(name, str) and _SHARD_NAME.fullmatch(name) for name in names)
        or not all(type(number) is int and number >= 0 for number in numbers)
        or not all(isinstance(entry.sha256, str) and _SHA256.fullmatch(entry.sha256) for entry in manifest.shards)
    )


def _manifest_problems(folder: Path, manifest: Manifest) -> Iterator[str]:
    if _is_unfit(manifest):
        yield "names no split of ours, a shard twice, or sizes and names that cannot be: build again"
        return
    if (manifest.institution, manifest.split) != (folder.parent.name, folder.name):
        yield f"is of {manifest.institution}/{manifest.split}, not of its folder"
    lines = json.loads((folder / MANIFEST_NAME).read_text())["shardlist"]
    wrong = sum(line.get("nsamples") != entry.num_samples for line, entry in zip(lines, manifest.shards, strict=True))
    if wrong:
        yield f"has {wrong} shards whose `nsamples` is not the sum of their pairs, images and texts"


def _strays(folder: Path, manifest: Manifest) -> list[str]:
    names = {entry.name for entry in manifest.shards}
    names |= {name.removesuffix(".tar") + INDEX_SUFFIX for name in names}
    return sorted(path.name for end in ("*.tar", f"*{INDEX_SUFFIX}") for path in folder.glob(end) if path.name not in names)


def _check_builds(root: Path, manifests: dict[Path, Manifest]) -> Iterator[ShardCheck]:
    """What `build.json` and the ledger of an institution say against its manifests."""
    of_institution: dict[Path, list[Manifest]] = defaultdict(list)
    for folder, manifest in manifests.items():
        of_institution[folder.parent].append(manifest)
    for folder, its_manifests in sorted(of_institution.items()):
        if not (folder / BUILD).exists():
            if (folder / WORK).exists():
                yield ShardCheck(
                    folder.name, "", BUILD, problem="is not there yet: run the same `cxrpt prep` again, it goes on"
                )
            continue
        try:
            build = json.loads((folder / BUILD).read_text())
            problems = [*_build_problems(folder, build, its_manifests)]
            if root not in (folder / split for split in SPLITS):
                problems += _absent_splits(build, its_manifests)
            for problem in problems:
                yield ShardCheck(folder.name, "", BUILD, problem=problem)
        except (ValueError, KeyError, TypeError, AttributeError):
            yield ShardCheck(folder.name, "", BUILD, problem="cannot be read: build again")


def _absent_splits(build: dict[str, Any], manifests: list[Manifest]) -> list[str]:
    absent = sorted(set(build["splits"]) - {manifest.split for manifest in manifests})
    return [f"names the split {split}, which has no {MANIFEST_NAME}: copy or build it again" for split in absent]


def _build_problems(folder: Path, build: dict[str, Any], manifests: list[Manifest]) -> Iterator[str]:
    for manifest in manifests:
        said = {name: build["splits"][manifest.split][name] for name in ("pairs", "images", "texts", "shards")}
        found = {
            "pairs": sum(entry.num_pairs for entry in manifest.shards),
            "images": sum(entry.num_images for entry in manifest.shards),
            "texts": sum(entry.num_texts for entry in manifest.shards),
            "shards": len(manifest.shards),
        }
        for name in said:
            if said[name] != found[name]:
                yield f"says {said[name]} {name} in {manifest.split}, its manifest {found[name]}"
    if build["found"] != build["kept"] + build["excluded"] + build["failed"]:
        yield "does not account for every input: found is not kept + excluded + failed"
    try:
        with (folder / LEDGER).open("rb") as lines:
            num_lines = sum(1 for _ in lines)
    except FileNotFoundError:
        yield f"has no {LEDGER} beside it"
        return
    if num_lines != build["found"]:
        yield f"says {build['found']} inputs, {LEDGER} has {num_lines} lines"
