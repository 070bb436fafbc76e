"""A finding's region, hidden and regenerated with the study's own report, with a wrong one, and with none.

sentence that affirms a finding of one side ─► region: half and third of the picture ─┐
                                                                                      ├─► hidden ─► scale 1 head ─► PSNR there
report: own | of a patient with nothing there | none ─────────────────────────────────┘

Regions come from words, so that no boxes are needed: the patient's right is the left half of the picture, and a zone is a
third of its height. The other side's region shows what the hidden one would look like without the finding; it is hidden too
("both_sides"), or left to be seen ("one_side"). Scored is the named region alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from cxrpt.checkpoint.export import Exported
from cxrpt.data.transforms import to_patches
from cxrpt.eval.features import batches_of, run_model
from cxrpt.eval.probed_pairs import ProbedPair
from cxrpt.eval.report_words import Mention
from cxrpt.eval.samples import plain_example
from cxrpt.model.pretrain import denormalise_pixels

USUAL_ZONE = {"effusion": "lower", "pneumothorax": "upper"}
"""Where fluid and air gather in a patient who stands or sits, whatever zone the report names."""
NAMED_ZONE = ("opacity", "nodule", "atelectasis", "cavity")
"""Findings that lie in the zone that the report names."""
ZONES = ("upper", "mid", "lower")
HIDDEN = ("both_sides", "one_side")
PASSES = ("own", "wrong", "none")


@dataclass(frozen=True, order=True)
class Region:
    """A half and a third of a frontal picture."""

    side: str
    """The patient's: right or left."""
    zone: str
    """One of ZONES."""


@dataclass(frozen=True)
class Question:
    """One region of one pair, and the pair whose report is wrong for it."""

    pair: int
    wrong: int
    region: Region


@dataclass
class RegionAnswers:
    """Errors of all questions under one way of hiding, in the same order in every field."""

    patients: list[str]
    errors: dict[str, list[float]]
    """By pass: mean squared error over the region, of pixels in 0..1."""


def regions_of(mentions: list[Mention]) -> list[Region]:
    """Regions in which a report affirms a finding: from sentences that name one side, and one zone where it is needed."""
    found: dict[Region, None] = {}
    for number in dict.fromkeys(mention.sentence for mention in mentions):
        affirmed = [mention for mention in mentions if mention.sentence == number and not mention.denied]
        sides, zones, findings = (
            list(dict.fromkeys(mention.concept for mention in affirmed if mention.kind == kind))
            for kind in ("side", "zone", "finding")
        )
        if len(sides) != 1 or sides[0] == "both":
            continue
        for finding in findings:
            zone = USUAL_ZONE.get(finding) or (zones[0] if finding in NAMED_ZONE and len(zones) == 1 else None)
            if zone:
                found[Region(sides[0], zone)] = None
    return list(found)


def region_patches(region: Region, grid: int) -> np.ndarray:
    """(grid, grid) bool, the patches of a region; a middle column of an odd grid belongs to neither side."""
    third = ZONES.index(region.zone)
    rows = slice(round(third * grid / 3), round((third + 1) * grid / 3))
    columns = slice(0, grid // 2) if region.side == "right" else slice(grid - grid // 2, grid)
    patches = np.zeros((grid, grid), bool)
    patches[rows, columns] = True
    return patches


def questions(pairs: list[ProbedPair]) -> tuple[list[Question], int]:
    """All regions of frontal pairs with a wrong report for each, and how many regions have none.

    A wrong report is one of another patient that affirms a finding in some region, but none in this one; one of the same
    source before one of another, and then the next in the order of the keys' hashes.
    """
    regions = [[] if pair.view == "LATERAL" else regions_of(pair.report.mentions) for pair in pairs]
    order = sorted((number for number in range(len(pairs)) if regions[number]), key=lambda n: (pairs[n].identity, n))
    asked, without = [], 0
    for place, number in enumerate(order):
        others = order[place + 1 :] + order[:place]
        for region in regions[number]:
            wrong = _first_wrong(pairs, regions, number, region, others)
            if wrong is None:
                without += 1
            else:
                asked.append(Question(number, wrong, region))
    return asked, without


def _first_wrong(
    pairs: list[ProbedPair], regions: list[list[Region]], number: int, region: Region, others: list[int]
) -> int | None:
    own = pairs[number]
    fits = (n for n in others if pairs[n].patient != own.patient and region not in regions[n])
    elsewhere = None
    for n in fits:
        if pairs[n].source == own.source:
            return n
        elsewhere = n if elsewhere is None else elsewhere
    return elsewhere


def ask_regions(
    exported: Exported, pairs: list[ProbedPair], asked: list[Question], batch_size: int
) -> dict[str, RegionAnswers]:
    """Regenerate every region under each way of HIDDEN with each report of PASSES."""
    shape = exported.model.shape
    grid = shape.image_size // shape.patch_size
    answers = {name: RegionAnswers([pairs[one.pair].patient for one in asked], {}) for name in HIDDEN}
    for hiding, found in answers.items():
        for name in PASSES:
            found.errors[name] = []
            for batch in batches_of(iter(asked), batch_size):
                found.errors[name] += list(_errors(exported, pairs, batch, grid, hiding, name))
    return answers


@torch.inference_mode()
def _errors(
    exported: Exported, pairs: list[ProbedPair], batch: list[Question], grid: int, hiding: str, name: str
) -> Iterator[float]:
    model, size = exported.model, exported.model.shape.patch_size
    examples, scored = [], []
    for one in batch:
        region = region_patches(one.region, grid)
        hidden = region | region[:, ::-1] if hiding == "both_sides" else region
        teller = {"own": one.pair, "wrong": one.wrong, "none": None}[name]
        tokens = None if teller is None else pairs[teller].report.tokens
        examples.append(plain_example(pairs[one.pair].image, tokens, size, hidden))
        scored.append(np.flatnonzero(region))
    states, packed = run_model(exported, examples)
    for number, (one, patches) in enumerate(zip(batch, scored, strict=True)):
        rows = packed.image_rows_I[number] + 1 + torch.from_numpy(patches).to(states.device)
        predicted = denormalise_pixels(model.regenerate(states, rows[:, None], 1)).cpu().numpy()
        truth = to_patches(pairs[one.pair].image, size)[patches] / np.float32(255)
        yield float(np.mean((predicted.astype(np.float64) - truth) ** 2))
