"""Every script of docs/examples runs on an exported model, and refuses what it cannot use in one line."""

import json
import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import cxrpt
from cxrpt.export.package import write_checksums

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs" / "examples"
COVERED = {"embed", "retrieve", "regenerate", "fine_tune"}
SIDES = ("left", "right")


@pytest.fixture(scope="module")
def model(runs):
    """The export of a short run with the contrast."""
    words = ("objective.itc_weight=1", "objective.split_pairs=0.5", "train.steps=4", "train.checkpoint_every=4")
    runs.finish("examples", *words, ranks=1)
    out = runs.root / "chest-model"
    command = [sys.executable, "-m", "launch.cli", "export", str(runs.folder("examples")), "--out", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="module")
def headless(model):
    """The same model as if it had been trained without the contrast."""
    out = model.with_name("headless-model")
    shutil.copytree(model, out)
    weights = {name: tensor for name, tensor in load_file(out / "weights.safetensors").items() if "_projection" not in name}
    save_file({name: tensor for name, tensor in weights.items() if "sharpness" not in name}, out / "weights.safetensors")
    about = json.loads((out / "model.json").read_text())
    (out / "model.json").write_text(json.dumps(about | {"shape": about["shape"] | {"contrast": False}}))
    write_checksums(out)
    return out


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """12 patients of 3 pictures each, dark or bright as the label says, with a report a picture that names a side."""
    folder = tmp_path_factory.mktemp("example-inputs")
    rng = np.random.default_rng(0)
    rows = []
    for patient in range(12):
        (folder / "pictures" / f"p{patient:02}").mkdir(parents=True)
        for number in range(3):
            right = int(rng.integers(2))
            pixels = rng.integers(0, 40, (48, 60), dtype=np.uint8) + np.uint8(120 * (patient % 2))
            cv2.circle(pixels, (20 + 20 * right, 24), 8, 250, -1)
            name = f"p{patient:02}/{number}.png"
            assert cv2.imwrite(str(folder / "pictures" / name), pixels)
            text = f"There is a bright opacity on the {SIDES[right]} side, number {number}."
            rows.append({"picture": name, "patient": f"{patient:02}", "text": text, "bright": patient % 2, "right": right})
    table = pd.DataFrame(rows)
    table[["picture", "text"]].sample(frac=1, random_state=0).to_csv(folder / "reports.csv", index=False)
    labels = table[["picture", "patient", "bright", "right"]].astype({"right": "Int64"})
    labels.loc[::7, "right"] = pd.NA
    labels.to_csv(folder / "labels.csv", index=False)
    (folder / "reports.txt").write_text("\n".join(table["text"][:5]) + "\n\n")
    return folder


