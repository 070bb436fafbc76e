"""A few queries and what was found for them, as figures and as entries of the results.

    retrieve-0.png   a picture and its report │ the three best reports
    retrieve-3.png   a report                 │ the three best pictures

Queries stand at even distances in the pool, so that none was picked for how it came out. Reports are shown as the model reads
them: the chosen sections, cut to its longest text.
"""

from collections import Counter
from pathlib import Path
from textwrap import wrap
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cxrpt.checkpoint.export import Exported
from cxrpt.eval.features import PairVectors
from cxrpt.eval.samples import Place, read, square_image, text_tokens

SHOWN = 3
"""Queries of each direction, and candidates of each query."""

_LINE = 44
_LINES = 13
_HIT, _MISS, _NEUTRAL = "#1a7f37", "#b42318", "#57606a"


def draw_examples(
    exported: Exported,
    pairs: PairVectors,
    vectors: tuple[np.ndarray, np.ndarray],
    groups: tuple[np.ndarray, np.ndarray],
    figures: Path,
) -> list[dict[str, Any]]:
    """Draw the examples into `figures`, `retrieve-0.png` and so on.

    Args:
        exported: the model, for its tokenizer and the size of its pictures.
        pairs: the pool.
        vectors: of images and of texts.
        groups: numbers of each pair's study and wording.
        figures: folder of the PNG files.

    Returns:
        One entry a query: "query" (image or text), "figure", "text" (the query's report), "rank" (of its best hit), and
        "found", the best first, each with "text", "score" (cosine) and "is_hit".
    """
    queries = np.unique(np.linspace(0, len(pairs) - 1, SHOWN).round().astype(int))
    entries: list[dict[str, Any]] = []
    for kind, (asked, answers) in (("image", vectors), ("text", vectors[::-1])):
        for query in queries:
            scores_N = answers.astype(np.float64) @ asked[query].astype(np.float64)
            hit_N = (groups[0] == groups[0][query]) | (groups[1] == groups[1][query])
            best = np.lexsort((hit_N, -scores_N))[:SHOWN]
            shown = [_read(pairs.places[row], exported) for row in (query, *best)]
            name = f"retrieve-{len(entries)}.png"
            found = [
                {"text": text, "score": float(scores_N[row]), "is_hit": bool(hit_N[row])}
                for row, (_, text) in zip(best, shown[1:], strict=True)
            ]
            rank = 1 + int((~hit_N & (scores_N >= scores_N[hit_N].max())).sum())
            _draw(kind, shown, found, figures / name)
            entries.append({"query": kind, "figure": name, "text": shown[0][1], "rank": rank, "found": found})
    return entries


def _read(place: Place, exported: Exported) -> tuple[np.ndarray, str]:
    """The picture and the report of a pair that was read before."""
    raw = next(read([place], Counter()))[1]
    return square_image(raw, exported), exported.tokenizer.decode(text_tokens(raw, exported))


def _draw(kind: str, shown: list[tuple[np.ndarray, str]], found: list[dict[str, Any]], path: Path) -> None:
    columns = 1 + len(found) + (kind == "image")
    figure = Figure(figsize=(3.0 * columns, 3.3), layout="constrained")
    axes = list(figure.subplots(1, columns, squeeze=False)[0])
    query_image, query_text = shown[0]
    if kind == "image":
        _show_image(axes.pop(0), query_image, "query", _NEUTRAL)
        _show_text(axes.pop(0), query_text, "its report", _NEUTRAL)
    else:
        _show_text(axes.pop(0), query_text, "query", _NEUTRAL)
    for place, (axis, one, (image, text)) in enumerate(zip(axes, found, shown[1:], strict=True), 1):
        title = f"{place}. {'hit' if one['is_hit'] else 'no hit'}, cosine {one['score']:.2f}"
        color = _HIT if one["is_hit"] else _MISS
        if kind == "image":
            _show_text(axis, text, title, color)
        else:
            _show_image(axis, image, title, color)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def _show_image(axis: Axes, image: np.ndarray, title: str, color: str) -> None:
    axis.imshow(image, cmap="gray", vmin=0, vmax=255)
    _frame(axis, title, color)


def _show_text(axis: Axes, text: str, title: str, color: str) -> None:
    lines = wrap(text, _LINE)
    if len(lines) > _LINES:
        lines = [*lines[: _LINES - 1], f"{lines[_LINES - 1]} ..."]
    # A report is no formula, whatever dollars it holds.
    axis.text(0.03, 0.97, "\n".join(lines), va="top", fontsize=8, transform=axis.transAxes, parse_math=False)
    axis.set_box_aspect(1)
    _frame(axis, title, color)


def _frame(axis: Axes, title: str, color: str) -> None:
    axis.set_title(title, fontsize=9, color=color)
    axis.set_xticks([])
    axis.set_yticks([])
    for spine in axis.spines.values():
        spine.set_color(color)
        spine.set_linewidth(1.5)
