"""The table and the figure of mixed_data.py: runs of one setting with several seeds as one row, with intervals by patient.

tables of items (N items) of each seed ─► mean over seeds for each item ─► resampled patients ─► mean, interval, differences

The mean over seeds is taken within each draw of patients, so that an interval tells how sure a mean of these seeds is on other
patients; how far seeds are apart stands beside it.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd

from cxrpt.checkpoint.choose_step import choose_step
from cxrpt.eval.item_tables import read_table, tables_folder
from cxrpt.eval.mean_interval import mean_intervals
from cxrpt.eval.score_sheet import compare, means_of_draws, target
from cxrpt.eval.search import recall_by_chance

matplotlib.use("Agg")
import matplotlib.pyplot as plt

SCRATCH = "scratch"
"""The setting without pre-training."""

FROM_LABELS = "scratch, all weights trained on the labels"
GAINS = (
    ("mixed", "pairs"),
    ("mixed", "images"),
    ("mixed", "unpaired"),
    ("mixed", SCRATCH),
    ("pairs", SCRATCH),
    ("pairs", FROM_LABELS),
    ("contrast", "masked"),
    ("contrast", SCRATCH),
)
BASELINES = ("telea", "biharmonic")
DIRECTIONS = ("image_to_text", "text_to_image")


@dataclass
class Row:
    """One setting: task -> the table of each seed, and what was made of them."""

    tables: dict[str, list[pd.DataFrame]] = field(default_factory=dict)
    auroc: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Share -> mean over classes, interval, gains, and the mean of each seed."""
    recall: dict[str, dict[str, float]] = field(default_factory=dict)
    gain_db: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    """Cell as "4x4/75" -> baseline -> mean and interval."""


def report(runs: Path, names: dict[str, tuple[str, int]], reference: str, out: Path) -> None:
    """Print the table and the claims, draw the figure, and print all of it as one line of JSON last.

    Args:
        runs: folder of the runs.
        names: run -> its setting and seed.
        reference: the setting whose regeneration is told cell by cell.
        out: folder for `mixed_data.png`.
    """
    rows: dict[str, Row] = {}
    for name, (setting, _) in names.items():
        results = runs / name / "evals" / f"step-{choose_step(runs / name, None):08d}" / "results.json"
        for task in sorted(path.stem for path in tables_folder(results).glob("*.parquet")):
            rows.setdefault(setting, Row()).tables.setdefault(task, []).append(read_table(results, task))
    if SCRATCH in rows:
        rows = {SCRATCH: rows[SCRATCH], FROM_LABELS: Row({"classify": rows[SCRATCH].tables["classify"]})} | rows
    classify(rows)
    for row in rows.values():
        retrieve(row)
        regenerate(row)
    seeds = sorted({seed for _, seed in names.values()})
    print_markdown(rows, seeds, reference)
    draw(rows, reference, out / "mixed_data.png")
    print(json.dumps({"seeds": seeds} | {name: as_json(row) for name, row in rows.items()}))


def classify(rows: dict[str, Row]) -> None:
    """Mean AUROC of a linear probe by share of labels."""
    some = next(iter(rows.values())).tables["classify"][0]
    for share in sorted(float(one) for one in some["share"].unique() if one > 0):
        drawn = {name: _scores(row.tables["classify"], "fine_tune" if name == FROM_LABELS else "linear", share)
                 for name, row in rows.items()}  # fmt: skip
        images = some.drop_duplicates("image").sort_values("image")
        labels = some.drop_duplicates(["image", "class"]).pivot(index="image", columns="class", values="label")
        patients = images["patient"].astype(str).tolist()
        scored = target([str(one) for one in labels.columns], labels.to_numpy(), images["source"].tolist(), patients)
        gains: dict[str, tuple[str, ...]] = {}
        for name, other in GAINS:
            gains[name] = (*gains.get(name, ()), other)
        sheets = compare(scored, None, {name: one for name, one in drawn.items() if one}, gains)
        for name, sheet in sheets.items():
            each = np.array(means_of_draws(scored, drawn[name])).reshape(len(rows[name].tables["classify"]), -1).mean(1)
            rows[name].auroc[f"{share:g}"] = sheet["mean"] | {"gain": sheet["gain"], "seeds": each.round(4).tolist()}


