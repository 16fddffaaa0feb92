"""SIGTERM and Ctrl-C as a wish that is heard when it suits."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from garmentcut.cli.app import INTERRUPTED, OK

_SLICE_S = 0.25


class StopSignal:
    """Set by SIGTERM or Ctrl-C; whoever says it twice is obeyed at once.

    Not a `threading.Event`: set by a signal in the very thread that is about to wait for it, that can lock up.

    Attributes:
        exit_code: of the process: a service that is stopped has done well, a person who stops it has interrupted it.
    """

    exit_code = OK
    _is_set = False

    def is_set(self) -> bool:
        """True once a signal came."""
        return self._is_set

    def wait(self, timeout: float) -> bool:
        """Wait for so many seconds, or until a signal comes."""
        until = time.monotonic() + timeout
        while not self._is_set and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, _SLICE_S))
        return self._is_set

    def heed(self, number: int, _frame: FrameType | None) -> None:
        """Take a signal: finish what is under way."""
        self.exit_code = INTERRUPTED if number == signal.SIGINT else OK
        self._is_set = True
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


@contextmanager
def stop_on_signals() -> Iterator[StopSignal]:
    """A stop that SIGTERM and Ctrl-C set while the context lasts."""
    stop = StopSignal()
    earlier = {number: signal.signal(number, stop.heed) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, action in earlier.items():
            signal.signal(number, action)
