"""The metrics of runs as a wide table, a file or a plot, and side by side for the eye.

run    step   time   loss/mlm   speed/samples_per_s   eval/classify/auroc ...
demo     10   ...        3.20                  41.0                   NaN
"""

import re
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from cxrpt.errors import InputError
from cxrpt.run_paths import JOURNAL
from cxrpt.track.journal import Entry, read_journal
from cxrpt.track.results import metric_name, read_evals

FORMATS = ("table", "csv", "json", "parquet")
FIXED = ("run", "step", "time")


@dataclass(frozen=True)
class _Panel:
    title: str
    metrics: str
    """Names that it shows of one run, as a regular expression."""
    compared: str
    """Those that it shows of several, few enough to tell the runs apart; none leaves the panel out."""
    axis: str


_WORDS = r"eval/grounding/words/[a-z]+/gain_over_swapped"
_REGIONS = r"eval/grounding/regions/(one_side/)?gain_over_wrong"
_PANELS = (
    _Panel("Masked language loss", r"loss/mlm(/.+)?", r"loss/mlm", "nats a masked token"),
    _Panel("Masked vision loss", r"loss/mvm\d*", r"loss/mvm", "mean over scales and patches"),
    _Panel("Contrastive loss", r"loss/itc", r"loss/itc", "nats a pair"),
    _Panel("Speed", r"speed/samples_per_s", r"speed/samples_per_s", "samples / s"),
    _Panel("Parts of a step", r"speed/span_\w+_s", "", "s a step, slowest rank"),
    _Panel("Utilisation", r"speed/mfu", r"speed/mfu", "share of the matrix-product rate"),
    _Panel(
        "Classification", r"eval/classify/(auroc|[a-z_]+/(0|100)/auroc|auroc/.+)", r"eval/classify/linear/(10|100)/auroc",
        "AUROC",
    ),
    _Panel("Retrieval", r"eval/retrieve/.+/r10", r"eval/retrieve/(?!chance).+/r10", "recall at 10"),
    _Panel(
        "Regeneration", r"eval/regenerate/mixed/[\d.]+/psnr(_telea|_biharmonic)?", r"eval/regenerate/mixed/[\d.]+/psnr",
        "PSNR of hidden pixels, dB",
    ),
    _Panel("Hidden words, own over swapped picture", _WORDS, _WORDS, "accuracy gained"),
    _Panel("Hidden regions, own over wrong report", _REGIONS, _REGIONS, "PSNR gained, dB"),
)  # fmt: skip

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
        found = [*read_journal(run_dir / JOURNAL), *read_evals(run_dir)]
        found = [entry for entry in found if kind is None or entry.kind == kind]
        if not found:
            raise InputError(
                f"{run_dir} holds no metrics{f' of kind {kind!r}' if kind else ''}: has the run logged a step yet?"
            )
        entries[run_name(run_dir, run_dirs)] = found
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


def only(frame: pd.DataFrame, pattern: str) -> pd.DataFrame:
    """The table without metrics in whose names a regular expression is not found, and without rows that are empty then.

    Raises:
        InputError: no regular expression, or one that no name holds.
    """
    try:
        names = [name for name in frame.columns if name not in FIXED and re.search(pattern, name)]
    except re.error as error:
        raise InputError(f"{pattern!r} is no regular expression ({error}): write e.g. 'loss|auroc'") from None
    if not names:
        raise InputError(f"no metric has {pattern!r} in its name: `cxrpt metrics RUN` shows them all")
    return frame[[*FIXED, *names]].dropna(subset=names, how="all")


def side_by_side(frame: pd.DataFrame) -> pd.DataFrame:
    """The last value of each metric, a row a metric and a column a run; its index gives the names.

    Where an evaluation lags behind training, its values are those of the last step that was evaluated.
    """
    runs = list(dict.fromkeys(frame["run"]))
    groups = {run: frame[frame["run"] == run] for run in runs}
    last = pd.DataFrame({run: group.drop(columns=list(FIXED)).ffill().iloc[-1] for run, group in groups.items()})
    steps = pd.DataFrame({run: [group["step"].iloc[-1]] for run, group in groups.items()}, index=["step"], dtype=float)
    return pd.concat([steps, last])


def write_table(frame: pd.DataFrame, form: str, out: Path | None) -> str:
    """Write every step as csv, json (a list of rows) or parquet, or the last values side by side as a table to read.

    Gives the text where `out` is None.

    Raises:
        InputError: an unknown format, parquet without a file, or a place where no file can be.
    """
    if form not in FORMATS:
        raise InputError(f"format {form!r} is unknown: use one of {', '.join(FORMATS)}")
    if form == "parquet":
        if out is None:
            raise InputError("format parquet cannot be printed: name a file with --out")
        _make_place(out)
        frame.to_parquet(out, index=False)
        return ""
    if form == "csv":
        text = frame.to_csv(index=False)
    elif form == "json":
        text = frame.to_json(orient="records", date_format="iso", indent=1) + "\n"
    else:
        text = side_by_side(frame).to_string(float_format=_digits, na_rep="") + "\n"
    if out is None:
        return text
    _make_place(out)
    out.write_text(text)
    return ""


