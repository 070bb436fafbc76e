"""Who hangs, told from what ranks say of themselves; that who waits with a reason is left alone."""

import logging
import signal
import subprocess
import sys
import textwrap
import time

import pytest
import torch

from cxrpt import watchdog
from cxrpt.track.spans import Spans
from cxrpt.watchdog import Note, note_path, stacks_path, stuck_in_native_code, verdict
from launch.local import _wait


def note(step=12, notch=3, part="agree", waits=True, left_s=0.0):
    return Note(step, notch, part, left_s, waits)


@pytest.mark.parametrize(
    ("notes", "size", "part"),
    [
        ({0: note()}, 2, "rank 1 does not answer (stopped, stuck in native code, or gone with its node)"),
        ({1: note(), 5: note()}, 6, "ranks 0, 2-4 do not answer"),
        ({0: note(), 1: note(notch=1, part="data", waits=False)}, 2, "rank 1 hangs in 'data' of step 12, and 1 of 2 wait"),
        ({0: note(waits=False), 1: note(), 2: note()}, 3, "rank 0 hangs in 'agree' of step 12, and 2 of 3 wait"),
        ({0: note(), 1: note(notch=2), 2: note()}, 3, "rank 1 hangs"),  # all seem to wait: the one that is behind
        ({0: note(step=12), 1: note(step=11, notch=9, waits=False), 2: note(waits=False)}, 3, "ranks 1-2 hang in"),
        ({0: note(), 1: note()}, 2, "which of the 2 ranks hangs is not known: all are in 'agree' of step 12"),
        ({0: note(waits=False, part="data")}, 1, "no step ended for 9 s: rank 0 hangs in 'data' of step 12"),
        ({0: note(waits=True)}, 1, "rank 0 hangs in 'agree'"),
    ],
)
def test_verdict(notes, size, part):
    assert part in verdict(notes, size, 9.0)


class Ended(BaseException):
    pass


