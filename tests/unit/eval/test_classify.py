import dataclasses
import json
import shutil

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from cxrpt.checkpoint.export import load_exported
from cxrpt.config import load_config
from cxrpt.eval import classify as module
from cxrpt.eval.classify import classify, usable_classes
from cxrpt.eval.item_tables import read_table
from cxrpt.eval.samples import CannotRunError, open_split

METHODS = "linear", "pixels", "untrained", "attention", "attention_untrained", "fine_tune", "scratch", "zero_shot"


@pytest.fixture(scope="module")
def contrastive(make_run, tmp_path_factory):
    run = make_run(tmp_path_factory.mktemp("contrast") / "r", "objective.itc_weight=1", "objective.split_pairs=0.5")
    return load_config(run / "config.yaml"), load_exported(run / "checkpoints" / "step-00000010")


def opened(config):
    return {split: open_split(config, split) for split in ("train", "val", "test")}


@pytest.fixture(scope="module")
def every_method(contrastive):
    config, exported = contrastive
    asked = dataclasses.replace(
        config.eval, classifiers=["linear", "attention", "fine_tune", "zero_shot"], label_shares=[100.0, 2.0], label_draws=2,
        fine_tune_steps=30, fine_tune_lr=2e-3,
    )  # fmt: skip
    return classify(exported, opened(config), "test", asked)


def test_every_method_has_its_scores_at_each_share(every_method):
    metrics, details = every_method
    assert set(details["methods"]) == set(METHODS) and not details["not_run"] and not details["no_mean"]
    assert details["protocols"] == {"north": "not recorded", "south": "not recorded"}
    assert details["headline"] == {"method": "linear", "share": "100"} and details["train_images"] == 320
    for name, found in details["methods"].items():
        assert list(found["shares"]) == (["0"] if name == "zero_shot" else ["2", "100"]) and found["about"]
        for share, scores in found["shares"].items():
            assert scores["draws"] == (2 if share == "2" else 1)
            assert scores["train_images"] == {"0": 0, "2": 6, "100": 320}[share]
            assert scores["mean"]["auroc_low"] <= scores["mean"]["auroc"] <= scores["mean"]["auroc_high"]
            assert set(scores["institutions"]) == {"north", "south"} and len(scores["classes"]["right"]["roc"]["tpr"]) == 101
            assert metrics[f"classify/{name}/{share}/auprc"] == scores["mean"]["auprc"]
    gains = {name: set(details["methods"][name]["shares"]["100"]["gain"]) for name in ("linear", "attention", "fine_tune")}
    assert gains["linear"] == {"pixels", "untrained"} and gains["fine_tune"] == {"scratch"}
    headline = details["methods"]["linear"]["shares"]["100"]
    assert metrics["classify/auroc"] == headline["mean"]["auroc"]
    assert metrics["classify/auroc/right"] == headline["classes"]["right"]["auroc"]
    assert metrics["classify/south/auroc"] == headline["institutions"]["south"]["mean"]["auroc"]


def test_the_side_of_the_disc_is_learnt(every_method):
    metrics, _ = every_method
    # It shows in the pixels of any picture, and in states of the network, which was never trained.
    for name in ("pixels", "linear", "attention", "fine_tune"):
        assert metrics[f"classify/{name}/100/auroc"] > 0.95, name


def test_the_labels_of_a_share_are_all_that_a_method_sees(contrastive, monkeypatch):
    config, exported = contrastive
    seen = []

    def record(train, choose_on, features):
        seen.append((len(train), choose_on is not None and len(choose_on), features.shape))
        return module.Fitted(np.zeros((len(features), 1)), {})

    monkeypatch.setattr(module, "linear_probe", record)
    asked = dataclasses.replace(config.eval, classifiers=["linear"], untrained_baseline=False, label_shares=[10.0])
    for split, val in (("test", 40), ("val", False)):
        seen.clear()
        _, details = classify(exported, opened(config), split, asked)
        assert seen == [(32, val, (40, 64))] * 3 + [(32, val, (40, 256))] * 3, "val chooses nothing where it is scored"
        assert details["methods"]["linear"]["shares"]["10"]["mean"]["auroc"] == 0.5


