"""Which patients' labels a method may use: nested shares of them, drawn by a hash.

patients ─► order by hash(draw, patient) ─► the first 1 % ⊂ the first 10 % ⊂ all

A patient's place depends on the pseudonym and the draw alone: not on the order of reading, nor on who else is there. Draws
of the same number are those of any run, so that runs can be compared by the same labels.
"""

import numpy as np

from cxrpt.data.hashing import derive, hash_text

_SUBSET = 43


def subset_of(patients: list[str], share: float, draw: int) -> np.ndarray:
    """(images,) bool: the images of a share of the patients, of one at least.

    Args:
        patients: of each image.
        share: per cent; of one draw, the subset of a smaller share lies in that of a larger one.
        draw: number of the draw.
    """
    names, number_N = np.unique(patients, return_inverse=True)
    hashes = derive(_SUBSET, draw, np.array([hash_text(name) for name in names.tolist()], np.uint64))
    count = max(1, round(share / 100 * len(names)))
    taken = np.zeros(len(names), bool)
    taken[np.argsort(hashes, kind="stable")[:count]] = True
    return taken[number_N]


def draws_of(share: float, draws: int) -> int:
    """How often a share is drawn: all labels are there but once."""
    return 1 if share >= 100 else draws
