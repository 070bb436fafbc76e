"""The headers of the DICOM files of a public data set: which are radiographs to try, and what they say.

The scan itself is that of a hospital's export; a public set of chest radiographs is taken at its word that they are chests,
so that only a tag which says otherwise sets a file aside.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from data_prep.inputs import SetAside
from data_prep.link import LooseImage
from data_prep.sources.hospital import SCAN_CHUNK, scan_chunk
from data_prep.workers import run_chunks


def scan_headers(items: Sequence[tuple[str, Path]], processes: int) -> tuple[dict[str, LooseImage], list[SetAside]]:
    """Images by input id, and the files that no pixel need be looked at of; `items` are (input id, path)."""
    chunks = [(number, items[start : start + SCAN_CHUNK]) for number, start in enumerate(range(0, len(items), SCAN_CHUNK))]
    images: dict[str, LooseImage] = {}
    set_aside: list[SetAside] = []
    for _, scanned in run_chunks(partial(scan_chunk, all_chest=True), chunks, processes) if chunks else ():
        for one in scanned:
            if isinstance(one, LooseImage):
                images[one.image.input_id] = one
            else:
                set_aside.append(one)
    return images, sorted(set_aside, key=lambda one: one.input_id)
