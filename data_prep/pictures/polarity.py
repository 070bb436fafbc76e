"""Does a chest radiograph display inverted (lungs bright, bones dark), whatever its tags say?

picture (H, W) ─ 128 x 128, flat margins off ─┬─ grey levels as ranks ─ places: abdomen, spine, lungs, sides, corners ┐
                                              └─ tones: skewness, extremes, fine structure ──────────────────────────┴─► score
"""

from enum import Enum

import cv2
import numpy as np

PLACES = ("corners", "sides", "bottom", "spine", "lungs")


class Polarity(Enum):
    """What the picture says about the tags' word."""

    AS_TAGGED = "as_tagged"
    INVERTED = "inverted"
    DOUBTFUL = "doubtful"


# From `benchmarks/image_checks.py --fit polarity`.
_PLACE_WEIGHTS = (3.413, 3.313, -9.438, -4.245, 7.645)
_TONE_WEIGHTS = (2.349, -10.164, 1.085, -0.351, 0.405)
DOUBTFUL_ABOVE = 0.0
INVERTED_ABOVE = 6.5
"""No right chest of the measured ones came above 4.7, in any variant."""
WITNESS = 1.0
"""Places and tones must each say at least so much for an inversion: an unusual crop fools the one or the other."""

_SIDE = 128
_RANK_SIDE = 64


def judge(pixels: np.ndarray) -> Polarity:
    """What an 8-bit picture (height, width) of a chest, upright and as its tags display it, says of its polarity.

    Measured by `benchmarks/image_checks.py` on 287 real radiographs that display right by eye (139 of NIH14, 123 frontal and
    25 lateral ones of covid-chestxray) and 2 enlarged pieces of a lung, weights by ten folds of patients; the limits were set
    on the same pictures:

    - right ones: as they are, none INVERTED and none DOUBTFUL (the highest score is -3.3), but one piece of a lung DOUBTFUL;
      in 22 variants (cropped to 80 and 65 %, borders, shutters, gamma, windows, equalised, turned by 8 degrees; 6,647
      pictures in all) none INVERTED, the highest score of a chest is 4.7; DOUBTFUL at most 0.7 % of NIH14, 2.4 % of covid
      frontal, 12 % of lateral ones (cropped to 65 %);
    - turned over, as they are: INVERTED 91 % of NIH14, 86 % of covid frontal, 76 % of lateral ones, all others DOUBTFUL;
      equalised 46, 33 and 4 %. Of the chests as they are, none passed as AS_TAGGED;
    - 60 made-up chests, never fitted to: right ones all AS_TAGGED in all variants, turned over ones 63 % INVERTED, 37 %
      DOUBTFUL.

    No real file that displays inverted was at hand. Pictures that lie on their side, and other parts of the body, were not
    measured.
    """
    return judge_witnesses(*witnesses(features(pixels)))


def judge_witnesses(places: float, tones: float) -> Polarity:
    """`judge` from the two shares of the log odds."""
    if places + tones >= INVERTED_ABOVE and min(places, tones) >= WITNESS:
        return Polarity.INVERTED
    return Polarity.DOUBTFUL if places + tones > DOUBTFUL_ABOVE else Polarity.AS_TAGGED


def witnesses(values: np.ndarray) -> tuple[float, float]:
    """The shares of places and of tones in the log odds of an inversion, from `features` (10,)."""
    places, tones = values[: len(PLACES)], values[len(PLACES) :]
    return float(places @ _PLACE_WEIGHTS), float(tones @ _TONE_WEIGHTS)


