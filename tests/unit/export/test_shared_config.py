from dataclasses import dataclass, field

from omegaconf import OmegaConf

from cxrpt.config import load_config
from cxrpt.export.shared_config import _shared, shared_config, shared_yaml


def test_what_decides_the_training_stays():
    words = ["name=ward", "data.sources.a.path=/x", "data.sources.a.use=texts", "data.sources.a.weight_from_step={20: 0.5}"]
    config = load_config(None, [*words, "optim.lr=0.25", "data.sections=[IMPRESSION]"])
    shared = shared_config(config)
    assert shared["data"]["sources"] == {"a": {"weight": 1.0, "weight_from_step": {20: 0.5}, "epochs": 0, "use": "texts"}}
    assert shared["optim"]["lr"] == 0.25 and shared["data"]["sections"] == ["IMPRESSION"] and shared["model"]["size"] == "base"
    assert OmegaConf.to_container(OmegaConf.create(shared_yaml(config))) == shared
    assert not {"name", "runs", "track", "eval"} & shared.keys() and "tokenizer" not in shared["data"]


def test_words_that_are_added_later_do_not_leave():
    @dataclass
    class Later:
        number: int = 3
        init_from: str = "/home/jane/runs/first"
        signals: list = field(default_factory=lambda: ["USR1"])
        nested: dict = field(default_factory=lambda: {"log": "/var/jane", "every": 2, "ids": [1, "jane"], "none": None})

    assert _shared(vars(Later()), "train") == {"number": 3, "nested": {"every": 2}}
