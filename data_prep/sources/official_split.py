"""A data set's own split, as one split a patient."""

from collections import defaultdict
from collections.abc import Iterable

OFFICIAL = "official lists"
"""What made such a split, as manifests tell it."""


def split_by_patient(listed: Iterable[tuple[str, str | None]], rest: str) -> dict[str, str]:
    """Split by patient from (patient, split of one picture or study, None or "" where no list names it).

    A patient has the split that the lists give to any of the pictures; train where they give several, as no patient may be
    in two; and `rest` where they give none, so that nobody enters an official test set whom the data set did not put there.
    """
    splits: dict[str, set[str]] = defaultdict(set)
    for patient, split in listed:
        splits[patient] |= {split} if split else set()
    return {
        patient: rest if not names else next(iter(names)) if len(names) == 1 else "train" for patient, names in splits.items()
    }
