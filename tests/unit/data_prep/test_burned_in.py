"""Captions burned into a picture, and the markers that are none."""

import csv

import cv2
import numpy as np
import pytest

from data_prep.pictures import burned_in
from data_prep.pictures.burned_in import line_lengths, shows_text
from data_prep.pictures.read_image import read_image
from data_prep.synthetic.anatomy import draw_anatomy
from data_prep.synthetic.exposure import draw_exposure, expose, write_text
from data_prep.synthetic.frontal import draw_frontal

NAME, DATE = "DOE JOHN", "12/03/1955 M"


def shot(number: int = 1, size: int = 1024) -> np.ndarray:
    taken = expose(draw_frontal(draw_anatomy(number, "F"), ()), draw_exposure(np.random.default_rng(number), 512, "PA"))
    return cv2.resize(np.rint(taken * 255).astype(np.uint8), (size, size))


def written(pixels: np.ndarray, *lines: str, height: int = 16, x: float = 0.03, y: float = 0.05, ink: int = 255) -> np.ndarray:
    drawn, bold = pixels.copy(), height // (6 if height > 30 else 10)
    for number, line in enumerate(lines):
        place = (round(x * drawn.shape[1]), round(y * drawn.shape[0] + 1.8 * height * number + height))
        cv2.putText(drawn, line, place, cv2.FONT_HERSHEY_SIMPLEX, height / 22, ink, max(1, bold), cv2.LINE_AA)
    return drawn


@pytest.mark.parametrize("height", [10, 16, 28, 40, 60])
def test_a_caption_of_two_lines_is_seen(height):
    assert shows_text(written(shot(), NAME, DATE, height=height))


@pytest.mark.parametrize(("x", "y", "ink"), [(0.6, 0.9, 0), (0.3, 0.5, 255), (0.3, 0.85, 0), (0.65, 0.02, 255)])
def test_in_any_place_and_tone(x, y, ink):
    pixels = shot(2)
    place = pixels[round(y * 1024) : round(y * 1024) + 40, round(x * 1024) : round(x * 1024) + 200]
    place[:] = place // 2 + (0 if ink else 128)
    assert shows_text(written(pixels, NAME, DATE, x=x, y=y, ink=ink))


def test_in_a_box_and_on_a_large_picture():
    pixels = shot(3, 3000)
    pixels[60:200, 60:700] = 0
    assert shows_text(written(pixels, NAME, DATE, height=36, x=0.025, y=0.025))


def test_one_long_line_is_a_caption():
    assert shows_text(written(shot(), "SMITH^ANNA 1948-11-02"))


def test_the_made_up_hospital_burns_captions_in():
    taken = shot(5).astype(np.float32) / 255
    write_text(taken, "Quentrell ZZ100023", 0.03, 0.06, 0.7)
    write_text(taken, "2019-04-05", 0.03, 0.95, 0.6)
    assert shows_text(np.rint(taken * 255).astype(np.uint8))


@pytest.mark.parametrize("marker", [(), ("L",), ("R", "PORTABLE"), ("AP", "SUPINE"), ("AP PORTABLE",), ("AP ERECT",)])
@pytest.mark.parametrize("height", [12, 24, 48])
def test_markers_are_tolerated(marker, height):
    assert not shows_text(written(shot(), *marker, height=height))


def test_the_count_of_characters_is_about_right():
    assert max(line_lengths(written(shot(), "PORTABLE", height=20))) == pytest.approx(8, abs=2)
    assert max(line_lengths(written(shot(), "ID 4839201 1245", height=20))) == pytest.approx(14, abs=3)


def test_wires_rulers_and_steps_are_no_text():
    pixels = shot(6)
    for x in range(100, 900, 12):
        cv2.line(pixels, (x, 1000), (x, 1000 - (20 if x % 60 == 40 else 10)), 255, 2)
    for shift in range(0, 200, 25):
        wire = np.array([(x, 200 + shift + round(60 * np.sin(x / 90 + shift))) for x in range(50, 950)], np.int32)
        cv2.polylines(pixels, [wire], False, 250, 3)
    pixels[:, 980:] = 255
    assert not shows_text(pixels)


@pytest.mark.parametrize("seed", range(3))
def test_noise_is_no_text_and_ends(seed):
    noise = np.random.default_rng(seed).integers(0, 256, (1500, 1400)).astype(np.uint8)
    assert not shows_text(noise)
    assert not shows_text(cv2.resize(noise[:300, :300], (1500, 1500), interpolation=cv2.INTER_NEAREST))


@pytest.mark.parametrize("shape", [(128, 20_000), (20_000, 130), (129, 131)])
def test_any_shape_is_taken(shape):
    assert not shows_text(np.full(shape, 90, np.uint8))
    assert not shows_text(np.asfortranarray(np.full(shape, 90, np.uint8)))


def test_a_region_of_too_many_pieces_is_left(monkeypatch):
    pixels = written(shot(), NAME, DATE)
    monkeypatch.setattr(burned_in, "_MAX_PIECES", 3)
    assert not shows_text(pixels)


@pytest.mark.realdata
def test_real_pictures_with_markers_are_kept(real_data):
    with (real_data / "nih14" / "Data_Entry_2017_v2020.csv").open() as file:
        names = [row["Image Index"] for row in csv.DictReader(file)][::3]
    pictures = [read_image(real_data / "nih14" / "images" / name).pixels for name in names]
    assert not any(shows_text(pixels) for pixels in pictures)
    assert np.mean([shows_text(written(pixels, NAME, DATE, height=20, x=0.3, y=0.85, ink=0)) for pixels in pictures]) >= 0.8
