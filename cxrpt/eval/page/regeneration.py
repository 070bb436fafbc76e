"""The regeneration task as the page shows it: a cell for each kind and share of hidden patches."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from cxrpt.eval.page.charts import Axis, Line, Point, line_chart, swatch
from cxrpt.eval.page.classification import bad_words
from cxrpt.eval.page.numbers import count, number_of, plain, value_of
from cxrpt.eval.page.pictures import Pictures
from cxrpt.eval.page.verdict import Difference, difference

METHODS = {"model": ("Model", 0, 0), "telea": ("Telea", 1, 1), "biharmonic": ("Biharmonic", 2, 3), "mean": ("Mean", 7, 2)}
"""What a method is called, its colour and its dash."""
RIVALS = {"telea": "Telea", "biharmonic": "biharmonic"}
"""Inpainting that the model is compared with, as it is called within a sentence."""
MEASURES = (("psnr", "PSNR, dB", 2), ("ssim", "SSIM", 3), ("mae", "MAE", 4))


@dataclass(frozen=True)
class CellRow:
    """One kind of mask at one ratio."""

    masks: str
    ratio: str
    scores: dict[str, tuple[str, ...]]
    """By measure: a word for each method."""
    gains: tuple[Difference | None, ...]
    """Over each of the rivals, in dB."""
    report: Difference | None
    """What the report adds, in dB, on pairs."""
    images: str
    inpainted: str
    """Of them, how many were inpainted biharmonically, where not all were."""
    is_first: bool


@dataclass(frozen=True)
class Grid:
    """A sheet of pictures."""

    title: str
    picture: Markup
    alt: str


@dataclass(frozen=True)
class Regeneration:
    """All that the page says of the task."""

    about: tuple[tuple[str, str], ...]
    methods: tuple[str, ...]
    rows: tuple[CellRow, ...]
    charts: tuple[tuple[str, Markup], ...]
    is_partial: bool
    """Whether biharmonic inpainting was scored on some of the pictures only."""
    legend: tuple[tuple[Markup, str], ...]
    scales: tuple[tuple[str, str, str, tuple[str, ...]], ...]
    """Masks, ratio, scale, and the PSNR of each method."""
    left_out: tuple[tuple[str, str], ...]
    grids: tuple[Grid, ...]


def regeneration(details: Mapping[str, Any], pictures: Pictures) -> Regeneration:
    """The view of `details.regenerate`; whatever is missing in it is left out."""
    cells = details["cells"]
    used = {name for by_ratio in cells.values() for cell in by_ratio.values() for name in cell["methods"]}
    methods = [name for name in METHODS if name in used]
    rows = []
    for masks, by_ratio in cells.items():
        for place, ratio in enumerate(sorted(by_ratio, key=float)):
            rows.append(_row(masks, ratio, by_ratio[ratio], methods, place == 0))
    return Regeneration(
        about=_about(details),
        methods=tuple(METHODS[name][0] for name in methods),
        rows=tuple(rows),
        charts=tuple(_charts(cells, methods)),
        is_partial=any(row.inpainted for row in rows),
        legend=tuple((swatch(*METHODS[name][1:]), METHODS[name][0]) for name in methods),
        scales=tuple(_scales(cells, methods)),
        left_out=tuple((mask_words(kind), str(why)) for kind, why in (details.get("left_out") or {}).items()),
        grids=tuple(_grids(cells, pictures)),
    )


def mask_words(masks: str) -> str:
    """`4x4` is "4 × 4 squares", `mixed` "mixed squares"."""
    return f"{masks.replace('x', ' × ')} squares" if masks[:1].isdigit() else f"{masks} squares"


def _about(details: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    images = f"{count(number_of(details, 'images'))} images"
    if (patients := number_of(details, "patients")) is not None:
        images += f" of {count(patients)} patients"
    if pairs := number_of(details, "pairs"):
        images += f", {count(pairs)} of them with a report"
    rows = [("Images", images)]
    rows += [(name.capitalize(), _words(details.get(name))) for name in ("masks", "scored", "baselines", "interval")]
    rows.append(("Could not be read", bad_words(details.get("bad_samples"))))
    return tuple(row for row in rows if row[1])


def _words(value: Any) -> str:
    if isinstance(value, Mapping):
        return "; ".join(f"{name}: {words}" for name, words in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value or "")


def _row(masks: str, ratio: str, cell: Mapping[str, Any], methods: list[str], is_first: bool) -> CellRow:
    scores = {
        measure: tuple(plain(number_of(cell["methods"], name, measure), digits) for name in methods)
        for measure, _, digits in MEASURES
    }
    gains = tuple(difference(value_of(cell, "gain_db", rival), "mean", 2) for rival in RIVALS)
    hidden = number_of(cell, "share")
    shown = (
        ratio_words(ratio)
        if hidden is None or abs(100 * hidden - float(ratio)) < 0.5
        else f"{100 * hidden:.0f} % for {ratio_words(ratio)}"
    )
    return CellRow(
        mask_words(masks), shown, scores, gains, _report_adds(cell), count(number_of(cell, "images")), few_biharmonic(cell),
        is_first,
    )  # fmt: skip


def ratio_words(ratio: str) -> str:
    """`75` is "75 %"."""
    return f"{float(ratio):g} %"


def few_biharmonic(cell: Mapping[str, Any]) -> str:
    """How many pictures of a cell were inpainted biharmonically, which is slow; empty where all were."""
    number = number_of(cell, "methods", "biharmonic", "images")
    return "" if number is None or number == number_of(cell, "images") else count(number)


def _report_adds(cell: Mapping[str, Any]) -> Difference | None:
    found = difference(value_of(cell, "pairs", "gain_db"), "mean", 2)
    told, alone = (number_of(cell, "pairs", key, "psnr") for key in ("with_report", "without"))
    if found is not None or told is None or alone is None:
        return found
    return difference({"value": told - alone}, "value", 2)


def _charts(cells: Mapping[str, Any], methods: list[str]) -> list[tuple[str, Markup]]:
    made = []
    for masks, by_ratio in cells.items():
        ratios = sorted(by_ratio, key=float)
        lines = []
        for name in methods:
            points = [
                Point(place, value)
                for place, ratio in enumerate(ratios)
                if (value := number_of(by_ratio[ratio], "methods", name, "psnr")) is not None
            ]
            if points:
                lines.append(Line(METHODS[name][0], tuple(points), *METHODS[name][1:], told=".2f"))
        if lines:
            axis = Axis("hidden share of the patches", tuple(ratio_words(ratio) for ratio in ratios))
            title = mask_words(masks).capitalize()
            made.append((title, line_chart(lines, axis, f"PSNR of each method by hidden share, {mask_words(masks)}")))
    return made


def _scales(cells: Mapping[str, Any], methods: list[str]) -> list[tuple[str, str, str, tuple[str, ...]]]:
    rows = []
    for masks, by_ratio in cells.items():
        for ratio in sorted(by_ratio, key=float):
            by_scale = by_ratio[ratio].get("by_scale") or {}
            for scale in sorted(by_scale, key=float):
                scores = tuple(plain(number_of(by_scale[scale], name, "psnr"), 2) for name in methods)
                rows.append((mask_words(masks), ratio_words(ratio), scale, scores))
    return rows


def _grids(cells: Mapping[str, Any], pictures: Pictures) -> list[Grid]:
    """The hardest first."""
    found = [(masks, ratio, cell) for masks, by_ratio in cells.items() for ratio, cell in by_ratio.items()]
    made = []
    for masks, ratio, cell in sorted(found, key=lambda one: -float(one[1])):
        if picture := pictures.embedded(cell.get("figure")):
            title = f"{ratio_words(ratio)} hidden, {mask_words(masks)}"
            alt = f"A row a radiograph: original, masked, regenerated, inpainted, difference; {title}"
            made.append(Grid(title, picture, alt))
    return made
