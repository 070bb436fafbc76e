"""Pictures that their tags say lie otherwise than they are usually shown."""

import numpy as np
import pytest
from pydicom.dataset import Dataset

from data_prep.ledger import Note
from data_prep.pictures.orientation import make_square, turn_upright

UPRIGHT = np.arange(12, dtype=np.uint8).reshape(3, 4)
"""As usually shown: rows lead to the patient's left, columns to the feet."""


def lying(*directions: str) -> Dataset:
    dataset = Dataset()
    dataset.add_new(0x00200020, "CS", list(directions))
    return dataset


@pytest.mark.parametrize(
    ("directions", "stored"),
    [
        (("L", "F"), UPRIGHT),
        (("R", "F"), UPRIGHT[:, ::-1]),
        (("R", "H"), UPRIGHT[::-1, ::-1]),
        (("L", "H"), UPRIGHT[::-1]),
        (("F", "L"), UPRIGHT.T),
        (("H", "L"), UPRIGHT.T[:, ::-1]),
        (("F", "R"), UPRIGHT.T[::-1]),
        (("H", "R"), UPRIGHT.T[::-1, ::-1]),
        (("RF", "FL"), UPRIGHT[:, ::-1]),
        (("r", "f "), UPRIGHT[:, ::-1]),
    ],
)
@pytest.mark.parametrize("view", ["PA", "AP", "UNKNOWN"])
def test_frontal_pictures_end_with_the_patients_right_at_the_left(directions, stored, view):
    pixels, notes = turn_upright(np.ascontiguousarray(stored), lying(*directions), view)
    assert np.array_equal(pixels, UPRIGHT)
    assert notes == (() if directions == ("L", "F") else (Note.ORIENTED_BY_TAG,))


@pytest.mark.parametrize(
    ("directions", "turn"),
    [(("A", "F"), 0), (("P", "F"), 0), (("A", "H"), 2), (("P", "H"), 2), (("F", "A"), 3), (("H", "P"), 1)],
)
def test_lateral_pictures_are_turned_and_never_mirrored(directions, turn):
    pixels, notes = turn_upright(UPRIGHT, lying(*directions), "LATERAL")
    assert np.array_equal(pixels, np.rot90(UPRIGHT, turn))
    assert bool(notes) == (turn != 0)


@pytest.mark.parametrize(
    ("directions", "view"),
    [((), "PA"), (("",), "PA"), (("R",), "PA"), (("R", ""), "PA"), (("R", "L"), "PA"), (("X", "F"), "PA"), (("H", "F"), "PA"),
     (("R", "F"), "LATERAL"), (("A", "H"), "PA"), (("R", "F", "H"), "PA"), (("A", "P"), "LATERAL")],
)  # fmt: skip
def test_what_says_nothing_or_contradicts_the_view_changes_nothing(directions, view):
    pixels, notes = turn_upright(UPRIGHT, lying(*directions), view)
    assert pixels is UPRIGHT and not notes


def test_no_orientation_at_all_changes_nothing():
    assert turn_upright(UPRIGHT, Dataset(), "PA") == (UPRIGHT, ())


def test_pixels_become_square():
    dataset = Dataset()
    dataset.ImagerPixelSpacing = [0.2, 0.1]
    pixels, notes = make_square(np.zeros((200, 200), np.uint8), dataset)
    assert pixels.shape == (400, 200) and notes == (Note.ASPECT_CORRECTED,)
    dataset.ImagerPixelSpacing = [0.1, 0.2]
    assert make_square(np.zeros((200, 200), np.uint8), dataset)[0].shape == (200, 400)
    # Stretched, this one would be larger than any picture may be.
    dataset.ImagerPixelSpacing = [0.4, 0.1]
    assert make_square(np.zeros((10_000, 5_000), np.uint8), dataset)[0].shape == (10_000, 1_250)


@pytest.mark.realdata
def test_the_side_marker_of_a_mirrored_public_file_reads_right(real_data):
    """Its tags say R\\F; only mirrored is the letter R on it an R: the leg of the letter, the straight side, is left."""
    from data_prep.pictures.read_dicom import read_picture

    picture = read_picture(next((real_data / "dicom").glob("007_*")))
    assert Note.ORIENTED_BY_TAG in picture.notes
    height, width = picture.pixels.shape
    box = picture.pixels[int(0.78 * height) : int(0.86 * height), int(0.27 * width) : int(0.37 * width)] > 150
    rows, columns = np.nonzero(box)
    letter = box[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    assert letter[:, : letter.shape[1] // 5].mean() > 1.3 * letter[:, -letter.shape[1] // 5 :].mean()
