"""Reports on runs and watches: the log, Prometheus metrics, and the health behind /healthz and /readyz."""

import json
import logging
import math
import os
import re
import signal
import socket
import threading
import time
import unicodedata
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from types import FrameType
from typing import Any, Literal, ParamSpec, Self, TextIO, TypeVar

from garmentcut.errors import FAILURES

LogFormat = Literal["text", "json"]
_P = ParamSpec("_P")
_T = TypeVar("_T")

HANGUP = getattr(signal, "SIGHUP", signal.SIGTERM)
"""The signal that a closed terminal or connection sends; Windows has none."""
STAGES = ("read", "network", "write")
_SLICE_S = 0.25
_STALE_S = 300.0  # a run without a beat for so long is stuck
_STAGE_BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_DOUBT_BUCKETS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1)
LOGGER = logging.getLogger("garmentcut")
LOGGER.addHandler(logging.NullHandler())  # silent by default; otherwise warnings would go to stderr


def log_event(event: str, *, level: int = logging.INFO, **fields: Any) -> None:
    """Log an event: what happened, in one or two constant words such as "photo", "watching", "problem".

    `fields` are what varies; anything that JSON can hold, else its `str`. None is left out.
    """
    LOGGER.log(level, event, extra={"fields": {key: value for key, value in fields.items() if value is not None}})


def printable(text: str) -> str:
    """A text on one line, with control characters, line breaks and changes of text direction escaped."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or unicodedata.category(char) == "Zs" else char.encode("unicode_escape").decode()
        for char in text
    )


def start_logging(form: LogFormat, stream: TextIO) -> None:
    """Send garmentcut's events to a stream; a second call replaces the first."""
    lines = logging.StreamHandler(stream)
    lines.setFormatter(EventLines(form))
    LOGGER.handlers[:] = [lines]
    LOGGER.setLevel(logging.INFO)
    LOGGER.propagate = False


class EventLines(logging.Formatter):
    """Formats an event as one line, and an exception after it, in one of two forms.

    `json`: `{"time": ISO 8601 in UTC, "level", "event", ...fields}`, in ASCII. `text`: `TIME LEVEL event key=value
    ...`; text with blanks is quoted, a list is JSON.
    """

    def __init__(self, form: LogFormat) -> None:
        super().__init__()
        self._form = form

    def format(self, record: logging.LogRecord) -> str:
        """The line of an event."""
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line = {"time": moment, "level": record.levelname.lower(), "event": record.getMessage()}
        fields = getattr(record, "fields", {})
        exception = {"exception": self.formatException(record.exc_info)} if record.exc_info else {}
        if self._form == "json":  # ASCII, so that a file name that is not valid Unicode breaks no reader
            return json.dumps({**line, **fields, **line, **exception}, default=str)
        text = " ".join([*line.values(), *(f"{key}={_quoted(value)}" for key, value in fields.items())])
        return "\n".join([text, *exception.values()])


def _quoted(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    text = text.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, str) and not (re.fullmatch(r"[^\s\"=]+", text) and text.isprintable()):
        text = json.dumps(text, ensure_ascii=False)
    return printable(text)


