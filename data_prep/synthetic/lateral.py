"""The lateral phantom: a chest from the left side, front of the body on the left of the picture.

Same values as `frontal`. Sides cannot be told apart in it; zones and sizes can.
"""

import numpy as np

from data_prep.synthetic.anatomy import (
    CANVAS,
    Anatomy,
    X,
    Y,
    below,
    blurred,
    bones,
    cloud,
    ellipse,
    generator_of,
    lines,
    polygon,
    polygons,
    smooth,
)
from data_prep.synthetic.findings import Finding

_HEART = {"": 1.0, "small": 1.25, "moderate": 1.4, "large": 1.6}
_FLUID = {"small": 0.07, "moderate": 0.16, "large": 0.30}


def draw_lateral(anatomy: Anatomy, findings: tuple[Finding, ...]) -> np.ndarray:
    """Display values [CANVAS, CANVAS] of a lateral view."""
    by_name = {finding.name: finding for finding in findings}
    dome = _dome(anatomy)
    cavity = _cavity(anatomy) * (1 - below(dome))
    heart = _heart(anatomy, by_name.get("cardiomegaly"))
    picture = _soft_tissue(anatomy, dome)
    picture -= cavity * (0.36 - 0.15 * heart) * (0.85 + 0.35 * Y)
    picture += cavity * (1 - 0.6 * heart) * (0.02 * cloud(generator_of(anatomy, 31), 0.03) + _hilum(anatomy))
    for finding in findings:
        if finding.name in {"nodule", "consolidation"}:
            picture += cavity * _opacity(anatomy, finding)
    if effusion := by_name.get("effusion"):
        level = anatomy.dome + 0.17 - _FLUID[effusion.size] - 0.10 * np.clip((X[0] - 0.45) / 0.3, 0, 1)
        picture += cavity * blurred(below(level), 0.006) * 0.24
    if pneumothorax := by_name.get("pneumothorax"):
        depth = {"small": 0.05, "moderate": 0.10, "large": 0.18}[pneumothorax.size]
        rim = 1 - below(anatomy.apex + depth + 0.8 * (X[0] - 0.45) ** 2)
        picture -= cavity * rim * 0.10
    return np.clip(picture + _skeleton(anatomy), 0, 1).astype(np.float32)


def _dome(anatomy: Anatomy) -> np.ndarray:
    offset = (X[0] - 0.42) / 0.33
    return anatomy.dome + 0.02 + np.where(offset > 0, 0.17 * np.abs(offset) ** 2, 0.06 * offset**2)


def _cavity(anatomy: Anatomy) -> np.ndarray:
    apex = anatomy.apex
    outline = [
        (0.44, apex + 0.02), (0.54, apex), (0.66, apex + 0.07), (0.745, apex + 0.22), (0.765, apex + 0.42), (0.75, 1.0),
        (0.25, 1.0),
        (0.225, apex + 0.46), (0.25, apex + 0.28), (0.32, apex + 0.13),
    ]  # fmt: skip
    return polygon(smooth(outline), 0.003)


def _soft_tissue(anatomy: Anatomy, dome: np.ndarray) -> np.ndarray:
    stout = 0.04 * anatomy.habitus
    front = 0.03 if anatomy.sex == "F" else 0.0
    outline = [
        (0.36, -0.05), (0.36, 0.06), (0.27, 0.17), (0.20 - stout, 0.33), (0.175 - stout - front, 0.55), (0.19 - stout, 0.75),
        (0.17 - stout, 1.05), (0.84 + stout, 1.05), (0.83, 0.7), (0.86 + stout, 0.42), (0.82 + stout, 0.22), (0.68, 0.07),
        (0.62, -0.05),
    ]  # fmt: skip
    body = polygon(smooth(outline, num=260, width=9), 0.004)
    depth = 0.60 + 0.14 * np.exp(-(((X - 0.5) / 0.25) ** 2)) * np.clip(0.3 + Y, 0, 1)
    arms = 0.10 * polygon(smooth([(0.22, 0.0), (0.55, 0.0), (0.56, 0.11), (0.40, 0.17)]), 0.012)
    return blurred(body, 0.012) * body * depth + 0.14 * blurred(below(dome), 0.004) * body + arms


