import json
import os
import shutil
import socket
import subprocess
import sys
import tarfile
from collections import Counter

import numpy as np
import pytest

from cxrpt.config import load_config
from cxrpt.data.sample import Kind
from cxrpt.errors import InputError
from cxrpt.eval.claim import claimed
from cxrpt.eval.features import image_features, pair_vectors
from cxrpt.eval.report import summary_rows, summary_table
from cxrpt.eval.samples import SplitFolder, choose, open_split, read
from cxrpt.eval.worker import evaluate_step
from launch.cli import main
from tests.decoded_table import decoded

QUICK = (
    "eval.max_regenerated=4", "eval.max_biharmonic=3", "eval.mask_ratios=[0.5]", "eval.batch=16", "eval.classifiers=[linear]",
)  # fmt: skip


@pytest.fixture(scope="module")
def evaluated(make_run, tmp_path_factory):
    run = make_run(tmp_path_factory.mktemp("runs") / "r", "objective.itc_weight=1", "objective.split_pairs=0.5", *QUICK,
                   steps=(10, 20))  # fmt: skip
    return run, evaluate_step(run, None)


def test_all_tasks_of_the_newest_step(evaluated):
    run, path = evaluated
    assert path == run / "evals" / "step-00000020" / "results.json"
    results = json.loads(path.read_text())
    assert results["step"] == 20 and set(results["details"]) == {"classify", "retrieve", "regenerate", "grounding"}
    metrics, details = results["metrics"], results["details"]
    assert all(isinstance(value, float) and np.isfinite(value) for value in metrics.values())
    # The disc's side shows in the pixels of any picture.
    assert metrics["classify/pixels/100/auroc"] > 0.95 and details["classify"]["images"] == 40
    assert details["retrieve"]["pool"] == 20 and details["retrieve"]["vectors"] == "contrastive head"
    assert details["retrieve"]["sections"] == ["FINDINGS", "IMPRESSION"]
    cells = details["regenerate"]["cells"]
    assert set(cells) == {"mixed", "1x1", "2x2"} and set(details["regenerate"]["left_out"]) == {"4x4"}
    assert set(cells["2x2"]["50"]["by_scale"]) >= {"1", "2"} and details["regenerate"]["images"] == 4
    assert set(cells["mixed"]["50"]["gain_db"]) == {"mean", "telea", "biharmonic"}
    assert cells["mixed"]["50"]["biharmonic"]["model"]["images"] == 3 and cells["mixed"]["50"]["share"] == 0.5
    sides = details["grounding"]["words"]["side"]
    assert sides["places"] == details["grounding"]["pairs"] == 20 and metrics["grounding/words/side/unigram"] >= 0.3
    assert metrics["grounding/words/side/gain_over_swapped"] == sides["right"]["own"] - sides["right"]["swapped"]
    assert set(details["grounding"]["masked_words"]) == {"north", "west"}
    assert "puts a finding on one side" in details["grounding"]["regions"]["skipped"], "no report names a zone"
    picture = (path.parent / "figures" / cells["mixed"]["50"]["figure"]).read_bytes()
    assert picture.startswith(b"\x89PNG") and not (path.parent / "claim").exists()


def test_results_name_no_one(evaluated, shards):
    _, path = evaluated
    files = [file for file in path.parent.rglob("*") if file.is_file()]
    assert {"results.json", "report.html", "classify.parquet", "retrieve.parquet"} <= {file.name for file in files}
    written = b"".join(decoded(file) for file in files)
    for tar in shards.glob("*/test/*.tar"):
        with tarfile.open(tar) as opened:
            # Study and patient pseudonyms begin as the key does.
            assert not [name for name in opened.getnames() if name[:12].encode() in written]


def test_written_once_unless_forced(evaluated):
    run, path = evaluated
    stamp = path.stat().st_mtime_ns
    assert evaluate_step(run, 20) == path and path.stat().st_mtime_ns == stamp
    first = json.loads(path.read_text())
    evaluate_step(run, 20, force=True)
    assert path.stat().st_mtime_ns > stamp
    again = json.loads(path.read_text())
    assert again["metrics"] == first["metrics"]


