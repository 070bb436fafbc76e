"""Samples to examples: what is drawn comes from (seed, purpose, sample, epoch) and nothing else."""

import dataclasses

import cv2
import numpy as np
import pytest

from cxrpt.config import DataConfig, ObjectiveConfig
from cxrpt.data.example import ExampleMaker
from cxrpt.data.sample import Kind, SampleMeta
from cxrpt.data.shards import BadSampleError, RawSample
from cxrpt.data.transforms import from_patches, load_square

SIDE, PATCH = 64, 8


class Letters:
    """A tokenizer of one token a letter; words begin after spaces."""

    word_start = np.arange(128) % 4 == 1
    never_masked = (0, 1, 2, 3, 4)
    mask_id = 3

    def encode(self, text):
        return np.frombuffer(text.encode(), np.uint8).astype(np.int32)


def raw(key="a" * 32, image=True, text="There is no effusion, there is no pneumothorax."):
    pixels = np.random.default_rng(len(key)).integers(0, 256, (100, 90), dtype=np.uint8)
    data = cv2.imencode(".jpg", cv2.GaussianBlur(pixels, (0, 0), 2))[1].tobytes() if image else None
    kind = Kind.PAIR if image and text else Kind.IMAGE if image else Kind.TEXT
    return RawSample(key, kind, data, text, SampleMeta("north", "study", "patient"))


def maker(seed=0, data=None, objective=None) -> ExampleMaker:
    settings = {"image_size": SIDE, "augment": False} | (data or {})
    return ExampleMaker(DataConfig(**settings), ObjectiveConfig(**(objective or {})), PATCH, Letters(), seed)


def drawn(example):
    return {
        "pixels": example.patches.tobytes(),
        "regions": example.hidden.tobytes(),
        "words": example.text.positions.tobytes() + example.text.tokens.tobytes(),
    }


def test_what_is_drawn_depends_on_seed_sample_and_epoch():
    usual = {"data": {"augment": True}}
    first = drawn(maker(**usual).make(raw(), 0, 0))
    assert first == drawn(maker(**usual).make(raw(), 2, 0)), "the number of the source says nothing"
    others = [maker(seed=1, **usual).make(raw(), 0, 0), maker(**usual).make(raw(), 0, 1)]
    for other in others:
        assert all(first[name] != again for name, again in drawn(other).items())
    renamed = drawn(maker(**usual).make(dataclasses.replace(raw(), key="b" * 32), 0, 0))
    assert all(first[name] != again for name, again in renamed.items())


def test_purposes_do_not_touch_each_other():
    """Whether one thing is drawn, and how much of it, changes nothing of the rest."""
    first = drawn(maker(data={"augment": True}).make(raw(), 0, 3))
    assert drawn(maker().make(raw(), 0, 3)) == first | {"pixels": drawn(maker().make(raw(), 0, 3))["pixels"]}
    fewer = drawn(maker(data={"augment": True}, objective={"mvm_ratio": 0.2, "split_pairs": 0.5}).make(raw(), 0, 3))
    assert (fewer["pixels"], fewer["words"]) == (first["pixels"], first["words"]) and fewer["regions"] != first["regions"]
    alone = maker(data={"augment": True}).make(raw(text=None), 0, 3)
    assert (alone.patches.tobytes(), alone.hidden.tobytes()) == (first["pixels"], first["regions"]) and alone.text is None


def test_masking_later_is_the_same():
    one = maker(objective={"split_pairs": 0.5}, data={"augment": True})
    samples = [raw(), raw(image=False), raw(text=None), raw("c" * 32)]
    later = [one.mask(sample) for sample in [one.decode(sample, 1, 7) for sample in samples]]
    for sample, example in zip(samples, later, strict=True):
        for name, value in vars(one.make(sample, 1, 7)).items():
            found = getattr(example, name)
            if name == "text" and value is not None:
                assert all(np.array_equal(getattr(found, part), getattr(value, part)) for part in vars(value))
            else:
                assert np.array_equal(found, value), name


def test_without_augmentation_the_model_sees_what_evaluation_sees():
    example = maker().make(raw(), 0, 5)
    assert np.array_equal(from_patches(example.patches, PATCH), load_square(raw().image, SIDE))


def test_what_is_contrasted_is_whole():
    one = maker(objective={"split_pairs": 0.5, "itc_weight": 1.0})
    examples = [one.make(raw(), 0, epoch) for epoch in range(20)]
    assert {example.split for example in examples} == {True, False}
    for example in examples:
        assert example.hidden.any() == (len(example.text.positions) > 0) == (not example.split)
    alone = maker(objective={"split_pairs": 0.5})
    assert all(alone.make(raw(), 0, epoch).hidden.any() for epoch in range(20)), "without the contrast all are masked"


def test_pairs_are_split_with_the_probability_asked_for():
    one = maker(objective={"split_pairs": 0.3})
    unmasked = one.decode(raw(), 0, 0)
    examples = [one.mask(dataclasses.replace(unmasked, epoch=epoch)) for epoch in range(600)]
    assert np.mean([example.split for example in examples]) == pytest.approx(0.3, abs=0.06)
    assert {example.study for example in examples} == {examples[0].study} != {0}
    assert examples[0].wording not in (0, examples[0].study)
    for sample in (raw(text=None), raw(image=False)):
        assert not any(one.make(sample, 0, epoch).split for epoch in range(20))


def test_masks_follow_the_objective():
    off = maker(objective={"mvm_weight": 0.0, "mlm_weight": 0.0}).make(raw(), 0, 0)
    assert not off.hidden.any() and len(off.text.positions) == 0
    most = maker(objective={"mvm_ratio": 0.75}).make(raw(), 0, 0)
    assert most.hidden.sum() == 48 and most.hidden.shape == (8, 8)


def test_a_sample_of_nothing_is_bad():
    for nothing in (raw(image=False, text=""), raw(image=False, text=None)):
        with pytest.raises(BadSampleError):
            maker().make(nothing, 0, 0)
    with pytest.raises(BadSampleError):
        maker().make(dataclasses.replace(raw(), image=b"torn"), 0, 0)
