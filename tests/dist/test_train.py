"""Whole runs of two gloo ranks: stopped in every way, they end where an undisturbed one ends."""

import json
import os
import shutil
import signal
import time

import pytest
import torch

from cxrpt.checkpoint.shards import ShardReader
from cxrpt.checkpoint.store import committed_steps, step_folder
from data_prep.train_tokenizer import train_tokenizer

from ..small_runs import rank_processes, worst_difference


def test_losses_fall_and_every_source_is_told(undisturbed):
    first, last = undisturbed[1], undisturbed[24]
    assert last["loss/mlm"] < first["loss/mlm"] and last["loss/mvm"] < first["loss/mvm"]
    assert {"loss/mlm/north", "loss/mlm/west", "loss/mvm/north", "loss/mvm/south"} <= last.keys()
    assert not {"loss/mlm/south", "loss/mvm/west"} & last.keys()


def test_kill_9_of_a_rank_then_of_all_then_the_same_command_is_bitwise(runs, undisturbed):
    process = runs.start("killed")
    runs.wait_for_step("killed", 5)
    os.kill(rank_processes(process)[1], signal.SIGKILL)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1, "the others end with a rank that is gone"
    assert len(errors.splitlines()) == 1 and "cxrpt: rank 1 was ended by SIGKILL" in errors, errors
    process = runs.start("killed")
    runs.wait_for_step("killed", 15)
    process.kill()
    process.wait()
    runs.finish("killed")
    assert runs.losses("killed") == undisturbed
    attempts = {json.loads(line)["attempt"] for line in (runs.root / "runs/killed/journal.jsonl").read_text().splitlines()}
    assert attempts == {1, 2, 3}


def test_a_stop_signal_saves_and_says_to_resume(runs, undisturbed):
    process = runs.start("stopped")
    runs.wait_for_step("stopped", 5)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 75 and "the same command resumes" in errors
    assert committed_steps(runs.root / "runs/stopped")[-1] < 24
    runs.finish("stopped")
    assert runs.losses("stopped") == undisturbed


def test_the_math_does_not_depend_on_ranks_accumulation_and_stage(runs, undisturbed):
    runs.finish("one", "engine.micro_batch=4", "engine.zero_stage=0", ranks=1)
    assert worst_difference(undisturbed, runs.losses("one")) < 1e-5
    runs.finish("stage2", "engine.zero_stage=2", "engine.micro_batch=4", "data.workers=2")
    assert worst_difference(undisturbed, runs.losses("stage2")) < 1e-5


def test_a_dry_run_leaves_no_trace(runs, undisturbed):
    runs.finish("dry-run", "train.dry_run=true")
    assert runs.losses("dry-run") == undisturbed
    logs = [(runs.root / "runs" / name / "logs/rank-0.log").read_text() for name in ("dry-run", "undisturbed")]
    assert ["memory: the largest micro-batch (8 samples, " in log for log in logs] == [True, False]


@pytest.mark.long
def test_a_mix_that_changes_in_mid_run_is_recorded_and_killed_it_ends_the_same(runs):
    changed = (
        "data.sources.south.weight_from_step={16: 3}",
        f"data.sources.late.path={runs.root}/north",
        "data.sources.late.use=texts",
    )

    runs.finish("mixed", "train.steps=15")
    shutil.copytree(runs.root / "runs/mixed", runs.root / "runs/mixed-killed")
    errors = runs.finish("mixed", "train.steps=24", *changed, code=2)
    assert "source south (weight 1, epochs" in errors and "-> weight 1, 3 from step 16" in errors
    assert "source late (absent -> weight 1" in errors
    assert "since step 15" in errors and "--accept-data-change" in errors
    runs.finish("mixed", *changed, "--accept-data-change")
    assert "loss/mlm/late" in runs.losses("mixed")[24] and "loss/mlm/late" not in runs.losses("mixed")[15]
    state = json.loads((runs.root / "runs/mixed/checkpoints/step-00000024/run.json").read_text())
    assert [segment["first_slot"] for segment in state["timeline"]] == [0, 30, 32]

    process = runs.start("mixed-killed", *changed, "--accept-data-change")
    runs.wait_for_step("mixed-killed", 20)
    process.kill()
    process.wait()
    runs.finish("mixed-killed", *changed)
    assert runs.losses("mixed-killed") == runs.losses("mixed")


