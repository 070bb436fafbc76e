"""`cxrpt prep`: exports to shards."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from cxrpt import machine
from data_prep.build.path_map import explain
from data_prep.build.run import build, census
from data_prep.build.settings import BuildSettings, parse_split
from data_prep.reports.read_hl7 import ACCESSION_FIELDS, accession_fields_of
from data_prep.sources.hospital import HospitalOptions, find_labels, find_reports
from data_prep.sources.mimic_cxr import MimicOptions
from data_prep.sources.nih14 import Nih14Options
from data_prep.sources.table_options import TableOptions, read_options
from launch.build_summary import show_summary
from launch.prep_cluster import submit_build

prep_app = typer.Typer(help="Build de-identified shards from an export.", no_args_is_help=True, pretty_exceptions_enable=False)

PROCESSES = machine.num_cores()
BUILD = "Options of every build"


@dataclass(frozen=True, kw_only=True)
class BuildOptions:
    """The options that every source's command has; their names and help stand here alone."""

    out: Annotated[Path, typer.Option(help="Shards go to OUT/INSTITUTION/{train,val,test}.", rich_help_panel=BUILD)]
    key: Annotated[
        Path | None, typer.Option(help="Key file of the pseudonyms; made on first use. Default: OUT.key", rich_help_panel=BUILD)
    ] = None
    processes: Annotated[int, typer.Option(help="Worker processes; the bytes do not depend on it.", rich_help_panel=BUILD)] = (
        PROCESSES
    )
    store_size: Annotated[int, typer.Option(help="Short side of stored pictures, pixels.", rich_help_panel=BUILD)] = 512
    image_format: Annotated[str, typer.Option(help="jpg (quality 95) or png (lossless).", rich_help_panel=BUILD)] = "jpg"
    shard_samples: Annotated[int, typer.Option(help="Samples a shard.", rich_help_panel=BUILD)] = 1000
    split: Annotated[
        str,
        typer.Option(help="Shares of patients for train, val and test, where no official split holds.", rich_help_panel=BUILD),
    ] = "0.8,0.1,0.1"
    max_failed: Annotated[
        float, typer.Option(help="Largest share of inputs that may fail; judged at the end.", rich_help_panel=BUILD)
    ] = 0.2
    file_seconds: Annotated[
        float, typer.Option(help="Processor time that one file may take; one that takes more fails.", rich_help_panel=BUILD)
    ] = 60.0
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only count what there is; write nothing.", rich_help_panel=BUILD)
    ] = False
    cluster: Annotated[
        Path | None,
        typer.Option(help="Yaml file of a SLURM cluster: its jobs build the shards, the same bytes.", rich_help_panel=BUILD),
    ] = None


Src = Annotated[Path, typer.Argument(help="The export: a folder, or the data set's file.", show_default=False)]
Institution = Annotated[str, typer.Option(help="A code (small letters, digits, hyphens) that stands for the institution.")]


def source_command(name: str) -> Callable[[Callable[..., object]], Callable[..., object]]:
    """Make `cxrpt prep NAME` of a function of SRC and a source's own options that returns these options.

    The command takes `institution` and all of `BuildOptions` besides, and runs the build.
    """

    def register(source: Callable[..., object]) -> Callable[..., object]:
        own = inspect.signature(source).parameters
        common = inspect.signature(BuildOptions).parameters

        def command(**words: Any) -> None:
            shared = BuildOptions(**{word: words.pop(word) for word in common})
            institution = words.pop("institution")
            options = source(**words)
            settings = _settings(name, words["src"], institution, shared, options)
            if shared.cluster is not None and not shared.dry_run:
                submit_build(settings, shared.cluster)
            else:
                _build(settings, shared.dry_run)

        default = DEFAULT_INSTITUTIONS.get(name, inspect.Parameter.empty)
        institution = inspect.Parameter("institution", inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Institution)
        parameters = [*own.values(), institution, *common.values()]
        keyword_only = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in parameters]
        command.__signature__ = inspect.Signature(keyword_only)  # type: ignore[attr-defined]
        command.__doc__ = source.__doc__
        prep_app.command(name)(command)
        return source

    return register


DEFAULT_INSTITUTIONS = {"nih14": "nih14", "openi": "openi", "mimic-cxr": "mimic-cxr"}
"""Public data sets go by their own name unless another is given."""


def _settings(name: str, src: Path, institution: str, shared: BuildOptions, options: object) -> BuildSettings:
    fields = {
        "src": src,
        "out": shared.out,
        "institution": institution,
        "key_file": shared.key,
        "split": parse_split(shared.split),
    }
    same = ("processes", "store_size", "image_format", "shard_samples", "max_failed", "file_seconds")
    fields |= {field: getattr(shared, field) for field in same}
    own = {} if options is None else {name.replace("-", "_"): options}
    return BuildSettings(source=name, **fields, **own)  # type: ignore[arg-type]


