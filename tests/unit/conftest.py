"""A run directory with a committed checkpoint of a small untrained model, and shards that it could have been trained on."""

from pathlib import Path

import pytest
import torch

from cxrpt.checkpoint.export import export_model, load_exported
from cxrpt.checkpoint.store import begin_save, commit, seal_files
from cxrpt.config import load_config, to_yaml
from cxrpt.data.sample import Kind
from cxrpt.data.text import Tokenizer
from cxrpt.model.pretrain import PretrainModel, model_shape
from data_prep.train_tokenizer import train_tokenizer
from tests.made_shards import make_shards


@pytest.fixture(scope="session")
def shards(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("eval-shards")
    make_shards(root, "north", Kind.PAIR, train=160, seed=0)
    make_shards(root, "south", Kind.IMAGE, train=160, seed=1)
    make_shards(root, "west", Kind.TEXT, train=80, seed=2)
    train_tokenizer([root / "north", root / "west"], root / "tok.model", vocab_size=600)
    return root


@pytest.fixture(scope="session")
def make_run(shards):
    def make(run_dir: Path, *words: str, steps: tuple[int, ...] = (10,)) -> Path:
        sources = [f"data.sources.{name}.path={shards / name}" for name in ("north", "south", "west")]
        usual = ["data.image_size=64", "data.max_text_tokens=32", "data.lanes=4", "train.global_batch=8"]
        usual += [
            "model.size=tiny",
            "model.width=32",
            "model.depth=2",
            "model.heads=2",
            f"data.tokenizer={shards / 'tok.model'}",
        ]
        config = load_config(None, [f"name={run_dir.name}", *sources, *usual, *words])
        run_dir.mkdir(parents=True)
        (run_dir / "config.yaml").write_text(to_yaml(config))
        tokenizer = Tokenizer.load(shards / "tok.model")
        for step in steps:
            torch.manual_seed(step)
            shape = model_shape(config.model, config.data, config.objective, tokenizer.vocab_size)
            weights = {name: value.contiguous() for name, value in PretrainModel(shape).state_dict().items()}
            folder = begin_save(run_dir, step)
            export_model(folder, weights, shape, tokenizer, config.data, step)
            commit(folder, seal_files(folder))
        return run_dir

    return make


@pytest.fixture(scope="session")
def exported(make_run, tmp_path_factory):
    return load_exported(make_run(tmp_path_factory.mktemp("eval-model") / "run") / "checkpoints" / "step-00000010")