def test_the_contrast_does_not_depend_on_ranks(runs):
    words = ("objective.itc_weight=1", "objective.split_pairs=0.7", "train.steps=8")
    runs.finish("contrast2", *words)
    runs.finish("contrast1", *words, ranks=1)
    assert "loss/itc" in runs.losses("contrast2")[8]
    assert worst_difference(runs.losses("contrast2"), runs.losses("contrast1")) < 1e-5


@pytest.mark.long
@pytest.mark.parametrize("stage", [1, 3])
def test_running_means_of_the_contrast_are_kept_in_fp32_and_resumed(runs, stage):
    words = ("objective.itc_weight=1", "objective.split_pairs=0.7", "optim.schedule=constant", "optim.warmup_steps=0")
    words = (*words, "engine.precision=bf16", f"engine.zero_stage={stage}", "train.checkpoint_every=3")
    runs.finish(f"means{stage}", *words, "train.steps=6")
    runs.finish(f"means{stage}-cut", *words, "train.steps=3")
    runs.finish(f"means{stage}-cut", *words, "train.steps=6")
    whole, cut = (ShardReader(step_folder(runs.folder(name), 6)).weights() for name in (f"means{stage}", f"means{stage}-cut"))
    assert whole["image_projection.num_steps"] == 6 and whole["image_projection.centre"].abs().sum() > 0
    assert not torch.equal(whole["text_projection.centre"], whole["text_projection.centre"].bfloat16().float())
    assert all(torch.equal(whole[name], cut[name]) for name in whole)


def test_a_run_that_diverges_keeps_what_is_from_before(runs):
    words = ("train.checkpoint_every=2", "train.keep_last=2", "engine.max_skipped_steps=5")
    runs.finish("diverges", *words, "train.steps=4", "optim.schedule=constant")
    wild = ("optim.schedule=constant", "optim.lr=1e30", "optim.warmup_steps=0")
    told = runs.finish("diverges", *words, *wild, code=1).splitlines()
    assert told[0].endswith("optim.lr 0.0005 -> 1e+30, optim.warmup_steps 5 -> 0, train.steps 4 -> 24")
    assert "goes on after step 4" in told[1]
    steps = committed_steps(runs.folder("diverges"))
    assert "not finite for 6 steps in a row" in told[-1] and f"step {steps[-1]} is the last" in told[-1]
    assert not any("Error" in line for line in told)
    assert steps[-1] <= 6, "states of a run that has diverged are not saved"


def test_a_stop_before_there_was_anything_to_save(runs):
    process = runs.start("early")
    until = time.monotonic() + 60
    while not rank_processes(process) and time.monotonic() < until:
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130 and "before there was anything to save" in errors, errors


def test_bad_input_is_one_line_and_nothing_is_lost(runs, undisturbed):
    steps = committed_steps(runs.root / "runs/undisturbed")

    def refused(*words, ranks=2, part):
        errors = runs.finish(*words, ranks=ranks, code=2).strip()
        assert part in errors and len(errors.splitlines()) == 1, errors

    other = runs.root / "other.model"
    train_tokenizer([runs.root / "west"], other, vocab_size=500)
    refused("undisturbed", f"data.tokenizer={other}", "train.steps=30", part="name the tokenizer that the run began with")
    refused("undisturbed", "seed=1", "train.steps=30", part="--accept-data-change")
    refused("undisturbed", "train.steps=5", part="the run is at step 24 already")
    refused("fresh", "trian.steps=30", part="'train'")
    refused("fresh", "data.sources.north.path=/nowhere", part="holds no manifest.json")
    refused("fresh", *(f"data.sources.{n}.weight=0" for n in ("north", "south", "west")), part="sums to 0")
    refused("fresh", "engine.device=cuda", part="engine.device=cuda") if not _has_cuda() else None
    refused("fresh", "track.uri=http://127.0.0.1:9", part="127.0.0.1:9")
    refused("fresh", "track.uri=http://127.0.0.1:99999", part="99999")
    refused("fresh", "engine.recompute_blocks=3", part="the model has 2 blocks")
    refused("fresh", ranks=3, part="3 ranks do not divide data.lanes=8")
    assert committed_steps(runs.root / "runs/undisturbed") == steps and runs.losses("undisturbed") == undisturbed
    assert not (runs.root / "runs/fresh").exists()


def _has_cuda() -> bool:
    import torch

    return torch.cuda.is_available()
