"""What keys mean is read from the docstrings beside them, and the page that is made of it is up to date."""

from pathlib import Path

import pytest

from cxrpt.config import RunConfig
from cxrpt.config_keys import key_paths
from launch.cluster_config import ClusterConfig
from launch.config_docs import keys_of, reference

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("schema", [RunConfig, ClusterConfig])
def test_every_key_is_there_and_says_what_it_means(schema):
    keys = keys_of(schema)
    named = {path.replace("NAME", "*") for path in keys}
    leaves = {path for path in key_paths(schema) if not any(other.startswith(f"{path}.") for other in key_paths(schema))}
    assert {path.removesuffix(".*") for path in leaves} == named
    assert not [path for path, key in keys.items() if not key.text]


def test_the_docstring_of_a_field_is_its_own_not_its_neighbours():
    keys = keys_of(RunConfig)
    assert keys["data.workers"].text.startswith("Loader processes a rank") and keys["data.workers"].default == "4"
    assert keys_of(ClusterConfig)["evaluate.mem_gb"].text == "Memory of a node.", "of the class that it derives from"


def test_the_page_is_up_to_date():
    assert (ROOT / "docs" / "configuration.md").read_text() == reference(), (
        "python -m launch.config_docs > docs/configuration.md"
    )
