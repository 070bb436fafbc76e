"""A run of two gloo ranks, exported when its shards are gone: what the card tells is what happened."""

import shutil
import subprocess
import sys

import numpy as np
import torch

import cxrpt
from cxrpt.checkpoint.export import load_exported
from cxrpt.checkpoint.state import RunState
from cxrpt.track.journal import read_journal

from ..small_runs import ROOT, Runs


def cxrpt_command(*words, code=0):
    done = subprocess.run(
        [sys.executable, "-m", "launch.cli", *map(str, words)], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == code, done.stderr[-3000:]
    return done.stdout + done.stderr


def test_a_trained_run_is_exported_without_its_shards(tmp_path):
    words = ("engine.precision=bf16", "data.sources.south.use=images", "train.log_every=2", "train.checkpoint_every=3")
    Runs(tmp_path).finish("r", *words, "train.steps=6")
    for name in ("north", "south", "west", "tok.model", "tok.model.json"):
        path = tmp_path / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    run, out = tmp_path / "runs" / "r", tmp_path / "model"
    assert "step 6" in cxrpt_command("export", run, "--out", out, "--dtype", "fp32")

    folder = run / "checkpoints" / "step-00000006"
    given, model = load_exported(folder), cxrpt.load_pretrained(out)
    for (name, before), after in zip(given.model.state_dict().items(), model.exported.model.state_dict().values(), strict=True):
        assert torch.equal(before, after), name
    pictures = list(np.random.default_rng(0).integers(0, 256, (3, 40, 50), dtype=np.uint8))
    texts = ["There is a bright opacity.", "Nothing on the left side.", "As before."]
    for found in (model.embed_images(pictures), model.embed_texts(texts), model.embed_pairs(pictures, texts)):
        assert found.shape == (3, 32) and np.isfinite(found).all()

    card, state = (out / "README.md").read_text(), RunState.read(folder)
    epochs = read_journal(run / "journal.jsonl")[-1].metrics
    for name, use, held in (("north", "everything", "100 | 0 | 0 | 100"), ("south", "pictures", "0 | 60 | 0 | 60"),
                            ("west", "everything", "0 | 0 | 60 | 60")):  # fmt: skip
        seen, passes = state.samples_by_source[name], epochs[f"data/epochs/{name}"]
        assert f"| {name} | not recorded | {use} | {held} | {seen} | {passes:.2f} | 0 |" in card, name
    assert sum(state.samples_by_source.values()) == 96 and "6 steps, 96 samples" in card
    assert "The tokenizer was trained on 160 training reports of north, west" in card
    assert "This step was not evaluated." in card and str(tmp_path) not in card
