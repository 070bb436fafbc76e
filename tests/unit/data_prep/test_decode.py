"""Pixels in every way in which archives keep them, and headers that lie about them."""

import cv2
import made_exports as made
import made_pixels
import numpy as np
import pydicom
import pytest
from pydicom.uid import JPEG2000Lossless, JPEGBaseline8Bit, RLELossless

from data_prep.ledger import Note, Reason
from data_prep.pictures.decode import decode
from data_prep.pictures.dicom_file import load
from data_prep.pictures.read_dicom import read_picture
from data_prep.pictures.refused import Refused


def decoded(path):
    return decode(load(path, with_pixels=True)[0])


def reason_of(path) -> Reason:
    with pytest.raises(Refused) as caught:
        decoded(path)
    return caught.value.reason


@pytest.mark.parametrize("kind", made_pixels.LOSSLESS)
def test_lossless_storage_gives_the_values_back(tmp_path, kind):
    values, notes = decoded(made_pixels.write(tmp_path / kind, kind))
    assert np.array_equal(values, made_pixels.phantom()) and values.dtype == np.uint16 and not notes
    assert read_picture(tmp_path / kind).digest == read_picture(made_pixels.write(tmp_path / "plain", "explicit")).digest


@pytest.mark.parametrize(("kind", "scale", "error"), [("jls_near", 1, 2), ("jpeg", 16, 12)])
def test_lossy_storage_gives_nearly_the_values_back(tmp_path, kind, scale, error):
    values, _ = decoded(made_pixels.write(tmp_path / kind, kind))
    assert np.abs(values.astype(int) - made_pixels.phantom() // scale).max() <= error


@pytest.mark.parametrize("stored", [12, 16])
def test_a_jpeg_of_eight_bits_is_read_whatever_depth_its_header_tells(tmp_path, stored):
    dataset = pydicom.dcmread(made_pixels.write(tmp_path / "jpeg", "jpeg"))
    expected = decoded(tmp_path / "jpeg")[0]
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, stored, stored - 1
    dataset.save_as(tmp_path / "deep")
    assert np.array_equal(decoded(tmp_path / "deep")[0], expected)


@pytest.mark.parametrize("kind", made_pixels.COLOUR)
def test_equal_channels_become_the_grey_that_they_hold(tmp_path, kind):
    values, notes = decoded(made_pixels.write(tmp_path / kind, kind))
    grey = made_pixels.phantom() >> 4
    scale = 257 if kind == "palette" else 1
    assert values.shape == grey.shape and notes == (Note.FROM_COLOUR,)
    assert np.abs(values.astype(int) - grey.astype(int) * scale).max() <= (12 if kind == "ybr_jpeg" else 0)


def test_a_toned_radiograph_is_grey_and_true_colour_is_none(tmp_path):
    grey = (made_pixels.phantom() >> 4).astype(np.float32)
    hues = cv2.resize(np.random.default_rng(0).uniform(0, 255, (9, 8, 3)).astype(np.uint8), (160, 180))
    toned = np.dstack([grey * 0.6, grey * 0.75, grey]).astype(np.uint8)
    for name, pixels in (("toned", toned), ("colour", hues)):
        dataset = pydicom.dcmread(made_pixels.write(tmp_path / name, "rgb"))
        dataset.PixelData = pixels.tobytes()
        dataset.save_as(tmp_path / name)
    assert decoded(tmp_path / "toned")[1] == (Note.FROM_COLOUR,)
    assert reason_of(tmp_path / "colour") == Reason.NOT_RADIOGRAPH


def test_unused_bits_are_masked_and_a_high_bit_is_obeyed(tmp_path):
    clean = made_pixels.phantom()
    garbage = clean | (np.random.default_rng(0).integers(0, 16, clean.shape) << 12).astype(np.uint16)
    made.dicom(tmp_path / "garbage", 1, pixels=garbage)
    assert np.array_equal(decoded(tmp_path / "garbage")[0], clean)
    dataset = made.dicom(tmp_path / "high", 1, pixels=clean << 4)
    dataset.HighBit = 15
    dataset.save_as(tmp_path / "high")
    assert np.array_equal(decoded(tmp_path / "high")[0], clean)


def test_signed_values_of_twelve_bits_keep_their_sign(tmp_path):
    values = (made_pixels.phantom().astype(np.int32) - 2048).astype(np.int16)
    made.dicom(tmp_path / "signed", 1, pixels=values & 0x0FFF)
    assert np.array_equal(decoded(tmp_path / "signed")[0], values)


def test_float_pixels(tmp_path):
    dataset = made.dicom(tmp_path / "float", 1)
    values = made.phantom(1).astype("<f4") / 7
    del dataset.PixelData
    dataset.BitsAllocated, dataset.FloatPixelData = 32, values.tobytes()
    dataset.save_as(tmp_path / "float")
    assert np.array_equal(decoded(tmp_path / "float")[0], values)


@pytest.mark.parametrize("table", ["none", "basic", "wrong", "extended"])
@pytest.mark.parametrize("num_fragments", [1, 4])
def test_fragments_are_joined_whatever_the_offset_table_says(tmp_path, table, num_fragments):
    dataset = pydicom.dcmread(made_pixels.write(tmp_path / "j2k", "j2k"))
    frame = next(pydicom.encaps.generate_frames(dataset.PixelData, number_of_frames=1))
    options = {"fragments_per_frame": num_fragments, "has_bot": table != "none"}
    made_pixels.encapsulated(dataset, tmp_path / "j2k", [frame], JPEG2000Lossless, **options)
    if table == "wrong":
        dataset.PixelData = dataset.PixelData[:8] + b"\x40\x00\x00\x00" + dataset.PixelData[12:]
    elif table == "extended":
        dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths = b"\x09" * 8, b"\x09" * 8
    dataset.save_as(tmp_path / "j2k")
    assert np.array_equal(decoded(tmp_path / "j2k")[0], made_pixels.phantom())


@pytest.mark.parametrize("has_table", [False, True])
def test_several_frames_are_seen_whatever_the_header_says(tmp_path, has_table):
    dataset = made.dicom(tmp_path / "native", 1)
    dataset.PixelData = dataset.PixelData * 2
    dataset.save_as(tmp_path / "native")
    for name, kind, syntax in (
        ("j2k", "j2k", JPEG2000Lossless),
        ("rle", "rle", RLELossless),
        ("jpeg", "jpeg", JPEGBaseline8Bit),
    ):
        dataset = pydicom.dcmread(made_pixels.write(tmp_path / name, kind))
        frame = next(pydicom.encaps.generate_frames(dataset.PixelData, number_of_frames=1))
        made_pixels.encapsulated(dataset, tmp_path / name, [frame, frame], syntax, has_bot=has_table)
    for name in ("native", "j2k", "rle", "jpeg"):
        assert reason_of(tmp_path / name) == Reason.MULTI_FRAME


def test_frames_padded_behind_their_end_are_one_frame(tmp_path):
    dataset = made.dicom(tmp_path / "padded", 1)
    dataset.PixelData += bytes(100)
    dataset.save_as(tmp_path / "padded")
    assert decoded(tmp_path / "padded")[0].shape == (160, 144)


def test_a_file_without_meta_information_is_read(tmp_path):
    made_pixels.write(tmp_path / "implicit", "implicit")
    data = (tmp_path / "implicit").read_bytes()
    (tmp_path / "bare").write_bytes(data[data.index(b"\x08\x00\x16\x00") :])
    assert np.array_equal(decoded(tmp_path / "bare")[0], made_pixels.phantom())


@pytest.mark.realdata
def test_every_public_file_gives_what_pydicom_gives(real_data):
    num_equal = 0
    for path in sorted((real_data / "dicom").glob("*.dcm")):
        try:
            values, notes = decoded(path)
        except Refused:
            continue
        if not notes:
            assert np.array_equal(values, pydicom.dcmread(path).pixel_array)
            num_equal += 1
    assert num_equal >= 22