@source_command("hospital")
def hospital(
    src: Src,
    reports: Annotated[
        Path | None, typer.Option(help="Table (accession_number, report, ...), or a folder of texts, HL7, PDF, CDA.")
    ] = None,
    labels: Annotated[Path | None, typer.Option(help="CSV: accession_number and a column a finding (1, 0, -1, empty).")] = None,
    number_column: Annotated[
        str | None, typer.Option(help="Column of reports and labels with the accession number or study UID.")
    ] = None,
    report_column: Annotated[str | None, typer.Option(help="Column of the reports with the text.")] = None,
    patient_column: Annotated[str | None, typer.Option(help="Column of reports and labels with the patient.")] = None,
    date_column: Annotated[str | None, typer.Option(help="Column of reports and labels with the date of the study.")] = None,
    hl7_accession: Annotated[
        str | None, typer.Option(help="Fields of HL7 messages with the accession number, the most telling first: OBR-18,OBR-3.")
    ] = None,
    all_chest: Annotated[
        bool, typer.Option("--all-chest", help="Only chests are in the export: keep where no tag tells.")
    ] = False,
) -> HospitalOptions:
    """A folder of DICOM files under any names, with reports and labels by accession number or study UID.

    SRC/reports.csv (.tsv, .json, .jsonl), SRC/reports/ and SRC/labels.csv are found by themselves.

    Example: cxrpt prep hospital export/north --out shards --institution north
    """
    for what, found in (("reports", reports or find_reports(src)), ("labels", labels or find_labels(src))):
        if found is not None:
            typer.echo(f"{what}: {found}")
    fields = accession_fields_of(hl7_accession) if hl7_accession else ACCESSION_FIELDS
    return HospitalOptions(reports, labels, number_column, report_column, patient_column, date_column, all_chest, fields)


@source_command("table")
def table(
    src: Src,
    columns: Annotated[
        str,
        typer.Option(help="image=filename,text=notes,patient=id,... or a yaml file as in configs/prep/.", show_default=False),
    ],
    images: Annotated[Path | None, typer.Option(help="Folder of the pictures. Default: the folder of the table.")] = None,
    label_separator: Annotated[
        str | None, typer.Option(help="What joins labels in a cell of the labels column. Default: |")
    ] = None,
) -> TableOptions:
    """A CSV, TSV or JSON-lines table with a row a picture, and a folder of pictures.

    SRC is the table, or the folder of the tables that the yaml file names. CheXpert and PadChest are read so.

    Example: cxrpt prep table list.csv --columns image=filename,text=notes,patient=id --out shards --institution east
    """
    options = read_options(columns)
    return replace(options, images=images, label_separator=label_separator or options.label_separator)


@source_command("nih14")
def nih14(
    src: Src,
    split_lists: Annotated[
        Path | None,
        typer.Option(help="Folder of train_list.txt, val_list.txt and test_list.txt, in place of the official split."),
    ] = None,
) -> Nih14Options:
    """NIH ChestX-ray14: Data_Entry_2017_v2020.csv and pictures anywhere below SRC; the official split where its lists are.

    Example: cxrpt prep nih14 nih14 --out shards
    """
    return Nih14Options(split_lists)


@source_command("openi")
def openi(src: Src) -> None:
    """OpenI (Indiana University): NLMCXR_reports.tgz or its XML files, with the PNG or DICOM pictures where they are.

    Example: cxrpt prep openi openi/NLMCXR_reports.tgz --out shards
    """


@source_command("mimic-cxr")
def mimic_cxr(
    src: Src,
    reports: Annotated[
        Path | None, typer.Option(help="Folder that mimic-cxr-reports.zip was unpacked in. Default: SRC.")
    ] = None,
    tables: Annotated[Path | None, typer.Option(help="Folder of mimic-cxr-2.0.0-*.csv.gz. Default: SRC.")] = None,
) -> MimicOptions:
    """MIMIC-CXR or MIMIC-CXR-JPG: the folder that holds files/p10 ..., whole or in part; official split and labels.

    Example: cxrpt prep mimic-cxr mimic-cxr-jpg --reports reports --out shards
    """
    return MimicOptions(reports, tables)


@prep_app.command("explain")
def explain_command(
    digits: Annotated[str, typer.Argument(metavar="HASH", help="`input` of a ledger line, or its first digits.")],
    out: Annotated[Path, typer.Option(help="The output folder of the build.")],
) -> None:
    """Say which input a ledger hash stands for; needs the path map beside OUT.

    Example: cxrpt prep explain 3f9a12c4 --out shards
    """
    for line in explain(digits, out):
        typer.echo(line)


def _build(settings: BuildSettings, dry_run: bool) -> None:
    console = Console(stderr=True)
    show_summary(census(settings, console) if dry_run else build(settings, console))
    typer.echo("dry run: no picture was decoded and nothing was written" if dry_run else str(settings.folder))