def _scores(tables: list[pd.DataFrame], method: str, share: float) -> list[np.ndarray]:
    """(images, classes) of every draw of labels of every seed."""
    found = []
    for table in tables:
        taken = table[(table["method"] == method) & np.isclose(table["share"], share)]
        for _, one in taken.groupby("draw"):
            found.append(one.pivot(index="image", columns="class", values="score").to_numpy(np.float64))
    return found


def retrieve(row: Row) -> None:
    """R@5 of both directions beside chance."""
    for direction in DIRECTIONS if "retrieve" in row.tables else ():
        each = [one[one["direction"] == direction].sort_values("pair") for one in row.tables["retrieve"]]
        hits = np.mean([one["rank"].to_numpy() <= 5 for one in each], axis=0)
        ends = mean_intervals(hits[:, None], each[0]["patient"].astype(str).tolist())[0]
        chance = recall_by_chance(each[0]["hits"].to_numpy())["r5"]
        row.recall[direction] = {
            "r5": float(hits.mean()), "low": ends.low, "high": ends.high, "chance": float(chance),
            "times_chance": float(hits.mean() / chance), "pool": len(hits),
        }  # fmt: skip


def regenerate(row: Row) -> None:
    """PSNR on hidden pixels less that of each baseline, on the pictures that both were scored on."""
    if "regenerate" not in row.tables:
        return
    each = [one.pivot_table(index=["kind", "percent", "image", "patient"], columns="method", values="psnr", observed=True)
            for one in row.tables["regenerate"]]  # fmt: skip
    for baseline in BASELINES:
        gains = pd.concat([one["model"] - one[baseline] for one in each], axis=1).dropna().mean(axis=1)
        for (kind, percent), cell in gains.groupby(level=["kind", "percent"], observed=True):
            patients = cell.index.get_level_values("patient").astype(str).tolist()
            ends = mean_intervals(cell.to_numpy()[:, None], patients)[0]
            found = {"mean": float(cell.mean()), "low": ends.low, "high": ends.high, "images": len(cell)}
            row.gain_db.setdefault(f"{kind}/{percent:g}", {})[baseline] = found


def print_markdown(rows: dict[str, Row], seeds: list[int], reference: str) -> None:
    """The table for benchmarks/README.md, and the differences."""
    shares = list(next(iter(rows.values())).auroc)
    cells = ("4x4/75", "mixed/75")
    print(f"\n{len(seeds)} seeds ({', '.join(map(str, seeds))}); 95 % intervals by patient in brackets, seeds in braces\n")
    heads = [f"AUROC, {share} % of labels" for share in shares] + ["R@5 image to text", "R@5 text to image"]
    heads += [f"dB over Telea, {cell}" for cell in cells]
    print(f"| pre-trained on | {' | '.join(heads)} |\n|{'---|' * (len(heads) + 1)}")
    for name, row in rows.items():
        values = [_found_told(row.auroc.get(share)) for share in shares]
        values += [_recall_told(row.recall.get(direction)) for direction in DIRECTIONS]
        values += [_told(row.gain_db.get(cell, {}).get("telea")) for cell in cells]
        print(f"| {name} | {' | '.join(values)} |")
    print(f"\n| regeneration, {reference} | over Telea, dB | over biharmonic, dB |\n|---|---|---|")
    for cell, found in rows[reference].gain_db.items() if reference in rows else ():
        print(f"| {cell} % | {_told(found.get('telea'))} | {_told(found.get('biharmonic'))} |")
    print()
    for name, other in GAINS:
        for share, one in rows[name].auroc.items() if name in rows else ():
            if found := one["gain"].get(other):
                told = f"{found['auroc']:+.3f} [{found['low']:+.3f}, {found['high']:+.3f}]"
                print(f"{name} over {other}, {share} % of labels: {told}")


