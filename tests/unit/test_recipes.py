"""The recipes and experiments that the repository ships load, and the settings of an experiment differ in nothing but data."""

from pathlib import Path

import pytest

from cxrpt.config import ObjectiveConfig, RunConfig, load_config

CONFIGS = Path(__file__).parents[2] / "configs"
SETTINGS = {"images", "texts", "pairs", "unpaired", "mixed"}


@pytest.mark.parametrize("name", ["paper", "cxrpt"])
def test_a_recipe_wants_sources_and_a_tokenizer_only(name):
    config = load_config(CONFIGS / "pretrain" / f"{name}.yaml", ["data.sources.a.path=x", "data.tokenizer=t"])
    assert (config.name, config.model.size, config.objective.mvm_scales) == (name, "base", [1, 2, 4])
    assert (config.objective.itc_weight > 0) == (name == "cxrpt"), "the contrast is off in the paper's recipe"


@pytest.mark.parametrize("experiment", ["small", "mimic-nih14-openi"])
def test_settings_differ_in_what_is_drawn(experiment):
    configs = settings(experiment)
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


def test_settings_of_the_contrast_differ_in_their_objectives():
    configs = settings("contrast")
    assert set(configs) == {"contrast", "masked"}
    assert (configs["contrast"].objective.itc_weight > 0, configs["masked"].objective.itc_weight) == (True, 0)
    for config in configs.values():
        config.objective, config.name = ObjectiveConfig(), "same"
    assert configs["contrast"] == configs["masked"]


def settings(experiment: str) -> dict[str, RunConfig]:
    files = (CONFIGS / "experiments" / experiment).glob("*.yaml")
    return {path.stem: load_config(path) for path in files if path.stem != "common"}
