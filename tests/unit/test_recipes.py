"""The recipes and experiments that the repository ships load, and the settings of an experiment differ in nothing but data."""

from pathlib import Path

import pytest

from cxrpt.config import load_config

CONFIGS = Path(__file__).parents[2] / "configs"
SETTINGS = {"images", "texts", "pairs", "unpaired", "mixed"}


@pytest.mark.parametrize("name", ["paper", "cxrpt"])
def test_a_recipe_wants_sources_and_a_tokenizer_only(name):
    config = load_config(CONFIGS / "pretrain" / f"{name}.yaml", ["data.sources.a.path=x", "data.tokenizer=t"])
    assert (config.name, config.model.size, config.objective.mvm_scales) == (name, "base", [1, 2, 4])
    assert (config.objective.itc_weight > 0) == (name == "cxrpt"), "the contrast is off in the paper's recipe"


@pytest.mark.parametrize("experiment", sorted(path.name for path in (CONFIGS / "experiments").iterdir()))
def test_settings_differ_in_what_is_drawn(experiment):
    files = {path.stem: path for path in (CONFIGS / "experiments" / experiment).glob("*.yaml") if path.stem != "common"}
    configs = {name: load_config(path) for name, path in files.items() if name != "contrast"}
    assert load_config(files["contrast"]).objective.itc_weight > 0
    assert set(configs) == SETTINGS
    drawn = {name: {one for one, source in config.data.sources.items() if source.is_drawn} for name, config in configs.items()}
    assert drawn["mixed"] == drawn["pairs"] | drawn["images"] | drawn["texts"]
    assert drawn["unpaired"] == drawn["images"] | drawn["texts"]
    assert not drawn["pairs"] & drawn["unpaired"]
    for config in configs.values():
        for source in config.data.sources.values():
            source.weight = 1
        config.name = "same"
    assert all(config == configs["mixed"] for config in configs.values())
