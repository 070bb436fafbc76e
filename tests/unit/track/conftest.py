"""An MLflow store, a run that is tracked there, and a disk so small that a test can fill it."""

import pytest

from cxrpt.track import sink
from cxrpt.track.tracking_files import write_tracking
from tests.small_disk import small_disk_at


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory):
    """Making MLflow's tables takes seconds; every test starts from a copy."""
    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    sink._client(f"sqlite:///{path}").search_experiments()
    return path.read_bytes()


@pytest.fixture
def run_dir(tmp_path, empty_store):
    (tmp_path / "mlflow.db").write_bytes(empty_store)
    folder = tmp_path / "runs" / "demo"
    folder.mkdir(parents=True)
    write_tracking(folder, f"sqlite:///{tmp_path}/mlflow.db", "trials", "demo", {"optim.lr": 1e-4, "name": "demo"})
    return folder


@pytest.fixture
def small_disk(tmp_path):
    with small_disk_at(tmp_path / "small") as folder:
        yield folder
