"""Pictures of one build that are near each other: listed for people to look at, never excluded.

near.jsonl    {"a":"<sample key>","b":"<sample key>","distance":9,"same_patient":false,"splits":["test","train"]}

A re-encoded copy is near its original, but different patients come close too: only equal decoded values are excluded.
"""

import json
from dataclasses import dataclass

import numpy as np

from cxrpt.data.sample import SPLITS
from data_prep.build.compose import Composition
from data_prep.pictures.near_copies import find_near


@dataclass(frozen=True)
class NearPair:
    """Two samples whose pictures are near; `a` comes before `b` by key."""

    a: str
    b: str
    distance: int
    same_patient: bool
    splits: tuple[str, str]


@dataclass(frozen=True)
class NearReport:
    """All near pairs of a build, sorted by keys."""

    pairs: tuple[NearPair, ...]

    def counts(self) -> dict[str, int]:
        """Pairs in all, of different patients, and in different splits."""
        return {
            "pairs": len(self.pairs),
            "other_patient": sum(not pair.same_patient for pair in self.pairs),
            "other_split": sum(pair.splits[0] != pair.splits[1] for pair in self.pairs),
        }


def near_pairs(composition: Composition) -> NearReport:
    """Compare the perceptual hashes of all pictures of a build."""
    pictures = sorted(
        (planned.key, planned.meta.patient, split, bytes.fromhex(planned.image.phash))
        for split in SPLITS
        for planned in composition.samples[split]
        if planned.image is not None and planned.image.phash
    )
    if not pictures:
        return NearReport(())
    hashes = np.frombuffer(b"".join(phash for *_, phash in pictures), np.uint8).reshape(len(pictures), -1)
    pairs = []
    for first, second, distance in find_near(hashes).tolist():
        (a, patient_a, split_a, _), (b, patient_b, split_b, _) = pictures[first], pictures[second]
        pairs.append(NearPair(a, b, distance, patient_a == patient_b, (split_a, split_b)))
    return NearReport(tuple(sorted(pairs, key=lambda pair: (pair.a, pair.b))))


def near_text(report: NearReport) -> str:
    """The text of `near.jsonl`."""
    return "".join(json.dumps(pair.__dict__, separators=(",", ":")) + "\n" for pair in report.pairs)
