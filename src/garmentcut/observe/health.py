"""Health: does the process live, and can it work now?"""

import threading
import time
from collections.abc import Callable

_STALE_S = 300.0


class Health:
    """Signs of life, and what stands in the way of work.

    Alive: the last `beat` is not long ago. Ready: alive, and nothing stands in the way. May be used from any thread.

    >>> health = Health()
    >>> health.trouble("output", "No space left on device")
    True
    >>> health.is_ready(), health.troubles()
    (False, {'output': 'No space left on device'})
    >>> health.trouble("output"), health.is_ready()
    (True, True)
    """

    def __init__(
        self,
        *,
        stale_s: float = _STALE_S,
        clock: Callable[[], float] = time.monotonic,
        on_beat: Callable[[], None] = lambda: None,
    ) -> None:
        """Begin alive and ready.

        Args:
            stale_s: seconds without a beat after which it counts as stuck.
            clock: seconds, of any origin.
            on_beat: called at each beat, several times a second.
        """
        self._stale_s, self._clock, self._on_beat = stale_s, clock, on_beat
        self._lock = threading.Lock()
        self._troubles: dict[str, str] = {}
        self._checks: dict[str, Callable[[], str]] = {}
        self._beaten = clock()

    def beat(self) -> None:
        """Work goes on."""
        self._beaten = self._clock()
        self._on_beat()

    def trouble(self, name: str, text: str = "") -> bool:
        """Say what stands in the way, in words; without words: nothing any more.

        Returns:
            True if this is news.
        """
        with self._lock:
            is_news = self._troubles.get(name, "") != text
            if text:
                self._troubles[name] = text
            else:
                self._troubles.pop(name, None)
        return is_news

    def add_check(self, name: str, check: Callable[[], str]) -> None:
        """Ask `check` whenever somebody wants to know; it answers with the trouble in words, or nothing."""
        self._checks[name] = check

    def troubles(self) -> dict[str, str]:
        """All that stands in the way now, by name."""
        with self._lock:
            found = dict(self._troubles)
        found |= {name: text for name, check in self._checks.items() if (text := _asked(check))}
        if not self.is_alive():
            found["stuck"] = f"no sign of life for {self._clock() - self._beaten:.0f} s"
        return found

    def is_alive(self) -> bool:
        """The last beat is not long ago."""
        return self._clock() - self._beaten <= self._stale_s

    def is_ready(self) -> bool:
        """Alive, and nothing stands in the way."""
        return not self.troubles()


def _asked(check: Callable[[], str]) -> str:
    try:
        return check()
    except Exception as error:  # noqa: BLE001 - whatever is wrong with what is asked: that is the answer
        return str(error) or type(error).__name__
