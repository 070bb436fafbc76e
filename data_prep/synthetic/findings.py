"""What a made-up study shows: the findings, drawn from a generator, that picture, report and labels agree on."""

from dataclasses import dataclass

import numpy as np

FINDINGS = ("cardiomegaly", "consolidation", "effusion", "nodule", "pneumothorax")
"""The columns of `labels.csv`."""

PREVALENCE = 0.22
SIDES = ("right", "left")
ZONES = ("upper", "mid", "lower")
SIZES = ("small", "moderate", "large")


@dataclass(frozen=True)
class Finding:
    """One finding. `side` is the patient's; a field that means nothing for the finding is empty."""

    name: str
    size: str = ""
    side: str = ""
    """right, left, or bilateral (effusion only)."""
    zone: str = ""
    diameter_mm: int = 0
    """Of a nodule."""

    @property
    def sides(self) -> tuple[str, ...]:
        """The sides that it lies on."""
        return SIDES if self.side == "bilateral" else (self.side,)


def draw_findings(generator: np.random.Generator) -> tuple[Finding, ...]:
    """Each finding of FINDINGS on its own with PREVALENCE; about 3 in 10 studies show none."""
    present = generator.random(len(FINDINGS)) < PREVALENCE
    size = [str(generator.choice(SIZES, p=(0.4, 0.35, 0.25))) for _ in FINDINGS]
    side = [str(generator.choice(SIDES)) for _ in FINDINGS]
    zone = [str(generator.choice(ZONES)) for _ in FINDINGS]
    both = generator.random() < 0.3
    diameter = int(generator.integers(8, 30))
    drawn = (
        Finding("cardiomegaly", size[0]),
        Finding("consolidation", size[1], side[1], zone[1]),
        Finding("effusion", size[2], "bilateral" if both else side[2]),
        Finding("nodule", "", side[3], zone[3], diameter),
        Finding("pneumothorax", size[4], side[4]),
    )
    return tuple(finding for finding, is_present in zip(drawn, present, strict=True) if is_present)


def labels_of(findings: tuple[Finding, ...]) -> dict[str, int]:
    """1 present, 0 absent, for every name of FINDINGS."""
    names = {finding.name for finding in findings}
    return {name: int(name in names) for name in FINDINGS}
