"""Runs of the small model that several files look at."""

import pytest

from ..small_runs import Runs


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    return Runs(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="session")
def undisturbed(runs):
    """Losses of a run of two ranks that nothing happened to."""
    runs.finish("undisturbed")
    return runs.losses("undisturbed")
