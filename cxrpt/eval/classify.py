"""Findings in images: methods that see 1, 10 and 100 per cent of the labels, their baselines, and prompts without a label.

features of train, val, split ─┬─ sources of one protocol ─ labels of a share of the patients ─► method ─► scores ─► sheet
                               └─ ...

Uncertain (-1) and unknown labels are left out, class by class. What is chosen is chosen on val, whole, also where few labels of
train are used; where val itself is scored it chooses nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cxrpt.checkpoint.export import Exported
from cxrpt.config import EvalConfig
from cxrpt.eval.attention_probe import attention_probe
from cxrpt.eval.features import (
    IMAGE_POOLING,
    THUMBNAIL,
    WITH_IMAGE,
    ImageFeatures,
    Wanted,
    image_features,
    labelled_sources,
    states_side,
    untrained,
)  # fmt: skip
from cxrpt.eval.fine_tune import LAYER_DECAY, Tuning, fine_tune
from cxrpt.eval.item_tables import numbered, write_item_table
from cxrpt.eval.label_subsets import draws_of, subset_of
from cxrpt.eval.labelled import Fitted, Labelled, label_matrix
from cxrpt.eval.linear_probe import linear_probe
from cxrpt.eval.protocols import groups_of, protocols
from cxrpt.eval.samples import CannotRunError, SplitFolder, choose
from cxrpt.eval.score_sheet import MIN_OF_EACH, Target, compare, means_of_draws, roc_curves, target
from cxrpt.eval.zero_shot import zero_shot

SEES = {
    "linear": "model",
    "pixels": "pixels",
    "untrained": "untrained",
    "attention": "states",
    "attention_untrained": "untrained_states",
    "fine_tune": "images",
    "scratch": "images",
    "zero_shot": "vectors",
}
"""Which features each method takes."""

BASELINES = {"linear": ("pixels", "untrained"), "attention": ("attention_untrained",), "fine_tune": ("scratch",)}
GAINS = BASELINES | {"attention": ("attention_untrained", "linear")}
"""Which methods a method is compared with, by the same draws."""

_STATES_BYTES = 4 * 2**30
"""Memory for the states of all images; where they would take more, each is the mean over a square of patches."""


Fits = dict[float, dict[str, list[tuple[Fitted, int]]]]
"""Share of the labels in per cent, 0 for none -> method -> of each draw, what the method gave and how many images it saw."""


def classify(
    exported: Exported,
    folders: dict[str, list[SplitFolder]],
    split: str,
    config: EvalConfig,
    tables: Path | None = None,
) -> tuple[dict[str, float], dict[str, Any]]:
    """Score every method on a split.

    Args:
        exported: the model.
        folders: the run's folders by split; `train` and `split` at least, `val` if there is one.
        split: what is scored.
        config: methods, shares, limits and batch.
        tables: where the table of all scores goes (`item_tables`); None writes none.

    Returns:
        Metrics by name, and details.

    Raises:
        CannotRunError: no labels, no method that can run, or no class with enough positives and negatives.
    """
    labelled = {name: labelled_sources(found) for name, found in folders.items()}
    methods, not_run = _methods(exported, config, bool(labelled.get("train")))
    if not labelled[split] or not methods:
        raise CannotRunError(f"no labels in {split}" if not labelled[split] else "; ".join(not_run.values()))
    features, side = _features(exported, labelled, split, config, methods)
    everywhere = [*labelled[split], *labelled.get("train", [])]
    groups, clash = groups_of(everywhere)
    parts = [_part(features, split, names, methods != ["zero_shot"]) for names in groups]
    fits = {part.name: _fit_group(exported, part, methods, config) for part in parts if part.classes}
    scored = {part.name: _score_group(part, fits[part.name]) for part in parts if part.classes}
    left_out = {(f"{part.name}/" if clash else "") + name: why for part in parts for name, why in part.left_out.items()}
    if not scored:
        few = f"{MIN_OF_EACH} positives and {MIN_OF_EACH} negatives among the {len(features['train'])} labelled images of train"
        raise CannotRunError(f"no class has {few} and the {len(features[split])} of {split}")
    if tables is not None:
        of_parts = (block for part in parts if part.classes for block in _item_blocks(features[split], part, fits[part.name]))
        write_item_table(tables, "classify", of_parts)
    shares = _alone(scored) if clash else next(iter(scored.values()))
    headline = "linear" if "linear" in methods else methods[0]
    details = {
        "split": split,
        "images": len(features[split]),
        "patients": len(set(features[split].patients)),
        "train_images": len(features["train"]),
        "protocols": protocols(everywhere),
        "no_mean": clash,
        "features": IMAGE_POOLING,
        "interval": "95 %, bootstrap over patients of the scored split; how far draws of labels are apart is not in it",
        "left_out": left_out,
        "not_run": not_run,
        "bad_samples": {name: dict(found.bad) for name, found in features.items() if found.bad},
        "headline": {"method": headline, "share": list(shares[headline])[-1]},
        "methods": {name: {"about": _about(name, side), "shares": shares[name]} for name in methods},
    }
    return _metrics(details), details


@dataclass(frozen=True)
class Part:
    """The images of sources that are fitted and averaged together."""

    name: str
    train: ImageFeatures
    val: ImageFeatures | None
    test: ImageFeatures
    classes: list[str]
    left_out: dict[str, str]
    """Classes that cannot be scored, and why."""


def usable_classes(
    train: list[dict[str, int]], test: list[dict[str, int]], uses_train: bool = True
) -> tuple[list[str], dict[str, str]]:
    """The classes that can be scored, and for each of the others why it cannot."""
    usable, left_out = [], {}
    for name in sorted({name for labels in (*train, *test) for name in labels}):
        for split, labels in (*([("train", train)] if uses_train else []), ("the scored split", test)):
            positives, negatives = (sum(one.get(name) == value for one in labels) for value in (1, 0))
            if min(positives, negatives) < MIN_OF_EACH:
                left_out[name] = f"{positives} positives and {negatives} negatives in {split}, {MIN_OF_EACH} of each are needed"
                break
        else:
            usable.append(name)
    return usable, left_out


def _methods(exported: Exported, config: EvalConfig, has_train: bool) -> tuple[list[str], dict[str, str]]:
    """The methods that are run, each before its baselines, and why others that were asked for are not."""
    methods, not_run = [], {}
    for name in dict.fromkeys(config.classifiers):
        if name == "zero_shot" and not exported.model.shape.contrast:
            not_run[name] = "the model was trained without the contrast (objective.itc_weight=0), which prompts need"
        elif name != "zero_shot" and not has_train:
            not_run[name] = "no labels in train"
        else:
            baselines = BASELINES.get(name, ())
            methods += [name, *(one for one in baselines if config.untrained_baseline or one == "pixels")]
    return methods, not_run


def _features(
    exported: Exported, labelled: dict[str, list[SplitFolder]], split: str, config: EvalConfig, methods: list[str]
) -> tuple[dict[str, ImageFeatures], int]:
    """What the methods see of each split's images, and how many patches a side one state stands for."""
    limits = {"train": config.max_train_images}
    found = {name: (labelled.get(name, []), limits.get(name, config.max_images)) for name in ("train", "val", split)}
    side = 0
    if "attention" in methods:
        num_images = sum(len(choose(folders, WITH_IMAGE, limit)) for folders, limit in found.values())
        side = states_side(exported, num_images, _STATES_BYTES // (1 + ("attention_untrained" in methods)))
    control = untrained(exported) if {"untrained", "attention_untrained"} & set(methods) else None
    wanted = Wanted(control, side, images="fine_tune" in methods)
    return {name: image_features(exported, *one, config.batch, wanted) for name, one in found.items()}, side


def _part(features: dict[str, ImageFeatures], split: str, names: list[str], uses_train: bool) -> Part:
    train, val, test = (features[name].of_sources(names) for name in ("train", "val", split))
    classes, left_out = usable_classes(train.labels, test.labels, uses_train)
    return Part("+".join(names), train, None if split == "val" else val, test, classes, left_out)


def _fit_group(exported: Exported, part: Part, methods: list[str], config: EvalConfig) -> Fits:
    """What every method gives for the images of a part."""
    fitted = [name for name in methods if name != "zero_shot"]
    fits: Fits = {
        share: {name: list(_fits(exported, part, name, share, config)) for name in fitted}
        for share in sorted(config.label_shares)
    }
    if "zero_shot" in methods:
        scores_NC = zero_shot(exported, part.classes, part.test.features["vectors"])
        fits[0.0] = {"zero_shot": [(Fitted(scores_NC, {}), 0)]}
    return fits


def _score_group(part: Part, fits: Fits) -> dict[str, dict[str, Any]]:
    """Method -> share -> scores."""
    labels_NC = label_matrix(part.test.labels, part.classes)
    found = target(part.classes, labels_NC, part.test.sources, part.test.patients)
    sources = list(dict.fromkeys(part.test.sources))
    sheets: dict[str, dict[str, Any]] = {}
    for share, by_method in fits.items():
        drawn = {name: [fit for fit, _ in each] for name, each in by_method.items()}
        for name, scores in _sheets(found, sources, drawn).items():
            train_images = float(np.mean([count for _, count in by_method[name]]))
            sheets.setdefault(name, {})[f"{share:g}"] = {"train_images": train_images} | scores
    return sheets


def _item_blocks(scored: ImageFeatures, part: Part, fits: Fits) -> Iterator[dict[str, Any]]:
    """The rows of the table: those of each fit together, class by class of each image.

    Args:
        scored: all images of the scored split, by which images and patients are numbered.
        part: some of them.
        fits: of the part.
    """
    number_N = np.flatnonzero(np.isin(scored.sources, part.test.sources))
    patient_N = numbered(zip(scored.sources, scored.patients, strict=True))[number_N]
    num_classes = len(part.classes)
    same = {
        "image": np.repeat(number_N, num_classes),
        "source": np.repeat(part.test.sources, num_classes),
        "patient": np.repeat(patient_N, num_classes),
        "class": np.tile(part.classes, len(number_N)),
        "label": label_matrix(part.test.labels, part.classes).ravel(),
    }
    for share, by_method in fits.items():
        for method, each in by_method.items():
            for draw, (fit, _) in enumerate(each):
                yield same | {"method": method, "share": share, "draw": draw, "score": fit.scores_NC.ravel()}


def _fits(exported: Exported, part: Part, method: str, share: float, config: EvalConfig) -> Iterator[tuple[Fitted, int]]:
    """A method fitted on each draw of a share of the labels, and the number of images of the draw."""

    def labelled(images: ImageFeatures) -> Labelled:
        return Labelled(images.features[SEES[method]], label_matrix(images.labels, part.classes), images.patients)

    test = part.test.features[SEES[method]]
    choose_on = labelled(part.val) if part.val else None
    for draw in range(draws_of(share, config.label_draws)):
        train = labelled(part.train).rows(subset_of(part.train.patients, share, draw))
        if SEES[method] == "images":
            start, layer_decay = (untrained(exported, draw), 1.0) if method == "scratch" else (exported, LAYER_DECAY)
            how = Tuning(config.fine_tune_steps, config.fine_tune_batch, config.fine_tune_lr, layer_decay, draw)
            fit = fine_tune(start, train, choose_on, test, how)
        elif method.startswith("attention"):
            shape, device = exported.model.shape, exported.model.mlm_bias.device
            fit = attention_probe(train, choose_on, test, shape.heads, draw, device)
        else:
            fit = linear_probe(train, choose_on, test)
        yield fit, len(train)


def _sheets(found: Target, sources: list[str], fits: dict[str, list[Fitted]]) -> dict[str, dict[str, Any]]:
    """The scores of methods that saw the same labels."""
    drawn = {name: [fit.scores_NC for fit in each] for name, each in fits.items()}
    together = compare(found, None, drawn, GAINS)
    # Of a single institution all is known already.
    by_source = {one: together if len(sources) == 1 else compare(found, one, drawn, GAINS) for one in sources}
    sheets = {}
    for name, each in fits.items():
        unfitted = np.sum([np.isnan(fit.scores_NC).any(0) for fit in each], axis=0)
        curves = roc_curves(found, drawn[name])
        sheets[name] = together[name] | {
            "draws": len(each),
            "auroc_of_draws": means_of_draws(found, drawn[name]),
            "chosen": [fit.chosen for fit in each],
            "chance": {found.classes[n]: int(unfitted[n]) for n in np.flatnonzero(unfitted)},
            "classes": {one: values | {"roc": curves[one]} for one, values in together[name]["classes"].items()},
            "institutions": {source: of[name] for source, of in by_source.items() if of[name]["classes"]},
        }
    return sheets


def _alone(scored: dict[str, dict[str, dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """Scores of sources that share no table: each under institutions, and no mean."""
    shares: dict[str, dict[str, Any]] = {}
    for source, of_source in scored.items():
        for method, by_share in of_source.items():
            for share, found in by_share.items():
                merged = shares.setdefault(method, {}).setdefault(share, {"train_images": 0.0, "institutions": {}})
                merged |= {"draws": found["draws"], "mean": {}, "gain": {}, "classes": {}}
                merged["train_images"] += found["train_images"]
                merged["institutions"][source] = {key: value for key, value in found.items() if key != "institutions"}
    return shares


def _metrics(details: dict[str, Any]) -> dict[str, float]:
    """The flat names of the scores."""
    metrics: dict[str, float] = {}
    for method, found in details["methods"].items():
        for share, scores in found["shares"].items():
            metrics |= {
                f"classify/{method}/{share}/{name}": scores["mean"][name] for name in ("auroc", "auprc") if scores["mean"]
            }
    headline = details["headline"]
    scores = details["methods"][headline["method"]]["shares"][headline["share"]]
    metrics |= {f"classify/{name}": value for name, value in scores["mean"].items()}
    metrics |= {f"classify/auroc/{name}": found["auroc"] for name, found in scores["classes"].items()}
    institutions = scores["institutions"].items()
    return metrics | {f"classify/{source}/auroc": found["mean"]["auroc"] for source, found in institutions if found["mean"]}


def _about(method: str, side: int) -> str:
    """What a method is, in words."""
    logistic = "logistic regression, one C for all classes, on"
    squares = f", means over {side} x {side} patches to keep within {_STATES_BYTES / 2**30:g} GiB" if side > 1 else ""
    return {
        "linear": f"{logistic} frozen features, standardised: {IMAGE_POOLING}",
        "pixels": f"{logistic} {THUMBNAIL} x {THUMBNAIL} pixels",
        "untrained": f"{logistic} the features of the network with fresh weights",
        "attention": f"learned queries pool the frozen states of summary and patches{squares}; one linear head",
        "attention_untrained": "the same on the network with fresh weights",
        "fine_tune": "all weights are trained from the model's, less the further from the head",
        "scratch": "all weights are trained from fresh ones",
        "zero_shot": "the image's vector against English prompts that a finding is there and that it is not; no label is used",
    }[method]
