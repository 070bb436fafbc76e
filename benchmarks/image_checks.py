"""What the three image checks of shard building find and miss, and what they cost.

    CXRPT_REAL_DATA=<folder of public samples> python benchmarks/image_checks.py [--fit polarity]

`--fit polarity` prints the weights of data_prep/pictures/polarity.py instead. The last line is one JSON list.
"""

import argparse
import csv
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold

from data_prep.pictures import burned_in, polarity
from data_prep.pictures.near_copies import NEAR_DISTANCE, find_near, perceptual_hash
from data_prep.pictures.polarity import PLACES, Polarity
from data_prep.pictures.read_image import read_image
from data_prep.synthetic.anatomy import draw_anatomy
from data_prep.synthetic.exposure import draw_exposure, expose
from data_prep.synthetic.frontal import draw_frontal
from data_prep.synthetic.lateral import draw_lateral


@dataclass(frozen=True)
class Shot:
    """A picture that is known to display right."""

    source: str
    patient: str
    lateral: bool
    name: str
    pixels: np.ndarray


LATERAL_BY_EYE = frozenset({"f5c69a3d9dcf2d5d4e54d0d080b666_jumbo.jpeg", "72295ba4e8269aabd634008082625e_jumbo.jpeg"})
"""Covid pictures whose view is not in the table."""
DETAILS = frozenset({"6ed02c7c0f5f876f310e67e410e4fc_jumbo.jpeg", "133da583a6452e2e6e09f86a5541eb_jumbo.jpeg"})
"""Enlarged pieces of a lung: nothing of a chest is in them. Judged, but not fitted to."""
CAPTIONS = frozenset(
    {
        "1141cc2b8b9cc394becce5d978b5a7_jumbo.jpeg",
        "16691_1_1.jpg",
        "1e64990d1b40c1758a2aaa9c7f7a85_jumbo.jpeg",
        "7223b8ad031187d9a142d7f7ca02c9_jumbo.jpeg",
        "82cb30b7678c6da229c6dc222c39c9_jumbo.jpeg",
        "covid-19-pneumonia-41-day-2.jpg",
        "covid-19-pneumonia-42.jpeg",
        "covid-19-pneumonia-43-day2.jpeg",
        "covid-19-pneumonia-44-day-8.jpeg",
        "covid-19-pneumonia-49-day4.jpg",
        "covid-19-pneumonia-67.jpeg",
        "klebsiella-pneumonia-1.jpg",
    }
)
"""Flagged pictures that, by eye, carry more writing than side, position and ward: times, exposures, page numbers, warnings."""


def real_shots(folder: Path) -> list[Shot]:
    with (folder / "nih14" / "Data_Entry_2017_v2020.csv").open() as file:
        nih = [(row["Image Index"], row["Patient ID"]) for row in csv.DictReader(file)]
    with (folder / "covid-chestxray" / "metadata.csv").open() as file:
        covid = [(row["filename"], row["patientid"], row["view"]) for row in csv.DictReader(file)]
    shots = [Shot("nih14", f"n{who}", False, name, read_image(folder / "nih14/images" / name).pixels) for name, who in nih]
    for name, who, view in covid:
        pixels = read_image(folder / "covid-chestxray/images" / name).pixels
        shots.append(Shot("covid", f"c{who}", view == "L" or name in LATERAL_BY_EYE, name, pixels))
    return shots


def synthetic_shots(number: int) -> list[Shot]:
    shots = []
    for seed in range(number):
        view = ("PA", "AP", "PA", "LATERAL")[seed % 4]
        phantom = (draw_lateral if view == "LATERAL" else draw_frontal)(draw_anatomy(seed, "FM"[seed % 2]), ())
        taken = expose(phantom, draw_exposure(np.random.default_rng(seed), 512, view))
        shots.append(Shot("synthetic", f"s{seed}", view == "LATERAL", f"s{seed}", np.rint(taken * 255).astype(np.uint8)))
    return shots


# --- what is done to a picture