@pytest.fixture
def ranks(tmp_path, monkeypatch):
    """Two ranks in one process, that look when the test says so, by a clock that it moves."""
    (tmp_path / "logs").mkdir()
    now = [1000.0]
    monkeypatch.setattr(watchdog.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(watchdog.threading.Thread, "start", lambda self: None)
    monkeypatch.setattr(watchdog.threading.Thread, "join", lambda self: None)
    monkeypatch.setattr(watchdog.faulthandler, "register", lambda *a, **k: None)

    def end(code):
        raise Ended(code)

    monkeypatch.setattr(watchdog.os, "_exit", end)
    monkeypatch.setattr(watchdog, "_waits_for_others", lambda: False)
    both = [Spans(torch.device("cpu")) for _ in range(2)]
    dogs = [watchdog._Watchdog(tmp_path, rank, 2, 100.0, spans) for rank, spans in enumerate(both)]
    for spans in both:
        spans.begin(7)
        spans.steps_ended = 3
    yield now, both, dogs, tmp_path
    for dog in dogs:
        dog._expired = None
        dog.end()


def said(capsys):
    """Lines of ours; other tests may have led the log to the terminal."""
    return [line for line in capsys.readouterr().err.splitlines() if line.startswith("cxrpt: ")]


def look(now, dogs, until, step=5.0):
    while now[0] < until:
        now[0] += step
        for dog in dogs:
            dog._look()


def test_a_quiet_run_ends_with_one_line_and_the_stacks_of_both(ranks, capsys):
    now, both, dogs, run_dir = ranks
    with both[0]("agree"):
        look(now, dogs, 1045)
        assert not note_path(run_dir, 0).exists(), "nothing is written before half of the bound"
        look(now, dogs, 1100)
        with pytest.raises(Ended) as ended:
            look(now, dogs, 1200)
        assert 1100 < now[0] <= 1130 and ended.value.args == (1,)
        told = said(capsys)
        assert len(told) == 1 and "rank 1 hangs in 'between parts' of step 7" in told[0], told
        with pytest.raises(Ended):
            look(now, dogs[1:], now[0] + 5)
        assert said(capsys) == [], "the other ends without a word"
    assert all("Current thread" in stacks_path(run_dir, rank).read_text() for rank in range(2))


def test_a_rank_that_waits_for_its_shards_is_no_hang_while_it_says_so(ranks):
    now, both, dogs, _ = ranks
    with both[0]("agree"), both[1]("data"):
        for _ in range(6):
            look(now, dogs, now[0] + 60)
            dogs[1].excuse()
        with pytest.raises(Ended):
            look(now, dogs, now[0] + 150)


def test_the_loader_s_word_that_it_tries_again_is_heard(ranks):
    now, _, dogs, _ = ranks
    now[0] += 99
    logging.getLogger("cxrpt.data.storage.open_shards").warning("x: tried again in 60 s")
    assert all(dog._excused == 1099 for dog in dogs)


def test_a_save_and_a_first_step_may_take_four_times_as_long(ranks):
    now, both, dogs, _ = ranks
    with both[0]("save"), both[1]("agree"):
        look(now, dogs, 1000 + 390)
        with pytest.raises(Ended):
            look(now, dogs, 1000 + 450)
    both[0].steps_ended = both[1].steps_ended = 0
    assert dogs[0]._bound_s() == 400


def test_a_step_that_ends_late_is_no_hang(ranks):
    now, both, dogs, run_dir = ranks
    for _ in range(4):
        look(now, dogs, now[0] + 90)
        assert note_path(run_dir, 0).exists()
        for spans in both:
            spans.end_step()


def test_a_rank_without_a_fresh_note_does_not_answer(ranks, capsys, monkeypatch):
    now, _, dogs, run_dir = ranks
    look(now, dogs, 1070)
    import os

    os.utime(note_path(run_dir, 0), (time.time() - 1000,) * 2)
    with pytest.raises(Ended):
        look(now, dogs[1:], 1200)
    assert "rank 0 does not answer" in capsys.readouterr().err


def test_a_run_directory_that_is_away_is_told(ranks, capsys):
    now, _, dogs, _ = ranks
    look(now, dogs, 1070)

    def away(*arguments):
        raise OSError("stale file handle")

    dogs[0]._read = away
    dogs[1]._read = away
    with pytest.raises(Ended):
        look(now, dogs, 1200)
    assert "which rank hangs is not known" in capsys.readouterr().err


def test_the_launcher_says_what_a_rank_that_holds_the_interpreter_could_not(tmp_path, capfd):
    (tmp_path / "logs").mkdir()
    timer = "f = open(sys.argv[1], 'a'); faulthandler.dump_traceback_later(0.2, exit=True, file=f)"
    held = f"import ctypes, faulthandler, sys; {timer}; ctypes.PyDLL(None).sleep(60)"
    command = [sys.executable, "-c", held, str(stacks_path(tmp_path, 0))]
    assert _wait([subprocess.Popen(command)], tmp_path, ()) == 1
    assert capfd.readouterr().err == f"cxrpt: rank 0 hung in native code: its stacks are in {tmp_path}/logs\n"


def test_the_timer_in_c_is_recognised_in_the_last_attempt_only(tmp_path):
    (tmp_path / "logs").mkdir()
    assert not stuck_in_native_code(tmp_path, 0)
    stacks_path(tmp_path, 0).write_text("=== rank 0, pid 1\nTimeout (0:15:00)!\n")
    assert stuck_in_native_code(tmp_path, 0)
    with stacks_path(tmp_path, 0).open("a") as file:
        file.write("=== rank 0, pid 2\n")
    assert not stuck_in_native_code(tmp_path, 0)


def test_a_rank_that_gets_sigquit_writes_its_stacks_and_goes_on(tmp_path):
    script = textwrap.dedent(
        """
        import signal, sys
        from pathlib import Path
        import torch
        from cxrpt.track.spans import Spans
        from cxrpt.watchdog import STACKS_SIGNAL, watch

        def a_place_to_recognise():
            print("ready", flush=True)
            return sys.stdin.readline()

        # As who starts a rank leaves it.
        signal.pthread_sigmask(signal.SIG_BLOCK, [STACKS_SIGNAL])
        with watch(Path(sys.argv[1]), 3, 4, 900.0, Spans(torch.device("cpu"))):
            for _ in range(2):
                print("goes on after", a_place_to_recognise(), end="", flush=True)
        """
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as rank:
        assert rank.stdin is not None and rank.stdout is not None
        for number in (1, 2):
            assert rank.stdout.readline() == "ready\n"
            rank.send_signal(signal.SIGQUIT)
            rank.stdin.write(f"{number}\n")
            rank.stdin.flush()
            assert rank.stdout.readline() == f"goes on after {number}\n"
        assert rank.wait(60) == 0
    written = stacks_path(tmp_path, 3).read_text()
    assert f"=== rank 3, pid {rank.pid}" in written
    assert written.count("in a_place_to_recognise") == 2 and "Thread 0x" in written and "in _run" in written
