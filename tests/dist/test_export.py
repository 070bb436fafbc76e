"""A run of two gloo ranks, exported when its shards are gone: what the card tells is what happened."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch

import cxrpt
from cxrpt.checkpoint.export import load_exported
from cxrpt.checkpoint.state import RunState
from cxrpt.data.sample import Kind
from cxrpt.track.journal import read_journal
from data_prep.train_tokenizer import train_tokenizer

from ..made_shards import make_shards

ROOT = Path(__file__).parents[2]
CONFIG = """
data:
  tokenizer: {root}/tok.model
  image_size: 32
  lanes: 8
  workers: 0
  max_text_tokens: 40
  sources:
    north: {{path: {root}/north, weight: 2}}
    south: {{path: {root}/south, use: images}}
    west: {{path: {root}/west}}
model: {{size: tiny, width: 32, depth: 2, heads: 2, patch_size: 8}}
engine: {{precision: bf16}}
train: {{steps: 6, global_batch: 16, log_every: 2, checkpoint_every: 3}}
track: {{uri: none}}
"""


def cxrpt_command(*words, code=0):
    done = subprocess.run(
        [sys.executable, "-m", "launch.cli", *map(str, words)], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == code, done.stderr[-3000:]
    return done.stdout + done.stderr


def test_a_trained_run_is_exported_without_its_shards(tmp_path):
    for institution, kind, count in (("north", Kind.PAIR, 100), ("south", Kind.IMAGE, 60), ("west", Kind.TEXT, 60)):
        make_shards(tmp_path, institution, kind, count, seed=count, size=48)
    train_tokenizer([tmp_path / "north", tmp_path / "west"], tmp_path / "tok.model", vocab_size=600)
    (tmp_path / "c.yaml").write_text(CONFIG.format(root=tmp_path))
    cxrpt_command("pretrain", tmp_path / "c.yaml", "name=r", f"runs={tmp_path}/runs", "--ranks", 2)
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
