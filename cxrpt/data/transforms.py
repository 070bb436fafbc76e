"""Pixels: decode, crop, resize, and augmentation that is safe for radiographs.

    bytes of a .jpg or .png ──► (H, W) uint8, a JPEG reduced while it is decoded
      plain       ──► (S, S) uint8, the short side fitted and the middle kept
      augmented   ──► (S, S) uint8, turned, zoomed and shifted on the way, by one interpolation

Training without augmentation and evaluation see the same pixels: those of `load_square`.
"""

import cv2
import numpy as np

from cxrpt.data.shards import BadSampleError

PIXEL_MEAN, PIXEL_STD = 0.5, 0.25
"""The model sees (pixel / 255 - mean) / std."""

_MAX_ROTATION_DEG = 5.0
_MAX_ZOOM = 0.10
_MAX_SHIFT = 0.04
_MAX_CONTRAST = 0.15
_MAX_BRIGHTNESS = 0.06
_MAX_LOG_GAMMA = 0.2

_WHOLE = cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH
_REDUCED = ((8, cv2.IMREAD_REDUCED_GRAYSCALE_8), (4, cv2.IMREAD_REDUCED_GRAYSCALE_4), (2, cv2.IMREAD_REDUCED_GRAYSCALE_2))
_LEVELS = np.linspace(0, 1, 256)


def load_square(data: bytes, size: int) -> np.ndarray:
    """The picture as the model sees it: bytes of a .jpg or .png to (size, size) uint8.

    From 512 pixels to 224 this takes 0.6 ms; a whole decode (0.57) averaged with INTER_AREA (0.46) takes 1.0. How far the two
    are apart on 269 radiographs (NIH, covid-chestxray) stored at 512 pixels::

        size                  128   224   256   384
        PSNR, median, dB       60    47    56    53
        mean error, of 255    0.5   0.7   0.5   0.2     the largest, 31 to 128, at the edges of burned-in letters

    Part of it is the middle, which lies up to half a pixel of the reduced picture beside that of the whole one. Against a
    band-limited (Lanczos) reduction of the 1,024-pixel originals of NIH, reduced decoding has 46.7, 44.1, 48.1 and 46.4 dB,
    averaging 46.6, 47.7, 47.8 and 46.5. Below a factor of two INTER_AREA is nearer to it than interpolation by 0 to 0.8 dB
    and takes three to four times as long; INTER_LINEAR_EXACT gives the same pixels on any processor.

    Raises:
        BadSampleError: the bytes are no picture.
    """
    return fit_square(decode_gray(data, size), size)


def load_augmented(data: bytes, size: int, rng: np.random.Generator) -> np.ndarray:
    """The picture as training sees it with augmentation: bytes of a .jpg or .png to (size, size) uint8.

    Raises:
        BadSampleError: the bytes are no picture.
    """
    return augment_radiograph(decode_gray(data, size), size, rng)


def decode_gray(data: bytes, short_side: int | None = None) -> np.ndarray:
    """Decode a grayscale JPEG or PNG.

    A JPEG is decoded at the smallest of the scales 1, 1/2, 1/4 and 1/8 that leaves the short side at `short_side` pixels
    or more, which drops the high frequencies of its blocks instead of averaging pixels.

    A JPEG that ends early decodes, its rest gray: the checksum of the sample, not the decoder, finds what is torn.

    Args:
        data: bytes of the file.
        short_side: what is wanted of the short side, pixels; None decodes whole.

    Returns:
        (H, W) uint8; 16-bit pictures keep their upper 8 bits.

    Raises:
        BadSampleError: the bytes are no picture.
    """
    flag = _WHOLE if short_side is None else _reduction(data, short_side)
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flag)
    except cv2.error:
        image = None
    if image is None:
        raise BadSampleError("the image does not decode")
    if image.dtype == np.uint16:
        image = (image >> 8).astype(np.uint8)
    return image


def _reduction(data: bytes, short_side: int) -> int:
    """OpenCV's flag for the smallest scale that leaves `short_side` pixels."""
    whole = _jpeg_short_side(data)
    # The decoder rounds sizes up.
    return next((flag for divisor, flag in _REDUCED if -(-whole // divisor) >= short_side), _WHOLE)


def _jpeg_short_side(data: bytes) -> int:
    """The short side, pixels, that the frame header of a JPEG tells; 0 for other bytes."""
    at = 2 if data[:2] == b"\xff\xd8" else len(data)
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        # Of C0 to CF all but the tables C4, C8 and CC begin a frame.
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return min(int.from_bytes(data[at + 5 : at + 7]), int.from_bytes(data[at + 7 : at + 9]))
        # A marker may stand behind any number of bytes FF.
        at += 1 if marker == 0xFF else 2 + int.from_bytes(data[at + 2 : at + 4])
    return 0


def fit_square(image: np.ndarray, size: int) -> np.ndarray:
    """Scale the short side to `size` and keep the middle: (H, W) uint8 to (size, size) uint8."""
    height, width = image.shape
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    middle = image[top : top + side, left : left + side]
    if side == size:
        return np.ascontiguousarray(middle)
    return cv2.resize(middle, (size, size), interpolation=cv2.INTER_AREA if side >= 2 * size else cv2.INTER_LINEAR_EXACT)


def augment_radiograph(image: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """`fit_square` with a small random rotation, zoom, shift, contrast, brightness and gamma: (H, W) to (size, size) uint8.

    There is no left-right flip: reports name sides, and the heart has one.
    """
    angle, zoom, dx, dy, contrast, brightness, gamma = rng.uniform(-1, 1, 7)
    if min(image.shape) >= 2 * size:
        # Interpolation between four neighbours would leave pixels out.
        image = fit_square(image, size)
    height, width = image.shape
    # Where in the picture a pixel of the square comes from: round the middle, turned, and scaled to the short side.
    scale = min(height, width) / size / (1 + zoom * _MAX_ZOOM)
    matrix = cv2.getRotationMatrix2D((0, 0), -angle * _MAX_ROTATION_DEG, scale)
    middle = (size - 1) / 2 + np.array([dx, dy]) * _MAX_SHIFT * size
    matrix[:, 2] = np.array([width - 1, height - 1]) / 2 - matrix[:, :2] @ middle
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    moved = cv2.warpAffine(image, matrix, (size, size), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    levels = _LEVELS ** np.exp(gamma * _MAX_LOG_GAMMA)
    levels = (levels - 0.5) * (1 + contrast * _MAX_CONTRAST) + 0.5 + brightness * _MAX_BRIGHTNESS
    return cv2.LUT(moved, np.round(np.clip(levels, 0, 1) * 255).astype(np.uint8))


def to_patches(image: np.ndarray, patch_size: int) -> np.ndarray:
    """Cut an (S, S) picture into (patches, patch_size ** 2), row by row."""
    grid = image.shape[0] // patch_size
    # A row of a patch is moved as one item.
    rows = np.ascontiguousarray(image).view(f"V{image.itemsize * patch_size}").reshape(grid, patch_size, grid)
    return rows.transpose(0, 2, 1).reshape(grid * grid, patch_size).view(image.dtype)


def from_patches(patches: np.ndarray, patch_size: int) -> np.ndarray:
    """The inverse of `to_patches` for a square grid: (patches, patch_size ** 2) to (S, S)."""
    grid = round(len(patches) ** 0.5)
    return patches.reshape(grid, grid, patch_size, patch_size).transpose(0, 2, 1, 3).reshape(grid * patch_size, -1)
