"""Flat borders are found; air, lungs and what is in doubt are none."""

import cv2
import made_exports as made
import numpy as np
import pytest

from data_prep.pictures.collimation import find_box


def chest(height: int = 640, width: int = 576) -> np.ndarray:
    """Lungs, body, and black air beside the body that no straight edge bounds."""
    pixels = (made.phantom(1, (height, width)) // 16).astype(np.uint8)
    rows, columns = np.mgrid[0:height, 0:width]
    shoulder = 0.08 * width + 0.25 * width * (1 - rows / height) ** 2
    pixels[np.minimum(columns, width - 1 - columns) < shoulder] = 0
    pixels[: height // 10, width // 3 : -width // 3] = 150
    return pixels


@pytest.mark.parametrize("level", [0, 90, 255])
@pytest.mark.parametrize("sides", [(60, 0, 0, 0), (0, 80, 0, 0), (50, 40, 60, 70), (0, 0, 90, 30)])
def test_borders_are_cut_to_within_a_hundredth(level, sides):
    picture = np.maximum((made.phantom(2, (640, 576)) // 16).astype(np.uint8), 30)
    left, top, right, bottom = sides
    framed = cv2.copyMakeBorder(picture, top, bottom, left, right, cv2.BORDER_CONSTANT, value=level)
    noise = np.random.default_rng(0).normal(0, 1.5, framed.shape)
    framed = np.clip(framed + noise, 0, 255).astype(np.uint8)
    box = find_box(framed)
    assert box is not None
    ideal = (left, top, left + 576, top + 640)
    assert all(abs(found - wanted) <= 8 for found, wanted in zip(box, ideal, strict=True))
    assert box[0] <= left + 1 and box[1] <= top + 1 and box[2] >= ideal[2] - 1 and box[3] >= ideal[3] - 1


def test_a_side_marker_on_the_border_does_not_keep_it():
    framed = cv2.copyMakeBorder(np.maximum(chest(), 40), 0, 0, 120, 0, cv2.BORDER_CONSTANT, value=0)
    cv2.putText(framed, "R", (30, 80), cv2.FONT_HERSHEY_SIMPLEX, 1.0, 255, 3)
    box = find_box(framed)
    assert box is not None and 112 <= box[0] <= 121


def test_air_beside_the_body_is_no_border():
    assert find_box(chest()) is None
    assert find_box(np.ascontiguousarray(chest()[:, ::-1])) is None


def test_what_has_no_border_or_would_hardly_remain_is_left_alone():
    assert find_box((made.phantom(3) // 16).astype(np.uint8)) is None
    assert find_box(np.full((300, 200), 7, np.uint8)) is None
    assert (
        find_box(cv2.copyMakeBorder(np.full((200, 200), 200, np.uint8), 0, 0, 250, 250, cv2.BORDER_CONSTANT, value=0)) is None
    )


@pytest.mark.realdata
def test_public_radiographs_lose_only_a_strip(real_data):
    """By eye, on contact sheets of all of them, no anatomy was outside the boxes; a box that shrinks later shows here."""
    cropped = 0
    for path in sorted((real_data / "nih14" / "images").glob("*.png")):
        pixels = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        box = find_box(pixels)
        if box is not None:
            cropped += 1
            assert min(box[2] - box[0], box[3] - box[1]) > 0.88 * 1024
    assert 14 <= cropped <= 22