class StopRequest(threading.Event):
    """A context in which Ctrl-C, SIGTERM or a closed terminal (not under nohup) only requests a stop.

    A second signal acts as it does outside. A stop is also requested after `minutes`; None: never. It takes no lock: an
    ordinary event can deadlock when a signal sets it in the thread that is about to wait for it.
    """

    number = 0  # of the signal that came; 0: none

    def __init__(self, minutes: float | None = None) -> None:
        super().__init__()
        self._deadline = math.inf if minutes is None else time.monotonic() + 60 * minutes
        self._before: dict[int, Any] = {}

    @property
    def reason(self) -> str:
        """Why to stop: `interrupted` or `time is up`; empty: continue."""
        if self.number:
            return "interrupted"
        return "time is up" if time.monotonic() >= self._deadline else ""

    def is_set(self) -> bool:
        """Whether a stop is requested."""
        return bool(self.reason)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until a stop is requested, or for `timeout` seconds."""
        until = math.inf if timeout is None else time.monotonic() + timeout
        while not self.is_set() and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, _SLICE_S))
        return self.is_set()

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():  # Python allows signal handlers only there
            ignored = {HANGUP} if signal.getsignal(HANGUP) is signal.SIG_IGN else set()
            for number in {signal.SIGINT, signal.SIGTERM, HANGUP} - ignored:
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _: FrameType | None) -> None:
        self.number = number
        self.__exit__()  # a second signal does what it did before


def notify_service(message: str) -> None:
    """Notify systemd, if it started this process with `Type=notify` (sd_notify(3)); otherwise do nothing.

    The message is `READY=1`, `WATCHDOG=1`, `STOPPING=1` or `STATUS=` and a line for `systemctl status`.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address[:1] not in ("/", "@") or not hasattr(socket, "AF_UNIX"):
        return
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as outlet:
        outlet.setblocking(False)  # a full queue is no reason to stop cutting
        outlet.sendto(message.encode(), "\0" + address[1:] if address.startswith("@") else address)


class Health:
    """Whether a run is alive, and the problems that keep it from working.

    Alive: the last `beat` is recent. Ready: alive, and without problems. May be used from any thread.

    >>> health = Health()
    >>> health.problem("output", "No space left on device")
    True
    >>> health.problems()
    {'output': 'No space left on device'}
    >>> health.problem("output"), health.problems()
    (True, {})
    """

    def __init__(self, *, on_beat: Callable[[], None] = lambda: None) -> None:
        """Begin alive and ready; each beat calls `on_beat`."""
        self._on_beat, self._lock = on_beat, threading.Lock()
        self._problems: dict[str, str] = {}
        self._checks: dict[str, Callable[[], str]] = {}
        self._beaten = time.monotonic()

    def beat(self) -> None:
        """Report that work goes on."""
        self._beaten = time.monotonic()
        self._on_beat()

    def problem(self, name: str, text: str = "") -> bool:
        """Report a problem in words, or its end with an empty text; returns True if this is new."""
        with self._lock:
            is_news = self._problems.get(name, "") != text
            if text:
                self._problems[name] = text
            else:
                self._problems.pop(name, None)
        return is_news

    def add_check(self, name: str, check: Callable[[], str]) -> None:
        """Call `check` whenever problems are asked for; it returns the problem in words, or an empty text."""
        self._checks[name] = check

    def problems(self) -> dict[str, str]:
        """All current problems, by name."""
        with self._lock:
            found = dict(self._problems)
        for name, check in self._checks.items():
            try:
                text = check()
            except Exception as error:  # noqa: BLE001 - an error of the check is the answer
                text = str(error) or type(error).__name__
            found |= {name: text} if text else {}
        if not self.is_alive():
            found["stuck"] = f"no sign of life for {time.monotonic() - self._beaten:.0f} s"
        return found

    def is_alive(self) -> bool:
        """Whether the last beat is recent."""
        return time.monotonic() - self._beaten <= _STALE_S


