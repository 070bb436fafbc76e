"""Pixels: what a picture becomes before the model sees it, plain and augmented."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxrpt.data.shards import BadSampleError
from cxrpt.data.transforms import (
    augment_radiograph,
    decode_gray,
    fit_square,
    from_patches,
    load_augmented,
    load_square,
    to_patches,
)


class Still:
    """A generator whose draws are all in the middle, so that nothing is augmented, but for those that are named."""

    def __init__(self, **draws: float):
        names = ("angle", "zoom", "dx", "dy", "contrast", "brightness", "gamma")
        self.draws = [draws.get(name, 0.0) for name in names]

    def uniform(self, low, high, size):
        return np.array(self.draws)


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Ribs and grain: about as rough as a radiograph."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] / min(height, width)
    smooth = 110 + 50 * np.sin(5 * x + 2) * np.cos(4 * y) + 25 * np.sin(40 * y + 9 * x)
    grain = cv2.GaussianBlur(rng.normal(0, 1, (height, width)), (0, 0), 1.2)
    return np.clip(smooth + 8 * grain, 0, 255).astype(np.uint8)


def jpeg(image: np.ndarray, *options: int) -> bytes:
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 95, *options])[1].tobytes()


def png(image: np.ndarray) -> bytes:
    return cv2.imencode(".png", image)[1].tobytes()


def averaged(image: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """What reduced decoding is held against."""
    return cv2.resize(image, shape[::-1], interpolation=cv2.INTER_AREA)


def decoded_shape(data: bytes, size: int) -> tuple[int, int]:
    return decode_gray(data, size).shape


def test_a_jpeg_is_decoded_at_the_smallest_scale_that_fills_the_square():
    data = jpeg(picture(512, 623))
    shapes = {size: decoded_shape(data, size) for size in (512, 257, 256, 129, 128, 65, 64, 16)}
    assert shapes == {
        512: (512, 623), 257: (512, 623), 256: (256, 312), 129: (256, 312),
        128: (128, 156), 65: (128, 156), 64: (64, 78), 16: (64, 78),
    }  # fmt: skip
    assert decode_gray(data).shape == (512, 623)
    assert decoded_shape(jpeg(picture(513, 700)), 257) == (257, 350), "sizes are rounded up"


@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 140))
@settings(max_examples=60, deadline=None)
def test_reduced_decoding_never_leaves_too_few_pixels(height, width, size):
    data = jpeg(picture(height, width))
    found = decode_gray(data, size)
    assert min(found.shape) >= min(size, height, width)
    assert min(found.shape) < max(2 * size, 2 + min(height, width) // 8)
    assert load_square(data, size).shape == (size, size)
    assert load_augmented(data, size, np.random.default_rng(0)).shape == (size, size)


@pytest.mark.parametrize("shape", [(512, 512), (512, 623), (701, 512), (513, 600), (1024, 1029)])
@pytest.mark.parametrize("size", [64, 112, 128, 160, 224, 384, 512])
def test_reduced_decoding_is_close_to_averaging_the_whole_picture(shape, size):
    data = jpeg(picture(*shape))
    height, width = decoded_shape(data, size)
    # The last block of a JPEG is filled up; so is the picture here, to whole multiples of the reduction.
    times = -(-shape[0] // height)
    filled = np.pad(decode_gray(data), [(0, height * times - shape[0]), (0, width * times - shape[1])], "edge")
    reduced, side = averaged(filled, (height, width)), min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    difference = load_square(data, size) - averaged(reduced[top : top + side, left : left + side], (size, size)).astype(int)
    # On real radiographs the mean is 0.1 to 0.8; half a pixel would make it 2 to 3 here.
    assert np.abs(difference).mean() < 1.2
    assert abs(difference.mean()) < 0.3


@pytest.mark.parametrize("shape", [(512, 512), (512, 623), (701, 512), (513, 600), (1024, 1029)])
@pytest.mark.parametrize("size", [64, 112, 128, 160, 224, 384, 512])
def test_the_middle_stays_the_middle(shape, size):
    image = np.full(shape, 20, np.uint8)
    centre = (shape[1] / 2 + 0.1 * min(shape), shape[0] / 2 - 0.2 * min(shape))  # pixels; those of the disc count from 0.5
    cv2.circle(image, (round(centre[0] * 16 - 8), round(centre[1] * 16 - 8)), 640, 200, -1, cv2.LINE_AA, 4)
    for square in (load_square(jpeg(image), size), load_augmented(jpeg(image), size, Still())):
        light = np.where(square > 60, square - 20.0, 0)
        x, y = (float((light * (axis + 0.5)).sum() / light.sum()) / size for axis in np.mgrid[:size, :size][::-1])
        # Where a crop begins at half a pixel of the reduced picture, it begins at the one before.
        assert (x, y) == pytest.approx((0.6, 0.3), abs=0.6 / size + 1 / min(shape))


def test_whole_halves_and_pngs_are_exact():
    image = picture(512, 640)
    assert np.array_equal(load_square(jpeg(image), 512), decode_gray(jpeg(image))[:, 64:576])
    # A PNG is decoded whole: halves are averages of four, and a tenth is an average too.
    assert np.array_equal(load_square(png(image), 256), averaged(image[:, 64:576], (256, 256)))
    assert np.array_equal(load_square(png(image), 51), averaged(image[:, 64:576], (51, 51)))


@pytest.mark.parametrize("options", [(), (cv2.IMWRITE_JPEG_PROGRESSIVE, 1), (cv2.IMWRITE_JPEG_RST_INTERVAL, 4)])
def test_every_kind_of_jpeg_tells_its_size(options):
    data = jpeg(picture(512, 600), *options)
    assert decoded_shape(data, 128) == (128, 150)
    # Segments that other programs write before the frame: a comment, a thumbnail (a JPEG of its own), a table, filling bytes.
    thumbnail, codes = jpeg(picture(16, 16)), b"\xff\xc4\x00\x14\x11\x01" + bytes(15) + b"\x05"
    preview = b"\xff\xed" + (2 + len(thumbnail)).to_bytes(2) + thumbnail
    for segment in (b"\xff\xfe\x00\x06abcd", preview, codes, b"\xff\xff\xff"):
        assert decoded_shape(data[:2] + segment + data[2:], 128) == (128, 150)


def test_colour_and_turned_jpegs():
    """No shard of ours holds them, but a folder of someone else's may."""
    colour = cv2.imencode(".jpg", np.dstack([picture(512, 600)] * 3))[1].tobytes()
    assert decoded_shape(colour, 200) == (256, 300)
    exif = b"Exif\x00\x00MM\x00\x2a\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00\x00\x00\x00\x00"
    data = jpeg(picture(512, 600))
    turned = data[:2] + b"\xff\xe1" + (2 + len(exif)).to_bytes(2) + exif + data[2:]
    assert decoded_shape(turned, 200) == (300, 256) and decode_gray(turned).shape == (600, 512)


