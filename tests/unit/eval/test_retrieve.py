import json
from collections import Counter

import numpy as np
import pytest

from cxrpt.data.sample import Kind
from cxrpt.eval.features import PairVectors
from cxrpt.eval.held_out import require_held_out
from cxrpt.eval.retrieve import finding_sets, hit_groups, score_pool
from cxrpt.eval.samples import CannotRunError, SplitFolder, choose, read
from cxrpt.eval.search import on_grid, ranks_of_hits, right_in_top
from cxrpt.eval.worker import evaluate_step

CONTRAST = ("eval.tasks=[retrieve]", "objective.itc_weight=1", "objective.split_pairs=0.5")


def made_pairs(vectors=None, **fields):
    none = np.zeros((4, 2), np.float32)
    usual = {
        "image_ID": none if vectors is None else vectors[0],
        "text_ID": none if vectors is None else vectors[1],
        "sources": ["a", "a", "b", "b"],
        "studies": ["s1", "s1", "s1", "s2"],
        "patients": ["p1", "p1", "p1", "p2"],
        "wordings": [7, 8, 9, 7],
        "places": [],
        "labels": [{"right": 1}, {"right": 1}, {"right": 0}, {"right": -1}],
        "contrastive": True,
    }
    return PairVectors(**(usual | fields))


def test_same_study_or_same_text_is_a_hit_but_not_over_institutions():
    study, wording = hit_groups(made_pairs())
    assert study[0] == study[1] != study[2] and wording[0] == wording[3] and len(set(wording)) == 3


def test_sets_of_findings():
    labels = [{"a": 1, "b": 0}, {"a": 1}, {"a": 1, "b": 1}, {"b": 1, "a": 1, "c": 0}, {"a": 0}, {"b": 0}, {}, {"a": 1, "b": -1}]
    sets = finding_sets(labels)
    assert sets[0] == sets[1] and sets[2] == sets[3] and sets[4] == sets[5] and len(set(sets)) == 4
    assert sets[6] == sets[7] == -1 and min(sets[:6]) >= 0


def test_a_pool_is_scored_and_described():
    images = np.array([[1, 0], [0.6, 0.8], [0, 1], [-1, 0]], np.float32)
    texts = np.array([[1, 0], [0, 1], [0.8, 0.6], [-1, 0]], np.float32)
    pairs = made_pairs((images, texts))
    vectors = (on_grid(images), on_grid(texts))
    # The second image is nearest to the third pair's text, the third image to the second pair's.
    groups = (np.arange(4), np.arange(4))
    pool = score_pool(pairs, vectors, groups, np.arange(4))
    found = pool["scores"]["image_to_text"]
    assert found["r1"] == 0.5 and found["r5"] == 1 and found["median_rank"] == 1.5
    assert 0 <= found["r1_low"] < 0.5 < found["r1_high"] <= 1
    assert (pool["pool"], pool["patients"], pool["labelled"], pool["finding_sets"]) == (4, 3, 3, 2)
    # Three pairs are labelled with certainty, in sets of two and one: all of them are the first five.
    assert found["p5"] == pytest.approx(5 / 9) == pool["scores"]["chance"]["p5"]
    assert pool["scores"]["chance"]["r1"] == pytest.approx(0.25)
    unlabelled = score_pool(made_pairs((images, texts), labels=[{}] * 4), vectors, groups, np.arange(4))
    assert unlabelled["labelled"] == 0 and "p5" not in unlabelled["scores"]["text_to_image"]


def test_directions_are_those_of_the_search():
    rng = np.random.default_rng(0)
    images, texts = (on_grid(one / np.linalg.norm(one, axis=1, keepdims=True)) for one in rng.normal(size=(2, 40, 3)))
    names, alone = [str(n) for n in range(40)], np.arange(40)
    labels = [{"a": int(n)} for n in rng.integers(0, 2, 40)]
    fields = {"sources": ["a"] * 40, "studies": names, "patients": names, "wordings": list(range(40)), "labels": labels}
    scores = score_pool(made_pairs((images, texts), **fields), (images, texts), (alone, alone), alone)["scores"]
    for direction, sides in (("image_to_text", (images, texts)), ("text_to_image", (texts, images))):
        ranks, _ = ranks_of_hits(*sides, alone, alone)
        assert scores[direction]["r10"] == (ranks <= 10).mean() and scores[direction]["median_rank"] == np.median(ranks)
        right_NK = right_in_top(*sides, finding_sets(labels))
        assert scores[direction]["p10"] == pytest.approx(right_NK.mean())
    assert scores["image_to_text"]["median_rank"] != scores["text_to_image"]["median_rank"]


def test_patients_of_training_are_refused(shards):
    def folder(split):
        return SplitFolder("north", tuple(sorted((shards / "north" / split).glob("*.tar"))))

    patients = {
        split: [raw.meta.patient for _, raw in read(choose([folder(split)], (Kind.PAIR,), 1000), Counter())]
        for split in ("train", "test")
    }
    said = require_held_out([folder("train")], ["north"] * 20, patients["test"])
    assert said.startswith("none of the 20 patients") and "all 160 samples" in said
    assert "0 of 160 samples" in require_held_out([folder("train")], ["north"] * 20, patients["test"], most=0)
    with pytest.raises(CannotRunError, match="1 of the 21 patients are in the training split too"):
        require_held_out([folder("train")], ["north"] * 21, [*patients["test"], patients["train"][-1]])
    # Another source's pseudonyms are its own.
    require_held_out([folder("train")], ["south"], patients["train"][:1])


def test_examples_show_what_was_found(make_run, tmp_path):
    path = evaluate_step(make_run(tmp_path / "r", *CONTRAST), None)
    details = json.loads(path.read_text())["details"]["retrieve"]
    examples = details["examples"]
    assert [one["query"] for one in examples] == ["image"] * 3 + ["text"] * 3
    for one in examples:
        assert (path.parent / "figures" / one["figure"]).read_bytes().startswith(b"\x89PNG")
        assert "bright opacity" in one["text"] and len(one["found"]) == 3
        scores = [found["score"] for found in one["found"]]
        assert scores == sorted(scores, reverse=True)
        hits = [place for place, found in enumerate(one["found"], 1) if found["is_hit"]]
        # The rank counts ties against the model, as the order does.
        assert (hits and hits[0] == one["rank"]) or (not hits and one["rank"] > 3)
        same = [found for found in one["found"] if found["text"] == one["text"]]
        assert all(found["is_hit"] for found in same)
    assert details["held_out"].startswith("none of the 20 patients")
    assert details["labelled"] == details["pool"] == 20 and details["finding_sets"] == 2