def test_summary_has_each_score_beside_its_baseline(evaluated):
    results = json.loads(evaluated[1].read_text())
    rows = summary_rows(results)
    named = {row.measure: row for row in rows}
    row, methods = named["mean AUROC, linear, 100 % of labels"], results["details"]["classify"]["methods"]
    assert row.score.startswith(f"{results['metrics']['classify/auroc']:.3f} [") and "320 images" in row.remark
    untrained = methods["untrained"]["shares"]["100"]
    assert f"{untrained['mean']['auroc']:.3f} untrained" in row.baseline and "pixels" in row.baseline
    assert "mean of 3 draws" in named["mean AUROC, linear, 10 % of labels"].remark
    south = named["mean AUROC, linear, 100 % of labels, south"]
    assert f"{untrained['institutions']['south']['mean']['auroc']:.3f} untrained" in south.baseline
    assert "of 40 positive, AUPRC" in named["AUROC right"].remark
    assert named["image to text, R@5"].baseline == f"{results['metrics']['retrieve/chance/r5']:.3f} chance"
    assert named["pool"].score == "20 pairs" and "same text is a hit" in named["pool"].remark
    assert "of 20, 2 sets of findings" in named["text to image, P@5 by label"].remark
    hidden, gain = named["mixed, 50 % hidden"], results["metrics"]["regenerate/mixed/50/gain_db_telea"]
    assert f"{results['metrics']['regenerate/mixed/50/psnr_telea']:.2f} telea" in hidden.baseline
    assert hidden.remark.startswith(f"{gain:+.2f} [") and "4x4, left out" in named
    assert named["pictures"].score == "4" and "on 3 pictures" in named["pictures"].remark
    assert summary_table(results).row_count == len(rows)


def test_what_cannot_run_says_why_and_stops_nothing(make_run, tmp_path, shards):
    south = {"data.sources.north.weight=0", "data.sources.west.weight=0", "objective.normalize_targets=true"}
    results = json.loads(evaluate_step(make_run(tmp_path / "r", *south, *QUICK), None).read_text())
    assert "0 pairs" in results["details"]["retrieve"]["skipped"]
    assert "normalize_targets" in results["details"]["regenerate"]["skipped"]
    assert "no pairs of image and text" in results["details"]["grounding"]["skipped"]
    assert results["metrics"]["classify/pixels/100/auroc"] > 0.95
    reasons = [row.remark for row in summary_rows(results) if row.measure == "not run"]
    assert len(reasons) == 3

    west = {"data.sources.north.weight=0", "data.sources.south.weight=0"}
    results = json.loads(evaluate_step(make_run(tmp_path / "texts", *west, *QUICK), None).read_text())
    # Of texts alone only the words that are hidden as in training can be asked for.
    assert {name.rpartition("/")[0] for name in results["metrics"]} == {"grounding/masked_words/west"}
    assert all("skipped" in one for task, one in results["details"].items() if task != "grounding")
    assert [row.measure for row in summary_rows(results)][-3:] == ["hidden words", "hidden regions", "masked words, west"]


def test_without_contrast_the_results_say_so(make_run, tmp_path):
    run = make_run(tmp_path / "r", "eval.tasks=[retrieve]", *QUICK)
    moved = tmp_path / "elsewhere" / "renamed"
    moved.parent.mkdir()
    run.rename(moved)
    path = evaluate_step(moved, None, split="val")
    assert path == moved / "evals" / "step-00000010" / "results-val.json"
    assert "no contrastive head" in json.loads(path.read_text())["details"]["retrieve"]["vectors"]


def test_refusals_are_one_clear_line(evaluated, tmp_path, make_run):
    with pytest.raises(InputError, match="step 15 has no committed checkpoint: the nearest is 10; committed are 10, 20"):
        evaluate_step(evaluated[0], 15)
    with pytest.raises(InputError, match=r"no run directory"):
        evaluate_step(tmp_path, None)
    with pytest.raises(InputError, match="no committed checkpoint yet"):
        evaluate_step(make_run(tmp_path / "empty", steps=()), None)
    with pytest.raises(InputError, match="split 'train'"):
        evaluate_step(evaluated[0], 20, split="train")
    with pytest.raises(InputError, match="no source has the split 'test'"):
        evaluate_step(
            make_run(tmp_path / "lost", *(f"data.sources.{n}.path=/nowhere" for n in ("north", "south", "west"))), None
        )