def test_tiny_pictures_are_enlarged():
    for shape in ((1, 1), (1, 9), (3, 2)):
        image = np.full(shape, 77, np.uint8)
        for data in (png(image), jpeg(image)):
            for square in (load_square(data, 32), load_augmented(data, 32, Still())):
                assert square.shape == (32, 32) and np.abs(square.astype(int) - 77).max() <= 1
    ramp = np.tile(np.arange(0, 160, 10, dtype=np.uint8), (16, 1))
    large = load_square(png(ramp), 64).astype(int)
    assert (np.diff(large, axis=1) >= 0).all() and large[:, 0].max() == 0 and large[:, -1].min() == 150


def test_sixteen_bit_pictures_and_garbage():
    deep = (np.arange(64, dtype=np.uint16).reshape(8, 8) << 10).astype(np.uint16)
    assert np.array_equal(decode_gray(png(deep)), (deep >> 8).astype(np.uint8))
    assert np.array_equal(load_square(png(deep), 8), (deep >> 8).astype(np.uint8))
    assert load_augmented(png(deep), 4, np.random.default_rng(0)).dtype == np.uint8
    header = jpeg(picture(512, 512))[:300]
    for garbage in (b"", b"\xff", b"\xff\xd8", b"\xff\xd8\xff", b"not a picture", b"\xff\xd8" + b"\xff" * 50, header):
        for size in (None, 4, 224):
            with pytest.raises(BadSampleError):
                decode_gray(garbage, size)