def told(script, *words, cwd):
    """What a script of its own process prints."""
    command = [sys.executable, str(EXAMPLES / f"{script}.py"), *map(str, words)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.fixture
def told_here(monkeypatch, capsys, tmp_path):
    """The same in this process, which has imported torch already."""

    def tell(script, *words):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", [f"{script}.py", *map(str, words)])
        runpy.run_path(str(EXAMPLES / f"{script}.py"), run_name="__main__")
        return capsys.readouterr().out

    return tell


def test_every_script_is_covered_here_and_told_of_in_the_readme():
    scripts = {path.stem for path in EXAMPLES.glob("*.py")}
    assert scripts == COVERED, "a script without a test, or a test without its script"
    readme = (EXAMPLES / "README.md").read_text()
    for script in scripts:
        assert f"({script}.py)" in readme and f"python {script}.py " in readme, script


def test_embed(model, inputs, tmp_path, told_here):
    out = told(
        "embed", model, inputs / "pictures", "--reports", inputs / "reports.csv", "--out", tmp_path / "made", cwd=tmp_path
    )
    assert "pictures.npy: 36 rows of 32\n" in out and "reports.npy: 36 rows of 32\n" in out
    pictures, reports = (np.load(tmp_path / "made" / f"{name}.npy") for name in ("pictures", "reports"))
    assert pictures.shape == reports.shape == (36, 32) and pictures.dtype == np.float32
    names, table = (pd.read_csv(tmp_path / "made" / f"{name}.csv") for name in ("pictures", "reports"))
    loaded = cxrpt.load_pretrained(model)
    last = loaded.embed_images([inputs / "pictures" / names["picture"].iloc[-1]])[0]
    np.testing.assert_allclose(pictures[-1], last, atol=1e-5)
    np.testing.assert_allclose(reports[3], loaded.embed_texts([table["text"][3]])[0], atol=1e-5)
    told_here("embed", model, inputs / "pictures", "--reports", inputs / "reports.txt")
    assert np.load(tmp_path / "embeddings" / "reports.npy").shape == (5, 32)


@pytest.mark.parametrize("contrast", [True, False], ids=["contrast", "no contrast"])
def test_retrieve(model, headless, inputs, tmp_path, told_here, contrast):
    words = (model if contrast else headless, inputs / "pictures", inputs / "reports.csv", "--k", 3)
    out = told("retrieve", *words, cwd=tmp_path) if contrast else told_here("retrieve", *words)
    forth, back = out.split("== report to picture\n")
    assert forth.count("\n  ") == back.count("\n  ") == 36 * 3
    table, loaded = pd.read_csv(inputs / "reports.csv"), cxrpt.load_pretrained(words[0])
    assert loaded.contrastive == contrast
    names = [path.relative_to(inputs / "pictures").as_posix() for path in sorted((inputs / "pictures").rglob("*.png"))]
    sides = loaded.embed_images([inputs / "pictures" / name for name in names]), loaded.embed_texts(list(table["text"]))
    if not contrast:
        sides = tuple(one - one.mean(0) for one in sides)
        sides = tuple(one / np.linalg.norm(one, axis=1, keepdims=True) for one in sides)
    scores = sides[0] @ sides[1].T
    text_of = dict(zip(table["picture"], table["text"], strict=True))
    hits = np.array([[text_of[name] == text for text in table["text"]] for name in names])
    assert re.search(rf"^{re.escape(names[0])}\n  {scores[0].max():.3f}  row \d+: There is", forth, re.M)
    for part, title, scores_of, hits_of in (
        (forth, "picture to report", scores, hits),
        (back, "report to picture", scores.T, hits.T),
    ):
        found = re.search(rf"^{title}: R@1 (\S+), R@5 (\S+), R@10 (\S+) of 36 queries among 36 candidates$", part, re.M)
        for cut, value in zip((1, 5, 10), found.groups(), strict=True):
            best = np.max(scores_of, axis=1, where=hits_of, initial=-np.inf, keepdims=True)
            expected = (((scores_of >= best) & ~hits_of).sum(1) < cut).mean()
            # Texts that the model cannot tell apart score the same but for rounding.
            assert abs(float(value) - expected) < 0.03
    (tmp_path / "unpaired.csv").write_text("text\nNo effusion.\nAn opacity on the left.\n")
    assert "R@" not in told_here("retrieve", model, inputs / "pictures", tmp_path / "unpaired.csv")


def test_regenerate(model, inputs, tmp_path):
    words = ("--hide", 0.5, 0, 1, 0.5, "--report", "There is a bright opacity on the right side.")
    out = told("regenerate", model, inputs / "pictures" / "p01" / "0.png", *words, cwd=tmp_path)
    assert "25 % hidden" in out and "alone: mean" in out and "with the report: mean" in out
    with Image.open(tmp_path / "regenerated.png") as opened:
        sheet = np.array(opened)
    assert sheet.shape == (32, 4 * 36, 3) and sheet.dtype == np.uint8
    seen, masked, alone, with_report = (part[:, :32] for part in np.split(sheet, 4, axis=1))
    np.testing.assert_array_equal(
        seen[..., 0], cxrpt.load_pretrained(model).as_seen([inputs / "pictures" / "p01" / "0.png"])[0]
    )
    hidden = np.zeros((32, 32), bool)
    hidden[:16, 16:] = True
    for picture in (masked, alone, with_report):
        np.testing.assert_array_equal(picture[~hidden], seen[~hidden])
    assert (masked[hidden] == (51, 66, 92)).all()
    for picture in (alone, with_report):
        assert (picture[hidden] != seen[hidden]).any() and len(np.unique(picture[hidden])) > 1
    assert (alone != with_report).any()


@pytest.mark.parametrize("probe", [True, False], ids=["probe", "fine-tuned"])
def test_fine_tune(model, inputs, tmp_path, told_here, probe):
    words = (model, inputs / "labels.csv", "--pictures", inputs / "pictures", "--epochs", 4)
    out = told_here("fine_tune", *words, "--probe") if probe else told("fine_tune", *words, cwd=tmp_path)
    assert out.startswith("27 pictures trained on, 9 held out of 3 other patients\n"), "a patient's pictures stay together"
    aurocs = {name: float(value) for name, value in re.findall(r"^(\w+): AUROC (\S+) \(\d+ of \d+ positive\)$", out, re.M)}
    assert aurocs.keys() == {"bright", "right"} and all(0 <= value <= 1 for value in aurocs.values())
    assert aurocs["bright"] == 1, "what any network sees: rows and labels belong together"
    saved, loaded = torch.load(tmp_path / "classifier.pt"), cxrpt.load_pretrained(model)
    assert saved["labels"] == ["bright", "right"] and saved["weight"].shape == (2, 64) and saved["bias"].shape == (2,)
    assert ("model" in saved) == (not probe)
    if not probe:
        before = {name: value.clone() for name, value in loaded.module.state_dict().items()}
        loaded.module.load_state_dict(saved["model"])
        assert any((before[name] != value).any() for name, value in saved["model"].items() if name.startswith("transformer"))
    # As the docstring of the script says.
    pictures = [inputs / "pictures" / f"p{patient:02}" / "0.png" for patient in range(12)]
    log_odds = torch.from_numpy(loaded.image_features(pictures)) @ saved["weight"].T + saved["bias"]
    assert log_odds[1::2, 0].min() > log_odds[::2, 0].max()


@pytest.mark.parametrize(
    ("script", "words", "wanted"),
    [
        ("embed", ("{model}", "{tmp}"), "holds no .png or .jpg file"),
        ("embed", ("{model}", "{inputs}/pictures", "--reports", "{inputs}/labels.csv"), "has no column text"),
        ("embed", ("{inputs}", "{inputs}/pictures"), "holds no checksums.json"),
        ("retrieve", ("{model}", "{inputs}/pictures", "{inputs}/labels.csv"), "a column text"),
        ("retrieve", ("{model}", "{inputs}/pictures", "{inputs}/nowhere.csv"), "No such file"),
        ("regenerate", ("{model}", "{inputs}/reports.txt"), "image 0 does not decode"),
        ("regenerate", ("{model}", "{inputs}/a.png", "--hide", "1", "0", "0", "1"), "left below right"),
        ("fine_tune", ("{model}", "{inputs}/reports.csv"), "needs the columns picture and patient"),
        ("fine_tune", ("{model}", "{tmp}/uncertain.csv"), "column right holds something else than 1, 0 or nothing"),
        ("fine_tune", ("{model}", "{tmp}/one-kind.csv"), "column right has not both 1 and 0"),
    ],
)
def test_wrong_input_is_told_in_one_line(model, inputs, tmp_path, told_here, script, words, wanted):
    labels = pd.read_csv(inputs / "labels.csv")
    labels.fillna({"right": -1}).to_csv(tmp_path / "uncertain.csv", index=False)
    labels.assign(right=1).to_csv(tmp_path / "one-kind.csv", index=False)
    with pytest.raises(SystemExit) as end:
        told_here(script, *(word.format(model=model, inputs=inputs, tmp=tmp_path) for word in words))
    # Python prints a code of text to stderr and ends with 1.
    assert isinstance(end.value.code, str) and end.value.code.startswith("error: ") and "\n" not in end.value.code
    assert wanted in end.value.code
