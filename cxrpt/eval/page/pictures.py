"""Pictures of an evaluation as data that a page can hold: made smaller until all of them fit."""

import base64
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from markupsafe import Markup

_MOST_BYTES = 3_000_000
"""Of all pictures together, before base64."""
_EACH_BYTES = 400_000
_MOST_WIDE, _LEAST_WIDE = 1500, 200
_QUALITY = 80


class Pictures:
    """The figures of one evaluation."""

    def __init__(self, folder: Path):
        """`folder` holds the figures, and may be missing."""
        self._folder = folder
        self._names = {path.name for path in folder.glob("*.png")} if folder.is_dir() else set()
        self._room = min(_EACH_BYTES, _MOST_BYTES // max(len(self._names), 1))

    def embedded(self, name: Any) -> Markup:
        """The source of an `img` for a figure of this name; empty where there is none that can be read."""
        if name not in self._names:
            return Markup("")
        pixels = cv2.imdecode(np.frombuffer((self._folder / name).read_bytes(), np.uint8), cv2.IMREAD_COLOR)
        if pixels is None:
            return Markup("")
        width = min(pixels.shape[1], _MOST_WIDE)
        data = _encoded(pixels, width)
        while len(data) > self._room and width > _LEAST_WIDE:
            width = max(_LEAST_WIDE, int(0.95 * width * (self._room / len(data)) ** 0.5))
            data = _encoded(pixels, width)
        return Markup("data:image/jpeg;base64," + base64.b64encode(data).decode())


def _encoded(pixels: np.ndarray, width: int) -> bytes:
    """JPEG of a picture (height, width, 3), so wide."""
    if pixels.shape[1] != width:
        height = max(1, round(pixels.shape[0] * width / pixels.shape[1]))
        pixels = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes()
