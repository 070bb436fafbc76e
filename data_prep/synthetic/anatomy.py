"""A made-up person, and the shapes that the phantom pictures are put together from.

Pictures are drawn on a square of CANVAS pixels. Points are (x, y) in parts of its side, from the upper left corner; the
patient's right is on the left of the picture, as a radiograph is looked at. Masks are float32 [CANVAS, CANVAS] in 0..1.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

CANVAS = 512

_SHIFT = 4  # sub-pixel bits of OpenCV's drawing functions
_GRID = (np.arange(CANVAS, dtype=np.float32) + 0.5) / CANVAS
X, Y = _GRID[None, :], _GRID[:, None]

Points = list[tuple[float, float]] | np.ndarray


@dataclass(frozen=True)
class Anatomy:
    """How a person differs from another; lengths in parts of the picture's side."""

    seed: int
    """Of all that is drawn for the person (vessels, rib courses)."""
    sex: str
    half_width: float
    apex: float
    dome: float
    """Height (y) of the right dome of the diaphragm."""
    heart_ratio: float
    """Cardiothoracic ratio without cardiomegaly."""
    habitus: float
    """0 slender to 1 stout."""
    rib_slope: float
    spine_bend: float


def draw_anatomy(seed: int, sex: str) -> Anatomy:
    """The same seed gives the same person."""
    generator = np.random.default_rng([seed, 1])
    uniform = generator.uniform
    return Anatomy(
        seed=seed,
        sex=sex,
        half_width=uniform(0.275, 0.325),
        apex=uniform(0.10, 0.15),
        dome=uniform(0.64, 0.72),
        heart_ratio=uniform(0.42, 0.48),
        habitus=uniform(0.0, 1.0),
        rib_slope=uniform(0.06, 0.12),
        spine_bend=uniform(-0.012, 0.012),
    )


def generator_of(anatomy: Anatomy, part: int) -> np.random.Generator:
    """A generator of its own for each part, so that one part's finding leaves the others as they are."""
    return np.random.default_rng([anatomy.seed, 2, part])


def smooth(points: Points, closed: bool = True, num: int = 160, width: int = 13) -> np.ndarray:
    """An organic outline [num, 2] through a coarse polygon (or a line, where it is not closed)."""
    coarse = np.asarray(points, dtype=np.float64)
    if closed:
        coarse = np.vstack([coarse, coarse[:1]])
    lengths = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(coarse, axis=0).T))])
    at = np.linspace(0, lengths[-1], num, endpoint=not closed)
    dense = np.stack([np.interp(at, lengths, coarse[:, axis]) for axis in (0, 1)], axis=1)
    window = np.hanning(width + 2)[1:-1]
    window /= window.sum()
    padded = np.pad(dense, ((width // 2, width // 2), (0, 0)), mode="wrap" if closed else "edge")
    return np.stack([np.convolve(padded[:, axis], window, mode="valid") for axis in (0, 1)], axis=1)


def blurred(mask: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur; sigma in parts of the side. A wide one is taken on a smaller picture, as nobody sees the difference."""
    pixels = sigma * CANVAS
    if pixels < 0.3:
        return mask
    if pixels < 8:
        return cv2.GaussianBlur(mask, (0, 0), pixels)
    small = cv2.resize(mask, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), pixels / 4)
    return cv2.resize(small, (mask.shape[1], mask.shape[0]), interpolation=cv2.INTER_LINEAR)


def polygon(points: Points, sigma: float = 0.0) -> np.ndarray:
    """A filled polygon, its edge blurred by sigma."""
    return polygons([points], sigma)


def polygons(shapes: Sequence[Points], sigma: float = 0.0) -> np.ndarray:
    """Filled polygons that do not overlap, their edges blurred by sigma."""
    mask = np.zeros((CANVAS, CANVAS), np.uint8)
    for points in shapes:
        cv2.fillPoly(mask, [_fixed(points)], 255, cv2.LINE_AA, _SHIFT)
    return _as_float(mask, sigma)


def ellipse(x: float, y: float, radius_x: float, radius_y: float, angle: float = 0.0, sigma: float = 0.0) -> np.ndarray:
    """A filled ellipse; the angle in radians."""
    turn = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    along, across = radius_x * np.cos(turn), radius_y * np.sin(turn)
    cos, sin = np.cos(angle), np.sin(angle)
    return polygon(np.stack([x + cos * along - sin * across, y + sin * along + cos * across], axis=1), sigma)


def lines(courses: list[tuple[np.ndarray, float]], sigma: float = 0.0) -> np.ndarray:
    """Polylines of (points, width); where they cross they do not add up."""
    mask = np.zeros((CANVAS, CANVAS), np.uint8)
    for points, width in courses:
        pixels = max(1, round(width * CANVAS))
        cv2.polylines(mask, [_fixed(points)], False, 255, pixels, cv2.LINE_AA, _SHIFT)
    return _as_float(mask, sigma)


def bones(courses: list[tuple[np.ndarray, float]], marrow: float = 0.55) -> np.ndarray:
    """Like `lines`, with a bright cortex around paler marrow."""
    outer = lines(courses, 0.0012)
    inner = lines([(points, width * 0.55) for points, width in courses], 0.002)
    return outer - (1 - marrow) * inner


def cloud(generator: np.random.Generator, scale: float) -> np.ndarray:
    """Smooth noise of mean 0 and deviation 1, its grain `scale` parts of the side."""
    cells = max(3, round(1 / scale))
    coarse = generator.standard_normal((cells, cells)).astype(np.float32)
    noise = cv2.resize(coarse, (CANVAS, CANVAS), interpolation=cv2.INTER_CUBIC)
    return (noise - noise.mean()) / noise.std()


def below(curve: np.ndarray) -> np.ndarray:
    """The area under a curve y(x) given for each column, its edge a pixel wide."""
    return np.clip((Y - curve[None, :].astype(np.float32)) * CANVAS + 0.5, 0, 1)


def _fixed(points: Points) -> np.ndarray:
    return np.round(np.asarray(points, dtype=np.float64) * CANVAS * (1 << _SHIFT)).astype(np.int32)


def _as_float(mask: np.ndarray, sigma: float) -> np.ndarray:
    # Narrow blurs run on the bytes: three times as fast, and as fine as the picture needs.
    narrow = sigma * CANVAS < 3
    if narrow and sigma * CANVAS >= 0.3:
        mask = cv2.GaussianBlur(mask, (0, 0), sigma * CANVAS)
    scaled = mask * np.float32(1 / 255)
    return scaled if narrow else blurred(scaled, sigma)
