"""Asking a training to stop: Ctrl-C, a polite kill, or the time is up; it then saves its state and ends."""

import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Any

import torch
from lightning.fabric import Fabric

from garmentcut.training.devices import reduced

_REASONS = ("", "time is up", "interrupted")


class StopRequest:
    """A context in which Ctrl-C and SIGTERM only leave a note; a second one breaks off at once.

    Args:
        minutes: after these, `reason` is given too; None: never.
    """

    def __init__(self, minutes: float | None = None) -> None:
        self._deadline = None if minutes is None else time.monotonic() + 60 * minutes
        self._interrupted = False
        self._before: dict[int, Any] = {}

    @property
    def reason(self) -> str:
        """Why to stop now, `interrupted` or `time is up`; empty: go on."""
        if self._interrupted:
            return "interrupted"
        return "time is up" if self._deadline is not None and time.monotonic() >= self._deadline else ""

    def agreed(self, fabric: Fabric) -> str:
        """`reason`, or that of another device's process: all stop after the same step."""
        own = torch.tensor(_REASONS.index(self.reason), device=fabric.device)
        return _REASONS[int(reduced(fabric, own, "max"))]

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():  # Python lets no other thread ask for signals
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    def _note(self, number: int, _: FrameType | None) -> None:
        if self._interrupted:
            raise KeyboardInterrupt(f"signal {number}, twice")
        self._interrupted = True