def _found_told(one: dict[str, Any] | None) -> str:
    if not one:
        return ""
    each = ", ".join(f"{seed:.3f}" for seed in one["seeds"])
    return f"{one['auroc']:.3f} [{one['auroc_low']:.3f}, {one['auroc_high']:.3f}] {{{each}}}"


def _recall_told(one: dict[str, float] | None) -> str:
    return f"{one['r5']:.3f} [{one['low']:.3f}, {one['high']:.3f}], {one['times_chance']:.1f} x chance" if one else ""


def _told(one: dict[str, float] | None) -> str:
    return f"{one['mean']:+.2f} [{one['low']:+.2f}, {one['high']:+.2f}]" if one else ""


def as_json(row: Row) -> dict[str, Any]:
    """What was made of the tables."""
    return {"auroc": row.auroc, "recall": row.recall, "gain_db": row.gain_db}


def draw(rows: dict[str, Row], reference: str, path: Path) -> None:
    """Three panels: findings by share of labels, retrieval, regeneration of the reference."""
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(15, 4.4), layout="constrained")
    shares = list(next(iter(rows.values())).auroc)
    width = 0.8 / len(rows)
    for number, (name, row) in enumerate(rows.items()):
        at = [place + (number - (len(rows) - 1) / 2) * width for place, share in enumerate(shares) if share in row.auroc]
        mean = np.array([one["auroc"] for one in row.auroc.values()])
        ends = np.array([[one["auroc_low"], one["auroc_high"]] for one in row.auroc.values()])
        left.errorbar(at, mean, np.abs(ends.T - mean), fmt="o", capsize=3, label=name)
    left.set_xticks(range(len(shares)), [f"{share} %" for share in shares])
    left.set(title="Findings: linear probe, held-out patients", xlabel="labelled training patients", ylabel="mean AUROC")
    left.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.15), ncols=3)

    named = [(name, row) for name, row in rows.items() if row.recall]
    for shift, direction in ((-0.2, DIRECTIONS[0]), (0.2, DIRECTIONS[1])):
        values = np.array([[row.recall[direction][key] for key in ("r5", "low", "high", "chance")] for _, row in named])
        times = values / values[:, 3:]
        middle.barh(np.arange(len(named)) + shift, times[:, 0], 0.38, label=direction.replace("_", " "),
                    xerr=np.abs(times[:, 1:3].T - times[:, 0]), capsize=2)  # fmt: skip
    middle.axvline(1, color="black", linewidth=0.8)
    middle.set_yticks(range(len(named)), [name for name, _ in named])
    middle.set(title="Retrieval: R@5 over chance", xlabel="times chance")
    middle.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.15), ncols=2)

    if reference in rows and rows[reference].gain_db:
        cells = list(rows[reference].gain_db)
        for shift, baseline in ((-0.2, BASELINES[0]), (0.2, BASELINES[1])):
            found = [rows[reference].gain_db[cell][baseline] for cell in cells]
            mean, ends = np.array([one["mean"] for one in found]), np.array([[one["low"], one["high"]] for one in found])
            right.barh(
                np.arange(len(cells)) + shift, mean, 0.38, xerr=np.abs(ends.T - mean), capsize=2, label=f"over {baseline}"
            )
        right.axvline(0, color="black", linewidth=0.8)
        right.set_yticks(range(len(cells)), [f"{cell} %" for cell in cells])
        right.set(title=f"Regeneration of hidden pixels ({reference})", xlabel="PSNR ahead, dB")
        right.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.15), ncols=2)
    figure.savefig(path, dpi=120)
    plt.close(figure)