def test_a_class_without_positives_in_a_draw_counts_as_chance_and_is_told(contrastive, monkeypatch):
    config, exported = contrastive
    asked = dataclasses.replace(config.eval, classifiers=["linear", "attention"], label_shares=[0.1], label_draws=1)
    _, details = classify(exported, opened(config), "test", asked)
    for name in ("linear", "attention"):
        scores = details["methods"][name]["shares"]["0.1"]
        assert scores["train_images"] == 1 and scores["chance"] == {"right": 1} and scores["mean"]["auroc"] == 0.5
        assert scores["mean"]["auprc"] == pytest.approx(scores["classes"]["right"]["positives"] / 40)


@pytest.fixture
def clashing(contrastive, shards, tmp_path):
    """North and south as one published data set, once by its official lists and once by others."""
    config, exported = contrastive
    for name, split_by in (("north", "official lists"), ("south", "lists of --split-lists")):
        shutil.copytree(shards / name, tmp_path / name)
        for path in (tmp_path / name).glob("*/manifest.json"):
            fields = json.loads(path.read_text())
            fields["settings"] = {"source": "nih14", "split": [0.7, 0.1, 0.2], "split_by": split_by}
            path.write_text(json.dumps(fields))
    paths = [f"data.sources.{name}.path={tmp_path / name}" for name in ("north", "south")]
    return load_config(None, ["name=t", *paths]), exported, config.eval


def test_two_splits_of_one_data_set_have_no_common_mean(clashing, monkeypatch, tmp_path):
    run, exported, config = clashing
    asked = dataclasses.replace(config, classifiers=["linear"], label_shares=[100.0], untrained_baseline=False)
    trained_on = []
    linear_probe = module.linear_probe
    monkeypatch.setattr(
        module, "linear_probe", lambda train, *rest: trained_on.append(len(train)) or linear_probe(train, *rest)
    )
    metrics, details = classify(exported, opened(run), "test", asked, tmp_path / "tables")
    assert trained_on == [160] * 4, "each source is fitted on its own images"
    assert details["no_mean"].startswith("one data set under different splits (north: official lists")
    scores = details["methods"]["pixels"]["shares"]["100"]
    assert scores["mean"] == {} and scores["classes"] == {} and set(scores["institutions"]) == {"north", "south"}
    assert scores["institutions"]["south"]["mean"]["auroc"] > 0.95 and scores["train_images"] == 320
    assert set(metrics) == {"classify/north/auroc", "classify/south/auroc"}
    table = read_table(tmp_path / "tables", "classify").query("method == 'pixels'")
    assert table["image"].tolist() == list(range(40)), "images are numbered over all sources"
    assert table["patient"].nunique() == 40 and table["source"].tolist() == ["north"] * 20 + ["south"] * 20


def test_prompts_need_no_label_in_train(contrastive):
    config, exported = contrastive
    folders = opened(config) | {"train": []}
    _, details = classify(exported, folders, "test", dataclasses.replace(config.eval, classifiers=["linear", "zero_shot"]))
    assert list(details["methods"]) == ["zero_shot"] and details["not_run"] == {"linear": "no labels in train"}
    assert details["headline"] == {"method": "zero_shot", "share": "0"}


def test_prompts_need_the_contrast(exported, contrastive):
    config, _ = contrastive
    with pytest.raises(CannotRunError, match="without the contrast"):
        classify(exported, opened(config), "test", dataclasses.replace(config.eval, classifiers=["zero_shot"]))


def test_prompts_are_scored_by_the_vectors_of_the_images(every_method, contrastive):
    config, exported = contrastive
    images = module.image_features(exported, opened(config)["test"][:2], 1000, 16)
    scores = module.zero_shot(exported, ["right"], images.features["vectors"])[:, 0]
    expected = roc_auc_score([labels["right"] for labels in images.labels], scores)
    assert every_method[0]["classify/zero_shot/0/auroc"] == pytest.approx(expected)


def test_classes_with_too_few_are_named():
    train = [{"a": 1, "b": 1, "c": n % 2} for n in range(20)]
    test = [{"a": n % 2, "b": n % 2, "c": n % 2 if n < 12 else -1} for n in range(20)]
    train[:8] = [{"a": 0, "b": 0 if n < 4 else -1, "c": n % 2} for n in range(8)]
    usable, left_out = usable_classes(train, test)
    assert usable == ["a", "c"] and left_out == {"b": "12 positives and 4 negatives in train, 5 of each are needed"}
    usable, left_out = usable_classes(train, [{"a": 1, "d": 0}] * 9)
    assert usable == [] and "9 positives and 0 negatives in the scored split" in left_out["a"]
    assert set(left_out) == {"a", "b", "c", "d"}
    assert usable_classes([], test, uses_train=False)[0] == ["a", "b", "c"]
