"""Results of an evaluation as rows: a score, what it is measured against, and the reason where there is none."""

from dataclasses import dataclass
from typing import Any

from rich.table import Table


@dataclass(frozen=True)
class Row:
    """One line of the summary; all as it is shown."""

    task: str
    measure: str
    score: str
    baseline: str
    """The score without the model, and what that is."""
    remark: str = ""


def summary_rows(results: dict[str, Any]) -> list[Row]:
    """The rows of a `results.json`: each score beside its baseline, and why a task gave none."""
    rows: list[Row] = []
    writers = {"classify": _classify_rows, "retrieve": _retrieve_rows, "regenerate": _regenerate_rows}
    for task, details in results["details"].items():
        if "skipped" in details:
            rows.append(Row(task, "not run", "", "", details["skipped"]))
        else:
            rows += writers[task](details, results["metrics"])
    return rows


def summary_table(results: dict[str, Any]) -> Table:
    """The rows as a table for the terminal."""
    table = Table("task", "measure", "score", "baseline", "remark", title=f"evaluation of step {results['step']}")
    before = None
    for row in summary_rows(results):
        if before not in (None, row.task):
            table.add_section()
        table.add_row(row.task if row.task != before else "", row.measure, row.score, row.baseline, row.remark)
        before = row.task
    return table


def _classify_rows(details: dict[str, Any], metrics: dict[str, float]) -> list[Row]:
    methods, headline = details["methods"], details["headline"]
    with_mean = [
        (method, share, scores, None)
        for method, found in methods.items()
        if method not in _BASELINES
        for share, scores in found["shares"].items()
    ]
    best = methods[headline["method"]]["shares"][headline["share"]]
    by_source = [(headline["method"], headline["share"], best, source) for source in best["institutions"]]
    rows = [_mean_row(details, *one) for one in with_mean if one[2]["mean"]]
    rows += [_mean_row(details, *one) for one in by_source if len(by_source) > 1 or not best["mean"]]
    for name, one in best["classes"].items():
        remark = f"{one['positives']} of {one['positives'] + one['negatives']} positive"
        rows.append(Row("classify", f"AUROC {name}", _scored("auroc", one), "", f"{remark}, AUPRC {_scored('auprc', one)}"))
    if details["left_out"]:
        rows.append(Row("classify", "left out", "", "", f"too few to score: {', '.join(details['left_out'])}"))
    rows += [Row("classify", f"not run: {name}", "", "", why) for name, why in details["not_run"].items()]
    return rows + ([Row("classify", "no mean", "", "", details["no_mean"])] if details["no_mean"] else [])


_BASELINES = ("pixels", "untrained", "attention_untrained", "scratch")


def _mean_row(details: dict[str, Any], method: str, share: str, scores: dict[str, Any], source: str | None) -> Row:
    """One method at one share of the labels beside its baselines at the same share, for all or for one institution."""
    found = scores if source is None else scores["institutions"][source]
    baselines = []
    for name in found["gain"]:
        other = details["methods"][name]["shares"][share]
        other = other if source is None else other["institutions"][source]
        baselines.append(f"{other['mean']['auroc']:.3f} {name}")
    remark = f"AUPRC {_scored('auprc', found['mean'])}"
    if source is None:
        remark += f"; {scores['train_images']:.0f} images" + (
            f", mean of {scores['draws']} draws" if scores["draws"] > 1 else ""
        )
    if source is None and scores["chance"]:
        remark += f"; counted as chance where not fitted: {', '.join(scores['chance'])}"
    labels = "no labels" if share == "0" else f"{share} % of labels"
    measure = f"mean AUROC, {method}, {labels}" + (f", {source}" if source else "")
    return Row("classify", measure, _scored("auroc", found["mean"]), ", ".join([*baselines, "0.5 chance"]), remark)


def _scored(name: str, values: dict[str, Any]) -> str:
    return f"{values[name]:.3f} [{_number(values[f'{name}_low'])}, {_number(values[f'{name}_high'])}]"


def _retrieve_rows(details: dict[str, Any], metrics: dict[str, float]) -> list[Row]:
    rows = []
    remark = f"pool {details['pool']}, {details['distinct_texts']} distinct texts"
    for direction in ("image_to_text", "text_to_image"):
        words = direction.replace("_", " ")
        for cut in (1, 5, 10):
            score, chance = metrics[f"retrieve/{direction}/r{cut}"], metrics[f"retrieve/chance/r{cut}"]
            rows.append(Row("retrieve", f"{words}, R@{cut}", f"{score:.3f}", f"{chance:.3f} chance", remark))
        rank, chance = metrics[f"retrieve/{direction}/median_rank"], metrics["retrieve/chance/median_rank"]
        rows.append(Row("retrieve", f"{words}, median rank", f"{rank:g}", f"{chance:g} chance"))
        remark = "" if details["vectors"] == "contrastive head" else "no contrastive head"
    return rows


def _regenerate_rows(details: dict[str, Any], metrics: dict[str, float]) -> list[Row]:
    rows = []
    for ratio, by_scale in details["ratios"].items():
        finest = by_scale["1"]
        for name, unit, digits in (("psnr", " dB", 2), ("ssim", "", 3), ("mae", "", 4)):
            values = {method: f"{finest[method][name]:.{digits}f}" for method in ("model", "mean", "telea")}
            remark = ""
            if name == "psnr" and "pairs" in finest:
                pairs = finest["pairs"]
                remark = f"pairs: {pairs['without']['psnr']:.2f} alone, {pairs['with_report']['psnr']:.2f} with the report"
            baseline = f"{values['telea']}{unit} Telea, {values['mean']}{unit} mean"
            rows.append(Row("regenerate", f"{name.upper()}, {ratio} % hidden", values["model"] + unit, baseline, remark))
    return rows


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
