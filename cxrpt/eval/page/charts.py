"""Charts of an evaluation as inline SVG (marks and colours: cxrpt.page.svg).

    line_chart  values over steps, or over places of an axis, with whiskers     roc_chart    one ROC curve, a small square
    scale_bar   one value on a track with its interval and what it is compared with

A series is told from others by colour, dash and mark, never by colour alone; a mouse shows its numbers.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup, escape

from cxrpt.page.svg import NUM_COLOURS, compact, line, rect, round_step, svg, text

WIDTH, HEIGHT = 420, 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 12, 10, 38
_DASHES = ("", "6 3", "2 2.5", "8 3 2 3", "1 3")
_MOST_MARKS = 24


@dataclass(frozen=True)
class Point:
    """One value with the ends of its interval, where there is one."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Line:
    """A series by its name; `colour` is its place in the palette, `dash` in the list of dashes."""

    name: str
    points: tuple[Point, ...]
    colour: int = 0
    dash: int = 0
    told: str = ".4g"
    """How a value is written."""


@dataclass(frozen=True)
class Axis:
    """What a chart's axes show."""

    x_label: str
    names: tuple[str, ...] = ()
    """Words for the places 0, 1, ... of x; without them x is a number of steps."""
    mark_x: float | None = None
    """A place of x that is marked by a line."""
    reference: float | None = None
    """A value of y that is marked by a line, as that of chance."""
    limits: tuple[float, float] | None = None
    """Of y, at most; what is drawn may need less."""


def line_chart(lines: Sequence[Line], axis: Axis, label: str) -> Markup:
    """The series as lines; `label` says what the chart shows to who cannot see it."""
    points = [point for one in lines for point in one.points]
    ys = [y for point in points for y in (point.y, point.low, point.high) if y is not None]
    ys += [axis.reference] if axis.reference is not None else []
    bottom, top, step = _ticks(min(ys), max(ys), axis.limits)
    left, right = _x_range(points, axis)

    def x_of(x: float) -> float:
        return _LEFT + (WIDTH - _LEFT - _RIGHT) * (x - left) / (right - left)

    def y_of(y: float) -> float:
        return HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * (min(max(y, bottom), top) - bottom) / (top - bottom)

    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    parts = []
    for number in range(round((top - bottom) / step) + 1):
        tick = bottom + number * step
        parts += [line(_LEFT, y_of(tick), WIDTH - _RIGHT, y_of(tick))]
        parts += [text(_LEFT - 6, y_of(tick) + 4, f"{tick:.{digits}f}", "end")]
    for x, word in _x_ticks(left, right, axis):
        parts.append(text(x_of(x), HEIGHT - _BOTTOM + 16, word, "middle"))
    if axis.mark_x is not None and left <= axis.mark_x <= right:
        parts.append(line(x_of(axis.mark_x), _TOP, x_of(axis.mark_x), HEIGHT - _BOTTOM, "marked"))
    if axis.reference is not None:
        parts.append(line(_LEFT, y_of(axis.reference), WIDTH - _RIGHT, y_of(axis.reference), "marked"))
    parts.append(text((_LEFT + WIDTH - _RIGHT) / 2, HEIGHT - 5, axis.x_label, "middle", "unit"))
    for one in lines:
        placed = [(x_of(point.x), y_of(point.y), point) for point in one.points]
        parts.append(f"<g><title>{escape(one.name)}</title>{_path(one, [(x, y) for x, y, _ in placed])}")
        if len(placed) <= _MOST_MARKS:
            for x, y, point in placed:
                parts.append(_whisker(x, point, y_of, one.colour) + _dot(x, y, one, point, axis))
        parts.append("</g>")
    return svg(WIDTH, HEIGHT, parts, label)


def swatch(colour: int, dash: int) -> Markup:
    """The line of a series, for a legend."""
    dashes = f' stroke-dasharray="{_DASHES[dash % len(_DASHES)]}"' if dash else ""
    mark = f'<path class="line l{colour % NUM_COLOURS}" d="M0 5H24"{dashes}/>'
    return Markup(f'<svg class="swatch" viewBox="0 0 24 10" aria-hidden="true">{mark}</svg>')


def roc_chart(fpr: Sequence[float], tpr: Sequence[float], label: str) -> Markup:
    """The ROC curve of one class in a square."""
    side, left, top = 128, 22, 4
    parts = [f'<rect class="frame" x="{left}" y="{top}" width="{side}" height="{side}"/>']
    for half in (0.25, 0.5, 0.75):
        parts.append(line(left, top + side * half, left + side, top + side * half))
        parts.append(line(left + side * half, top, left + side * half, top + side))
    parts.append(line(left, top + side, left + side, top, "marked"))
    drawn = " ".join(f"{left + side * x:.1f},{top + side * (1 - y):.1f}" for x, y in zip(fpr, tpr, strict=True))
    parts.append(f'<polygon class="under c0" points="{left},{top + side} {drawn} {left + side},{top + side}"/>')
    parts.append(f'<polyline class="line l0" points="{drawn}"/>')
    parts += [text(left - 4, top + 9, "1", "end"), text(left - 4, top + side, "0", "end")]
    parts += [text(left, top + side + 13, "0", "middle"), text(left + side - 2, top + side + 13, "1", "middle")]
    parts += [text(left + side / 2, top + side + 13, "false positives", "middle", "unit")]
    return svg(left + side + 4, top + side + 17, parts, label, "roc")