def table(pixels: np.ndarray, curve: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    return cv2.LUT(np.ascontiguousarray(pixels), np.rint(255 * np.clip(curve(np.arange(256) / 255), 0, 1)).astype(np.uint8))


def window(pixels: np.ndarray, low: float, high: float) -> np.ndarray:
    start, end = np.percentile(pixels, (low, high)) / 255
    return table(pixels, lambda share: (share - start) / max(end - start, 1 / 255))


def crop(pixels: np.ndarray, part: float, down: float = 0.5, right: float = 0.5) -> np.ndarray:
    height, width = (round(side * part) for side in pixels.shape)
    y, x = round((pixels.shape[0] - height) * down), round((pixels.shape[1] - width) * right)
    return np.ascontiguousarray(pixels[y : y + height, x : x + width])


def bordered(pixels: np.ndarray, level: int, part_y: float, part_x: float) -> np.ndarray:
    y, x = round(pixels.shape[0] * part_y), round(pixels.shape[1] * part_x)
    return cv2.copyMakeBorder(pixels, y, y, x, x, cv2.BORDER_CONSTANT, value=level)


def turned(pixels: np.ndarray, degrees: float) -> np.ndarray:
    height, width = pixels.shape
    return cv2.warpAffine(pixels, cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1), (width, height))


def jpeg(pixels: np.ndarray, quality: int) -> np.ndarray:
    return cv2.imdecode(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_GRAYSCALE)


def sized(pixels: np.ndarray, short: float) -> np.ndarray:
    factor = short / min(pixels.shape)
    kind = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    return cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=kind)


def grainy(pixels: np.ndarray, levels: float) -> np.ndarray:
    grain = np.random.default_rng(0).normal(0, levels, pixels.shape)
    return np.clip(pixels + grain, 0, 255).astype(np.uint8)


VARIANTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "as it is": lambda p: p,
    "cropped to 80 %": lambda p: crop(p, 0.8),
    "80 %, top left": lambda p: crop(p, 0.8, 0, 0),
    "80 %, top right": lambda p: crop(p, 0.8, 0, 1),
    "80 %, bottom left": lambda p: crop(p, 0.8, 1, 0),
    "80 %, bottom right": lambda p: crop(p, 0.8, 1, 1),
    "cropped to 65 %": lambda p: crop(p, 0.65),
    "black border": lambda p: bordered(p, 0, 0.08, 0.08),
    "white border": lambda p: bordered(p, 255, 0.08, 0.08),
    "black at the sides": lambda p: bordered(p, 0, 0, 0.2),
    "white at the sides": lambda p: bordered(p, 255, 0, 0.2),
    "black shutter": lambda p: bordered(crop(p, 0.9), 0, 0.1, 0.1),
    "white shutter": lambda p: bordered(crop(p, 0.9), 255, 0.1, 0.1),
    "gamma 0.6": lambda p: table(p, lambda share: share**0.6),
    "gamma 1.6": lambda p: table(p, lambda share: share**1.6),
    "window 5-95 %": lambda p: window(p, 5, 95),
    "window 20-100 %": lambda p: window(p, 20, 100),
    "window 0-80 %": lambda p: window(p, 0, 80),
    "narrow window": lambda p: table(p, lambda share: 0.4 + 0.3 * share),
    "equalised": lambda p: cv2.equalizeHist(np.ascontiguousarray(p)),
    "CLAHE": lambda p: cv2.createCLAHE(3, (8, 8)).apply(np.ascontiguousarray(p)),
    "turned by 8 degrees": lambda p: turned(p, 8),
    "turned by -8 degrees": lambda p: turned(p, -8),
}
COPIES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "JPEG quality 50": lambda p: jpeg(p, 50),
    "512 px, quality 50": lambda p: jpeg(sized(p, 512), 50),
    "256 px": lambda p: sized(p, 256),
    "enlarged 1.5 times": lambda p: sized(p, 1.5 * min(p.shape)),
    "grain of 6 levels": lambda p: grainy(p, 6),
    "gamma 0.8": lambda p: table(p, lambda share: share**0.8),
    "gamma 1.25": lambda p: table(p, lambda share: share**1.25),
    "contrast 0.8": lambda p: table(p, lambda share: 0.14 + 0.8 * share),
    "contrast 1.2, clipped": lambda p: table(p, lambda share: 1.2 * share - 0.14),
    "cut by 1 %": lambda p: crop(p, 0.98),
    "cut by 3 %": lambda p: crop(p, 0.94),
}


