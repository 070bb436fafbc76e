"""Radiographs that are no chests: a hand and a hip, for the filter that must turn them away."""

from itertools import pairwise

import numpy as np

from data_prep.synthetic.anatomy import CANVAS, blurred, bones, cloud, ellipse, lines, smooth


def draw_hand(seed: int) -> np.ndarray:
    """Display values [CANVAS, CANVAS] of a hand."""
    generator = np.random.default_rng([seed, 7])
    flesh: list[tuple[np.ndarray, float]] = []
    rays: list[tuple[np.ndarray, float]] = []
    for number, angle in enumerate(np.array([-0.95, -0.30, -0.05, 0.18, 0.42]) + generator.normal(0, 0.03, 5)):
        length = (0.17, 0.27, 0.30, 0.27, 0.21)[number]
        direction = np.array([np.sin(angle), -np.cos(angle)])
        base = np.array([0.42 + 0.045 * number, 0.72])
        knuckle = base + direction * (0.12 if number == 0 else 0.22)
        tip = knuckle + direction * length
        flesh.append((np.stack([base, knuckle, tip]), 0.085))
        joints = [base, knuckle, knuckle + direction * length * 0.45, knuckle + direction * length * 0.75, tip]
        for start, end in pairwise(joints):
            rays.append((np.stack([start + 0.08 * (end - start), end - 0.06 * (end - start)]), 0.034 - 0.004 * number % 2))
    palm = ellipse(0.51, 0.70, 0.15, 0.17, 0.0, 0.01)
    forearm = [(np.array([(0.47, 0.86), (0.46, 1.1)]), 0.06), (np.array([(0.56, 0.86), (0.57, 1.1)]), 0.05)]
    wrist = sum(ellipse(0.44 + 0.042 * n, 0.79 + 0.015 * (n % 2), 0.024, 0.022, 0.0, 0.004) for n in range(4))
    soft = np.maximum(np.maximum(lines(flesh, 0.008), palm), lines([(np.array([(0.51, 0.75), (0.515, 1.1)]), 0.22)], 0.008))
    picture = 0.30 * soft + 0.42 * bones(rays, 0.6) + 0.42 * bones(forearm, 0.6) + 0.30 * np.clip(wrist, 0, 1)
    return np.clip(picture + 0.01 * cloud(generator, 0.02) * soft, 0, 1).astype(np.float32)


def draw_hip(seed: int) -> np.ndarray:
    """Display values [CANVAS, CANVAS] of a hip."""
    generator = np.random.default_rng([seed, 8])
    shift = float(generator.normal(0, 0.02))
    head = ellipse(0.45 + shift, 0.42, 0.085, 0.085, 0.0, 0.003)
    neck = bones([(np.array([(0.45 + shift, 0.42), (0.62, 0.55)]), 0.10)], 0.7)
    shaft = bones([(smooth([(0.63, 0.50), (0.65, 0.65), (0.64, 1.1)], closed=False), 0.13)], 0.55)
    wing = ellipse(0.33 + shift, 0.16, 0.20, 0.24, 0.5, 0.004) - 0.5 * ellipse(0.33 + shift, 0.16, 0.17, 0.21, 0.5, 0.01)
    ring = ellipse(0.22, 0.62, 0.15, 0.10, 0.5, 0.003) - ellipse(0.22, 0.62, 0.09, 0.055, 0.5, 0.003)
    socket = lines([(smooth([(0.36, 0.34), (0.45, 0.32), (0.54, 0.37)], closed=False), 0.03)], 0.003)
    flesh = blurred(np.ones((CANVAS, CANVAS), np.float32), 0.01) * np.clip(
        (0.95 - np.linspace(0, 1, CANVAS))[None, :] / 0.1, 0, 1
    )
    picture = flesh * (0.42 + 0.015 * cloud(generator, 0.03)) + 0.24 * np.maximum(head, neck) + 0.26 * shaft
    picture = picture + 0.22 * np.clip(wing, 0, 1) + 0.20 * np.clip(ring, 0, 1) + 0.12 * socket
    return np.clip(picture, 0, 1).astype(np.float32)