def test_a_live_claim_is_respected_and_a_dead_one_taken_over(evaluated):
    run, _ = evaluated
    folder = run / "evals" / "step-00000010"
    with claimed(folder), pytest.raises(InputError, match=rf"being evaluated by process {os.getpid()} "):
        evaluate_step(run, 10)
    assert not (folder / "claim").exists()
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    for dead in ({"host": socket.gethostname(), "pid": child.pid, "started": "1"},
                 {"host": socket.gethostname(), "pid": os.getpid(), "started": "1"}):  # fmt: skip
        (folder / "claim").write_text(json.dumps(dead))
        with claimed(folder):
            assert json.loads((folder / "claim").read_text())["pid"] == os.getpid()
    (folder / "claim").write_text(json.dumps({"host": "another", "pid": 1, "started": "1"}))
    with pytest.raises(InputError, match="on another"), claimed(folder):
        pass
    (folder / "claim").write_text("")
    with pytest.raises(ZeroDivisionError), claimed(folder):
        _ = 1 / 0
    assert not (folder / "claim").exists()


def test_a_checkpoint_that_goes_before_the_claim_is_seen(evaluated, monkeypatch):
    run, _ = evaluated
    monkeypatch.setattr("cxrpt.eval.worker.choose_step", lambda run_dir, step: 30)
    with pytest.raises(InputError, match="step 30 was removed just now"):
        evaluate_step(run, 30)
    assert not (run / "evals" / "step-00000030" / "claim").exists()


def test_the_choice_depends_on_keys_only(shards, exported):
    folder = SplitFolder("north", tuple(sorted((shards / "north" / "train").glob("*.tar"))))
    assert len(folder.shards) > 1

    def keys(folders, limit):
        return [raw.key for _, raw in read(choose(folders, (Kind.PAIR,), limit), Counter())]

    some = keys([folder], 30)
    turned = keys([SplitFolder("north", folder.shards[::-1])], 30)
    assert len(some) == 30 and set(some) == set(turned) and some != turned
    assert set(some) < set(keys([folder], 60)) and len(keys([folder], 1000)) == 160
    assert choose([folder], (Kind.TEXT,), 5) == []


def test_features_do_not_depend_on_the_batch(shards, exported, make_run, tmp_path):
    config = load_config(make_run(tmp_path / "r", "data.sources.south.path=" + str(shards / "north")) / "config.yaml")
    folders = open_split(config, "test")
    assert [folder.source for folder in folders] == ["north", "west"], "a folder that two sources name is read once"
    one, many = (image_features(exported, folders, 100, size) for size in (1, 16))
    np.testing.assert_allclose(one.features["model"], many.features["model"], atol=1e-5)
    assert len(one) == 20 and one.labels == many.labels and one.features["pixels"].shape == (20, 256)
    pairs, again = (pair_vectors(exported, folders, 100, size) for size in (1, 16))
    np.testing.assert_allclose(pairs.image_ID, again.image_ID, atol=1e-5)
    np.testing.assert_allclose(pairs.text_ID, again.text_ID, atol=1e-4)
    assert not pairs.contrastive and np.abs((pairs.image_ID**2).sum(1) - 1).max() < 1e-5


def test_bad_samples_are_counted_and_left_out(shards, exported, tmp_path):
    shutil.copytree(shards / "south" / "test", tmp_path / "test")
    tar = next((tmp_path / "test").glob("*.tar"))
    with tarfile.open(tar) as opened:
        image = next(member for member in opened if member.name.endswith(".jpg"))
    with tar.open("r+b") as file:
        file.seek(image.offset_data + 30)
        file.write(b"spoiled")
    found = image_features(exported, [SplitFolder("south", (tar,))], 100, 8)
    assert found.bad == {"south": 1} and len(found) == 19


def test_the_command_prints_and_ends_with_2_on_bad_input(evaluated, capsys):
    run, path = evaluated
    with pytest.raises(SystemExit) as done:
        main(["evaluate", str(run)])
    shown = capsys.readouterr().out.replace("\n", "")
    assert not done.value.code and "evaluation of step 20" in shown and str(path) in shown
    with pytest.raises(SystemExit) as done:
        main(["evaluate", str(run), "--step", "15"])
    assert done.value.code == 2 and "committed are 10, 20" in capsys.readouterr().err


def test_results_that_are_torn_or_of_another_version_are_told(evaluated, tmp_path, capsys):
    run = tmp_path / "r"
    shutil.copytree(evaluated[0], run)
    results = run / "evals" / "step-00000020" / "results.json"
    fields = json.loads(results.read_text())
    fields["details"]["classify"] = {"auroc": 0.7}
    results.write_text(json.dumps(fields))
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", str(run)])
    assert ended.value.code == 0
    told = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "classify not shown" in told and "R@5" in told
    results.write_text("")
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", str(run)])
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert "does not parse: evaluate the step again with --force" in told and len(told.splitlines()) == 1
