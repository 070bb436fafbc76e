"""Markers that skip by themselves, with the reason."""

import os
from pathlib import Path

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    real = os.environ.get("CXRPT_REAL_DATA")
    reasons = {}
    if not (real and Path(real).is_dir()):
        reasons["realdata"] = "CXRPT_REAL_DATA names no folder of public samples"
    if not os.environ.get("CXRPT_LONG_TESTS"):
        reasons["long"] = "CXRPT_LONG_TESTS is not set"
    for item in items:
        for marker, reason in reasons.items():
            if item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of public samples; only for tests marked `realdata`."""
    return Path(os.environ["CXRPT_REAL_DATA"])


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """Runs of the small model that several files look at."""
    from .small_runs import Runs

    return Runs(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="session")
def undisturbed(runs):
    """Losses of a run of two ranks that nothing happened to."""
    runs.finish("undisturbed")
    return runs.losses("undisturbed")
