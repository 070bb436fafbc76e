"""Charts as inline SVG, coloured by classes of the page's style sheet, so that they follow light, dark and print.

    histogram    columns over bins, stacked by series        bars    one row a word, stacked by series
    shares       one row a series, parts of 100 %            ranges  one row a series, quantiles on an axis

A series has its colour by its place: class `c0`, `c1`, ...; every mark has a `<title>` that a mouse shows.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup, escape

from cxrpt.page.svg import NUM_COLOURS, compact, line, rect, round_step, short, svg, text

WIDTH = 420
MAX_BINS = 24
_LEFT, _RIGHT, _TOP = 44, 10, 8


@dataclass(frozen=True)
class Bins:
    """Bins of equal width from `low`; the first and the last also take what lies beyond them."""

    low: float
    step: float
    num: int
    opens_low: bool
    opens_high: bool

    def counts(self, values: np.ndarray) -> np.ndarray:
        """int64 (num): how many of the values (n,) fall into each."""
        places = np.clip(np.floor((values - self.low) / self.step + 1e-9), 0, self.num - 1).astype(np.int64)
        return np.bincount(places, minlength=self.num)

    def name(self, place: int) -> str:
        start, end = self.low + place * self.step, self.low + (place + 1) * self.step
        if place == self.num - 1 and self.opens_high:
            return f"{start:g} and more"
        if place == 0 and self.opens_low:
            return f"below {end:g}"
        return f"{start:g}" if self.step == 1 else f"{start:g} to {end:g}"


def choose_bins(values: np.ndarray, whole: bool = True, low: float | None = None) -> Bins:
    """At most MAX_BINS bins of a round width that hold all but the outermost half percent of values (n,), n > 0."""
    start, end = (float(np.quantile(values, share)) for share in (0.005, 0.995))
    start = start if low is None else low
    step = round_step(max(end - start, 1e-9) / (MAX_BINS - 2))
    step = max(step, 1) if whole else step
    first = math.floor(start / step + 1e-9) * step
    num = max(1, math.floor((end - first) / step + 1e-9) + 1)
    top = first + num * step
    return Bins(first, step, num, bool(values.min() < first), bool(values.max() >= top))


def histogram(series: Mapping[str, np.ndarray], bins: Bins, unit: str) -> Markup:
    """Stacked columns of counts (bins.num,) by name of series."""
    height, bottom = 190, 36
    inner_w, inner_h = WIDTH - _LEFT - _RIGHT, height - _TOP - bottom
    total = np.sum(list(series.values()), axis=0)
    top, ticks = _axis(float(total.max()) if len(total) else 1)
    parts = [_grid(tick, _TOP + inner_h * (1 - tick / top)) for tick in ticks]
    column = inner_w / bins.num
    for place in range(bins.num):
        y: float = _TOP + inner_h
        told = ", ".join(f"{name} {int(counts[place]):,}" for name, counts in series.items() if counts[place])
        rects = []
        for number, counts in enumerate(series.values()):
            if counts[place]:
                tall = inner_h * float(counts[place]) / top
                y -= tall
                rects.append(rect(_LEFT + place * column + 0.5, y, max(column - 1, 0.5), tall, number))
        if rects:
            parts.append(f"<g><title>{escape(bins.name(place))}: {escape(told)}</title>{''.join(rects)}</g>")
    for place in range(0, bins.num, max(1, math.ceil(bins.num / 8))):
        label = f"{bins.low + place * bins.step:g}"
        middle = place + (0.5 if bins.step == 1 else 0)
        label = ("<" if place == 0 and bins.opens_low else "") + label
        parts.append(text(_LEFT + middle * column, height - bottom + 15, label, "middle"))
    more = f", last column and more: {bins.low + (bins.num - 1) * bins.step:g}+" if bins.opens_high else ""
    parts.append(text(_LEFT + inner_w / 2, height - 4, unit + more, "middle", "unit"))
    return svg(WIDTH, height, parts, f"histogram of {unit}")


def bars(rows: Sequence[tuple[str, Sequence[int]]], out_of: int | None = None) -> Markup:
    """A row a word with its counts by series; with `out_of`, the sum is also given as a share of it."""
    left, right, step = 128, 84, 20
    longest = max((sum(counts) for _, counts in rows), default=1) or 1
    parts = []
    for number, (word, counts) in enumerate(rows):
        y, x = number * step + 4, float(left)
        parts.append(text(left - 8, y + 11, short(word, 20), "end", "name"))
        for colour, count in enumerate(counts):
            if count:
                wide = (WIDTH - left - right) * count / longest
                parts.append(rect(x, y, wide, 14, colour))
                x += wide
        share = f" · {sum(counts) / out_of:.1%}" if out_of else ""
        parts.append(text(x + 6, y + 11, f"{sum(counts):,}{share}", "start"))
    return svg(WIDTH, len(rows) * step + 8, parts, "bars")


def shares(rows: Sequence[tuple[str, Sequence[tuple[str, int]]]]) -> Markup:
    """A row a series: its parts (name, count) of 100 %; parts have their colour by place."""
    left, step = 92, 24
    parts = []
    for number, (name, counts) in enumerate(rows):
        y, x, total = number * step + 4, float(left), sum(count for _, count in counts)
        parts.append(text(left - 8, y + 13, short(name, 14), "end", "name"))
        for place, (part, count) in enumerate(counts):
            if not count:
                continue
            colour = colour_of(part, place)
            wide = (WIDTH - left - _RIGHT) * count / total
            title = f"<title>{escape(name)}, {escape(part)}: {count:,} ({count / total:.1%})</title>"
            parts.append(f"<g>{title}{rect(x, y, max(wide - 1, 0.5), 18, colour)}")
            if wide > 34:
                parts.append(text(x + wide / 2, y + 13, f"{count / total:.0%}", "middle", "inside"))
            parts.append("</g>")
            x += wide
    return svg(WIDTH, len(rows) * step + 8, parts, "shares")


def ranges(rows: Sequence[tuple[str, int, Sequence[np.ndarray]]], high: float, unit: str) -> Markup:
    """A row a series (name, colour, some sets of values): 5th to 95th percentile thin, quarters thick, the median a notch."""
    left, step = 92, 34
    height = len(rows) * step + 36
    inner_w = WIDTH - left - _RIGHT
    parts = []
    for tick in np.linspace(0, high, 5):
        x = left + inner_w * tick / high
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="4" y2="{height - 32}"/>')
        parts.append(text(x, height - 18, f"{tick:.0f}", "middle"))
    for number, (name, colour, sets) in enumerate(rows):
        parts.append(text(left - 8, number * step + 22, short(name, 14), "end", "name"))
        for place, values in enumerate(sets):
            y = number * step + 8 + place * 9
            low, quarter, middle, three, top = (
                left + inner_w * float(value) / high for value in np.percentile(values, (5, 25, 50, 75, 95))
            )
            parts.append(rect(low, y + 2.5, max(top - low, 1), 1, colour))
            parts.append(rect(quarter, y, max(three - quarter, 1), 6, colour))
            parts.append(f'<rect class="notch" x="{middle - 1:.1f}" y="{y - 1:.1f}" width="2" height="8"/>')
    parts.append(text(left + inner_w / 2, height - 3, unit, "middle", "unit"))
    return svg(WIDTH, height, parts, unit)


def colour_of(part: str, place: int) -> int:
    """The colour of a part by its place; what is unknown is grey."""
    return NUM_COLOURS - 1 if part.lower() == "unknown" else place


def _axis(largest: float) -> tuple[float, list[float]]:
    step = max(1.0, round_step(max(largest, 1) / 4))
    top = math.ceil(max(largest, 1) / step) * step
    return top, [number * step for number in range(round(top / step) + 1)]


def _grid(tick: float, y: float) -> str:
    return line(_LEFT, y, WIDTH - _RIGHT, y) + text(_LEFT - 6, y + 4, compact(tick), "end")
