"""Whole runs of a small model, started by the command line as a user does."""

import subprocess
import sys
import time
from pathlib import Path

from cxrpt.checkpoint.store import committed_steps
from cxrpt.data.sample import Kind
from cxrpt.track.journal import read_journal
from data_prep.train_tokenizer import train_tokenizer

from .made_shards import make_shards

ROOT = Path(__file__).parents[1]
CONFIG = """
data:
  tokenizer: {root}/tok.model
  image_size: 32
  lanes: 8
  workers: 0
  max_text_tokens: 40
  sources:
    north: {{path: {root}/north, weight: 2}}
    south: {{path: {root}/south}}
    west: {{path: {root}/west}}
model: {{size: tiny, width: 32, depth: 2, heads: 2, patch_size: 8}}
optim: {{warmup_steps: 5}}
engine: {{precision: fp32}}
train: {{steps: 24, global_batch: 16, log_every: 3, checkpoint_every: 5, dry_run: false}}
track: {{uri: none}}
"""


class Runs:
    """Starts runs of one configuration in one folder."""

    def __init__(self, root: Path):
        """Make three sources (pairs, images, texts), a tokenizer and the configuration."""
        self.root = root
        for institution, kind, count in (("north", Kind.PAIR, 100), ("south", Kind.IMAGE, 60), ("west", Kind.TEXT, 60)):
            make_shards(root, institution, kind, count, seed=count, size=48)
        train_tokenizer([root / "north", root / "west"], root / "tok.model", vocab_size=600)
        (root / "c.yaml").write_text(CONFIG.format(root=root))

    def folder(self, name: str) -> Path:
        return self.root / "runs" / name

    def command(self, name: str, *words: str, ranks: int = 2) -> list[str]:
        overrides = [f"name={name}", f"runs={self.root}/runs", *words]
        return [sys.executable, "-m", "launch.cli", "pretrain", str(self.root / "c.yaml"), *overrides, "--ranks", str(ranks)]

    def start(self, *arguments, **options) -> subprocess.Popen:
        command = self.command(*arguments, **options)
        return subprocess.Popen(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def finish(self, *arguments, code: int = 0, **options) -> str:
        """What the run wrote to stderr."""
        done = subprocess.run(self.command(*arguments, **options), cwd=ROOT, capture_output=True, text=True, timeout=300)
        assert done.returncode == code, done.stderr[-3000:]
        return done.stderr

    def losses(self, name: str) -> dict[int, dict[str, float]]:
        entries = read_journal(self.folder(name) / "journal.jsonl")
        return {e.step: {k: v for k, v in e.metrics.items() if k.startswith(("loss/", "optim/"))} for e in entries}

    def wait_for_step(self, name: str, step: int) -> None:
        until = time.monotonic() + 120
        while step > max(committed_steps(self.folder(name)), default=0):
            assert time.monotonic() < until, f"{name} did not reach step {step}"
            time.sleep(0.01)


def children(pid: int, part: bytes) -> list[int]:
    """Ids of a process's children, in the order of their start, whose command holds a word."""
    pids = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(one) for one in pids if part in Path(f"/proc/{one}/cmdline").read_bytes()]


def rank_processes(launcher: subprocess.Popen) -> list[int]:
    """Process ids of the ranks that a launcher has started, by rank."""
    return children(launcher.pid, b"launch.rank")


def worst_difference(a: dict[int, dict[str, float]], b: dict[int, dict[str, float]], names: str = "") -> float:
    """The largest relative difference of two runs' metrics whose names begin so."""
    assert a.keys() == b.keys()
    return max(abs(a[s][k] - b[s][k]) / max(abs(a[s][k]), 1e-9) for s in a for k in a[s] if k.startswith(names))