# --- near copies


def measure_near(shots: list[Shot]) -> list[dict]:
    hashes = np.array([np.frombuffer(perceptual_hash(shot.pixels), np.uint8) for shot in shots])
    distances = np.bitwise_count(hashes[:, None] ^ hashes[None]).sum(axis=-1, dtype=np.int64)
    patients = np.array([shot.patient for shot in shots])
    upper = np.triu(np.ones_like(distances, dtype=bool), 1)
    print(f"\nnear copies, {len(shots)} pictures")
    for kind, same in (("different patients", False), ("one patient", True)):
        found = np.sort(distances[upper & ((patients[:, None] == patients) == same)])
        print(f"  {kind}: {len(found)} pairs, least {found[:6].tolist()}, median {np.median(found):.0f}")
    copied = np.flatnonzero((distances == 0) & upper)
    print(f"  equal hashes: {len(copied)} pairs; found by find_near: {len(find_near(hashes))}")
    others = distances[upper & (patients[:, None] != patients)]
    caught = []
    for name, change in COPIES.items():
        own = [np.frombuffer(perceptual_hash(change(shot.pixels)), np.uint8) for shot in shots]
        off = np.bitwise_count(hashes ^ np.array(own)).sum(axis=1)
        share = float((off <= NEAR_DISTANCE).mean())
        print(f"  {name:22s} median {np.median(off):3.0f}, most {off.max():3d}, within {NEAR_DISTANCE}: {share:.3f}")
        if not name.startswith("cut"):
            caught.append(share)
    least = int(np.sort(others[others > 0])[0])
    return [
        claim("near copies: least distance of different patients", least, 2 * NEAR_DISTANCE, "at least", "bits of 256"),
        claim("near copies: copies found, worst change but cuts", min(caught), 0.95, "at least", "share"),
    ]


# --- polarity


def fit_weights(by_variant: list[np.ndarray], laterals: np.ndarray) -> np.ndarray:
    """Weights (10,) by logistic regression without intercept, for an inversion turns every feature's sign."""
    right = np.concatenate(by_variant)
    scale = right.std(axis=0)
    weight = np.tile(np.where(laterals, 2.0, 1.0), len(by_variant)) / len(by_variant)
    model = LogisticRegression(C=1.0, fit_intercept=False, max_iter=5000)
    truth = np.repeat([0, 1], len(right))
    model.fit(np.concatenate([right, -right]) / scale, truth, np.tile(weight, 2))
    return model.coef_[0] / scale


def all_features(shots: list[Shot], turn_over: bool = False) -> dict[str, np.ndarray]:
    flip = (lambda p: 255 - p) if turn_over else (lambda p: p)
    return {
        name: np.array([polarity.features(flip(change(shot.pixels))) for shot in shots]) for name, change in VARIANTS.items()
    }


def fit_polarity(shots: list[Shot]) -> None:
    shots = [shot for shot in shots if shot.name not in DETAILS]
    weights = fit_weights(list(all_features(shots).values()), np.array([shot.lateral for shot in shots]))
    places, tones = np.round(weights[: len(PLACES)], 3), np.round(weights[len(PLACES) :], 3)
    print(f"_PLACE_WEIGHTS = {tuple(places.tolist())}\n_TONE_WEIGHTS = {tuple(tones.tolist())}")


def judged(values: np.ndarray, weights: np.ndarray) -> Polarity:
    """`judge_features` by the weights of a fold."""
    return polarity.judge_witnesses(*(float(part.sum()) for part in np.split(values * weights, [len(PLACES)])))


