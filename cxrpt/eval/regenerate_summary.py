"""Means over pictures of what regeneration scored, and how far the model is ahead of each baseline, with intervals."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from cxrpt.eval.mean_interval import mean_intervals
from cxrpt.eval.pixel_scores import Scores

BASELINES = ("mean", "telea", "biharmonic")
"""Methods without a model."""

METHODS = ("model", "report", *BASELINES)
"""`report` is the model that reads the picture's report too; it and `biharmonic` are scored on a part of the pictures."""


@dataclass(frozen=True)
class Scored:
    """One picture under one mask."""

    patient: str
    share: float
    """Of its patches that were hidden."""
    by_scale: dict[int, dict[str, Scores]]
    """Scale -> method -> scores; scale 1 is always there."""


def summarise(scored: list[Scored]) -> dict[str, Any]:
    """The summary of a cell.

    Returns:
        "share" hidden and number of "images"; "methods", with the means over the "images" of each, at full resolution;
        "pairs", those with a report, with and without it; "gain_db", the model's PSNR less a baseline's on the same pictures,
        with its interval; "biharmonic", the model and that baseline on the same pictures; "by_scale", scale -> method -> means.
    """
    by_scale = {}
    for scale in sorted({scale for one in scored for scale in one.by_scale}):
        ones = [one.by_scale[scale] for one in scored if scale in one.by_scale]
        methods = {name: [one[name] for one in ones if name in one] for name in METHODS}
        by_scale[str(scale)] = {name: _means(found) for name, found in methods.items() if found}
    finest = [one.by_scale[1] for one in scored]
    paired = [one for one in finest if "report" in one]
    inpainted = [one for one in finest if "biharmonic" in one]
    summary: dict[str, Any] = {
        "share": float(np.mean([one.share for one in scored])),
        "images": len(scored),
        "methods": by_scale["1"],
        "gain_db": {name: _gain(scored, name) for name in BASELINES if name in by_scale["1"]},
        "by_scale": by_scale,
    }
    if paired:
        with_report, without = _means([one["report"] for one in paired]), _means([one["model"] for one in paired])
        gain = _gain([one for one in scored if "report" in one.by_scale[1]], "model", of="report")
        summary["pairs"] = {"images": len(paired), "with_report": with_report, "without": without, "gain_db": gain}
    if inpainted:
        summary["biharmonic"] = {name: _means([one[name] for one in inpainted]) for name in ("model", *BASELINES)}
    return summary


def _means(scores: list[Scores]) -> dict[str, Any]:
    return {name: float(np.mean([one[name] for one in scores])) for name in scores[0]} | {"images": len(scores)}


def _gain(scored: list[Scored], over: str, of: str = "model") -> dict[str, Any]:
    """PSNR of a method less that of another, over the pictures that both were scored on."""
    ones = [one for one in scored if over in one.by_scale[1]]
    gains = np.array([one.by_scale[1][of]["psnr"] - one.by_scale[1][over]["psnr"] for one in ones])
    ends = mean_intervals(gains[:, None], [one.patient for one in ones])[0]
    return {"mean": float(gains.mean()), "low": ends.low, "high": ends.high, "images": len(ones)}


def flat_metrics(summary: dict[str, Any]) -> dict[str, float]:
    """The numbers of a cell by name, for metric stores: psnr, psnr_telea, gain_db_telea, pairs/psnr_with_report and so on."""
    values: dict[str, float] = {}
    for method, scores in summary["methods"].items():
        ending = "" if method == "model" else f"_{method}"
        if method != "report":
            values |= {f"{name}{ending}": scores[name] for name in ("psnr", "ssim", "mae")}
    values |= {f"gain_db_{name}": gain["mean"] for name, gain in summary["gain_db"].items()}
    if "pairs" in summary:
        values["pairs/psnr_with_report"] = summary["pairs"]["with_report"]["psnr"]
        values["pairs/psnr_without_report"] = summary["pairs"]["without"]["psnr"]
    return values
