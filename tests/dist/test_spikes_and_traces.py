"""Runs of two gloo ranks: loss spikes survive a kill, and a trace shows the parts of a step."""

import json
import subprocess
import sys

import pytest

from cxrpt.data.sample import Kind
from cxrpt.track.journal import read_journal
from cxrpt.track.spans import PARTS
from cxrpt.track.spikes import read_spikes, spikes_path
from data_prep.train_tokenizer import train_tokenizer

from ..made_shards import make_shards
from .test_train import CONFIG, ROOT, Runs

# Losses that stay, and a threshold at which chance alone makes spikes of them; steps are logged by threes and saved by fives.
WORDS = ("train.steps=90", "optim.lr=1e-5", "train.spike_threshold=1.5", "train.trace_from_step=7", "train.trace_steps=2")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    root = tmp_path_factory.mktemp("spikes")
    for institution, kind, count in (("north", Kind.PAIR, 100), ("south", Kind.IMAGE, 60), ("west", Kind.TEXT, 60)):
        make_shards(root, institution, kind, count, seed=count, size=48)
    train_tokenizer([root / "north", root / "west"], root / "tok.model", vocab_size=600)
    (root / "c.yaml").write_text(CONFIG.format(root=root))
    runs = Runs(root)
    runs.finish("undisturbed", *WORDS)
    return runs


def told(runs, name):
    return [{k: v for k, v in one.items() if k != "attempt"} for one in read_spikes(runs.root / "runs" / name)]


def counted(runs, name):
    entries = read_journal(runs.root / "runs" / name / "journal.jsonl")
    return {entry.step: entry.metrics["train/loss_spikes"] for entry in entries}


def test_spikes_after_a_kill_are_those_of_an_undisturbed_run(runs):
    undisturbed = told(runs, "undisturbed")
    assert undisturbed and counted(runs, "undisturbed")[90] >= len(undisturbed)
    process = runs.start("killed", *WORDS)
    runs.wait_for_step("killed", 40)
    process.kill()
    process.wait()
    runs.finish("killed", *WORDS)
    assert told(runs, "killed") == undisturbed and counted(runs, "killed") == counted(runs, "undisturbed")
    lines = [json.loads(line) for line in spikes_path(runs.root / "runs/killed").read_text().splitlines()]
    assert len({(line["attempt"], line["step"]) for line in lines}) == len(lines), "an attempt tells each once"


def test_the_samples_of_a_spike_are_those_that_the_command_prints(runs):
    spike = told(runs, "undisturbed")[0]
    config = str(runs.root / "runs/undisturbed/config.yaml")
    command = [sys.executable, "-m", "launch.cli", "plan", config, "name=undisturbed", "--step", str(spike["step"]), "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == {"step": spike["step"], "samples": spike["samples"]}
    assert len(spike["samples"]) == 16


def test_the_parts_of_a_step_are_in_the_journal_and_make_up_the_step(runs):
    entry = read_journal(runs.root / "runs/undisturbed/journal.jsonl")[-2]
    spans = {part: entry.metrics[f"speed/span_{part}_s"] for part in PARTS}
    assert all(seconds > 0 for seconds in spans.values())
    assert spans["forward"] + spans["backward"] < entry.metrics["speed/step_s"]


def test_each_rank_writes_a_trace_of_the_steps_that_were_asked_for(runs):
    for rank in range(2):
        events = json.loads((runs.root / f"runs/undisturbed/traces/rank-{rank}-step-7.json").read_text())["traceEvents"]
        parts = sorted(
            (event["ts"], event["name"])
            for event in events
            if event.get("cat") == "user_annotation" and event["name"] in PARTS
        )
        step = ["data", "agree", "forward", "backward", "optimizer"]
        assert [name for _, name in parts] == step + step
        assert any(event.get("name") == "aten::mm" or event.get("name") == "aten::addmm" for event in events)
