import dataclasses

import numpy as np
import pytest

from cxrpt.eval.pixel_scores import psnr
from cxrpt.eval.probed_pairs import ProbedPair, ReportTokens, swap_partners
from cxrpt.eval.region_probe import Region, ask_regions, questions, region_patches, regions_of
from cxrpt.eval.report_words import mentions


def pair(patient, identity, text="", view="PA", source="a", image=None, tokens=()):
    report = ReportTokens(np.array(tokens, np.int32), np.empty((0, 2), np.int64), np.empty(0), np.empty(0), mentions(text))
    return ProbedPair(source, patient, identity, view, image, report)


@pytest.mark.parametrize(
    ("text", "regions"),
    [
        ("Small left effusion.", [("left", "lower")]),
        ("Right apical pneumothorax, and a nodule in the left mid zone.", []),
        ("Right apical pneumothorax. A nodule in the left mid zone.", [("right", "upper"), ("left", "mid")]),
        ("RUL opacity and right effusion.", [("right", "upper"), ("right", "lower")]),
        ("Right opacity.", []),
        ("No left effusion. Bilateral effusions. Left cardiomegaly.", []),
        ("Left lower opacity. Left effusion.", [("left", "lower")]),
    ],
)
def test_regions_of_sentences(text, regions):
    assert [(one.side, one.zone) for one in regions_of(mentions(text))] == regions


def test_the_right_of_the_patient_is_the_left_of_the_picture():
    upper_right = region_patches(Region("right", "upper"), 8)
    assert upper_right[:3, :4].all() and upper_right.sum() == 12
    lower_left = region_patches(Region("left", "lower"), 8)
    assert lower_left[5:, 4:].all() and lower_left.sum() == 12
    both = [region_patches(Region(side, zone), 7) for side in ("right", "left") for zone in ("upper", "mid", "lower")]
    assert sum(both).max() == 1 and not sum(both)[:, 3].any() and sum(both).sum() == 42


@pytest.mark.parametrize("seed", range(5))
def test_a_picture_is_swapped_with_one_of_another_patient_and_the_same_view(seed):
    rng = np.random.default_rng(seed)
    pairs = [
        pair(f"p{rng.integers(9)}", n, view=("PA", "AP", "LATERAL")[rng.integers(3)], source="ab"[rng.integers(2)])
        for n in range(40)
    ]
    partners = swap_partners(pairs)
    assert len(partners) > 20 and len(set(partners.values())) == len(partners)
    for own, other in partners.items():
        assert pairs[own].patient != pairs[other].patient and pairs[own].view == pairs[other].view
    # Whose picture it is depends on what the pairs are, not on the order in which they lie.
    turned = swap_partners(pairs[::-1])
    assert {39 - own: 39 - other for own, other in turned.items()} == partners


def test_who_cannot_be_swapped_is_left_out():
    most = [pair("p1", n) for n in range(3)] + [pair("p2", 3), pair("p3", 4)]
    assert swap_partners(most) == {}
    # Over sources, where one has too few patients.
    assert swap_partners([pair("p1", 1, source="a"), pair("p2", 2, source="b")]) == {0: 1, 1: 0}
    assert swap_partners([pair("p1", 1, view="PA"), pair("p2", 2, view="AP")]) == {}


def test_a_wrong_report_is_of_another_patient_with_a_finding_elsewhere():
    pairs = [
        pair("p1", 1, "Left effusion."), pair("p2", 2, "Left effusion. Right effusion."), pair("p1", 3, "Right effusion."),
        pair("p4", 4, "Right effusion.", source="b"), pair("p5", 5, "No effusion."), pair("p6", 6, "RUL nodule.", "LATERAL"),
    ]  # fmt: skip
    asked, without = questions(pairs)
    wrong = {(one.pair, one.region.side): one.wrong for one in asked}
    assert wrong == {(0, "left"): 3, (1, "right"): 0, (1, "left"): 2, (3, "right"): 0}
    assert without == 1, "to the right effusion of p1 everyone else has one too"
    assert questions(pairs[:1]) == ([], 1)
    asked, _ = questions([*pairs, pair("p7", 7, "Right apical pneumothorax.")])
    assert next(one.wrong for one in asked if one.pair == 0) == 6, "of the own source where there is one"


def test_regions_are_hidden_from_the_model_and_scored_alone(exported):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (64, 64)).astype(np.uint8)
    pairs = [pair("p1", 1, "Left effusion.", image=image, tokens=[7, 8, 9]),
             pair("p2", 2, "Right effusion.", image=image[::-1].copy(), tokens=[9, 11])]  # fmt: skip
    asked, _ = questions(pairs)
    found = ask_regions(exported, pairs, asked, 1)
    together = ask_regions(exported, pairs, asked, 8)
    assert found["one_side"].errors["own"] == pytest.approx(together["one_side"].errors["own"], abs=1e-6)

    def errors(changed):
        other = [dataclasses.replace(pairs[0], image=changed), pairs[1]]
        answers = ask_regions(exported, other, asked[:1], 8)
        return {name: {key: one[0] for key, one in answer.errors.items()} for name, answer in answers.items()}

    before = errors(image)
    assert before["both_sides"]["own"] != before["both_sides"]["wrong"] != before["both_sides"]["none"]
    # 4 x 4 patches: the lower left of the patient is the lower right of the picture, one row of two patches.
    mirrored, seen = image.copy(), image.copy()
    mirrored[48:, :32] = 0
    seen[:32, :32] = 0
    assert errors(mirrored)["both_sides"] == before["both_sides"]
    assert errors(mirrored)["one_side"]["own"] != before["one_side"]["own"]
    assert errors(seen)["both_sides"]["own"] != before["both_sides"]["own"]


def test_psnr_is_cut():
    np.testing.assert_allclose(psnr(np.array([0.0, 0.01, 1.0])), [60, 20, 0], atol=1e-12)
