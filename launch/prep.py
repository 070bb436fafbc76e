"""`cxrpt prep` and `cxrpt verify`: exports to shards, and whether shards are whole."""

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from cxrpt.errors import InputError
from data_prep.build_folder import BuildSummary
from data_prep.path_map import explain
from data_prep.run import build
from data_prep.settings import BuildSettings, parse_split
from data_prep.sources.hospital import HospitalOptions
from data_prep.sources.table import TableOptions, read_columns
from data_prep.verify import ShardCheck, verify_shards
from launch.summary import wide_console

prep_app = typer.Typer(help="Build de-identified shards from an export.", no_args_is_help=True, pretty_exceptions_enable=False)

Src = Annotated[Path, typer.Argument(help="The export: a folder, or the data set's file.", show_default=False)]
Out = Annotated[Path, typer.Option(help="Shards go to OUT/INSTITUTION/{train,val,test}.", show_default=False)]
Institution = Annotated[str, typer.Option(help="A code (small letters, digits, hyphens) that stands for the institution.")]
Key = Annotated[Path | None, typer.Option(help="Key file of the pseudonyms; made on first use. Default: OUT.key")]
Processes = Annotated[int, typer.Option(help="Worker processes; the bytes do not depend on it. Default: the free processors.")]
StoreSize = Annotated[int, typer.Option(help="Short side of stored pictures, pixels.")]
ImageFormat = Annotated[str, typer.Option(help="jpg (quality 95) or png (lossless).")]
ShardSamples = Annotated[int, typer.Option(help="Samples a shard.")]
Split = Annotated[str, typer.Option(help="Shares of patients for train, val and test.")]
MaxFailed = Annotated[float, typer.Option(help="Largest share of inputs that may fail; judged at the end.")]

PROCESSES = len(os.sched_getaffinity(0))
WARNINGS_SHOWN = 20


@prep_app.command("hospital")
def hospital(
    src: Src,
    out: Out,
    institution: Institution,
    key: Key = None,
    processes: Processes = PROCESSES,
    reports: Annotated[Path | None, typer.Option(help="CSV (accession_number, report, ...) or a folder of text files.")] = None,
    labels: Annotated[Path | None, typer.Option(help="CSV: accession_number and a column a finding (1, 0, -1, empty).")] = None,
    number_column: Annotated[
        str | None, typer.Option(help="Column of the reports with the accession number or study UID.")
    ] = None,
    report_column: Annotated[str | None, typer.Option(help="Column of the reports with the text.")] = None,
    patient_column: Annotated[str | None, typer.Option(help="Column of the reports with the patient.")] = None,
    date_column: Annotated[str | None, typer.Option(help="Column of the reports with the date of the study.")] = None,
    all_chest: Annotated[
        bool, typer.Option("--all-chest", help="Only chests are in the export: keep where no tag tells.")
    ] = False,
    store_size: StoreSize = 512,
    image_format: ImageFormat = "jpg",
    shard_samples: ShardSamples = 1000,
    split: Split = "0.8,0.1,0.1",
    max_failed: MaxFailed = 0.2,
) -> None:
    """A folder of DICOM files under any names, with reports and labels by accession number or study UID.

    SRC/reports.csv, SRC/reports/ and SRC/labels.csv are found by themselves.
    """
    options = HospitalOptions(reports, labels, number_column, report_column, patient_column, date_column, all_chest)
    for what, given in (("reports", (reports,)), ("labels", (labels,))):
        found = next((src / name for name in (f"{what}.csv", what) if (src / name).exists()), None)
        if given == (None,) and found is not None:
            typer.echo(f"{what}: {found}")
    _build(
        BuildSettings(
            "hospital", src, out, institution, key, processes, store_size, image_format, shard_samples,
            parse_split(split), max_failed, hospital=options,
        )
    )  # fmt: skip


@prep_app.command("table")
def table(
    src: Src,
    out: Out,
    institution: Institution,
    columns: Annotated[str, typer.Option(help="image=filename,text=notes,patient=id,... or a yaml file of that.")],
    images: Annotated[Path | None, typer.Option(help="Folder of the pictures. Default: the folder of the table.")] = None,
    label_separator: Annotated[str, typer.Option(help="What joins labels in a cell of the labels column.")] = "|",
    key: Key = None,
    processes: Processes = PROCESSES,
    store_size: StoreSize = 512,
    image_format: ImageFormat = "jpg",
    shard_samples: ShardSamples = 1000,
    split: Split = "0.8,0.1,0.1",
    max_failed: MaxFailed = 0.2,
) -> None:
    """A CSV, TSV or JSON-lines table with a row a picture, and a folder of pictures."""
    options = TableOptions(read_columns(columns), images, label_separator)
    _build(
        BuildSettings(
            "table", src, out, institution, key, processes, store_size, image_format, shard_samples,
            parse_split(split), max_failed, table=options,
        )
    )  # fmt: skip