def _heart(anatomy: Anatomy, enlarged: Finding | None) -> np.ndarray:
    scale = _HEART[enlarged.size if enlarged else ""]
    shape = ellipse(0.37 + 0.03 * scale, anatomy.dome - 0.075 * scale, 0.125 * scale, 0.105 * scale, 0.6, 0.006)
    aorta = lines([(smooth([(0.44, 0.45), (0.46, 0.30), (0.53, 0.26), (0.60, 0.33), (0.62, 0.7)], closed=False), 0.05)], 0.006)
    return np.maximum(shape, 0.45 * aorta)


def _hilum(anatomy: Anatomy) -> np.ndarray:
    generator = generator_of(anatomy, 32)
    x, y = 0.50, anatomy.apex + 0.27
    courses = []
    for angle in np.linspace(0, 2 * np.pi, 14, endpoint=False) + generator.normal(0, 0.1, 14):
        turns = angle + np.cumsum(generator.normal(0, 0.1, 8))
        steps = 0.028
        course = np.stack([x + np.cumsum(steps * np.cos(turns)), y + np.cumsum(steps * np.sin(turns))], axis=1)
        courses.append((course, float(generator.uniform(0.003, 0.008))))
    return 0.07 * lines(courses, 0.002) + 0.10 * ellipse(x, y, 0.03, 0.04, 0.0, 0.012)


def _opacity(anatomy: Anatomy, finding: Finding) -> np.ndarray:
    generator = generator_of(anatomy, 20 + len(finding.name))
    x = {"upper": 0.55, "mid": 0.60, "lower": 0.66}[finding.zone] + generator.normal(0, 0.02)
    y = {"upper": 0.14, "mid": 0.32, "lower": 0.50}[finding.zone] + anatomy.apex
    if finding.name == "nodule":
        radius = finding.diameter_mm / 300 * anatomy.half_width
        return 0.22 * ellipse(x, y, radius, radius * 0.93, 0.0, 0.003)
    radius = {"small": 0.055, "moderate": 0.085, "large": 0.12}[finding.size]
    distance = np.hypot(X - x, Y - y) / radius + 0.22 * cloud(generator, 0.07)
    return 0.12 - 0.12 * np.tanh((distance - 1) * 3)


def _skeleton(anatomy: Anatomy) -> np.ndarray:
    bodies = []
    for number in range(15):
        y = 0.02 + number * 0.066
        x = 0.685 + 0.05 * np.sin(np.pi * min(1.0, y)) - 0.02
        bodies.append(np.array([(x - 0.028, y), (x + 0.028, y + 0.004), (x + 0.028, y + 0.05), (x - 0.028, y + 0.046)]))
    along = np.linspace(0, 1, 24)
    ribs = []
    for number in range(9):
        start = anatomy.apex + 0.01 + 0.062 * number
        x = 0.74 - (0.40 + 0.012 * number) * along
        ribs.append((np.stack([x, start + 0.20 * along**1.3 - 0.03 * np.sin(np.pi * along)], axis=1), 0.017))
    sternum = smooth([(0.29, 0.22), (0.225, 0.38), (0.205, 0.56)], closed=False)
    picture = 0.06 * polygons(bodies, 0.0025) + 0.045 * bones(ribs) + 0.09 * bones([(sternum, 0.022)])
    trachea = polygon(smooth([(0.475, -0.05), (0.505, -0.05), (0.52, anatomy.apex + 0.22), (0.49, anatomy.apex + 0.22)]), 0.004)
    assert picture.shape == (CANVAS, CANVAS)
    return picture - 0.07 * trachea
