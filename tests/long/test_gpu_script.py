"""The script for GPUs, tried on what is here: every item of it runs, its checks hold, what is missing is told."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[2]


def test_every_item_runs_and_every_check_holds(tmp_path):
    command = ["bash", str(ROOT / "benchmarks/gpu.sh"), "--small", "--out", str(tmp_path / "out")]
    done = subprocess.run(command, env=os.environ | {"PYTHON": sys.executable}, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    rows = json.loads((tmp_path / "out" / "gpu.json").read_text())["rows"]
    states = {
        state: [row["name"] for row in rows if row["state"] == state] for state in ("ok", "failed", "skipped", "measured")
    }
    assert not states["failed"] and len(states["ok"]) >= 13 and len(states["measured"]) >= 12
    assert all("NCCL" in name or "wait for the GPU" in name for name in states["skipped"])
    assert "| training, loader included, base, 224 px" in (tmp_path / "out" / "gpu.md").read_text()


def test_without_a_gpu_it_says_so(tmp_path):
    environment = os.environ | {"PYTHON": sys.executable, "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        ["bash", str(ROOT / "benchmarks/gpu.sh")], env=environment, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 1 and "nothing was measured" in done.stderr


def test_what_is_not_installed_is_named(tmp_path):
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec {sys.base_prefix}/bin/python3 -I -S "$@"\n')
    bare.chmod(0o755)
    environment = os.environ | {"PYTHON": str(bare)}
    done = subprocess.run(
        ["bash", str(ROOT / "benchmarks/gpu.sh")], env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2 and "deepspeed" in done.stderr and "--wheels" in done.stderr
