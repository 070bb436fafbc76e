"""From a phantom to what a detector delivers: pose, size, exposure, noise, collimation and lead markers."""

from dataclasses import dataclass

import cv2
import numpy as np

from data_prep.synthetic.anatomy import CANVAS


@dataclass(frozen=True)
class Exposure:
    """How one picture was taken."""

    height: int
    width: int
    angle: float
    """Degrees."""
    zoom: float
    shift_x: float
    shift_y: float
    gamma: float
    gain: float
    lift: float
    noise: float
    collimated: bool
    markers: tuple[str, ...]
    """Lead letters in the corner of the patient's right side; empty, "R" or "R" and "PORTABLE"."""
    seed: int


def draw_exposure(generator: np.random.Generator, size: int, view: str) -> Exposure:
    """Short side from `size` to 1.5 times it."""
    short = int(generator.integers(size, size * 3 // 2 + 1))
    long = int(short * generator.uniform(1.0, 1.2))
    height, width = (short, long) if generator.random() < 0.4 else (long, short)
    portable = view == "AP"
    markers: tuple[str, ...] = ("R",) if generator.random() < 0.5 and view in ("PA", "AP") else ()
    if markers and portable and generator.random() < 0.5:
        markers = ("R", "PORTABLE")
    tilt = 3.0 if portable else 1.2
    return Exposure(
        height=height,
        width=width,
        angle=generator.normal(0, tilt),
        zoom=generator.uniform(0.94, 1.06) * (1.05 if portable else 1.0),
        shift_x=generator.normal(0, 0.012),
        shift_y=generator.normal(0, 0.015),
        gamma=generator.uniform(0.85, 1.25),
        gain=generator.uniform(0.82, 1.0),
        lift=generator.uniform(0.0, 0.07),
        noise=generator.uniform(0.008, 0.02) * (1.4 if portable else 1.0),
        collimated=bool(generator.random() < 0.25),
        markers=markers,
        seed=int(generator.integers(2**31)),
    )


def expose(picture: np.ndarray, exposure: Exposure) -> np.ndarray:
    """Display values float32 [height, width] in 0..1 of a phantom [CANVAS, CANVAS]."""
    height, width = exposure.height, exposure.width
    turn = cv2.getRotationMatrix2D((CANVAS / 2, CANVAS / 2), exposure.angle, exposure.zoom)
    turn[:, 2] += np.array([exposure.shift_x, exposure.shift_y]) * CANVAS
    grow = np.array([[width / CANVAS], [height / CANVAS]])
    taken = cv2.warpAffine(picture, turn * grow, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    taken = exposure.lift + exposure.gain * np.power(np.clip(taken, 0, 1), np.float32(exposure.gamma))
    noise = np.random.default_rng(exposure.seed).standard_normal((height, width), dtype=np.float32)
    noise += cv2.GaussianBlur(noise, (0, 0), 1.2)  # the detector's own blur makes the grain coarser than a pixel
    taken += exposure.noise * noise
    if exposure.collimated:
        margin_y, margin_x = round(height * 0.03), round(width * 0.025)
        mask = np.zeros((height, width), np.float32)
        mask[margin_y:-margin_y, margin_x:-margin_x] = 1
        taken = taken * cv2.GaussianBlur(mask, (0, 0), 2)
    for number, marker in enumerate(exposure.markers):
        write_text(taken, marker, 0.05, 0.12 + 0.05 * number, 0.9 if marker == "R" else 0.5)
    return np.clip(taken, 0, 1).astype(np.float32)


def write_text(picture: np.ndarray, text: str, x: float, y: float, scale: float) -> None:
    """Burn white letters into a picture; (x, y) in parts of its sides, scale 1 for letters of 4 % of 512 pixels."""
    height, width = picture.shape
    place, letter = (round(x * width), round(y * height)), scale * height / 512
    letters = np.zeros((height, width), np.uint8)
    cv2.putText(letters, text, place, cv2.FONT_HERSHEY_SIMPLEX, letter, 250, max(1, round(2 * letter)), cv2.LINE_AA)
    np.maximum(picture, letters / np.float32(255), out=picture)