def _make_place(file: Path) -> None:
    """Make the folder of a file to write."""
    if file.is_dir():
        raise InputError(f"{file} is a folder: name a file in it")
    if blocker := next((path for path in file.parents if path.exists() and not path.is_dir()), None):
        raise InputError(f"{file}: {blocker} is a file: name another place")
    file.parent.mkdir(parents=True, exist_ok=True)


def _digits(value: float) -> str:
    return f"{value:,.0f}" if abs(value) < 1e12 and value == int(value) else f"{value:.4g}"


def plot(frame: pd.DataFrame, path: Path) -> None:
    """Loss, speed, utilisation and evaluation over the steps; the file's ending chooses png, svg or pdf.

    Raises:
        InputError: an ending that cannot be drawn, or nothing to draw.
    """
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    if path.suffix.lower() not in {".png", ".svg", ".pdf"}:
        raise InputError(f"{path.name}: a plot ends in .png, .svg or .pdf")
    runs = list(dict.fromkeys(frame["run"]))
    panels = [(panel, _columns(frame, panel.metrics if len(runs) == 1 else panel.compared)) for panel in _PANELS]
    panels = [(panel, names) for panel, names in panels if names]
    if not panels:
        raise InputError("none of the metrics can be plotted: there is no loss, speed or evaluation among them")
    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(6.4 * columns, 3.8 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis, (panel, names) in zip(axes, panels, strict=False):
        labels = _short(names)
        for run_number, run in enumerate(runs):
            for number, name in enumerate(names):
                line = frame.loc[(frame["run"] == run) & frame[name].notna(), ["step", name]]
                # One run: a colour for each metric. Several: a colour for each run, and a stroke for each metric.
                colour, stroke = (number, 0) if len(runs) == 1 else (run_number, number)
                axis.plot(
                    line["step"],
                    line[name],
                    label=labels[number] if run_number == 0 else None,
                    color=f"C{colour % 10}",
                    linestyle=("-", "--", ":", "-.")[stroke % 4],
                    linewidth=1.6,
                    marker="os^D"[stroke % 4] if len(line) < 30 else None,
                    markersize=3.5,
                )
        axis.set(title=panel.title, xlabel="step", ylabel=panel.axis)
        axis.grid(alpha=0.25)
        if panel.title in _FROM_ZERO:
            axis.set_ylim(bottom=0)
        axis.spines[["top", "right"]].set_visible(False)
        if len(names) > 1:
            legend = axis.legend(frameon=False, fontsize=8)
            if len(runs) > 1:
                for handle in legend.legend_handles:
                    handle.set_color("0.3")
    if len(runs) > 1:
        lines = [Line2D([], [], color=f"C{number % 10}", linewidth=3, label=run) for number, run in enumerate(runs)]
        figure.legend(handles=lines, loc="outside upper center", ncols=min(len(runs), 6), frameon=False)
    for axis in axes[len(panels) :]:
        axis.set_visible(False)
    _make_place(path)
    figure.savefig(path, dpi=130)


_READABLE = (
    (r".*/linear/(\d+)/auroc", r"linear probe, \1 % of labels"),
    (r".*/(image_to_text|text_to_image)/r10", r"\1"),
    (r".*/mixed/([\d.]+)/psnr", r"\1 % hidden"),
)


def _short(names: list[str]) -> list[str]:
    """Names as a legend shows them: in words, or without the parts that all of them begin with."""
    for pattern, words in _READABLE:
        if all(re.fullmatch(pattern, name) for name in names):
            return [re.sub(pattern, words, name).replace("_", " ") for name in names]
    parts = [name.split("/") for name in names]
    same = 0
    while len(names) > 1 and all(len(part) > same + 1 and part[: same + 1] == parts[0][: same + 1] for part in parts):
        same += 1
    return ["/".join(part[same:]) for part in parts]


def _columns(frame: pd.DataFrame, pattern: str) -> list[str]:
    """Columns of a panel that hold something, at most as many as can be told apart."""
    names = [name for name in frame.columns if re.fullmatch(pattern, name) and frame[name].notna().any()]
    return names[:_MOST_LINES]


def run_name(run_dir: Path, run_dirs: list[Path]) -> str:
    """A run's folder name, or its path where two of the runs have the same."""
    names = [other.resolve().name for other in run_dirs]
    name = run_dir.resolve().name
    return name if names.count(name) == 1 else str(run_dir)
