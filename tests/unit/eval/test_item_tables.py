import errno
import json
import os

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from cxrpt.errors import InputError
from cxrpt.eval import classify, features, worker
from cxrpt.eval.features import ImageFeatures
from cxrpt.eval.item_tables import COLUMNS, drafted, numbered, read_table, tables_folder, write_item_table
from cxrpt.eval.labelled import Fitted
from cxrpt.eval.search import recall_by_chance
from cxrpt.eval.worker import evaluate_step
from tests.decoded_table import decoded

QUICK = (
    "objective.itc_weight=1", "objective.split_pairs=0.5", "eval.tasks=[classify,retrieve,regenerate]", "eval.batch=16",
    "eval.classifiers=[linear,zero_shot]", "eval.label_shares=[0.1,5,100]", "eval.label_draws=2", "eval.max_regenerated=6",
    "eval.max_biharmonic=3", "eval.mask_kinds=[mixed,2x2]", "eval.mask_ratios=[0.5,0.75]",
)  # fmt: skip


@pytest.fixture(scope="module")
def evaluated(make_run, tmp_path_factory):
    run = make_run(tmp_path_factory.mktemp("tables") / "r", *QUICK)
    return run, evaluate_step(run, None)


@pytest.fixture(scope="module")
def results(evaluated):
    return json.loads(evaluated[1].read_text())


def mean_auroc(table):
    """The mean over draws of the mean over classes, what could not be fitted as chance."""
    known = table[table["label"] >= 0]
    each = known.groupby(["draw", "class"], observed=True)
    of_class = each[["label", "score"]].apply(lambda one: roc_auc_score(one["label"], one["score"].fillna(0)))
    return of_class.groupby("draw").mean().mean()


def test_the_mean_auroc_of_each_method_and_share_is_in_the_table(evaluated, results):
    table = read_table(evaluated[1], "classify")
    for method, found in results["details"]["classify"]["methods"].items():
        for share, scores in found["shares"].items():
            part = table[(table["method"] == method) & (table["share"] == float(share))]
            assert part["draw"].nunique() == scores["draws"], (method, share)
            assert mean_auroc(part) == pytest.approx(scores["mean"]["auroc"], abs=1e-6), (method, share)
            for source, of_source in scores["institutions"].items():
                alone = mean_auroc(part[part["source"] == source])
                assert alone == pytest.approx(of_source["mean"]["auroc"], abs=1e-6), (method, share, source)
    # A single labelled patient teaches nothing: such scores are not there, rather than equal.
    assert table.loc[table["share"] == 0.1, "score"].isna().all() and table.loc[table["share"] != 0.1, "score"].notna().all()
    assert table.groupby("image")[["source", "patient", "label"]].nunique().eq(1).all(axis=None)
    assert set(table["image"]) == set(range(results["details"]["classify"]["images"]))
    assert table["patient"].nunique() == results["details"]["classify"]["patients"]


def test_recall_and_chance_are_in_the_table(evaluated, results):
    table, metrics = read_table(evaluated[1], "retrieve"), results["metrics"]
    for direction, part in table.groupby("direction", observed=True):
        assert (part["rank"] <= 5).mean() == pytest.approx(metrics[f"retrieve/{direction}/r5"])
        assert part["rank"].median() == metrics[f"retrieve/{direction}/median_rank"]
        assert recall_by_chance(part["hits"].to_numpy())["r5"] == pytest.approx(metrics["retrieve/chance/r5"])
        assert sorted(part["pair"]) == list(range(20)) and part["hits"].min() >= 1
    assert set(table["direction"]) == {"image_to_text", "text_to_image"}
    # Both directions have ranks of their own.
    ranks = table.pivot(index="pair", columns="direction", values="rank")
    assert (ranks["image_to_text"] != ranks["text_to_image"]).any()


