"""Pixels: decode, crop, resize, and augmentation that is safe for radiographs.

bytes of a .jpg or .png ──► (H, W) uint8 ──► (S, S) uint8, the short side fitted and the middle kept
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


def decode_gray(data: bytes) -> np.ndarray:
    """Decode a grayscale JPEG or PNG.

    Returns:
        (H, W) uint8; 16-bit pictures keep their upper 8 bits.

    Raises:
        BadSampleError: the bytes are no picture.
    """
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH)
    except cv2.error:
        image = None
    if image is None:
        raise BadSampleError("the image does not decode")
    if image.dtype == np.uint16:
        image = (image >> 8).astype(np.uint8)
    return image


def fit_square(image: np.ndarray, size: int) -> np.ndarray:
    """Scale the short side to `size` and keep the middle: (H, W) uint8 to (size, size) uint8."""
    height, width = image.shape
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    middle = image[top : top + side, left : left + side]
    if side == size:
        return np.ascontiguousarray(middle)
    return cv2.resize(middle, (size, size), interpolation=cv2.INTER_AREA if side > size else cv2.INTER_LINEAR)


def augment_radiograph(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Small rotation, zoom, shift, contrast, brightness and gamma of a square picture; shape and type stay.

    There is no left-right flip: reports name sides, and the heart has one.
    """
    size = image.shape[0]
    angle, zoom, dx, dy, contrast, brightness, gamma = rng.uniform(-1, 1, 7)
    centre = (size - 1) / 2
    matrix = cv2.getRotationMatrix2D((centre, centre), angle * _MAX_ROTATION_DEG, 1 + zoom * _MAX_ZOOM)
    matrix[:, 2] += np.array([dx, dy]) * _MAX_SHIFT * size
    moved = cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    levels = np.linspace(0, 1, 256) ** np.exp(gamma * _MAX_LOG_GAMMA)
    levels = (levels - 0.5) * (1 + contrast * _MAX_CONTRAST) + 0.5 + brightness * _MAX_BRIGHTNESS
    return cv2.LUT(moved, np.round(np.clip(levels, 0, 1) * 255).astype(np.uint8))


def to_patches(image: np.ndarray, patch_size: int) -> np.ndarray:
    """Cut an (S, S) picture into (patches, patch_size ** 2), row by row."""
    grid = image.shape[0] // patch_size
    return image.reshape(grid, patch_size, grid, patch_size).transpose(0, 2, 1, 3).reshape(grid * grid, patch_size**2)


def from_patches(patches: np.ndarray, patch_size: int) -> np.ndarray:
    """The inverse of `to_patches` for a square grid: (patches, patch_size ** 2) to (S, S)."""
    grid = round(len(patches) ** 0.5)
    return patches.reshape(grid, grid, patch_size, patch_size).transpose(0, 2, 1, 3).reshape(grid * patch_size, -1)