def shares(verdicts: list[Polarity]) -> tuple[float, float]:
    """Parts that are INVERTED and DOUBTFUL."""
    return tuple(sum(v is kind for v in verdicts) / max(1, len(verdicts)) for kind in (Polarity.INVERTED, Polarity.DOUBTFUL))


def measure_polarity(shots: list[Shot], made: list[Shot]) -> list[dict]:
    """Ten folds by patient on the real pictures; the made ones are judged by the weights of the module."""
    right, wrong = all_features(shots), all_features(shots, turn_over=True)
    laterals, details = (np.array(x) for x in zip(*((s.lateral, s.name in DETAILS) for s in shots), strict=True))
    patients = [shot.patient for shot in shots]
    verdicts: dict[tuple[str, bool], list] = {
        (name, turned_over): [None] * len(shots) for name in VARIANTS for turned_over in (False, True)
    }
    scores = {name: np.zeros(len(shots)) for name in VARIANTS}
    for train, test in GroupKFold(10).split(shots, groups=patients):
        train = train[~details[train]]
        weights = fit_weights([values[train] for values in right.values()], laterals[train])
        for name in VARIANTS:
            scores[name][test] = right[name][test] @ weights
            for place in test:
                verdicts[name, False][place] = judged(right[name][place], weights)
                verdicts[name, True][place] = judged(wrong[name][place], weights)
    kinds = {
        "nih14": np.array([s.source == "nih14" for s in shots]),
        "covid frontal": np.array([s.source == "covid" for s in shots]) & ~laterals & ~details,
        "covid lateral": laterals,
        "details": details,
    }
    print(f"\npolarity, ten folds by patient; {', '.join(f'{name} {where.sum()}' for name, where in kinds.items())}")
    print("  right ones called INVERTED/DOUBTFUL, highest score | turned over ones called INVERTED/DOUBTFUL, in %")
    for name in VARIANTS:
        row = f"  {name:20s}"
        for kind, where in kinds.items():
            parts = [shares([v for v, w in zip(verdicts[name, over], where, strict=True) if w]) for over in (False, True)]
            (a, b), (c, d) = parts
            row += f" | {kind} {100 * a:.1f}/{100 * b:.1f} {scores[name][where].max():5.1f} {100 * c:.0f}/{100 * d:.0f}"
        print(row)
    print(f"  made ones, {len(made)}, by the module's own weights")
    made_right = [polarity.judge(change(shot.pixels)) for shot in made for change in VARIANTS.values()]
    made_wrong = [polarity.judge(255 - change(shot.pixels)) for shot in made for change in VARIANTS.values()]
    print(f"    all variants: right {shares(made_right)}, turned over {shares(made_wrong)}")
    as_is = [polarity.judge(shot.pixels) for shot in made], [polarity.judge(255 - shot.pixels) for shot in made]
    print(f"    as they are: right {shares(as_is[0])}, turned over {shares(as_is[1])}")
    plain = [shares(verdicts["as it is", over]) for over in (False, True)]
    overridden = sum(v is Polarity.INVERTED for name in VARIANTS for v in verdicts[name, False])
    return [
        claim("polarity: right pictures overridden, any variant", overridden, 0, "at most", f"of {len(shots) * len(VARIANTS)}"),
        claim("polarity: right pictures doubtful, as they are", plain[0][1], 0.02, "at most", "share"),
        claim("polarity: turned over pictures corrected, as they are", plain[1][0], 0.8, "at least", "share"),
        claim("polarity: turned over pictures not noticed, as they are", 1 - sum(plain[1]), 0.01, "at most", "share"),
    ]


# --- burned-in text

