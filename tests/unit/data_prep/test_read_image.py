"""Picture files of every mode give the same grey."""

import io
import struct

import made_pixels
import numpy as np
import pytest
from PIL import Image

from data_prep.ledger import Note, Reason
from data_prep.pictures.read_image import read_image
from data_prep.pictures.refused import Refused

GREY = (made_pixels.phantom() >> 4).astype(np.uint8)
NOISE = np.random.default_rng(0).integers(0, 256, GREY.shape).astype(np.uint8)
L = Image.fromarray(GREY)
RGBA = Image.fromarray(np.dstack([GREY] * 3 + [NOISE]))


def write(path, image: Image.Image, form: str, **options: object):
    image.save(path, form, **options)
    return path


@pytest.mark.parametrize(
    ("image", "form", "options", "is_colour"),
    [
        (L, "PNG", {}, False),
        (L, "BMP", {}, False),
        (L, "TIFF", {}, False),
        (L, "TIFF", {"compression": "tiff_lzw"}, False),
        (Image.merge("LA", (L, Image.fromarray(NOISE))), "PNG", {}, False),
        (L.convert("RGB"), "PNG", {}, True),
        (L.convert("RGB"), "WEBP", {"lossless": True}, True),
        (L.convert("P"), "PNG", {}, True),
        (RGBA, "PNG", {}, True),
        (RGBA, "TIFF", {}, True),
        (RGBA, "WEBP", {"lossless": True, "exact": True}, True),
    ],
)
def test_modes_give_the_same_grey_whatever_their_alpha(tmp_path, image, form, options, is_colour):
    picture = read_image(write(tmp_path / "file.jpg", image, form, **options))
    assert np.array_equal(picture.pixels, GREY)
    assert picture.notes == ((Note.FROM_COLOUR,) if is_colour else ())
    assert picture.digest == read_image(write(tmp_path / "plain", L, "PNG")).digest


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_jpeg_modes(tmp_path, mode):
    picture = read_image(write(tmp_path / "file.png", L.convert(mode), "JPEG", quality=98))
    assert np.abs(picture.pixels.astype(int) - GREY).mean() < 1


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_sixteen_bits_are_spread_by_percentiles(tmp_path, form):
    picture = read_image(write(tmp_path / "file", Image.fromarray(made_pixels.phantom()), form))
    assert picture.notes == (Note.WINDOW_BY_PERCENTILES,) and picture.pixels.min() == 0 and picture.pixels.max() == 255
    assert np.corrcoef(picture.pixels.ravel(), made_pixels.phantom().ravel())[0, 1] > 0.99


def test_a_tiff_whose_zero_is_white_is_turned(tmp_path):
    for bits, pixels in ((8, GREY), (16, made_pixels.phantom())):
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "TIFF")
        data = bytearray(buffer.getvalue())
        (start,) = struct.unpack_from("<L", data, 4)
        (count,) = struct.unpack_from("<H", data, start)
        entries = [start + 2 + 12 * number for number in range(count)]
        photometric = next(entry for entry in entries if struct.unpack_from("<H", data, entry)[0] == 262)
        data[photometric + 8] = 0
        (tmp_path / str(bits)).write_bytes(data)
        turned = read_image(tmp_path / str(bits)).pixels
        assert np.corrcoef(turned.ravel(), pixels.ravel())[0, 1] < -0.99


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_the_exif_orientation_is_obeyed(tmp_path, form):
    exif = Image.Exif()
    exif[0x0112] = 6  # shown a quarter turn clockwise
    picture = read_image(write(tmp_path / "file", L, form, exif=exif))
    assert np.abs(picture.pixels.astype(int) - np.rot90(GREY, -1)).mean() < 6


def test_what_is_no_radiograph(tmp_path):
    hues = Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 8, 3)).astype(np.uint8)).resize((160, 180))
    pictures = {
        "colour": (hues, "PNG", {}, Reason.NOT_RADIOGRAPH),
        "bits": (L.convert("1"), "PNG", {}, Reason.NOT_RADIOGRAPH),
        "pages": (L, "TIFF", {"save_all": True, "append_images": [L]}, Reason.MULTI_FRAME),
        "small": (L.resize((90, 100)), "PNG", {}, Reason.TOO_SMALL),
        "flat": (Image.new("L", (200, 200), 9), "PNG", {}, Reason.NO_CONTRAST),
        "gif": (L, "GIF", {}, Reason.CANNOT_DECODE),
    }
    for name, (image, form, options, reason) in pictures.items():
        with pytest.raises(Refused) as caught:
            read_image(write(tmp_path / name, image, form, **options))
        assert caught.value.reason == reason, name


def test_a_toned_film_is_grey(tmp_path):
    toned = np.dstack([GREY * 0.6, GREY * 0.75, GREY * 1.0]).astype(np.uint8)
    assert read_image(write(tmp_path / "toned", Image.fromarray(toned), "PNG")).notes == (Note.FROM_COLOUR,)


@pytest.mark.realdata
def test_public_pictures_are_all_read(real_data):
    folders = (real_data / "nih14" / "images", real_data / "covid-chestxray" / "images")
    for path in sorted(path for folder in folders for path in folder.iterdir()):
        read_image(path)
