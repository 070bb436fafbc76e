"""Results of an evaluation as rows: a score, what it is measured against, and the reason where there is none."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from cxrpt.config_rules import CLASSIFIERS
from cxrpt.errors import InputError

OTHER_VERSION = "its results do not have the form that this version reads; evaluate the step again with --force"


@dataclass(frozen=True)
class Row:
    """One line of the summary; all as it is shown."""

    task: str
    measure: str
    score: str
    baseline: str
    """The score without the model, and what that is."""
    remark: str = ""


def read_results(path: Path) -> dict[str, Any]:
    """What an evaluation wrote.

    Raises:
        InputError: the file cannot be read, or is cut short.
    """
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        found = None
    if not isinstance(found, dict) or not isinstance(found.get("step"), int) or not isinstance(found.get("details"), dict):
        raise InputError(f"{path} does not parse: evaluate the step again with --force")
    return found


def summary_rows(results: dict[str, Any]) -> list[Row]:
    """The rows of a `results.json`: each score beside its baseline, and why a task gave none.

    Raises:
        KeyError, TypeError or AttributeError: the results are of another version.
    """
    return [row for task, details in results["details"].items() for row in _task_rows(task, details)]


def _task_rows(task: str, details: dict[str, Any]) -> list[Row]:
    if "skipped" in details:
        return [Row(task, "not run", "", "", details["skipped"])]
    writers = {
        "classify": _classify_rows,
        "retrieve": _retrieve_rows,
        "regenerate": _regenerate_rows,
        "grounding": _grounding_rows,
    }
    return writers[task](details)


def summary_table(results: dict[str, Any]) -> Table:
    """The rows as a table for the terminal; a task whose results are of another version says so."""
    table = Table("task", "measure", "score", "baseline", "remark", title=f"evaluation of step {results['step']}")
    for task, details in results["details"].items():
        try:
            rows = _task_rows(task, details)
        except (KeyError, TypeError, AttributeError):
            rows = [Row(task, "not shown", "", "", OTHER_VERSION)]
        for number, row in enumerate(rows):
            table.add_row(row.task if number == 0 else "", row.measure, row.score, row.baseline, row.remark)
        table.add_section()
    return table


def _classify_rows(details: dict[str, Any]) -> list[Row]:
    methods, headline = details["methods"], details["headline"]
    with_mean = [
        (method, share, scores, None)
        for method, found in methods.items()
        if method in CLASSIFIERS
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


def _retrieve_rows(details: dict[str, Any]) -> list[Row]:
    about = f"{details['distinct_texts']} distinct texts, {details['patients']} patients; {', '.join(details['sections'])}; "
    about += "same study or same text is a hit"
    about += "" if details["vectors"] == "contrastive head" else "; no contrastive head"
    rows = [Row("retrieve", "pool", f"{details['pool']} pairs", "", about)]
    chance = details["scores"]["chance"]
    for direction in ("image_to_text", "text_to_image"):
        words, found = direction.replace("_", " "), details["scores"][direction]
        for name, title, pool in (
            *((f"r{cut}", f"R@{cut}", details["pool"]) for cut in (1, 5, 10)),
            *((f"p{cut}", f"P@{cut} by label", details["labelled"]) for cut in (5, 10)),
        ):
            if name in found:
                score = f"{found[name]:.3f} [{_number(found[f'{name}_low'])}, {_number(found[f'{name}_high'])}]"
                remark = f"of {pool}" + (f", {details['finding_sets']} sets of findings" if name.startswith("p") else "")
                rows.append(Row("retrieve", f"{words}, {title}", score, f"{chance[name]:.3f} chance", remark))
        rank = f"{found['median_rank']:g}"
        rows.append(
            Row("retrieve", f"{words}, median rank", rank, f"{chance['median_rank']:g} chance", f"of {details['pool']}")
        )
    return rows


def _regenerate_rows(details: dict[str, Any]) -> list[Row]:
    about = f"{details['patients']} patients, {details['pairs']} pairs; PSNR and SSIM of hidden pixels"
    about += f"; biharmonic and gain over it on {details['biharmonic_images']} pictures" if details["biharmonic_images"] else ""
    rows = [Row("regenerate", "pictures", f"{details['images']}", "", about)]
    for kind, cells in details["cells"].items():
        for ratio, cell in cells.items():
            methods, gains = cell["methods"], {name: cell["gain_db"].get(name) for name in ("telea", "biharmonic")}
            share = "" if round(100 * cell["share"], 1) == float(ratio) else f" ({100 * cell['share']:.1f})"
            score = f"{methods['model']['psnr']:.2f} dB, {methods['model']['ssim']:.3f}"
            baseline = ", ".join(
                f"{methods[name]['psnr']:.2f} {name}" for name in ("telea", "biharmonic", "mean") if name in methods
            )
            remark = "; ".join(f"{_gain(gain)} over {name}" for name, gain in gains.items() if gain)
            remark += f"; report adds {_gain(cell['pairs']['gain_db'])}" if "pairs" in cell else ""
            rows.append(Row("regenerate", f"{kind}, {ratio}{share} % hidden", score, baseline, remark))
    return rows + [Row("regenerate", f"{kind}, left out", "", "", reason) for kind, reason in details["left_out"].items()]


def _gain(gain: dict[str, Any]) -> str:
    return f"{gain['mean']:+.2f} [{_number(gain['low'], 2)}, {_number(gain['high'], 2)}]"


def _grounding_rows(details: dict[str, Any]) -> list[Row]:
    """The margin as the score: how much better with the own picture or report than with another's."""
    rows = []
    for part, what in (("words", "hidden words"), ("regions", "hidden regions"), ("masked_words", "masked words")):
        if "skipped" in details[part]:
            rows.append(Row("grounding", what, "", "", details[part]["skipped"]))
    if "skipped" not in details["words"]:
        for kind, one in details["words"].items():
            right, unigram = one["right"], one["unigram"]["accuracy"]
            baseline = (
                f"{right['own']:.3f} own, {right['swapped']:.3f} swapped, {right['none']:.3f} none, {unigram:.3f} unigram"
            )
            remark = f"{one['places']} places, {one['patients']} patients"
            name = f"{kind.replace('_', ' ')} words, own over swapped picture"
            rows.append(Row("grounding", name, _margin(one["gain_over_swapped"], 3), baseline, remark))
    if "skipped" not in details["regions"]:
        for hiding in ("both_sides", "one_side"):
            one = details["regions"][hiding]
            baseline = ", ".join(f"{one['psnr'][name]:.2f} {name}" for name in ("own", "wrong", "none")) + " dB"
            remark = f"{details['regions']['regions']} regions, {hiding.replace('_', ' ')} hidden"
            rows.append(
                Row("grounding", "regions, own over wrong report", _margin(one["gain_over_wrong"], 2), baseline, remark)
            )
    if "skipped" not in details["masked_words"]:
        for source, one in details["masked_words"].items():
            accuracy = one["accuracy"]
            score = f"{accuracy['value']:.3f} [{_number(accuracy['low'])}, {_number(accuracy['high'])}]"
            remark = f"{one['places']} tokens of {one['texts']} reports"
            rows.append(Row("grounding", f"masked words, {source}", score, f"{one['unigram']:.3f} unigram", remark))
    return rows


def _margin(margin: dict[str, Any], digits: int) -> str:
    ends = ("-" if margin[end] is None else f"{margin[end]:+.{digits}f}" for end in ("low", "high"))
    return f"{margin['value']:+.{digits}f} [{', '.join(ends)}]"


def _number(value: float | None, digits: int = 3) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