FONTS = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSansMono", "DejaVuSerif", "simplex", "duplex", "complex")
ONE_LINE = (
    ["DOE JOHN 12/03/1955 M"], ["SMITH^ANNA 1948-11-02"], ["Mueller, Hans-Peter 04.07.1961"], ["ID 4839201 12:45 2011-03-09"],
    ["MRN: 00482913 F 067Y"],
)  # fmt: skip
TWO_LINES = (
    ["DOE JOHN", "12/03/1955 M"], ["SMITH^ANNA", "ID: 4839201"], ["Nguyen Thi Lan", "*23.08.1972  F"],
    ["St. Mary Hospital", "2014-05-17 08:33"], ["GARCIA MARIA", "MRN 11827364"],
)  # fmt: skip
MARKERS = (["L"], ["R"], ["AP"], ["PA"], ["PORTABLE"], ["SUPINE"], ["AP PORTABLE"], ["ERECT"], ["R PA"], ["AP ERECT"])
SPOTS = ((0.01, 0.01), (0.01, 0.99), (0.99, 0.01), (0.99, 0.99), (0.9, 0.5), (0.5, 0.5), (0.3, 0.2))
HEIGHTS = (6, 8, 10, 12, 16, 20, 28, 40, 56)


def written(lines: list[str], height: int, font: str) -> np.ndarray:
    """Coverage 0..1 of lines in capitals of `height` pixels."""
    if font.startswith("DejaVu"):
        path = Path(matplotlib.get_data_path()) / "fonts/ttf" / f"{font}.ttf"
        letters = ImageFont.truetype(str(path), size=max(6, round(height / 0.73)))
        width = round(max(letters.getlength(line) for line in lines)) + 2 * height
        page = Image.new("L", (width, round(height * (1.8 * len(lines) + 1))))
        for number, line in enumerate(lines):
            ImageDraw.Draw(page).text((height // 2, round(height * (1.8 * number + 0.2))), line, 255, font=letters)
        return np.asarray(page, np.float32) / 255
    face = {"simplex": cv2.FONT_HERSHEY_SIMPLEX, "duplex": cv2.FONT_HERSHEY_DUPLEX, "complex": cv2.FONT_HERSHEY_COMPLEX}[font]
    scale, thick = height / 22, max(1, round(height / 10))
    width = max(cv2.getTextSize(line, face, scale, thick)[0][0] for line in lines) + 2 * height
    canvas = np.zeros((round(height * (1.8 * len(lines) + 1)), width), np.uint8)
    for number, line in enumerate(lines):
        place = (height // 2, round(height * (1.4 + 1.8 * number)))
        cv2.putText(canvas, line, place, face, scale, 255, thick, cv2.LINE_AA)
    return canvas.astype(np.float32) / 255


def captioned(pixels: np.ndarray, lines: list[str], height: int, chance: np.random.Generator, contrast: int, box: bool):
    """The picture with a caption in a random font and spot, darker or brighter than its ground; None where it has no room."""
    cover = written(lines, height, str(chance.choice(FONTS)))
    down, right = SPOTS[chance.integers(len(SPOTS))]
    if cover.shape[0] > 0.9 * pixels.shape[0] or cover.shape[1] > 0.95 * pixels.shape[1]:
        return None
    y, x = round(down * (pixels.shape[0] - cover.shape[0])), round(right * (pixels.shape[1] - cover.shape[1]))
    drawn = pixels.astype(np.float32)
    spot = drawn[y : y + cover.shape[0], x : x + cover.shape[1]]
    if box:
        spot[:] = chance.choice([0, 128, 255])
    ink = np.clip(spot + (contrast if np.median(spot) <= 128 else -contrast), 0, 255)
    spot += (ink - spot) * cover
    return drawn.astype(np.uint8)


def flagged(shots: list[Shot], texts: tuple, height: int, contrast: int = 255, box: bool = False, number: int = 150) -> float:
    chance = np.random.default_rng(height)
    verdicts = []
    for _ in range(number):
        shot, lines = shots[chance.integers(len(shots))], texts[chance.integers(len(texts))]
        drawn = captioned(shot.pixels, lines, height, chance, contrast, box)
        if drawn is not None:
            verdicts.append(burned_in.shows_text(drawn))
    return float(np.mean(verdicts))


def measure_text(shots: list[Shot], made: list[Shot]) -> list[dict]:
    found = [shot for shot in shots if burned_in.shows_text(shot.pixels)]
    print(f"\nburned-in text: {len(found)} of {len(shots)} real pictures flagged, {[shot.name for shot in found]}")
    print(f"  made ones, with markers but no caption: {sum(burned_in.shows_text(s.pixels) for s in made)} of {len(made)}")
    blank = [shot for shot in shots if sum(n for n in burned_in.line_lengths(shot.pixels) if n > 2) <= 2]
    print(f"  captions drawn on {len(blank)} pictures without writing: share flagged by height of capitals, pixels")
    print("  height  one line  two lines  in a box  contrast 100  contrast 60  short markers")
    curve = {}
    for height in HEIGHTS:
        row = [
            flagged(blank, ONE_LINE, height), flagged(blank, TWO_LINES, height), flagged(blank, TWO_LINES, height, box=True),
            flagged(blank, TWO_LINES, height, 100), flagged(blank, TWO_LINES, height, 60), flagged(blank, MARKERS, height),
        ]  # fmt: skip
        curve[height] = row
        print(f"  {height:6d}  " + "  ".join(f"{value:8.2f}" for value in row))
    harmless = [shot for shot in found if shot.name not in CAPTIONS]
    return [
        claim("burned-in text: flagged without a caption by eye", len(harmless) / len(shots), 0.02, "at most", "share"),
        claim(
            "burned-in text: two lines of 10 to 40 px found, least",
            min(curve[h][1] for h in (10, 12, 16, 20, 28, 40)),
            0.9,
            "at least",
            "share",
            "drawn captions",
        ),
        claim(
            "burned-in text: short markers flagged, most",
            max(row[5] for row in curve.values()),
            0.05,
            "at most",
            "share",
            "drawn markers",
        ),
    ]


# --- cost


def measure_time(shots: list[Shot]) -> list[dict]:
    """One thread: twenty real pictures as 2048 x 2048, and their decoding from JPEG."""
    pictures = [cv2.resize(shot.pixels, (2048, 2048)) for shot in shots[::14][:20]]
    files = [cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 95])[1] for pixels in pictures]
    work = {
        "decode": (lambda file: cv2.imdecode(file, cv2.IMREAD_GRAYSCALE), files),
        "hash": (perceptual_hash, pictures),
        "polarity": (polarity.judge, pictures),
        "text": (burned_in.shows_text, pictures),
    }
    spent = {
        name: 1000 * float(np.mean([min(timed(call, one) for _ in range(7)) for one in inputs]))
        for name, (call, inputs) in work.items()
    }
    print("\nms for 2048 x 2048, mean over 20 of the least of 7: " + ", ".join(f"{k} {v:.2f}" for k, v in spent.items()))
    total = spent["hash"] + spent["polarity"] + spent["text"]
    return [claim("image checks: all three, 2048 x 2048", total, 3.0, "at most", "ms", f"JPEG decode {spent['decode']:.1f} ms")]


def timed(call: Callable[..., object], argument: np.ndarray) -> float:
    start = time.perf_counter()
    call(argument)
    return time.perf_counter() - start


def claim(what: str, value: float, goal: float, sense: str, unit: str, against: str = "real pictures") -> dict:
    met = value >= goal if sense == "at least" else value <= goal
    return {"claim": what, "value": round(value, 4), "goal": goal, "met": bool(met), "against": against, "unit": unit}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fit", choices=["polarity"])
    options = parser.parse_args()
    folder = os.environ.get("CXRPT_REAL_DATA")
    if not folder:
        parser.error("CXRPT_REAL_DATA names no folder of public samples")
    cv2.setNumThreads(1)
    shots = real_shots(Path(folder))
    if options.fit:
        fit_polarity(shots)
        return
    made = synthetic_shots(60)
    claims = [*measure_near(shots), *measure_polarity(shots, made), *measure_text(shots, made), *measure_time(shots)]
    print(json.dumps(claims))


if __name__ == "__main__":
    main()
