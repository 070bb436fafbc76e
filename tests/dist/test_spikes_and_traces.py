"""Runs of two gloo ranks: loss spikes survive a kill, and a trace shows the parts of a step."""

import json
import subprocess
import sys

import pytest

from cxrpt.track.journal import read_journal
from cxrpt.track.spans import PARTS
from cxrpt.track.spikes import read_spikes, spikes_path

from ..small_runs import ROOT

# Losses that stay, and a threshold at which chance alone makes spikes of them; steps are logged by threes and saved by fives.
WORDS = ("train.steps=90", "optim.lr=1e-5", "train.spike_threshold=1.5", "train.trace_from_step=7", "train.trace_steps=2")


@pytest.fixture(scope="module")
def spiky(runs):
    """The folder of a run that nothing happened to."""
    runs.finish("spiky", *WORDS)
    return runs.folder("spiky")


def told(run_dir):
    return [{k: v for k, v in one.items() if k != "attempt"} for one in read_spikes(run_dir)]


def counted(run_dir):
    entries = read_journal(run_dir / "journal.jsonl")
    return {entry.step: entry.metrics["train/loss_spikes"] for entry in entries}


@pytest.mark.long
def test_spikes_after_a_kill_are_those_of_an_undisturbed_run(runs, spiky):
    undisturbed = told(spiky)
    assert undisturbed and counted(spiky)[90] >= len(undisturbed)
    process = runs.start("spiky-killed", *WORDS)
    runs.wait_for_step("spiky-killed", 40)
    process.kill()
    process.wait()
    runs.finish("spiky-killed", *WORDS)
    assert told(runs.folder("spiky-killed")) == undisturbed and counted(runs.folder("spiky-killed")) == counted(spiky)
    lines = [json.loads(line) for line in spikes_path(runs.folder("spiky-killed")).read_text().splitlines()]
    assert len({(line["attempt"], line["step"]) for line in lines}) == len(lines), "an attempt tells each once"


def test_the_samples_of_a_spike_are_those_that_the_command_prints(spiky):
    spike = told(spiky)[0]
    config = str(spiky / "config.yaml")
    command = [sys.executable, "-m", "launch.cli", "plan", config, "name=spiky", "--step", str(spike["step"]), "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == {"step": spike["step"], "samples": spike["samples"]}
    assert len(spike["samples"]) == 16


def test_the_parts_of_a_step_are_in_the_journal_and_make_up_the_step(spiky):
    entry = read_journal(spiky / "journal.jsonl")[-2]
    spans = {part: entry.metrics[f"speed/span_{part}_s"] for part in PARTS}
    assert all(seconds > 0 for seconds in spans.values())
    # Each is that of its slowest rank, so that together they may be more than a step.
    assert spans["forward"] + spans["backward"] < entry.metrics["speed/step_s"] < 2 * sum(spans.values())


def test_each_rank_writes_a_trace_of_the_steps_that_were_asked_for(spiky):
    for rank in range(2):
        events = json.loads((spiky / f"traces/rank-{rank}-step-7.json").read_text())["traceEvents"]
        parts = sorted(
            (event["ts"], event["name"]) for event in events if event.get("cat") == "user_annotation" and event["name"] in PARTS
        )
        step = ["data", "agree", "forward", "backward", "optimizer"]
        assert [name for _, name in parts] == step + step
        assert any(event.get("name") == "aten::mm" or event.get("name") == "aten::addmm" for event in events)
