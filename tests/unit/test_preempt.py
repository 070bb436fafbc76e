import os
import signal
import threading

import pytest

from cxrpt.preempt import STOP_SIGNALS, StopFlag, signals


@pytest.fixture(autouse=True)
def handlers():
    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_only_the_named_signals_raise_the_flag():
    flag = StopFlag()
    flag.install(signals(["HUP", "SIGUSR2"]))
    before = signal.getsignal(signal.SIGUSR1)
    os.kill(os.getpid(), signal.SIGHUP)
    assert flag.raised and signal.getsignal(signal.SIGUSR1) is before
    again = StopFlag()
    again.install(signals(["HUP", "SIGUSR2"]))
    os.kill(os.getpid(), signal.SIGUSR2)
    assert again.raised


def test_a_second_interrupt_ends_at_once():
    flag = StopFlag()
    flag.install(signals(["INT"]))
    os.kill(os.getpid(), signal.SIGINT)
    assert flag.raised
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)


def test_a_signal_that_was_blocked_while_the_process_started_is_taken():
    flag = StopFlag()
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)  # other threads of the tests do not block it
    flag.install(signals(["USR1"]))
    assert flag.raised
