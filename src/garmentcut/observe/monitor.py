"""Monitor: what the steps of a run report to, whether anybody listens or not."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from garmentcut.observe.health import Health
from garmentcut.observe.log import log_event

if TYPE_CHECKING:
    from garmentcut.observe.metrics import Metrics

_P = ParamSpec("_P")
_T = TypeVar("_T")


@dataclass(frozen=True)
class Monitor:
    """Metrics, if they are wanted, health and log in one.

    >>> monitor = Monitor()
    >>> monitor.photo("/in/a.jpg", seconds=1.2)
    >>> monitor.trouble("output", "No space left on device")
    >>> monitor.health.is_ready()
    False

    Attributes:
        metrics: None: nobody counts, and `prometheus-client` need not be installed.
        health: what `/healthz` and `/readyz` answer by.
    """

    metrics: "Metrics | None" = None
    health: Health = field(default_factory=Health)

    def timed(self, stage: str, step: Callable[_P, _T]) -> Callable[_P, _T]:
        """The same step; what a call takes counts for a stage of `garmentcut.observe.metrics.STAGES`."""
        metrics = self.metrics
        if metrics is None:
            return step

        def timed_step(*args: _P.args, **kwargs: _P.kwargs) -> _T:
            start = time.perf_counter()
            try:
                return step(*args, **kwargs)
            finally:
                metrics.time_stage(stage, time.perf_counter() - start)

        return timed_step

    def photo(self, name: str, *, code: str = "", doubt: float | None = None, **fields: Any) -> None:
        """A photo is finished: count it and log a line.

        Args:
            name: its path or address.
            code: why it failed, a key of `garmentcut.errors.FAILURES`; empty: it was cut.
            doubt: in [0, 1]; None: the model cannot tell.
            fields: what else the line says.
        """
        self.health.beat()
        if self.metrics:
            self.metrics.count_photo(code=code, doubt=doubt)
        level, status = (logging.WARNING, "failed") if code else (logging.INFO, "ok")
        log_event("photo", level=level, input=name, status=status, code=code or None, doubt=doubt, **fields)

    def queue(self, **waiting: int) -> None:
        """How many photos wait, by state."""
        if self.metrics:
            self.metrics.set_queue(**waiting)

    def look(self, seconds: float, num_photos: int) -> None:
        """A look at the watched folders took so long and found so many photos."""
        self.health.beat()
        if self.metrics:
            self.metrics.set_look(seconds, num_photos)

    def trouble(self, name: str, text: str = "") -> None:
        """Something stands in the way, in words; without words: no more. Logged when it begins, changes and ends."""
        if self.health.trouble(name, text):
            if text:
                log_event("trouble", level=logging.ERROR, name=name, text=text)
            else:
                log_event("trouble over", name=name)
