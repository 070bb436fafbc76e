"""The grounding probes on models that are trained here: with the pairs as they are, and with pictures of other studies."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cxrpt.checkpoint.export import Exported
from cxrpt.config import load_config
from cxrpt.data.batch import pack
from cxrpt.data.example import ExampleMaker
from cxrpt.data.sample import Kind, SampleMeta
from cxrpt.data.text import Tokenizer
from cxrpt.eval.grounding import grounding
from cxrpt.eval.region_probe import ZONES, Region, region_patches
from cxrpt.eval.report import summary_rows
from cxrpt.eval.samples import CannotRunError, choose, open_split, read
from cxrpt.model.pretrain import PretrainModel, model_shape
from data_prep.train_tokenizer import train_tokenizer
from tests.made_shards import make_shards

STEPS = 700
_PHRASES = ("Opacity in the {side} {zone} zone.", "The {side} {zone} zone shows an opacity.", "Opacity, {side} {zone} lung.")
_OTHERS = (" No pneumothorax.", " No effusion.", "", "")


def opacity_somewhere(key, institution, size, rng):
    """An opacity in one of six places, named once or twice, so that a side can often be told from the text."""
    zone, is_left = int(rng.integers(3)), int(rng.integers(2))
    image = rng.integers(30, 50, (size, size), dtype=np.uint8)
    # Where the probe looks for it: the patient's left is the right half of the picture.
    region = region_patches(Region("left" if is_left else "right", ZONES[zone]), 4)
    image += np.kron(region, np.full((size // 4, size // 4), 150)).astype(np.uint8)
    side = "left" if is_left else "right"
    text = _PHRASES[rng.integers(3)].format(side=side, zone=ZONES[zone]) + _OTHERS[rng.integers(4)]
    if rng.random() < 0.5:
        text += f" Impression: {side} {ZONES[zone]} opacity."
    return image, text, SampleMeta(institution, key[:16], key[:12], "PA", {"FINDINGS": (0, len(text))})


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    root = tmp_path_factory.mktemp("grounding")
    make_shards(root, "north", Kind.PAIR, 640, size=32, study=opacity_somewhere)
    train_tokenizer([root / "north"], root / "tok.model", vocab_size=420)
    return load_config(
        None,
        [
            "name=grounding", f"data.sources.north.path={root / 'north'}", f"data.tokenizer={root / 'tok.model'}",
            "data.image_size=32", "data.max_text_tokens=48", "data.augment=false", "model.size=tiny", "model.width=64",
            "model.depth=2", "model.heads=4", "model.patch_size=8", "objective.mlm_ratio=0.4", "objective.mvm_ratio=0.4",
            "objective.mvm_scales=[1]", "objective.mvm_scale_weights=[1.0]",
        ],
    )  # fmt: skip


def train(config, steps, seed=0, shuffled=False, batch=32):
    """A model trained by the real way from a sample to a loss; `shuffled` shows every report beside any picture."""
    tokenizer = Tokenizer.load(Path(config.data.tokenizer))
    shape = model_shape(config.model, config.data, config.objective, tokenizer.vocab_size)
    maker = ExampleMaker(config.data, config.objective, shape.patch_size, tokenizer, seed)
    raws = [raw for _, raw in read(choose(open_split(config, "train"), (Kind.PAIR,), 10_000), Counter())]
    decoded = [maker.decode(raw, 0, 0) for raw in raws]
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    model = PretrainModel(shape)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01, betas=(0.9, 0.98))
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * min(1, (step + 1) / 50, 4 * (1 - step / steps) + 0.02)
        chosen = rng.integers(len(decoded), size=batch)
        # A fixed shuffle of a few hundred pairs would leave chance links to be learned.
        seen = rng.integers(len(decoded), size=batch) if shuffled else chosen
        mixed = [replace(decoded[t], patches=decoded[p].patches, epoch=step) for t, p in zip(chosen, seen, strict=True)]
        examples = [maker.mask(one) for one in mixed]
        losses = model(pack(examples, shape.image_size // shape.patch_size, shape.patch_size, shape.scales, 1))
        loss = losses.mlm.total / losses.mlm.count + losses.mvm[1].total / losses.mvm[1].count
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return Exported(model.eval(), tokenizer, tuple(config.data.sections), steps)


@pytest.fixture(scope="module")
def probe(config):
    folders = {split: open_split(config, split) for split in ("train", "test")}
    return lambda exported: grounding(exported, folders, "test", config.eval, config.objective)


def test_a_model_that_joined_picture_and_report_shows_a_margin(config, probe):
    metrics, details = probe(train(config, STEPS))
    words, regions = details["words"], details["regions"]
    for kind, least in (("side", 0.25), ("zone", 0.35)):
        margin = words[kind]["gain_over_swapped"]
        assert words[kind]["right"]["own"] > 0.9 > words[kind]["unigram"]["accuracy"] + 0.2
        assert margin["low"] > least and words[kind]["nats_gain_over_swapped"]["low"] > 0.5
        assert words[kind]["gain_over_none"]["low"] > 0.1
        assert metrics[f"grounding/words/{kind}/gain_over_swapped"] == margin["value"]
        assert words[kind]["right"]["own"] - words[kind]["right"]["swapped"] == pytest.approx(margin["value"])
    # Every report speaks of an opacity: the text alone tells the word.
    assert words["finding"]["right"]["swapped"] > 0.9 and abs(words["finding"]["gain_over_swapped"]["value"]) < 0.05
    # Which finding is denied, no picture shows.
    assert abs(words["finding_denied"]["gain_over_swapped"]["value"]) < 0.2
    assert regions["regions"] == 80
    for hiding in ("both_sides", "one_side"):
        assert regions[hiding]["gain_over_wrong"]["low"] > 0.5 and regions[hiding]["gain_over_none"]["low"] > 0.5
    masked = details["masked_words"]["north"]
    assert masked["gain_over_unigram"]["low"] > 0.3 and masked["texts"] == 80


@pytest.mark.long
def test_a_model_of_shuffled_pairs_shows_none(config, probe):
    metrics, details = probe(train(config, STEPS, shuffled=True))
    for kind in ("side", "zone"):
        assert abs(metrics[f"grounding/words/{kind}/gain_over_swapped"]) < 0.15
        assert abs(metrics[f"grounding/words/{kind}/nats_gain_over_swapped"]) < 0.15
        assert details["words"][kind]["right"]["own"] < 0.7
    assert abs(metrics["grounding/regions/gain_over_wrong"]) < 0.3
    # It knows its texts all the same.
    assert details["masked_words"]["north"]["gain_over_unigram"]["low"] > 0.3


def test_what_cannot_be_probed_says_why(config, probe):
    tokenizer = Tokenizer.load(Path(config.data.tokenizer))
    exported = Exported(
        PretrainModel(model_shape(config.model, config.data, config.objective, tokenizer.vocab_size)).eval(), tokenizer, (), 0
    )
    folders = {split: open_split(config, split) for split in ("train", "test")}
    no_words = replace(config.objective, mlm_weight=0.0)
    found, details = grounding(exported, folders, "test", config.eval, no_words)
    assert "mlm_weight" in details["words"]["skipped"] and {name.split("/")[1] for name in found} == {"regions"}
    assert summary_rows({"details": {"grounding": details}, "metrics": found})[0].remark == details["words"]["skipped"]
    no_pixels = replace(config.objective, mvm_weight=0.0)
    found, details = grounding(exported, folders, "test", config.eval, no_pixels)
    assert "mvm_weight" in details["regions"]["skipped"] and "grounding/words/side/accuracy_own" in found
    with pytest.raises(CannotRunError, match=r"mlm_weight=0.*mvm_weight=0"):
        grounding(exported, folders, "test", config.eval, replace(no_words, mvm_weight=0.0))
    with pytest.raises(CannotRunError, match=r"no pairs .* in test"):
        grounding(exported, folders | {"test": []}, "test", config.eval, config.objective)
