"""How many threads a rank of this machine has, and how many processes a build."""

import subprocess
import sys

import pytest

from launch import local


@pytest.mark.parametrize(
    ("said", "ranks", "threads"),
    [
        (None, 2, 3), (None, 9, 1), ("", 2, 3), ("5", 2, 5), ("4,2", 2, 4), (" 4 , 2", 2, 4),
        ("0", 2, 3), ("-1", 2, 3), ("many", 2, 3),
    ],
)  # fmt: skip
def test_threads_are_those_asked_for_or_a_share_of_the_cores(monkeypatch, said, ranks, threads):
    monkeypatch.setattr("cxrpt.machine.num_cores", lambda: 6)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if said is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", said)
    assert local.threads_a_rank(ranks) == threads


def test_a_build_takes_the_cores_that_the_control_group_grants():
    words = "from cxrpt import machine; machine.num_cores = lambda: 3; import launch.prep; print(launch.prep.PROCESSES)"
    assert subprocess.run([sys.executable, "-c", words], capture_output=True, text=True).stdout == "3\n"
