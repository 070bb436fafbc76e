"""From a signal to a flag. Nothing else happens in the handler: ranks agree at the next step boundary and save together."""

import signal
from types import FrameType

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)


class StopFlag:
    """Raised by the first stop signal; a second SIGINT ends the process at once."""

    def __init__(self) -> None:
        self.raised = False

    def install(self) -> None:
        """Take over the stop signals of this process, those included that a launcher blocked while it started it."""
        for number in STOP_SIGNALS:
            signal.signal(number, self._handle)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and self.raised:
            raise KeyboardInterrupt
        self.raised = True
