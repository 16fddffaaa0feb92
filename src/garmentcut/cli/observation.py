"""What a long command offers to those who look after it: log and metrics."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple, cast

import typer

from garmentcut.cli.app import MISUSE, fail

if TYPE_CHECKING:
    from garmentcut.observe.monitor import Monitor

_HOST = "127.0.0.1"
MetricsPortOption = Annotated[
    str, typer.Option(help="PORT or HOST:PORT for /metrics, /healthz and /readyz; without HOST on this machine only.")
]
LogFormatOption = Annotated[
    str, typer.Option(help="Log to stderr, a line a photo: text (what --watch does by itself) or json.")
]


class Wanted(NamedTuple):
    """Options of a command.

    Attributes:
        log_format: `text`, `json`, or empty: no log.
        metrics_port: a port, or `HOST:PORT`; empty: none.
    """

    log_format: str = ""
    metrics_port: str = ""


@contextmanager
def observed(wanted: Wanted) -> Iterator["Monitor"]:
    """A monitor for a run: its log goes to stderr, its metrics and health can be asked for while the context lasts."""
    # Imported here: `--help` must not wait for a web server.
    from garmentcut.observe.health import Health
    from garmentcut.observe.log import start_logging
    from garmentcut.observe.monitor import Monitor
    from garmentcut.observe.service import notify_service

    if wanted.log_format not in ("", "text", "json"):
        fail(f"--log-format: {wanted.log_format!r} is neither text nor json", MISUSE)
    if wanted.log_format:
        start_logging(cast(Literal["text", "json"], wanted.log_format), sys.stderr)
    health = Health(on_beat=lambda: notify_service("WATCHDOG=1"))
    with ExitStack() as stack:
        if not wanted.metrics_port:
            yield Monitor(health=health)
            return
        host, port = _address_of(wanted.metrics_port)
        try:
            from garmentcut.observe.metrics import Metrics
        except ModuleNotFoundError as error:
            fail(f"{error.name} is not installed; run: pip install 'garmentcut[observe]'", MISUSE)
        from garmentcut.observe.status_server import StatusServer

        monitor = Monitor(Metrics(), health)
        monitor.health.trouble("start", "the model is being loaded")
        try:
            stack.enter_context(StatusServer(monitor, host=host, port=port))
        except OSError as error:
            fail(f"--metrics-port {wanted.metrics_port}: {error.strerror or error}; choose another", MISUSE)
        yield monitor


def _address_of(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        fail(f"--metrics-port: {text!r} is no port such as 9464, nor an address such as 0.0.0.0:9464", MISUSE)
    return host.strip("[]") or _HOST, int(port)
