"""Curves of a run: training losses from its journal, scores over the steps that were evaluated."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from cxrpt.eval.page.charts import Axis, Line, Point, line_chart, swatch, thinned
from cxrpt.eval.page.classification import headline_of, look_of, title_of
from cxrpt.eval.page.numbers import number_of, value_of
from cxrpt.eval.page.regeneration import RIVALS, mask_words
from cxrpt.track.journal import Entry

OBJECTIVES = (
    ("mlm", "Masked words", "nats a masked token"),
    ("mvm", "Masked patches", "squared error of normalised pixels, mean of scales"),
    ("itc", "Image-text contrast", "nats a pair"),
)
_MOST_LINES = 7
"""A source more would have no colour of its own."""


@dataclass(frozen=True)
class Figure:
    """A chart with its title, its legend, and a line on what it shows."""

    title: str
    chart: Markup
    legend: tuple[tuple[Markup, str], ...]
    source: str


def training_curves(entries: Sequence[Entry], step: int) -> list[Figure]:
    """Losses by objective, each over all sources and by source, and those of the scales; `step` is marked."""
    train = [entry for entry in entries if entry.kind == "train"]
    if len(train) < 2:
        return []
    names = {name for entry in train for name in entry.metrics if name.startswith("loss/")}
    figures = []
    for objective, title, unit in OBJECTIVES:
        sources = sorted(name.split("/", 2)[2] for name in names if name.startswith(f"loss/{objective}/"))
        series = {"all sources": f"loss/{objective}"} if f"loss/{objective}" in names else {}
        if len(sources) > 1:
            series |= {source: f"loss/{objective}/{source}" for source in sources[:_MOST_LINES]}
        rest = f"; {len(sources) - _MOST_LINES} more sources not drawn" if len(sources) > _MOST_LINES else ""
        figures += _loss_figure(f"{title} ({objective.upper()})", series, train, step, f"{unit}{rest}")
    scales = sorted((name for name in names if name.removeprefix("loss/mvm").isdigit()), key=lambda name: int(name[8:]))
    if len(scales) > 1:
        series = {f"{scale} × {scale} patches": f"loss/mvm{scale}" for scale in (name[8:] for name in scales)}
        figures += _loss_figure("Masked patches by scale", series, train, step, "squared error of normalised pixels")
    return figures


def _loss_figure(title: str, series: Mapping[str, str], train: Sequence[Entry], step: int, unit: str) -> list[Figure]:
    lines = []
    for number, (name, metric) in enumerate(series.items()):
        pairs = [(entry.step, entry.metrics[metric]) for entry in train if metric in entry.metrics]
        points = thinned(np.array([x for x, _ in pairs], float), np.array([y for _, y in pairs], float))
        if len(points) > 1:
            # All sources together come last, on top.
            colour, dash = (0, 0) if number == 0 else (number, number % 4 + 1)
            lines.append(Line(name, points, colour, dash))
    if not lines:
        return []
    chart = line_chart(lines[::-1], Axis("step", mark_x=step), f"{title}: training loss over steps")
    return [Figure(title, chart, _legend(lines), unit)]


def score_curves(results: Sequence[Mapping[str, Any]], step: int) -> list[Figure]:
    """Scores over steps, of all evaluations of one split in the order of steps; fewer than two give no curve."""
    if len(results) < 2:
        return []
    figures = [_auroc(results, step), _recall(results, step), _gain(results, step), _grounding(results, step)]
    return [figure for figure in figures if figure is not None]


def _figure(title: str, lines: Iterable[Line], axis: Axis, source: str) -> Figure | None:
    drawn = [line for line in lines if len(line.points) > 1]
    return Figure(title, line_chart(drawn, axis, f"{title} over steps"), _legend(drawn), source) if drawn else None


def _legend(lines: Sequence[Line]) -> tuple[tuple[Markup, str], ...]:
    return tuple((swatch(line.colour, line.dash), line.name) for line in lines)


def _points(results: Sequence[Mapping[str, Any]], metric: str) -> tuple[Point, ...]:
    found = []
    for one in results:
        value, low, high = (number_of(one, "metrics", name) for name in (metric, f"{metric}_low", f"{metric}_high"))
        if value is not None:
            found.append(Point(float(one["step"]), value, low, high))
    return tuple(found)


def _auroc(results: Sequence[Mapping[str, Any]], step: int) -> Figure | None:
    details = value_of(results[-1], "details", "classify")
    if not value_of(details, "methods"):
        return None
    method, share = headline_of(details)
    lines = [Line(title_of(method), _points(results, "classify/auroc"), *look_of(method), told=".3f")]
    for other in details["methods"]:
        name = f"classify/{other}/{'0' if other == 'zero_shot' else share}/auroc"
        if other != method:
            lines.append(Line(title_of(other), _points(results, name), *look_of(other), told=".3f"))
    axis = Axis("step", mark_x=step, reference=0.5, limits=(0.0, 1.0))
    return _figure("Classification", lines, axis, f"mean AUROC at {float(share):g} % of labels, 95 % interval where told")


def _recall(results: Sequence[Mapping[str, Any]], step: int) -> Figure | None:
    named = (("image_to_text", "Image to report", 0, 0), ("text_to_image", "Report to image", 1, 0), ("chance", "Chance", 7, 2))
    lines = [Line(name, _points(results, f"retrieve/{key}/r5"), colour, dash, told=".3f") for key, name, colour, dash in named]
    return _figure("Retrieval", lines, Axis("step", mark_x=step, limits=(0.0, 1.0)), "R@5")


def _gain(results: Sequence[Mapping[str, Any]], step: int) -> Figure | None:
    cells = value_of(results[-1], "details", "regenerate", "cells")
    if not cells:
        return None
    ratio = max((ratio for by_ratio in cells.values() for ratio in by_ratio), key=float)
    lines = []
    for number, masks in enumerate(cells):
        points = []
        for one in results:
            gains = value_of(one, "details", "regenerate", "cells", masks, ratio, "gain_db")
            known = [gain for rival in RIVALS if (gain := number_of(gains, rival, "mean")) is not None]
            if known:
                points.append(Point(float(one["step"]), min(known)))
        lines.append(Line(mask_words(masks).capitalize(), tuple(points), number, number % 4, told="+.2f"))
    axis = Axis("step", mark_x=step, reference=0.0)
    words = f"gain in PSNR over Telea or biharmonic, the lesser of the two, dB, at {float(ratio):g} % hidden"
    return _figure("Regeneration", lines, axis, words)


def _grounding(results: Sequence[Mapping[str, Any]], step: int) -> Figure | None:
    kinds = value_of(results[-1], "details", "grounding", "words") or {}
    lines = []
    for number, kind in enumerate(kinds):
        points = []
        for one in results:
            gain = value_of(one, "details", "grounding", "words", kind, "gain_over_swapped")
            ends = [number_of(gain, key) for key in ("value", "low", "high")]
            if ends[0] is not None:
                value, low, high = (None if end is None else 100 * end for end in ends)
                points.append(Point(float(one["step"]), value or 0.0, low, high))
        lines.append(Line(f"{kind} words".capitalize(), tuple(points), number, number % 4, told="+.1f"))
    axis = Axis("step", mark_x=step, reference=0.0)
    return _figure("Grounding", lines, axis, "masked words right with the study’s own image, above another’s, in points")
