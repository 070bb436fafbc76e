"""Run directories as an evaluation leaves them, with made-up numbers of any size."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from cxrpt.config import load_config, to_yaml
from data_prep.sources.nih14 import FINDINGS

SIX = ("mimic", "nih14", "openi", "padchest", "chexpert", "covid")
BOOTSTRAP = "95 %, bootstrap over patients"
ABOUT = {
    "linear": "logistic regression on frozen features",
    "attention": "a learned attention pool over frozen patch states",
    "fine_tune": "all weights are trained",
    "scratch": "all weights are trained, from fresh ones",
    "untrained": "the linear probe on the network with fresh weights",
    "pixels": "the linear probe on pixels reduced to 16 x 16",
    "zero_shot": "cosine of the image with prompts that a finding is there, less that it is not",
}
LEVEL = {
    "linear": 0.78,
    "attention": 0.8,
    "fine_tune": 0.82,
    "scratch": 0.7,
    "untrained": 0.62,
    "pixels": 0.64,
    "zero_shot": 0.66,
}
CONTROLS = {"linear": ("pixels", "untrained"), "fine_tune": ("scratch",)}
GONE = "the run had no contrast"


def classify(classes=FINDINGS, institutions=SIX, methods=tuple(LEVEL), gained=0.05, seed=0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)

    def scores(method: str, share: str, deep: bool = True) -> dict[str, Any]:
        level = LEVEL[method] - 0.035 * (2 - np.log10(max(float(share), 1))) + gained - 0.05
        found = {name: one_class(level + rng.normal(0, 0.06)) for name in classes}
        mean = float(np.mean([one["auroc"] for one in found.values()]))
        auprc = float(np.mean([one["auprc"] for one in found.values()]))
        made = {
            "train_images": 78_468 * max(float(share), 0.0) / 100,
            "draws": 1 if share in ("0", "100") else 5,
            "mean": {
                "auroc": mean,
                "auroc_low": mean - 0.011,
                "auroc_high": mean + 0.0123,
                "auprc": auprc,
                "auprc_low": auprc - 0.02,
                "auprc_high": auprc + 0.02,
            },
            "classes": found,
        }
        if deep:
            made["gain"] = {
                other: {"auroc": LEVEL[method] - LEVEL[other], "low": LEVEL[method] - LEVEL[other] - 0.13, "high": 0.31}
                for other in CONTROLS.get(method, ())
            }
            made["institutions"] = {
                name: {key: scores(method, share, False)[key] for key in ("mean", "classes")} for name in institutions
            }
        return made

    def one_class(auroc: float) -> dict[str, Any]:
        positives = int(rng.integers(3, 900))
        negatives = 5_000 - positives
        fpr = np.linspace(0, 1, 21)
        half = 1.2 / np.sqrt(positives)
        return {
            "auroc": auroc,
            "auroc_low": max(auroc - half, 0.0),
            "auroc_high": min(auroc + half / 2, 1.0),
            "auprc": positives / 5_000 * 3,
            "auprc_low": positives / 5_000 * 2,
            "auprc_high": positives / 5_000 * 3.7,
            "positives": positives,
            "negatives": negatives,
            "roc": {"fpr": fpr.round(3).tolist(), "tpr": (fpr ** ((1 - auroc) / auroc)).round(3).tolist()},
        }

    return {
        "split": "test",
        "images": 5_000,
        "patients": 3_871,
        "train_images": 78_468,
        "protocols": {
            name: "official lists" if name == "nih14" else "hash of the patient 0.7/0.1/0.2" for name in institutions
        },
        "left_out": {"Hernia": "3 positives and 4,997 negatives in train, 5 of each are needed"},
        "bad_samples": {"test": {"nih14": 2}},
        "interval": BOOTSTRAP,
        "headline": {"method": "linear", "share": "100"},
        "methods": {
            name: {
                "about": ABOUT[name],
                "shares": {share: scores(name, share) for share in (("0",) if name == "zero_shot" else ("1", "10", "100"))},
            }
            for name in methods
        },
    }


def retrieve(institutions=SIX, examples=True, text="No acute cardiopulmonary abnormality.") -> dict[str, Any]:
    def scores(at: float) -> dict[str, Any]:
        return {
            "image_to_text": {
                "r1": 0.041 * at,
                "r5": 0.142 * at,
                "r10": 0.223 * at,
                "median_rank": 61.0,
                "r5_low": 0.12 * at,
                "r5_high": 0.165 * at,
                "p5": 0.31,
                "p10": 0.29,
            },
            "text_to_image": {
                "r1": 0.038 * at,
                "r5": 0.131 * at,
                "r10": 0.217 * at,
                "median_rank": 64.5,
                "p5": 0.33,
                "p10": 0.3,
            },
            "chance": {"r1": 0.0011, "r5": 0.0054, "r10": 0.0107, "median_rank": 486.0, "p5": 0.17, "p10": 0.17},
        }

    found = [{"text": f"{text} {'Mild cardiomegaly. ' * n}", "score": 0.71 - n / 50, "is_hit": n == 1} for n in range(5)]
    return {
        "split": "test",
        "pool": 1_000,
        "distinct_texts": 812,
        "studies": 934,
        "patients": 801,
        "sections": ["FINDINGS", "IMPRESSION"],
        "hits": "a candidate of the same study is a hit",
        "ties": "count as better",
        "vectors": "contrastive head",
        "bad_samples": {},
        "scores": scores(1.0),
        "institutions": {name: {"pool": 150 + n, "scores": scores(1 + n / 10)} for n, name in enumerate(institutions)},
        "examples": [
            {"query": "image", "figure": "retrieve-0.png", "text": text, "found": found},
            {"query": "image", "figure": "retrieve-1.png", "text": None, "found": found[:3]},
            {"query": "text", "figure": "retrieve-2.png", "text": text, "rank": 12, "found": found[:3]},
        ]
        if examples
        else [],
    }


def regenerate(masks=("mixed", "1x1", "2x2", "4x4"), ratios=("15", "50", "75"), better=1.0) -> dict[str, Any]:
    def cell(kind: str, ratio: str) -> dict[str, Any]:
        hard = float(ratio) / 100
        model, telea, biharmonic = 18.2 - 4 * hard + better, 20.0 - 9 * hard, 20.6 - 10.5 * hard

        def one(psnr: float) -> dict[str, float]:
            return {"psnr": psnr, "ssim": psnr / 30, "mae": 1.4 / psnr}

        methods = {
            "model": one(model),
            "report": one(model + 0.12),
            "mean": one(11.3),
            "telea": one(telea),
            "biharmonic": one(biharmonic) | {"images": 32},
        }
        return {
            "images": 200,
            "share": hard if kind == "mixed" else hard + 0.013,
            "methods": methods,
            "pairs": {
                "images": 80,
                "with_report": one(model + 0.12),
                "without": one(model),
                "gain_db": {"mean": 0.12, "low": 0.03, "high": 0.2},
            },
            "gain_db": {
                name: {"mean": model - other, "low": model - other - 0.31, "high": model - other + 0.29}
                for name, other in (("telea", telea), ("biharmonic", biharmonic))
            },
            "by_scale": {
                scale: {name: one(methods[name]["psnr"] + n) for name in methods} for n, scale in enumerate(("1", "2", "4"))
            },
            "figure": f"regenerate-{kind}-{ratio}.png",
        }

    return {
        "split": "test",
        "images": 200,
        "pairs": 80,
        "scored": "hidden pixels only, in 0..1",
        "masks": {"mixed": "as in training"},
        "baselines": "mean of the visible pixels; Telea (OpenCV); biharmonic (scikit-image)",
        "bad_samples": {"openi": 1},
        "cells": {kind: {ratio: cell(kind, ratio) for ratio in ratios} for kind in masks},
    }


def grounding() -> dict[str, Any]:
    def gain(value: float, half: float) -> dict[str, float]:
        return {"value": value, "low": value - half, "high": value + half}

    return {
        "split": "test",
        "words": {
            "finding": {
                "places": 1_204,
                "right": {"own": 0.612, "swapped": 0.501, "none": 0.488},
                "unigram": {"word": "opacity", "share_in_train": 0.21, "accuracy": 0.2},
                "gain_over_swapped": gain(0.111, 0.03),
                "gain_over_none": gain(0.124, 0.04),
            },
            "side": {
                "places": 310,
                "right": {"own": 0.55, "swapped": 0.52, "none": 0.53},
                "unigram": {"word": "left", "share_in_train": 0.5, "accuracy": 0.5},
                "gain_over_swapped": gain(0.03, 0.05),
                "gain_over_none": gain(0.02, 0.06),
            },
        },
        "masked_words": {
            "openi": {
                "places": 900,
                "accuracy": gain(0.31, 0.02),
                "unigram": 0.08,
                "gain_over_unigram": gain(0.23, 0.02),
            }
        },
        "interval": BOOTSTRAP,
        "regions": {
            "finding": {
                "images": 88,
                "psnr": {"own": 17.1, "wrong": 16.9, "none": 16.95},
                "gain_over_wrong": gain(0.2, 0.1),
                "gain_over_none": gain(0.15, 0.2),
            }
        },
    }


def apart(sources=("nih14", "again")) -> dict[str, Any]:
    """One data set under two splits: each source alone, no mean."""
    each = {source: classify(("Effusion", "Mass"), (source,), seed=n) for n, source in enumerate(sources)}
    made = each[sources[0]]
    for name, method in made["methods"].items():
        for share, scores in method["shares"].items():
            alone = {source: one["methods"][name]["shares"][share] for source, one in each.items()}
            alone = {source: {key: one[key] for key in one if key != "institutions"} for source, one in alone.items()}
            method["shares"][share] = scores | {"institutions": alone, "mean": {}, "gain": {}, "classes": {}}
    return made | {"no_mean": "one data set under different splits", "not_run": {"zero_shot": GONE}}


def everything(**changed: Any) -> dict[str, Any]:
    """Details of all tasks; a task that is None is left out."""
    details = {"classify": classify(), "retrieve": retrieve(), "regenerate": regenerate(), "grounding": grounding()} | changed
    return {task: one for task, one in details.items() if one is not None}


def flat(details: dict[str, Any]) -> dict[str, float]:
    """The headline metrics of some details, by their flat names."""
    metrics: dict[str, float] = {}
    if "methods" in details.get("classify", {}):
        found = details["classify"]
        head = found["methods"][found["headline"]["method"]]["shares"][found["headline"]["share"]]
        metrics |= {f"classify/{name}": value for name, value in head["mean"].items()}
        metrics |= {f"classify/auroc/{name}": one["auroc"] for name, one in head["classes"].items()}
        for method, one in found["methods"].items():
            for share, scores in one["shares"].items():
                metrics |= {
                    f"classify/{method}/{share}/{name}": scores["mean"][name] for name in ("auroc", "auprc") if scores["mean"]
                }
    for direction, scores in details.get("retrieve", {}).get("scores", {}).items():
        metrics |= {f"retrieve/{direction}/{name}": value for name, value in scores.items()}
    for masks, by_ratio in details.get("regenerate", {}).get("cells", {}).items():
        for ratio, cell in by_ratio.items():
            head = f"regenerate/{masks}/{ratio}"
            metrics |= {f"{head}/{name}": value for name, value in cell["methods"]["model"].items()}
            metrics |= {f"{head}/psnr_{name}": cell["methods"][name]["psnr"] for name in ("mean", "telea", "biharmonic")}
    return metrics


def make_evaluated_run(
    run_dir: Path,
    details: dict[str, Any],
    step: int = 9_000,
    earlier: tuple[tuple[int, dict[str, Any]], ...] = (),
    sources=SIX,
    trained_on: bool = True,
    figures: bool = True,
    words: tuple[str, ...] = (),
) -> Path:
    """A run directory with the results of some steps; gives the results file of `step`."""
    run_dir.mkdir(parents=True)
    told = [f"data.sources.{name}.path=/secret/place/{name}" for name in sources]
    usual = [
        "objective.itc_weight=0.5",
        "objective.split_pairs=0.4",
        "train.steps=10000",
        "train.global_batch=256",
        "data.tokenizer=/secret/t",
    ]
    config = load_config(None, [f"name={run_dir.name}", *told, *usual, *words])
    (run_dir / "config.yaml").write_text(to_yaml(config))
    (run_dir / "code.txt").write_text("cxrpt 0.1.0\ntorch 2.13.0\n")
    write_journal(run_dir / "journal.jsonl", sources, step)
    for at, found in (*earlier, (step, details)):
        folder = run_dir / "evals" / f"step-{at:08d}"
        folder.mkdir(parents=True)
        fields = {"step": at, "metrics": flat(found), "details": found, "seconds": 421.3}
        if trained_on:
            fields["model"] = {"parameters": 86_412_345, "width": 768, "depth": 12, "heads": 12}
            fields["trained_on"] = [
                {
                    "source": name,
                    "use": "all" if n < 4 else "images",
                    "pairs": 21_000 * (6 - n),
                    "images": 9_000 * n,
                    "texts": 700 * n,
                    "patients": 8_000 * (n + 1),
                    "share": 1 / len(sources),
                    "seen": 384_000,
                    "epochs": 1.7 + n,
                    "bad": n,
                }
                for n, name in enumerate(sources)
            ]
        (folder / "results.json").write_text(json.dumps(fields))
        if figures:
            draw_figures(folder / "figures", found)
    return run_dir / "evals" / f"step-{step:08d}" / "results.json"


def write_journal(path: Path, sources: tuple[str, ...], steps: int) -> None:
    rng = np.random.default_rng(0)
    with path.open("w") as file:
        for step in range(100, steps + 400, 100):
            fall = np.exp(-step / 2_500)
            metrics: dict[str, float | str] = {"loss/mlm": 1.9 + 5 * fall + rng.normal(0, 0.05), "optim/lr": 1e-4}
            metrics |= {f"loss/mvm{s}": 0.2 / s + 0.6 * fall + rng.normal(0, 0.01) for s in (1, 2, 4)}
            metrics |= {"loss/mvm": 0.12 + 0.6 * fall, "loss/itc": 1.2 + 2 * fall + rng.normal(0, 0.05)}
            for n, name in enumerate(sources):
                metrics |= {
                    f"loss/mlm/{name}": 1.7 + n / 8 + 5 * fall + rng.normal(0, 0.1),
                    f"loss/mvm/{name}": 0.1 + n / 60 + 0.6 * fall,
                }
            if step == 500:
                metrics["loss/mlm"] = "nan"
            file.write(json.dumps({"attempt": 1, "step": step, "time": 0.0, "kind": "train", "metrics": metrics}) + "\n")


def draw_figures(folder: Path, details: dict[str, Any], grid: tuple[int, int] = (140, 160)) -> None:
    rng = np.random.default_rng(1)
    sizes = {one["figure"]: (64, 64) for one in details.get("retrieve", {}).get("examples", []) if one["figure"]}
    for by_ratio in details.get("regenerate", {}).get("cells", {}).values():
        sizes |= {cell["figure"]: grid for cell in by_ratio.values()}
    folder.mkdir()
    for name, (height, width) in sizes.items():
        small = cv2.resize(
            rng.integers(0, 255, (height // 8, width // 8), np.uint8), (width, height), interpolation=cv2.INTER_CUBIC
        )
        cv2.imwrite(str(folder / name), small)
