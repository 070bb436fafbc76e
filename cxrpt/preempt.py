"""From a signal to a flag. Nothing else happens in the handler: ranks agree at the next step boundary and save together."""

import signal
from collections.abc import Collection, Iterable
from types import FrameType

from cxrpt.config_rules import STOP_SIGNAL_NAMES


def signals(names: Iterable[str]) -> tuple[signal.Signals, ...]:
    """The signals of the names in `train.stop_signals`, with or without SIG."""
    return tuple(signal.Signals[f"SIG{name.removeprefix('SIG')}"] for name in names)


STOP_SIGNALS = signals(STOP_SIGNAL_NAMES)
"""All that a configuration may name: what is not to stop by itself, as a loader worker, takes no notice of any."""


class StopFlag:
    """Raised by the first stop signal; a second SIGINT ends the process at once."""

    def __init__(self) -> None:
        self.raised = False

    def install(self, stop_signals: Collection[signal.Signals]) -> None:
        """Take over the stop signals of this process, those included that a launcher blocked while it started it."""
        for number in stop_signals:
            signal.signal(number, self._handle)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, stop_signals)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and self.raised:
            raise KeyboardInterrupt
        self.raised = True
