"""The metrics of runs as a wide table, a file or a plot.

run    step   time   loss/mlm   speed/samples_per_s   eval/classify/auroc ...
demo     10   ...        3.20                  41.0                   NaN
"""

import re
from pathlib import Path

import pandas as pd

from cxrpt.errors import InputError
from cxrpt.track.journal import Entry, read_journal
from cxrpt.track.results import metric_name, read_evals

FORMATS = ("table", "csv", "json", "parquet")
FIXED = ("run", "step", "time")

_PANELS = (
    ("Masked language loss", r"loss/mlm(/.+)?", "nats a masked token"),
    ("Masked vision loss", r"loss/mvm\d*", "mean over scales and patches"),
    ("Contrastive loss", r"loss/itc", "nats a pair"),
    ("Speed", r"speed/samples_per_s", "samples / s"),
    ("Parts of a step", r"speed/span_\w+_s", "s a step, slowest rank"),
    ("Utilisation", r"speed/mfu", "share of the matrix-product rate"),
    ("Classification", r"eval/classify/(auroc|[a-z_]+/(0|100)/auroc|auroc/.+)", "AUROC"),
    ("Retrieval", r"eval/retrieve/.+/r10", "recall at 10"),
    ("Regeneration", r"eval/regenerate/mixed/[\d.]+/psnr(_telea|_biharmonic)?", "PSNR of hidden pixels, dB"),
    ("Hidden words, own over swapped picture", r"eval/grounding/words/[a-z]+/gain_over_swapped", "accuracy gained"),
    ("Hidden regions, own over wrong report", r"eval/grounding/regions/(one_side/)?gain_over_wrong", "PSNR gained, dB"),
)
"""Title, what names of metrics it takes, and what its axis shows."""

_FROM_ZERO = {"Speed", "Utilisation", "Parts of a step"}
_MOST_LINES = 10


def metrics_table(run_dirs: list[Path], kind: str | None = None) -> pd.DataFrame:
    """One row a run and step, one column a metric; `time` is in UTC, what a step lacks is NaN.

    `kind` leaves only entries of that kind ("train", "eval").

    Raises:
        InputError: a folder is no run directory, or holds no metrics (of that kind).
    """
    entries: dict[str, list[Entry]] = {}
    for run_dir in run_dirs:
        if not run_dir.is_dir():
            raise InputError(f"{run_dir} is no run directory: name a folder that `cxrpt pretrain` made")
        found = [*read_journal(run_dir / "journal.jsonl"), *read_evals(run_dir)]
        found = [entry for entry in found if kind is None or entry.kind == kind]
        if not found:
            raise InputError(
                f"{run_dir} holds no metrics{f' of kind {kind!r}' if kind else ''}: has the run logged a step yet?"
            )
        entries[_name(run_dir, run_dirs)] = found
    return frame_of(entries)


def frame_of(entries: dict[str, list[Entry]]) -> pd.DataFrame:
    """The table of entries by run."""
    rows: dict[tuple[str, int], dict[str, float]] = {}
    times: dict[tuple[str, int], float] = {}
    for run, found in entries.items():
        for entry in found:
            row = rows.setdefault((run, entry.step), {})
            row |= {metric_name(entry.kind, name): value for name, value in entry.metrics.items()}
            if entry.kind == "train" or (run, entry.step) not in times:
                times[run, entry.step] = entry.time
    order = sorted(rows, key=lambda key: (list(entries).index(key[0]), key[1]))
    names = sorted({name for row in rows.values() for name in row})
    frame = pd.DataFrame([rows[key] for key in order], columns=names, dtype=float)
    frame.insert(0, "time", pd.to_datetime([times[key] for key in order], unit="s", utc=True))
    frame.insert(0, "step", [step for _, step in order])
    frame.insert(0, "run", [run for run, _ in order])
    return frame


def write_table(frame: pd.DataFrame, form: str, out: Path | None) -> str:
    """Write the table as csv, json (a list of rows), parquet or a readable table; gives the text where `out` is None.

    Raises:
        InputError: an unknown format, or parquet without a file.
    """
    if form not in FORMATS:
        raise InputError(f"format {form!r} is unknown: use one of {', '.join(FORMATS)}")
    if form == "parquet":
        if out is None:
            raise InputError("format parquet cannot be printed: name a file with --out")
        out.parent.mkdir(parents=True, exist_ok=True)
        frame.to_parquet(out, index=False)
        return ""
    if form == "csv":
        text = frame.to_csv(index=False)
    elif form == "json":
        text = frame.to_json(orient="records", date_format="iso", indent=1) + "\n"
    else:
        text = frame.drop(columns="time").to_string(index=False, float_format=lambda value: f"{value:.4g}") + "\n"
    if out is None:
        return text
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text)
    return ""


def plot(frame: pd.DataFrame, path: Path) -> None:
    """Loss, speed, utilisation and evaluation over the steps; the file's ending chooses png, svg or pdf.

    Raises:
        InputError: an ending that cannot be drawn, or nothing to draw.
    """
    from matplotlib.figure import Figure

    if path.suffix.lower() not in {".png", ".svg", ".pdf"}:
        raise InputError(f"{path.name}: a plot ends in .png, .svg or .pdf")
    panels = [(title, _columns(frame, pattern), label) for title, pattern, label in _PANELS]
    panels = [panel for panel in panels if panel[1]]
    if not panels:
        raise InputError("none of the metrics can be plotted: there is no loss, speed or evaluation among them")
    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(6.4 * columns, 3.8 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    runs = list(dict.fromkeys(frame["run"]))
    for axis, (title, names, label) in zip(axes, panels, strict=False):
        for number, name in enumerate(names):
            for run_number, run in enumerate(runs):
                line = frame.loc[(frame["run"] == run) & frame[name].notna(), ["step", name]]
                short = name.split("/", 1)[1] if "/" in name else name
                axis.plot(
                    line["step"],
                    line[name],
                    label=short if len(runs) == 1 else f"{run}: {short}",
                    color=f"C{number % 10}",
                    linestyle=("-", "--", ":", "-.")[run_number % 4],
                    linewidth=1.6,
                    marker="o" if len(line) < 30 else None,
                    markersize=3.5,
                )
        axis.set(title=title, xlabel="step", ylabel=label)
        axis.grid(alpha=0.25)
        if title in _FROM_ZERO:
            axis.set_ylim(bottom=0)
        axis.spines[["top", "right"]].set_visible(False)
        if len(names) * len(runs) > 1:
            axis.legend(frameon=False, fontsize=8)
    for axis in axes[len(panels) :]:
        axis.set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)


def _columns(frame: pd.DataFrame, pattern: str) -> list[str]:
    """Columns of a panel that hold something, at most as many as can be told apart."""
    names = [name for name in frame.columns if re.fullmatch(pattern, name) and frame[name].notna().any()]
    return names[:_MOST_LINES]


def _name(run_dir: Path, run_dirs: list[Path]) -> str:
    """A run's folder name, or its path where two have the same."""
    names = [other.resolve().name for other in run_dirs]
    name = run_dir.resolve().name
    return name if names.count(name) == 1 else str(run_dir)
