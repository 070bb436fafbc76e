"""PSNR, SSIM and mean absolute error over hidden pixels only, at full resolution and of the picture reduced s-fold."""

import numpy as np
from skimage.metrics import structural_similarity

from cxrpt.data.transforms import from_patches, to_patches

MAX_PSNR_DB = 60.0
"""PSNR is cut here: less error than rounding to 8 bits makes."""

_SSIM_WINDOW = 7

Scores = dict[str, float]
"""psnr, ssim and mae of one picture, or their means over pictures."""


def psnr(errors: np.ndarray) -> np.ndarray:
    """Peak signal-to-noise ratio in dB of mean squared errors of pixels in 0..1, at most MAX_PSNR_DB."""
    return -10 * np.log10(np.maximum(errors, 10 ** (-MAX_PSNR_DB / 10)))


def reduce_by(picture: np.ndarray, scale: int, patch_size: int) -> np.ndarray:
    """Means over scale x scale pixels, float32; what no whole group of patches covers is cut off."""
    unit = scale * patch_size
    side = len(picture) // unit * unit
    blocks = picture[:side, :side].reshape(side // scale, scale, side // scale, scale)
    return blocks.mean((1, 3), dtype=np.float32)


def group_pixels(mask: np.ndarray, scale: int, patch_size: int) -> np.ndarray:
    """Where hidden groups of a scale lie in the picture that `reduce_by` gives: bool of its shape."""
    return np.kron(_whole_groups(mask, scale), np.ones((patch_size, patch_size), bool))


def fill(truth: np.ndarray, mask: np.ndarray, predicted: np.ndarray, scale: int, patch_size: int) -> np.ndarray:
    """The picture reduced s-fold, with the groups that were hidden as a whole replaced by what was predicted."""
    reduced = reduce_by(truth, scale, patch_size)
    patches = to_patches(reduced, patch_size).copy()
    patches[_whole_groups(mask, scale).ravel()] = predicted
    return from_patches(patches, patch_size)


def _whole_groups(mask: np.ndarray, scale: int) -> np.ndarray:
    side = len(mask) // scale
    return np.all(mask[: side * scale, : side * scale].reshape(side, scale, side, scale), axis=(1, 3))


def score_hidden(truth: np.ndarray, guess: np.ndarray, at: np.ndarray) -> Scores:
    """PSNR in dB, SSIM and mean absolute error over the pixels `at`, of pictures in 0..1 that are equal elsewhere.

    The SSIM is the map of scikit-image (7 x 7 pixels, fewer in a smaller picture) averaged over `at`: its windows at the
    border of `at` hold visible pixels too.
    """
    difference = guess[at].astype(np.float64) - truth[at]
    window = min(_SSIM_WINDOW, len(truth) - 1 + len(truth) % 2)
    _, similarity = structural_similarity(truth, guess, win_size=window, data_range=1.0, full=True)
    return {
        "psnr": float(psnr(np.mean(difference**2))),
        "ssim": float(similarity[at].mean()),
        "mae": float(np.abs(difference).mean()),
    }