def test_the_means_of_every_cell_and_method_are_in_the_table(evaluated, results):
    table, cells = read_table(evaluated[1], "regenerate"), results["details"]["regenerate"]["cells"]
    groups = dict(list(table.groupby(["kind", "percent", "method"], observed=True)))
    assert {(kind, f"{percent:g}") for kind, percent, _ in groups} == {(k, p) for k, of in cells.items() for p in of}
    for (kind, percent, method), part in groups.items():
        found = cells[kind][f"{percent:g}"]["methods"][method]
        assert len(part) == found["images"] and part["image"].is_unique
        for measure in ("psnr", "ssim", "mae"):
            assert part[measure].mean() == pytest.approx(found[measure], rel=1e-5), (kind, percent, method, measure)
    gain = groups["mixed", 50, "model"].set_index("image")["psnr"] - groups["mixed", 50, "telea"].set_index("image")["psnr"]
    assert gain.mean() == pytest.approx(cells["mixed"]["50"]["gain_db"]["telea"]["mean"], abs=1e-5)
    assert len(groups["mixed", 50, "biharmonic"]) == 3 < len(groups["mixed", 50, "model"]) == 6


def test_types_are_what_was_promised(evaluated):
    for task, schema in COLUMNS.items():
        table = read_table(evaluated[1], task)
        assert list(table) == schema.names and len(table)
        words = {"source", "class", "method", "direction", "kind"} & set(table)
        assert all(isinstance(table[name].dtype, pd.CategoricalDtype) for name in words)
        assert {table[name].dtype.kind for name in set(table) - words} <= {"i", "f"}
    table = read_table(evaluated[1], "classify")
    assert [str(table[name].dtype) for name in ("image", "label", "share", "draw", "score")] == [
        "int32", "int8", "float32", "int16", "float32",
    ]  # fmt: skip


def test_forced_again_the_tables_are_the_same_and_none_is_left_of_before(evaluated):
    run, path = evaluated
    before = {task: read_table(path, task) for task in COLUMNS}
    folder = tables_folder(path)
    assert folder == path.parent / "tables" and not list(path.parent.glob(".*"))
    (folder / "grounding.parquet").write_bytes(b"of an earlier evaluation")
    evaluate_step(run, None, force=True)
    assert sorted(file.name for file in folder.iterdir()) == [f"{task}.parquet" for task in sorted(COLUMNS)]
    for task, table in before.items():
        pd.testing.assert_frame_equal(read_table(path, task), table)


@pytest.fixture(scope="module")
def quick(make_run, tmp_path_factory):
    """An evaluation of val, which is not the run's own split; one of its tasks cannot run."""
    words = ("eval.tasks=[retrieve,regenerate]", "objective.normalize_targets=true")
    run = make_run(tmp_path_factory.mktemp("quick") / "r", *words)
    return run, evaluate_step(run, None, split="val")


def test_a_skipped_task_has_no_table(quick):
    path = quick[1]
    assert "skipped" in json.loads(path.read_text())["details"]["regenerate"]
    assert [file.name for file in (path.parent / "tables-val").iterdir()] == ["retrieve.parquet"]
    assert len(read_table(path, "retrieve")) == len(read_table(path.parent / "tables-val", "retrieve")) == 40
    with pytest.raises(InputError, match=r"no .*tables-val/regenerate\.parquet: the task was skipped"):
        read_table(path, "regenerate")


