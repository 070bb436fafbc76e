"""Marks of charts as inline SVG, coloured by classes of `base.css`, so that they follow light, dark and print.

A series has its colour by its place: class `c0`, `c1`, ... fills, `l0`, `l1`, ... draws a line.
"""

import math
from collections.abc import Sequence

from markupsafe import Markup, escape

NUM_COLOURS = 8
"""The last is a grey, for what is unknown or the rest."""


def svg(width: float, height: float, parts: Sequence[str], label: str, css: str = "") -> Markup:
    """The picture of some marks; `label` is what a screen reader says of it. Words in the parts must be escaped already."""
    body = "".join(parts)
    named = f' class="{css}"' if css else ""
    return Markup(f'<svg{named} viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(label)}">{body}</svg>')


def rect(x: float, y: float, width: float, height: float, colour: int) -> str:
    """A bar of a series."""
    return (
        f'<rect class="c{colour % NUM_COLOURS}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{max(height, 0.5):.1f}"/>'
    )


def text(x: float, y: float, words: str, anchor: str, css: str = "tick") -> str:
    """Words, escaped; `anchor` is start, middle or end."""
    return f'<text class="{css}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, css: str = "grid") -> str:
    """A straight line."""
    return f'<line class="{css}" x1="{x1:.1f}" x2="{x2:.1f}" y1="{y1:.1f}" y2="{y2:.1f}"/>'


def round_step(least: float) -> float:
    """The smallest of 1, 2, 5, 10, ... times a power of ten that is not below `least`."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * 0.999)


def compact(number: float) -> str:
    """A count in few characters: 950, 1.2k, 3.4M."""
    for limit, factor, letter in ((1e6, 1e6, "M"), (1e4, 1e3, "k")):
        if abs(number) >= limit:
            return f"{number / factor:.3g}{letter}"
    return f"{number:,.0f}"


def short(word: str, most: int) -> str:
    """At most so many characters of a word."""
    return word if len(word) <= most else word[: most - 1] + "…"