def features(pixels: np.ndarray) -> np.ndarray:
    """The features (10,) of an 8-bit picture (height, width), places before tones; inversion turns their signs."""
    step = max(1, min(pixels.shape) // (2 * _SIDE))
    small = cv2.resize(np.ascontiguousarray(pixels[::step, ::step]), (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    inner = _without_flat_margins(small)
    return np.array([*_places(inner), *_tones(inner)])


def _without_flat_margins(small: np.ndarray) -> np.ndarray:
    """Cut off rows and columns at the rim that hold one grey level: collimation, shutters, letter boxes, one in another."""
    for _ in range(4):
        rows = np.flatnonzero(_spread(small, 1) > _FLAT)
        columns = np.flatnonzero(_spread(small, 0) > _FLAT)
        if min(len(rows), len(columns)) < _SIDE // 4:
            break
        small = np.ascontiguousarray(small[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
    return small


def _spread(small: np.ndarray, axis: int) -> np.ndarray:
    """Standard deviation of each row (axis 1) or column (axis 0)."""
    mean = cv2.reduce(small, axis, cv2.REDUCE_AVG, dtype=cv2.CV_32F).ravel()
    square = cv2.reduce(small, axis, cv2.REDUCE_SUM2, dtype=cv2.CV_32F).ravel() / small.shape[axis]
    return np.sqrt(np.maximum(square - mean**2, 0))


_FLAT = 4.0


def _places(inner: np.ndarray) -> list[float]:
    """Mean rank (-0.5 darkest, 0.5 brightest) of places of a chest; ranks do not change with window and gamma."""
    small = cv2.resize(inner, (_RANK_SIDE, _RANK_SIDE), interpolation=cv2.INTER_AREA)
    ranks = cv2.LUT(small, (_mid_ranks(small) - 0.5).astype(np.float32))

    def mean(top: float, bottom: float, left: float, right: float) -> float:
        y0, y1, x0, x1 = (round(part * _RANK_SIDE) for part in (top, bottom, left, right))
        return float(ranks[y0:y1, x0:x1].mean())

    return [
        (mean(0, 0.12, 0, 0.12) + mean(0, 0.12, 0.88, 1)) / 2,
        (mean(0.2, 0.9, 0, 0.06) + mean(0.2, 0.9, 0.94, 1)) / 2,
        mean(0.85, 1, 0.2, 0.8),
        mean(0.25, 0.85, 0.44, 0.56),
        (mean(0.25, 0.65, 0.18, 0.4) + mean(0.25, 0.65, 0.6, 0.82)) / 2,
    ]


def _tones(inner: np.ndarray) -> list[float]:
    """Skewness of the histogram, pixels at its ends, where grain is calm, and bright against dark specks at two scales."""
    share = np.bincount(inner.ravel(), minlength=256) / inner.size
    centred = np.arange(256) - share @ np.arange(256)
    skewness = float((share @ centred**3) / ((share @ centred**2) ** 1.5 + 1e-6))
    extremes = float(share[:8].sum() - share[-8:].sum())
    fine, coarse = (_detail(cv2.resize(inner, None, fx=part, fy=part, interpolation=cv2.INTER_AREA)) for part in (1, 0.25))
    grain, ranks = np.abs(fine), _mid_ranks(inner)
    bright, dark = (cv2.LUT(inner, part.astype(np.uint8)) for part in (ranks > 0.8, ranks < 0.2))
    calm = float(np.log((cv2.mean(grain, bright)[0] + 0.3) / (cv2.mean(grain, dark)[0] + 0.3)))
    return [skewness, extremes, calm, _specks(fine), _specks(coarse)]


def _detail(picture: np.ndarray) -> np.ndarray:
    values = picture.astype(np.float32)
    return values - cv2.GaussianBlur(values, (0, 0), 2)


def _specks(detail: np.ndarray) -> float:
    """Per cent of pixels far brighter than around them, less those far darker: wires, letters, bone edges are bright."""
    limit = 2.5 * float(detail.std()) + 1e-3
    return 100 * (np.count_nonzero(detail > limit) - np.count_nonzero(detail < -limit)) / detail.size


def _mid_ranks(picture: np.ndarray) -> np.ndarray:
    """Of each grey level (256,), the share of pixels below it plus half of those on it."""
    counts = np.bincount(picture.ravel(), minlength=256)
    return (np.cumsum(counts) - counts / 2) / picture.size