def test_a_disk_that_is_full_ends_the_evaluation_and_leaves_the_old_one_whole(quick, monkeypatch):
    run, path = quick
    stamps = {file: file.stat().st_mtime_ns for file in [path, *tables_folder(path).iterdir()]}

    def full(number):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("cxrpt.eval.item_tables.os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        evaluate_step(run, None, split="val", force=True)
    assert {file: file.stat().st_mtime_ns for file in [path, *tables_folder(path).iterdir()]} == stamps
    assert not list(path.parent.glob(".*"))


def test_tables_stand_before_the_results_do(quick, monkeypatch):
    run, path = quick
    seen = []
    write = worker.replace_text

    def look(results, text):
        seen.append(sorted(file.name for file in tables_folder(results).iterdir()))
        write(results, text)

    monkeypatch.setattr(worker, "replace_text", look)
    (tables_folder(path) / "retrieve.parquet").unlink()
    evaluate_step(run, None, split="val", force=True)
    assert seen == [["retrieve.parquet"]]


def test_pairs_keep_their_numbers_where_a_model_reads_other_texts(quick, monkeypatch):
    run, path = quick
    before = read_table(path, "retrieve")
    text_tokens = features.text_tokens
    left = iter([True, True, False])
    monkeypatch.setattr(features, "text_tokens", lambda *raw: text_tokens(*raw) if next(left, True) else [])
    evaluate_step(run, None, split="val", force=True)
    after = read_table(path, "retrieve")
    assert len(after) == len(before) - 2 and set(before["pair"]) - set(after["pair"]) == {2}


def test_what_a_killed_process_left_is_not_taken(tmp_path):
    left = tmp_path / ".tables.0123456789abcdef.tmp"
    left.mkdir()
    (left / "classify.parquet").write_bytes(b"torn")
    with drafted(tmp_path / "tables") as draft:
        assert not left.exists() and not draft.exists()
        write_item_table(draft, "retrieve", [])
    assert [file.name for file in (tmp_path / "tables").iterdir()] == ["retrieve.parquet"]
    with drafted(tmp_path / "tables"):
        pass
    assert not (tmp_path / "tables").exists(), "nothing was scored"


def test_blocks_with_other_words_are_one_table(tmp_path):
    same = {"patient": [0, 1], "direction": "image_to_text", "rank": np.array([3, 1]), "hits": 1}
    blocks = [{"pair": [0, 2], "source": ["b", "a"]} | same, {"pair": [5, 4], "source": ["c", "b"]} | same]
    table = read_table(write_item_table(tmp_path, "retrieve", blocks).parent, "retrieve")
    assert table["source"].tolist() == ["b", "a", "c", "b"] and table["pair"].tolist() == [0, 2, 5, 4]
    assert table["rank"].tolist() == [3, 1, 3, 1] and table["hits"].eq(1).all()
    with pytest.raises(AssertionError, match="rank"):
        write_item_table(tmp_path, "retrieve", [{name: value for name, value in blocks[0].items() if name != "rank"}])


def test_rows_are_those_of_their_image_and_class(tmp_path):
    labels = [{"b": 1, "a": 0}, {"a": 1}, {"a": 0, "b": -1}]
    images = ImageFeatures({}, ["north", "south", "north"], ["p", "p", "p"], labels)
    part = classify.Part("north", images, None, images.of_sources(["north"]), ["a", "b"], {})
    fits = {5.0: {"linear": [(Fitted(np.array([[1, 2], [3, np.nan]]), {}), 7), (Fitted(np.zeros((2, 2)), {}), 7)]}}
    write_item_table(tmp_path, "classify", classify._item_blocks(images, part, fits))
    table = read_table(tmp_path, "classify")
    first = table[table["draw"] == 0].set_index(["image", "class"])
    assert first.index.tolist() == [(0, "a"), (0, "b"), (2, "a"), (2, "b")] and len(table) == 8
    assert first["label"].tolist() == [0, 1, 0, -1] and first["score"].fillna(-9).tolist() == [1, 2, 3, -9]
    assert set(table["patient"]) == {0} and set(table["source"]) == {"north"} and set(table["share"]) == {5}
    south = classify.Part("south", images, None, images.of_sources(["south"]), ["a"], {})
    (block,) = classify._item_blocks(images, south, {0.0: {"zero_shot": [(Fitted(np.ones((1, 1)), {}), 0)]}})
    assert block["image"].tolist() == [1] and block["patient"].tolist() == [1], "another source's p is another patient"


def test_numbers_tell_nothing_but_who_is_the_same():
    assert numbered([("b", "p9"), ("a", "p1"), ("b", "p9"), ("b", "p1")]).tolist() == [0, 1, 0, 2]
    assert numbered([]).dtype == np.int32


def test_a_table_that_is_torn_is_told(tmp_path):
    (tmp_path / "classify.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(InputError, match="cannot be read"):
        read_table(tmp_path, "classify")


def test_the_search_for_names_sees_through_the_compression(evaluated):
    path = tables_folder(evaluated[1]) / "classify.parquet"
    content = decoded(path)
    assert all(word in content for word in (b"north", b"south", b"right", b"zero_shot"))
    assert content.count(b"zero_shot") > path.read_bytes().count(b"zero_shot")
