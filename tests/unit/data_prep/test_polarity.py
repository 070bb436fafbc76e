"""Whether a picture displays inverted."""

import csv

import numpy as np
import pytest

from data_prep.pictures.polarity import INVERTED_ABOVE, Polarity, features, judge, judge_witnesses, witnesses
from data_prep.pictures.read_dicom import read_picture
from data_prep.pictures.read_image import read_image
from data_prep.synthetic.anatomy import draw_anatomy
from data_prep.synthetic.exposure import draw_exposure, expose
from data_prep.synthetic.frontal import draw_frontal
from data_prep.synthetic.lateral import draw_lateral


def shot(number: int, view: str = "PA") -> np.ndarray:
    phantom = (draw_lateral if view == "LATERAL" else draw_frontal)(draw_anatomy(number, "F"), ())
    return np.rint(expose(phantom, draw_exposure(np.random.default_rng(number), 512, view)) * 255).astype(np.uint8)


@pytest.mark.parametrize("view", ["PA", "AP", "LATERAL"])
def test_a_right_picture_is_never_overridden_and_an_inverted_one_is_noticed(view):
    for number in range(6):
        pixels = shot(number, view)
        assert judge(pixels) is Polarity.AS_TAGGED
        assert judge(255 - pixels) is not Polarity.AS_TAGGED


def test_an_inverted_frontal_picture_is_called_so():
    assert sum(judge(255 - shot(number)) is Polarity.INVERTED for number in range(10)) >= 5


def inversion_score(pixels: np.ndarray) -> float:
    return sum(witnesses(features(pixels)))


def test_turning_a_picture_over_turns_the_score():
    pixels = shot(3)
    assert inversion_score(pixels) < -2
    assert inversion_score(255 - pixels) == pytest.approx(-inversion_score(pixels), abs=0.5)
    assert features(255 - pixels) == pytest.approx(-features(pixels), abs=0.3)


def test_borders_and_size_change_little():
    pixels = shot(4)
    framed = np.pad(pixels, 60)
    white = np.pad(pixels, ((30, 90), (50, 50)), constant_values=255)
    for other in (framed, white, pixels[::2, ::2], np.asfortranarray(pixels)):
        assert judge(other) is Polarity.AS_TAGGED
        assert inversion_score(other) == pytest.approx(inversion_score(pixels), abs=2.5)


@pytest.mark.parametrize(
    ("places", "tones", "verdict"),
    [
        (-3, 1, Polarity.AS_TAGGED),
        (-1, 1, Polarity.AS_TAGGED),
        (1, 1, Polarity.DOUBTFUL),
        (INVERTED_ABOVE + 5, 0, Polarity.DOUBTFUL),
        (0.5, INVERTED_ABOVE + 5, Polarity.DOUBTFUL),
        (INVERTED_ABOVE, 2, Polarity.INVERTED),
    ],
)
def test_both_witnesses_must_speak_for_an_inversion(places, tones, verdict):
    assert judge_witnesses(places, tones) is verdict


@pytest.mark.parametrize("pixels", [np.zeros((128, 128), np.uint8), np.full((3000, 200), 255, np.uint8)])
def test_a_flat_picture_says_nothing(pixels):
    assert judge(pixels) is not Polarity.INVERTED and np.isfinite(inversion_score(pixels))


@pytest.mark.realdata
def test_real_pictures_display_right(real_data):
    for name in ("000_*.dcm", "027_*.dcm"):
        pixels = read_picture(next((real_data / "dicom").glob(name))).pixels
        assert judge(pixels) is Polarity.AS_TAGGED, name
        assert judge(255 - pixels) is not Polarity.AS_TAGGED, name
    with (real_data / "nih14" / "Data_Entry_2017_v2020.csv").open() as file:
        names = [row["Image Index"] for row in csv.DictReader(file)][::5]
    pictures = [read_image(real_data / "nih14" / "images" / name).pixels for name in names]
    assert all(judge(pixels) is Polarity.AS_TAGGED for pixels in pictures)
    assert sum(judge(255 - pixels) is Polarity.INVERTED for pixels in pictures) >= 0.8 * len(pictures)
