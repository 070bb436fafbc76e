"""Resumes that are bit for bit, and runs that begin with another's weights."""

import pytest

from data_prep.train_tokenizer import train_tokenizer

# The learning rate must not depend on where a run was stopped.
LIKE = ("optim.schedule=constant", "optim.warmup_steps=0", "train.log_every=1")


@pytest.mark.parametrize(("precision", "stage"), [("bf16", 3), ("fp32", 2)])
def test_on_the_same_ranks_a_resume_is_bitwise(runs, precision, stage):
    words = (*LIKE, f"engine.precision={precision}", f"engine.zero_stage={stage}", "engine.micro_batch=4")
    whole, parts = f"whole-{precision}-{stage}", f"parts-{precision}-{stage}"
    runs.finish(whole, *words, "train.steps=12")
    for steps in (5, 12):
        runs.finish(parts, *words, f"train.steps={steps}")
    assert runs.losses(parts) == runs.losses(whole)


def test_new_weights_begin_where_another_run_ended(runs, undisturbed):
    runs.finish("begun", f"train.init_from={runs.folder('undisturbed')}", "train.steps=2", "train.log_every=1")
    assert runs.losses("begun")[1]["loss/mlm"] < undisturbed[1]["loss/mlm"] - 0.1
    errors = runs.finish("begun-wide", f"train.init_from={runs.folder('undisturbed')}", "model.width=64", code=2)
    assert "its model has width=32, the configuration 64" in errors and len(errors.splitlines()) == 1
    other = runs.root / "other.model"
    train_tokenizer([runs.root / "west"], other, vocab_size=600)
    words = (f"train.init_from={runs.folder('undisturbed')}", f"data.tokenizer={other}")
    errors = runs.finish("begun-words", *words, code=2)
    assert "its weights were learnt with tokenizer" in errors and len(errors.splitlines()) == 1
    errors = runs.finish("begun-nowhere", f"train.init_from={runs.root}/nowhere", code=2)
    assert "name a run with a committed step" in errors and not runs.folder("begun-nowhere").exists()