@prep_app.command("nih14")
def nih14(
    src: Src,
    out: Out,
    institution: Institution = "nih14",
    key: Key = None,
    processes: Processes = PROCESSES,
    store_size: StoreSize = 512,
    image_format: ImageFormat = "jpg",
    shard_samples: ShardSamples = 1000,
    split: Split = "0.8,0.1,0.1",
    max_failed: MaxFailed = 0.2,
) -> None:
    """NIH ChestX-ray14: Data_Entry_2017_v2020.csv and pictures anywhere below SRC; the official split where its lists are."""
    _build(
        BuildSettings(
            "nih14", src, out, institution, key, processes, store_size, image_format, shard_samples,
            parse_split(split), max_failed,
        )
    )  # fmt: skip


@prep_app.command("openi")
def openi(
    src: Src,
    out: Out,
    institution: Institution = "openi",
    key: Key = None,
    processes: Processes = PROCESSES,
    store_size: StoreSize = 512,
    image_format: ImageFormat = "jpg",
    shard_samples: ShardSamples = 1000,
    split: Split = "0.8,0.1,0.1",
    max_failed: MaxFailed = 0.2,
) -> None:
    """OpenI (Indiana University): NLMCXR_reports.tgz or its XML files, with the NLMCXR pictures where they are."""
    _build(
        BuildSettings(
            "openi", src, out, institution, key, processes, store_size, image_format, shard_samples,
            parse_split(split), max_failed,
        )
    )  # fmt: skip


@prep_app.command("explain")
def explain_command(
    digits: Annotated[str, typer.Argument(metavar="HASH", help="`input` of a ledger line, or its first digits.")],
    out: Annotated[Path, typer.Option(help="The output folder of the build.")],
) -> None:
    """Say which input a ledger hash stands for; needs the path map beside OUT."""
    for line in explain(digits, out):
        typer.echo(line)


def verify(
    folder: Annotated[Path, typer.Argument(help="A folder that `cxrpt prep` made, or any folder above it.")],
    strict: Annotated[bool, typer.Option("--strict", help="Also end with 1 on near copies of a picture.")] = False,
    show_all: Annotated[
        bool, typer.Option("--all", help="Show every shard and up to 1,000 near copies, not sums and the first 20.")
    ] = False,
    processes: Annotated[int, typer.Option(min=1, help="Worker processes. Default: the free processors.")] = PROCESSES,
) -> None:
    """Check every shard below a folder: checksums, tars, members, counts, and no patient in two splits.

    Ends with 1 where something is broken. Near copies of a picture in another split or institution are listed as warnings.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder: name one that `cxrpt prep` made")
    checks = list(verify_shards(folder, processes, Console(stderr=True)))
    wide_console().print(_shards_table(checks, show_all))
    problems = [check for check in checks if check.problem]
    warnings = [check for check in checks if check.warning]
    for check in problems:
        typer.echo(f"cxrpt: {_place(check)}{check.problem}", err=True)
    shown = len(warnings) if show_all else WARNINGS_SHOWN
    for check in warnings[:shown]:
        typer.echo(f"warning: {_place(check)}{check.warning}", err=True)
    if len(warnings) > shown:
        typer.echo(f"further warnings: {len(warnings) - shown}; --all shows them", err=True)
    if problems or (strict and warnings):
        raise typer.Exit(1)


def _place(check: ShardCheck) -> str:
    words = " ".join(filter(None, (check.institution, check.split, check.name)))
    return words and f"{words}: "


def _shards_table(checks: list[ShardCheck], show_all: bool) -> Table:
    """Sums of each split, or every shard."""
    shown = Table("institution", "split", "shard" if show_all else "shards", "pairs", "images", "texts", "MB", "state")
    groups: dict[tuple[str, ...], list[ShardCheck]] = {}
    for check in checks:
        if check.name.endswith(".tar"):
            groups.setdefault((check.institution, check.split, *([check.name] if show_all else [])), []).append(check)
    for group, members in groups.items():
        broken = sum(bool(check.problem) for check in members)
        sums = [
            sum(getattr(check, name) for check in members) for name in ("num_pairs", "num_images", "num_texts", "num_bytes")
        ]
        state = "ok" if not broken else "BROKEN" if len(members) == 1 else f"{broken} BROKEN"
        count = group[2] if show_all else f"{len(members):,}"
        shown.add_row(group[0], group[1], count, *(f"{number:,}" for number in sums[:3]), f"{sums[3] / 1e6:,.1f}", state)
    return shown


def _build(settings: BuildSettings) -> None:
    console = Console(stderr=True)
    summary = build(settings, console)
    _show(summary)


def _show(summary: BuildSummary) -> None:
    if summary.was_complete:
        typer.echo(f"{summary.folder} is complete: nothing to do")
    shown = Table("split", "patients", "pairs", "images only", "texts only", "shards")
    for split, counts in summary.splits.items():
        shown.add_row(split, *(str(counts[name]) for name in ("patients", "pairs", "images", "texts", "shards")))
    Console().print(shown)
    typer.echo(f"found {summary.found} = kept {summary.kept} + excluded {summary.excluded} + failed {summary.failed}")
    for reason, number in summary.reasons.items():
        typer.echo(f"  {reason}: {number}")
    for remark in summary.remarks:
        typer.echo(remark)
    typer.echo(str(summary.folder))