def test_pictures_are_fitted_and_augmentation_never_flips():
    wide = np.zeros((60, 100), np.uint8)
    wide[:, 20:40] = 255  # left of the middle
    square = fit_square(wide, 32)
    assert square.shape == (32, 32) and square[:, :8].mean() > 200 and square[:, 16:].mean() == 0
    rng = np.random.default_rng(0)
    for image in (wide, square):
        for _ in range(50):
            moved = augment_radiograph(image, 32, rng).astype(float)
            assert moved.shape == (32, 32)
            assert moved[:, :16].mean() > moved[:, 16:].mean() + 30, "the bright side changed sides"


@pytest.mark.parametrize("shape", [(256, 256), (300, 256), (224, 301), (448, 500), (150, 200)])
def test_without_a_draw_augmentation_is_the_plain_picture(shape):
    image = cv2.GaussianBlur(picture(*shape), (0, 0), 2)
    plain, moved = fit_square(image, 224).astype(int), augment_radiograph(image, 224, Still()).astype(int)
    assert np.abs(plain - moved).max() <= 2


def test_augmentation_leaves_no_pixel_of_a_large_picture_out():
    """Interpolation looks at four neighbours: what is three times as large as the square is averaged before."""
    stripes = np.tile(np.array([0, 0, 240], np.uint8), (96, 32))
    for data in (png(stripes), jpeg(np.repeat(stripes, 20, axis=1).repeat(20, axis=0))):
        moved = load_augmented(data, 32, Still())
        assert np.abs(moved.astype(int) - 80).max() <= 10


def test_augmentation_moves_by_what_it_says():
    """A bright disc is turned about the middle, zoomed and shifted; the other draws change its level."""
    image = np.full((300, 256), 40, np.uint8)
    cv2.circle(image, (128 + 60, 150), 20, 200, -1)

    def disc(**draws):
        moved = augment_radiograph(image, 128, Still(**draws)).astype(float) - 40
        y, x = (float((moved * axis).sum() / moved.sum()) - 63.5 for axis in np.mgrid[:128, :128])
        return x, y, (moved > 80).sum()

    x, y, area = disc()
    assert (x, y) == pytest.approx((30.0, 0.0), abs=0.5)
    turned = disc(angle=1.0)  # 5 degrees, counter-clockwise
    assert turned[0] == pytest.approx(30 * np.cos(np.radians(5)), abs=0.3)
    assert turned[1] == pytest.approx(y - 30 * np.sin(np.radians(5)), abs=0.3)
    zoomed = disc(zoom=1.0)
    assert zoomed[0] == pytest.approx(1.1 * x, abs=0.3) and zoomed[2] == pytest.approx(1.21 * area, rel=0.05)
    shifted = disc(dx=1.0, dy=-1.0)
    assert (shifted[0] - x, shifted[1] - y) == pytest.approx((0.04 * 128, -0.04 * 128), abs=0.2)

    def level(**draws):
        return int(augment_radiograph(np.full((64, 64), 180, np.uint8), 64, Still(**draws))[32, 32])

    assert level() == 180 and level(brightness=1.0) == 195 and level(contrast=1.0) == 188
    assert level(gamma=1.0) < 180 < level(gamma=-1.0)


def test_what_lies_beside_the_square_is_moved_in():
    wide = np.full((64, 128), 50, np.uint8)
    wide[:, :28] = 250  # outside of the middle square, which begins at 32
    assert fit_square(wide, 64).max() == 50
    assert augment_radiograph(wide, 64, Still(dx=1.0)).max() == 50  # 2.56 pixels
    assert augment_radiograph(wide, 64, Still(dx=1.0, zoom=-1.0)).max() > 200


def test_patches_go_there_and_back():
    for patch, grid in ((16, 14), (14, 16), (8, 4), (5, 3), (1, 7)):
        image = np.random.default_rng(0).integers(0, 256, (patch * grid, patch * grid), dtype=np.uint8)
        patches = to_patches(image, patch)
        assert patches.shape == (grid * grid, patch * patch) and patches.dtype == np.uint8
        assert np.array_equal(patches[grid + 1].reshape(patch, patch), image[patch : 2 * patch, patch : 2 * patch])
        assert np.array_equal(from_patches(patches, patch), image)
        assert np.array_equal(to_patches(image.T, patch), to_patches(np.ascontiguousarray(image.T), patch))
        assert np.array_equal(to_patches(image.astype(np.float32), patch), patches.astype(np.float32))
