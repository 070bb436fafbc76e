"""What a launcher finds wrong before any rank starts."""

import pytest

from cxrpt.errors import InputError
from cxrpt.preflight import check_launch

from .data.loading.test_micro_batches import config_of, shards  # noqa: F401  # a fixture


def launch(root, runs, *words):
    config = config_of(root, f"runs={runs}", "data.workers=0", "engine.device=cpu", "engine.precision=fp32", *words)
    return check_launch(config, 1, False)


def test_a_tracking_server_must_answer_when_a_run_first_starts_unless_told_otherwise(shards, tmp_path):  # noqa: F811
    silent = "track.uri=http://127.0.0.1:1"
    with pytest.raises(InputError, match=r"tracking server http://127\.0\.0\.1:1 does not answer"):
        launch(shards, tmp_path, silent)
    assert launch(shards, tmp_path, silent, "track.require_at_start=false").plan
    with pytest.raises(InputError, match="scheme"):
        launch(shards, tmp_path, "track.uri=gopher://127.0.0.1", "track.require_at_start=false")


def test_compiling_without_a_compiler_is_refused(shards, tmp_path, monkeypatch):  # noqa: F811
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(InputError, match=r"engine\.compile=True: there is no C\+\+ compiler here"):
        launch(shards, tmp_path, "engine.compile=true")
    assert launch(shards, tmp_path, "engine.compile=false").plan, "nothing is compiled"
    for name in ("g++", "another-c++"):
        (tmp_path / "bin" / name).write_text("#!/bin/sh\n")
        (tmp_path / "bin" / name).chmod(0o755)
    assert launch(shards, tmp_path, "engine.compile=true").plan
    monkeypatch.setenv("CXX", "another-c++")
    (tmp_path / "bin" / "g++").unlink()
    assert launch(shards, tmp_path, "engine.compile=true").plan, "the one that CXX names"
    monkeypatch.setenv("CXX", "no-such-c++")
    with pytest.raises(InputError, match="what CXX names"):
        launch(shards, tmp_path, "engine.compile=true")
