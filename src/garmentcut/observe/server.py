"""A small HTTP server beside `garmentcut cut`, with or without `--watch`: `/metrics`, `/healthz` and `/readyz`."""

import json
import socket
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from garmentcut.observe.monitor import Monitor

MAX_CLIENTS = 32
"""Limit on simultaneous clients; Prometheus and health checks open one connection each."""


class Answer(NamedTuple):
    """The answer to a request."""

    status: int
    content_type: str
    content: bytes


def answer_status(monitor: Monitor, path: str, *, accept: str = "") -> Answer | None:
    """The answer to a GET request, which any web server can send; None: the path is none of the three.

    `/healthz`: 200, or 503 if the process is stuck and should be restarted. `/readyz`: 200, or 503 with the problems by
    name, which a restart would not solve. `/metrics`: 200.
    """
    if path == "/metrics" and monitor.metrics:
        return Answer(200, *monitor.metrics.page(accept))
    if path == "/healthz":
        alive = monitor.health.is_alive()
        return _json(200 if alive else 503, {"alive": alive})
    if path == "/readyz":
        problems = monitor.health.problems()
        return _json(503 if problems else 200, {"ready": not problems, "problems": problems})
    return None


def _json(status: int, content: object) -> Answer:
    return Answer(status, "application/json", json.dumps(content).encode() + b"\n")


class StatusServer:
    """Answers requests in its own threads; a context manager.

    >>> with StatusServer(Monitor(), port=0) as server:  # doctest: +SKIP
    ...     print(f"http://127.0.0.1:{server.port}/readyz")

    Raises:
        OSError: the address cannot be bound.
    """

    def __init__(self, monitor: Monitor, *, host: str = "127.0.0.1", port: int = 9464) -> None:
        """Bind the address; no request is answered before the context is entered.

        `host` is a name or address of this machine; by default only this machine can connect. Port 0: any free one.
        """
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        server_class = type("_OfFamily", (_Server,), {"address_family": family})
        request_class = type("_Request", (_Request,), {"monitor": monitor})
        self._server: ThreadingHTTPServer = server_class((host, port), request_class)
        self.port: int = self._server.server_address[1]
        # A daemon: it ends with the process, and has nothing that must be finished.
        self._thread = threading.Thread(target=self._server.serve_forever, name="status", daemon=True)

    def __enter__(self) -> "StatusServer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    """Closes the oldest connection if there are too many, so that slow clients cannot use up threads and files."""

    daemon_threads = True

    def __init__(self, *arguments: Any) -> None:
        self._open: list[Any] = []
        super().__init__(*arguments)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.append(request)
        if len(self._open) > MAX_CLIENTS:
            with suppress(OSError):  # its thread may be closing it at this moment
                self._open.pop(0).shutdown(socket.SHUT_RDWR)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with suppress(ValueError):  # it has been closed to make room
            self._open.remove(request)
        super().shutdown_request(request)

    def handle_error(self, *_: object) -> None:
        """Say nothing: the client has gone away."""


class _Request(BaseHTTPRequestHandler):
    monitor: Monitor
    timeout = 10  # seconds, so that a silent client does not hold a thread for ever

    def _respond(self) -> None:
        found = answer_status(self.monitor, urlsplit(self.path).path, accept=self.headers.get("Accept", ""))
        found = found or _json(404, {"error": "no such page; there are /metrics, /healthz and /readyz"})
        self.send_response(found.status)
        self.send_header("Content-Type", found.content_type)
        self.send_header("Content-Length", str(len(found.content)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(found.content)

    do_GET = _respond  # noqa: N815 - the name that the standard library calls

    def log_message(self, *_: object) -> None:
        """Say nothing: requests every few seconds would fill the log."""