def scale_bar(
    value: float,
    low: float | None,
    high: float | None,
    limits: tuple[float, float],
    ticks: Sequence[tuple[float, str]] = (),
    label: str = "",
    css: str = "",
) -> Markup:
    """A value as a dot on a track from one limit to the other, its interval as a band, others as named ticks."""
    wide, tall = (160, 14) if css == "small" else (240, 16)
    start, end = limits
    middle = tall / 2

    def at(number: float) -> float:
        return 5 + (wide - 10) * (min(max(number, start), end) - start) / (end - start)

    parts = [f'<rect class="track" x="0" y="{middle - 2:g}" width="{wide}" height="4" rx="2"/>']
    for number, name in ticks:
        mark = f'<rect class="tickmark" x="{at(number) - 1:.1f}" y="1" width="2" height="{tall - 2}"/>'
        parts.append(f"<g><title>{escape(name)}</title>{mark}</g>")
    if low is not None and high is not None:
        length = max(at(high) - at(low), 1)
        parts.append(f'<rect class="band" x="{at(low):.1f}" y="{middle - 3:g}" width="{length:.1f}" height="6" rx="3"/>')
    parts.append(f'<circle class="c0" cx="{at(value):.1f}" cy="{middle:g}" r="4.5"/>')
    return svg(wide, tall, parts, label, f"scale {css}".strip())


def stacked_bar(parts: Sequence[tuple[str, int]], whole: int, label: str) -> Markup:
    """Counts as parts of a bar whose full length is `whole`."""
    wide, tall, x = 200, 12, 0.0
    marks = [f'<rect class="track" x="0" y="0" width="{wide}" height="{tall}"/>']
    for colour, (name, number) in enumerate(parts):
        if number:
            length = wide * number / whole
            marks.append(f"<g><title>{escape(name)} {number:,}</title>{rect(x, 0, max(length, 0.7), tall, colour)}</g>")
            x += length
    return svg(wide, tall, marks, label, "stacked")


def _ticks(low: float, high: float, limits: tuple[float, float] | None) -> tuple[float, float, float]:
    """Bottom, top and distance of round ticks that hold what is between."""
    if high - low < 1e-9:
        low, high = low - 0.05 * max(abs(low), 0.1), high + 0.05 * max(abs(high), 0.1)
    step = round_step((high - low) / 5)
    bottom, top = math.floor(low / step + 1e-6) * step, math.ceil(high / step - 1e-6) * step
    if limits is not None:
        bottom, top = max(bottom, limits[0]), min(top, limits[1])
    return bottom, top, step


def _x_range(points: Sequence[Point], axis: Axis) -> tuple[float, float]:
    if axis.names:
        return -0.5, len(axis.names) - 0.5
    xs = [point.x for point in points]
    left, right = min(xs), max(xs)
    return (left, right) if right > left else (left - 1, right + 1)


def _x_ticks(left: float, right: float, axis: Axis) -> list[tuple[float, str]]:
    if axis.names:
        return [(float(place), name) for place, name in enumerate(axis.names)]
    step = max(1.0, round_step((right - left) / 5))
    first = math.ceil(left / step - 1e-9)
    return [(number * step, compact(number * step)) for number in range(first, math.floor(right / step + 1e-9) + 1)]


def _path(one: Line, placed: Sequence[tuple[float, float]]) -> str:
    dashes = f' stroke-dasharray="{_DASHES[one.dash % len(_DASHES)]}"' if one.dash else ""
    drawn = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
    return f'<polyline class="line l{one.colour % NUM_COLOURS}" points="{drawn}"{dashes}/>'


def _whisker(x: float, point: Point, y_of: Callable[[float], float], colour: int) -> str:
    if point.low is None or point.high is None:
        return ""
    return line(x, y_of(point.low), x, y_of(point.high), f"whisker l{colour % NUM_COLOURS}")


def _dot(x: float, y: float, one: Line, point: Point, axis: Axis) -> str:
    interval = ""
    if point.low is not None and point.high is not None:
        interval = f" [{point.low:{one.told}}, {point.high:{one.told}}]"
    place = axis.names[round(point.x)] if axis.names else f"step {point.x:,.0f}"
    title = f"<title>{escape(one.name)}, {escape(place)}: {point.y:{one.told}}{interval}</title>"
    return f'<g>{title}<circle class="c{one.colour % NUM_COLOURS}" cx="{x:.1f}" cy="{y:.1f}" r="3.2"/></g>'


def thinned(xs: np.ndarray, ys: np.ndarray, most: int = 240) -> tuple[Point, ...]:
    """At most so many points: means over stretches of equal numbers of them. Values that are not finite are left out."""
    kept = np.isfinite(ys)
    xs, ys = xs[kept], ys[kept]
    if len(xs) <= most:
        return tuple(Point(float(x), float(y)) for x, y in zip(xs, ys, strict=True))
    pieces = zip(np.array_split(xs, most), np.array_split(ys, most), strict=True)
    return tuple(Point(float(x.mean()), float(y.mean())) for x, y in pieces)
