"""Runs that begin with another's weights."""

from data_prep.train_tokenizer import train_tokenizer


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
