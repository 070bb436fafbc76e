"""A build that is killed at any moment, as often as one likes, ends in the bytes of one that was left alone."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.unit.data_prep.made_exports import tree

pytestmark = pytest.mark.long

KILLS = 20


def command(export: Path, out: Path, key: Path) -> list[str]:
    words = ("prep", "hospital", str(export), "--out", str(out), "--institution", "north", "--key", str(key))
    return [
        sys.executable,
        "-P",
        "-m",
        "launch.cli",
        *words,
        "--shard-samples",
        "30",
        "--processes",
        "2",
        "--max-failed",
        "0.5",
    ]


def run_to_the_end(words: list[str]) -> float:
    began = time.monotonic()
    subprocess.run(words, check=True, capture_output=True, timeout=600)
    return time.monotonic() - began


def killed(words: list[str], after: float, whole_group: bool) -> bool:
    """Start the build and kill it after so many seconds; whether it was still at work then."""
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        process.wait(after)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL) if whole_group else process.kill()
        process.wait()
        return True
    assert process.returncode == 0
    return False


def test_killed_builds_end_in_the_same_bytes(tmp_path):
    export, key = tmp_path / "export", tmp_path / "key"
    subprocess.run([sys.executable, "-P", "-m", "launch.cli", "synth", str(export), "--studies", "300"], check=True)
    undisturbed = tmp_path / "undisturbed"
    seconds = run_to_the_end(command(export / "north", undisturbed, key))
    generator = random.Random(7)
    kills = builds = 0
    while kills < KILLS:
        out = tmp_path / f"killed-{builds}"
        words = command(export / "north", out, key)
        # Without its launcher a worker must end by itself, so only every second time it is killed with it.
        while kills < KILLS and killed(words, generator.uniform(0.2, seconds), whole_group=kills % 2 == 0):
            kills += 1
        run_to_the_end(words)
        assert tree(out) == tree(undisturbed), f"build {builds} after {kills} kills"
        builds += 1
    assert builds >= 2, "no build ever came to its end between two kills: the kills are too close to say much"
