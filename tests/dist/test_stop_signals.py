"""The signals upon which a run stops are those of its configuration."""

import signal

from cxrpt.checkpoint.store import committed_steps


def test_a_signal_of_the_user_s_choice_saves_and_ends(runs):
    process = runs.start("hang-up", "train.stop_signals=[HUP]", "train.steps=100000")
    runs.wait_for_step("hang-up", 5)
    process.send_signal(signal.SIGHUP)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 75 and "the same command resumes" in errors
    assert committed_steps(runs.folder("hang-up"))[-1] >= 5