class Metrics:
    """Prometheus metrics in a registry of their own; docs/operation.md explains each.

    Needs `prometheus-client` (extra `observe`). May be used from any thread.

    Attributes:
        registry: add further metrics here, such as a server's own; the other attributes are the metrics in it.
    """

    def __init__(self) -> None:
        from importlib.metadata import version

        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector

        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        Info("garmentcut_build", "The program.", registry=registry).info({"version": version("garmentcut")})
        counter, gauge = partial(Counter, registry=registry), partial(Gauge, registry=registry)
        histogram = partial(Histogram, registry=registry)
        self.photos = counter("garmentcut_photos", "Photos worked on, by outcome.", ["status"])
        self.failures = counter("garmentcut_failures", "Photos that failed, by code.", ["code"])
        text = "Seconds a photo spends in a stage, waiting not counted."
        self.seconds = histogram("garmentcut_stage_seconds", text, ["stage"], buckets=_STAGE_BUCKETS_S)
        text = "1 - expected surface Dice at 2 px, of each cutout whose model can tell."
        self.doubt = histogram("garmentcut_doubt", text, buckets=_DOUBT_BUCKETS)
        text = "Photos that were cut and look unlike the studio that the model was trained on."
        self.foreign = counter("garmentcut_foreign_photos", text)
        self.queue = gauge("garmentcut_queue_photos", "Photos that wait, by what for.", ["state"])
        text = "When the last photo was cut; Unix time."
        self.success = gauge("garmentcut_last_success_timestamp_seconds", text)
        self.scan = gauge("garmentcut_scan_seconds", "What the last scan of the folders took.")
        self.found = gauge("garmentcut_found_photos", "Photos the last scan found, done ones too.")
        # Created at once, because a missing series cannot be told from a broken one.
        for metric, children in ((self.photos, ("ok", "failed")), (self.failures, FAILURES), (self.seconds, STAGES)):
            for child in children:
                metric.labels(child)

    def page(self, accept: str = "") -> tuple[str, bytes]:
        """All metrics in Prometheus's format: content type and content."""
        from prometheus_client.exposition import choose_encoder

        encode, content_type = choose_encoder(accept)
        return content_type, encode(self.registry)


@dataclass(frozen=True)
class Monitor:
    """Combines metrics (if wanted), health and log.

    >>> monitor = Monitor()
    >>> monitor.photo("/in/a.jpg", seconds=1.2)
    >>> monitor.problem("output", "No space left on device")
    >>> monitor.health.problems()
    {'output': 'No space left on device'}
    """

    metrics: Metrics | None = None  # None: nothing is counted, and `prometheus-client` need not be installed
    health: Health = field(default_factory=Health)  # decides the answers of `/healthz` and `/readyz`

    def timed(self, stage: str, step: Callable[_P, _T]) -> Callable[_P, _T]:
        """Wrap a step so that the time of each call counts for one of `STAGES`."""
        metrics = self.metrics
        if metrics is None:
            return step

        def timed_step(*args: _P.args, **kwargs: _P.kwargs) -> _T:
            with metrics.seconds.labels(stage).time():
                return step(*args, **kwargs)

        return timed_step

    def photo(
        self, name: str, *, code: str = "", doubt: float | None = None, is_foreign: bool = False, **fields: Any
    ) -> None:
        """Count a finished photo and log its line, with its path or address, its doubt and further fields.

        `code` says why it failed, a key of `garmentcut.errors.FAILURES`; empty: it was cut. The doubt is in [0, 1];
        None: the model cannot tell. `is_foreign`: it looks unlike the studio that the model was trained on, so its line
        is a warning.
        """
        self.health.beat()
        level, status = logging.WARNING if code or is_foreign else logging.INFO, "failed" if code else "ok"
        if metrics := self.metrics:
            metrics.photos.labels(status).inc()
            if code:
                metrics.failures.labels(code).inc()
            else:
                metrics.success.set_to_current_time()
                metrics.foreign.inc(is_foreign)
            if doubt is not None and not code:
                metrics.doubt.observe(doubt)
        log_event("photo", level=level, input=name, status=status, code=code or None, doubt=doubt, **fields)

    def queue(self, **waiting: int) -> None:
        """Report how many photos wait, by state."""
        if self.metrics:
            for state, number in waiting.items():
                self.metrics.queue.labels(state).set(number)

    def scan(self, seconds: float, num_photos: int) -> None:
        """Report how long a scan of the watched folders took, and how many photos it found."""
        self.health.beat()
        if self.metrics:
            self.metrics.scan.set(seconds)
            self.metrics.found.set(num_photos)

    def problem(self, name: str, text: str = "") -> None:
        """Report a problem in words, or its end with an empty text; logged if it begins, changes or ends."""
        if self.health.problem(name, text):
            if text:
                log_event("problem", level=logging.ERROR, name=name, text=text)
            else:
                log_event("problem over", name=name)
