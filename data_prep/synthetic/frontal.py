"""The frontal phantom: a chest from the front, with the findings in it.

    body ─ lungs (dark) ─ heart, mediastinum, domes ─ vessels ─ ribs, clavicles, spine ─ findings ─► float32 [CANVAS, CANVAS]

Values are display values: 0 black (air), 1 white. Every part draws from a generator of its own, so that a picture with a
finding differs from the one without it only where the finding is.
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
from data_prep.synthetic.findings import SIDES, Finding

MIDLINE = 0.5
CHEST_MM = 300.0
"""Width of the chest that nodule diameters are scaled by."""

_FLUID_LEVEL = {"small": 0.16, "moderate": 0.36, "large": 0.62}  # part of the lung's height that fluid takes
_COLLAPSE = {"small": 0.86, "moderate": 0.72, "large": 0.52}  # what is left of the lung's width
_ENLARGED = {"small": 0.57, "moderate": 0.62, "large": 0.68}  # cardiothoracic ratio
_PATCH = {"small": 0.055, "moderate": 0.085, "large": 0.125}  # radius of a consolidation


def draw_frontal(anatomy: Anatomy, findings: tuple[Finding, ...]) -> np.ndarray:
    """Display values [CANVAS, CANVAS] of a PA view."""
    by_name = {finding.name: finding for finding in findings}
    cavity = {side: lung_cavity(anatomy, side) for side in SIDES}
    heart = _heart(anatomy, by_name.get("cardiomegaly"))
    central = np.maximum(heart, _mediastinum(anatomy))
    picture = _soft_tissue(anatomy)
    for side in SIDES:
        air = cavity[side] * (1 - central)
        fluid = _fluid(anatomy, side, by_name.get("effusion"))
        inflated, pleura = _inflated(anatomy, side, cavity[side], by_name.get("pneumothorax"))
        picture -= air * (1 - fluid) * (0.40 + 0.10 * blurred(cavity[side], 0.05))
        marks = _vessels(anatomy, side) + _opacities(anatomy, side, findings)
        picture += air * (1 - fluid) * inflated * marks
        picture -= air * (1 - fluid) * (1 - inflated) * 0.13
        picture += air * (1 - fluid) * pleura * 0.16
        picture += fluid * cavity[side] * 0.05
    picture += central * (0.05 + 0.06 * Y) + _skeleton(anatomy)
    return np.clip(picture, 0, 1).astype(np.float32)


def outward(side: str) -> int:
    """Direction of x from the midline to the side of the patient."""
    return -1 if side == "right" else 1


def zone_centre(anatomy: Anatomy, side: str, zone: str) -> tuple[float, float]:
    """The point in the middle of a lung zone."""
    part = {"upper": 0.24, "mid": 0.52, "lower": 0.78}[zone]
    across = {"upper": 0.50, "mid": 0.66, "lower": 0.68 if side == "right" else 0.80}[zone]
    bottom = anatomy.dome + (0.03 if side == "left" else 0)
    return MIDLINE + outward(side) * across * anatomy.half_width, anatomy.apex + part * (bottom - anatomy.apex)


def lung_cavity(anatomy: Anatomy, side: str) -> np.ndarray:
    """Mask of one half of the chest, down to the diaphragm."""
    out, width, apex = outward(side), anatomy.half_width, anatomy.apex
    outline = [
        (0.13, apex + 0.05), (0.24, apex + 0.005), (0.42, apex), (0.60, apex + 0.05), (0.76, apex + 0.14), (0.90, apex + 0.28),
        (0.98, apex + 0.42), (1.0, apex + 0.56), (0.98, 0.95), (0.10, 0.95), (0.12, 0.4),
    ]  # fmt: skip
    shape = polygon(smooth([(MIDLINE + out * part * width, y) for part, y in outline]), 0.0022)
    return shape * (1 - below(_dome(anatomy, side)))


def _dome(anatomy: Anatomy, side: str) -> np.ndarray:
    """y of the diaphragm for each column."""
    top = anatomy.dome + (0.03 if side == "left" else 0)
    offset = (outward(side) * (X[0] - MIDLINE) / anatomy.half_width - 0.45) / 0.55
    return top + np.where(offset > 0, 0.125 * np.abs(offset) ** 2.2, 0.05 * offset**2)


def _soft_tissue(anatomy: Anatomy) -> np.ndarray:
    """The body without lungs: thicker in the middle and below the diaphragm, nothing outside."""
    width = anatomy.half_width + 0.07 + 0.06 * anatomy.habitus
    right = [
        (0.075, -0.05), (0.08, 0.03), (0.12, 0.075), (0.28, 0.125), (0.40, 0.17), (0.47, 0.26), (0.52, 0.45), (0.56, 1.05),
        (width + 0.045, 1.05), (width + 0.03, 0.70), (width + 0.02, 0.47), (width, 0.50), (width, 0.75), (width + 0.01, 1.05),
    ]  # fmt: skip
    body = polygon(_mirrored([*right[:8]]), 0.004)
    gap = sum(_half(right[8:], out) for out in (-1, 1))
    body *= 1 - 0.92 * np.clip(gap, 0, 1)
    depth = 0.44 + 0.10 * anatomy.habitus + 0.24 * np.exp(-(((X - MIDLINE) / 0.26) ** 2)) * np.clip(0.35 + Y, 0, 1)
    abdomen = below(np.where(X[0] < MIDLINE, _dome(anatomy, "right"), _dome(anatomy, "left")))
    abdomen *= np.clip((anatomy.half_width + 0.03 - np.abs(X - MIDLINE)) / 0.05, 0, 1)
    picture = blurred(body, 0.012) * body * depth + 0.13 * blurred(abdomen, 0.004)
    if anatomy.sex == "F":
        for out in (-1, 1):
            size = 0.105 + 0.04 * anatomy.habitus
            breast = ellipse(MIDLINE + out * 0.62 * anatomy.half_width, anatomy.dome - 0.02, size, size * 0.95, sigma=0.006)
            picture += 0.045 * breast * np.clip((Y - anatomy.dome + 0.16) / 0.2, 0, 1)
    # Gas of the stomach under the left dome.
    gas = ellipse(MIDLINE + 0.40 * anatomy.half_width, anatomy.dome + 0.085, 0.045, 0.03, 0.3, 0.008)
    return picture - 0.09 * gas + 0.008 * cloud(generator_of(anatomy, 1), 0.03) * body


def _mirrored(right: list[tuple[float, float]]) -> np.ndarray:
    left = [(MIDLINE + x, y) for x, y in right]
    return smooth([*left, *[(2 * MIDLINE - x, y) for x, y in reversed(left)]], num=300, width=9)


def _half(points: list[tuple[float, float]], out: int) -> np.ndarray:
    return polygon(smooth([(MIDLINE + out * x, y) for x, y in points], width=7), 0.004)


def _heart(anatomy: Anatomy, enlarged: Finding | None) -> np.ndarray:
    ratio = _ENLARGED[enlarged.size] if enlarged else anatomy.heart_ratio
    width = 2 * anatomy.half_width * ratio
    right, left, floor = 0.30 * width, 0.70 * width, anatomy.dome + 0.055
    top = anatomy.dome - 0.20 - 0.12 * ratio
    outline = [
        (-0.055, top - 0.02), (-0.075, top + 0.08), (-right, floor - 0.15), (-right * 0.98, floor - 0.07),
        (-right * 0.6, floor),
        (0.2 * width, floor + 0.02), (left * 0.86, floor), (left, floor - 0.06), (left * 0.90, floor - 0.13),
        (left * 0.62, top + 0.10),
        (0.075, top + 0.02), (0.05, top - 0.03),
    ]  # fmt: skip
    return polygon(smooth([(MIDLINE + x, y) for x, y in outline]), 0.004)


def _mediastinum(anatomy: Anatomy) -> np.ndarray:
    apex, dome = anatomy.apex, anatomy.dome
    outline = [
        (-0.048, apex - 0.12), (-0.052, apex + 0.06), (-0.060, apex + 0.17), (-0.050, dome), (-0.05, 1.05), (0.05, 1.05),
        (0.055, dome),
        (0.065, apex + 0.25), (0.085, apex + 0.19), (0.085, apex + 0.145), (0.06, apex + 0.11), (0.055, apex),
        (0.045, apex - 0.12),
    ]  # fmt: skip
    shape = polygon(smooth([(MIDLINE + x, y) for x, y in outline]), 0.003)
    for side in SIDES:
        hilum_x, hilum_y = _hilum(anatomy, side)
        shape = np.maximum(shape, 0.45 * ellipse(hilum_x, hilum_y, 0.017, 0.036, 0.25 * outward(side), 0.013))
    return shape


def _hilum(anatomy: Anatomy, side: str) -> tuple[float, float]:
    lower = 0.012 if side == "right" else 0.0
    return MIDLINE + outward(side) * 0.088, anatomy.apex + 0.46 * (anatomy.dome - anatomy.apex) + lower


def _vessels(anatomy: Anatomy, side: str) -> np.ndarray:
    """Vessels that branch out from the hilum and thin out to the periphery."""
    generator = generator_of(anatomy, 10 + SIDES.index(side))
    start = _hilum(anatomy, side)
    out = outward(side)
    courses: list[tuple[np.ndarray, float]] = []
    open_ends = [(start, angle, 0.0095, 0.17) for angle in np.linspace(-1.35, 1.25, 9) + generator.normal(0, 0.08, 9)]
    while open_ends:
        (x, y), angle, width, length = open_ends.pop()
        turns = angle + np.cumsum(generator.normal(0, 0.07, 6))
        step = length / 6
        points = np.stack([x + out * np.cumsum(step * np.cos(turns)), y + np.cumsum(step * np.sin(turns))], axis=1)
        courses.append((np.vstack([[(x, y)], points]), width))
        if width > 0.0028:
            for turn in (generator.uniform(0.15, 0.5), -generator.uniform(0.15, 0.5)):
                end = (float(points[-1, 0]), float(points[-1, 1]))
                open_ends.append((end, float(turns[-1] + turn), width * 0.62, length * 0.72))
    wide = lines([course for course in courses if course[1] > 0.005], 0.0025)
    thin = lines([course for course in courses if course[1] <= 0.005], 0.0016)
    return 0.075 * wide + 0.065 * thin + 0.012 * cloud(generator, 0.02)


def _inflated(anatomy: Anatomy, side: str, cavity: np.ndarray, finding: Finding | None) -> tuple[np.ndarray, np.ndarray]:
    """(the part of the cavity that lung fills, the pleural line that bounds it)."""
    if finding is None or side not in finding.sides:
        return np.ones_like(cavity), np.zeros_like(cavity)
    left = _COLLAPSE[finding.size]
    out, apex = outward(side), anatomy.apex
    drop = (1 - left) * 0.30
    outline = [
        (0.05, apex + 0.05 + drop), (0.24, apex + 0.005 + drop), (0.42, apex + drop), (0.60, apex + 0.05 + drop),
        (0.76, apex + 0.14 + drop * 0.8), (0.90, apex + 0.28 + drop * 0.5), (0.98, apex + 0.42), (1.0, apex + 0.56),
        (0.98, 1.0),
        (0.0, 1.0),
    ]  # fmt: skip
    edge = smooth([(MIDLINE + out * part * anatomy.half_width * left, y) for part, y in outline])
    return polygon(edge, 0.001), lines([(np.vstack([edge, edge[:1]]), 0.004)], 0.0008)


def _fluid(anatomy: Anatomy, side: str, finding: Finding | None) -> np.ndarray:
    """Fluid with a meniscus that climbs the chest wall."""
    if finding is None or side not in finding.sides:
        return np.zeros((CANVAS, CANVAS), np.float32)
    bottom = anatomy.dome + 0.125
    height = bottom - anatomy.apex
    lateral = np.clip(outward(side) * (X[0] - MIDLINE) / anatomy.half_width, 0, 1.2)
    rise = 0.10 if finding.size == "small" else 0.14
    level = bottom - _FLUID_LEVEL[finding.size] * height + rise * (1 - lateral**3) - 0.06
    return blurred(below(level), 0.006)


def _opacities(anatomy: Anatomy, side: str, findings: tuple[Finding, ...]) -> np.ndarray:
    """Nodules and consolidations of one lung."""
    picture = np.zeros((CANVAS, CANVAS), np.float32)
    for finding in findings:
        if side not in finding.sides or finding.name not in {"nodule", "consolidation"}:
            continue
        generator = generator_of(anatomy, 20 + len(finding.name))
        x, y = zone_centre(anatomy, side, finding.zone)
        x, y = x + generator.normal(0, 0.012), y + generator.normal(0, 0.015)
        if finding.name == "nodule":
            radius = finding.diameter_mm / CHEST_MM * anatomy.half_width
            picture += 0.27 * ellipse(x, y, radius, radius * 0.93, generator.uniform(0, 3), 0.003)
            continue
        radius = _PATCH[finding.size]
        distance = np.sqrt(((X - x) / 0.85) ** 2 + (Y - y) ** 2) / radius + 0.22 * cloud(generator, 0.07)
        patch = 0.5 - 0.5 * np.tanh((distance - 1) * 3)
        bronchi = _vessels(anatomy, side) > 0.06
        picture += patch * (0.30 + 0.03 * cloud(generator, 0.025) - 0.05 * bronchi)
    return picture


def _skeleton(anatomy: Anatomy) -> np.ndarray:
    """Ribs, clavicles, shoulder blades, upper arms and spine."""
    generator = generator_of(anatomy, 3)
    apex, width, height = anatomy.apex, anatomy.half_width, anatomy.dome + 0.2 - anatomy.apex
    posterior, anterior, shoulder = [], [], []
    for out in (-1, 1):
        for number in range(10):
            start = apex - 0.012 + height * (number / 10) ** 1.02
            # The chest wall's half width at this height.
            reach = width * min(1.03, 0.56 + 0.17 * number) + generator.normal(0, 0.002)
            drop = anatomy.rib_slope * min(1.0, 0.5 + number / 6) + generator.normal(0, 0.003)
            along = np.linspace(0, 1, 24)
            arch = 0.055 * np.sin(np.pi * np.minimum(along * 0.9, 1)) * (1 if number else 0.6)
            course = np.stack(
                [MIDLINE + out * (0.035 + (reach - 0.035) * along**0.9), start + drop * along**2.2 * 1.6 - arch], axis=1
            )
            posterior.append((course, 0.019))
            if 1 <= number <= 7:
                x0, y0 = course[-1]
                back = np.stack([x0 - out * reach * 0.66 * along**1.25, y0 + 0.13 * along**0.75 + 0.02 * along], axis=1)
                anterior.append((back, 0.017))
        clavicle = [(0.035, apex + 0.055), (0.12, apex + 0.035), (0.22, apex - 0.012), (0.35, apex - 0.028)]
        shoulder.append((smooth([(MIDLINE + out * x, y) for x, y in clavicle], closed=False), 0.024))
        blade = [(0.33, apex + 0.03), (width + 0.025, apex + 0.13), (width + 0.005, apex + 0.30)]
        shoulder.append((smooth([(MIDLINE + out * x, y) for x, y in blade], closed=False), 0.011))
        arm = [(0.415, apex + 0.045), (0.455, apex + 0.16), (0.49, apex + 0.42)]
        shoulder.append((smooth([(MIDLINE + out * x, y) for x, y in arm], closed=False), 0.042))
    picture = 0.075 * bones(posterior) + 0.05 * bones(anterior) + 0.12 * bones(shoulder, 0.7)
    return picture + _spine(anatomy)


def _spine(anatomy: Anatomy) -> np.ndarray:
    bodies, processes = [], []
    for number in range(16):
        y = -0.02 + number * (0.048 + 0.0012 * number)
        x = MIDLINE + anatomy.spine_bend * np.sin(np.pi * y)
        half, tall = 0.026 + 0.0008 * number, 0.034 + 0.001 * number
        bodies.append(np.array([(x - half, y), (x + half, y), (x + half, y + tall), (x - half, y + tall)]))
        processes.append((np.array([(x, y + 0.2 * tall), (x, y + 0.8 * tall)]), 0.008))
    column = np.maximum(polygons(bodies, 0.002), 1.3 * lines(processes, 0.0015))
    trachea = polygon(
        smooth([(0.488, -0.05), (0.512, -0.05), (0.514, anatomy.apex + 0.19), (0.490, anatomy.apex + 0.19)]), 0.004
    )
    return 0.05 * column * np.clip(1.2 - 0.6 * Y, 0, 1) - 0.085 * trachea
