"""`garmentcut review` and `serve`: builds the FastAPI application with its guard, and runs it in a server."""

import asyncio
import math
import re
import socket
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any
from urllib.parse import quote

import uvicorn
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import DBAPIError
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from garmentcut import __version__
from garmentcut.errors import DatabaseError, ModelError, ReviewError, UsageError, code_of
from garmentcut.prediction.folder import read_batch
from garmentcut.review import cutting
from garmentcut.review.cutting import MAX_PHOTO_BYTES, UNJUDGED_S, CutService, Model
from garmentcut.review.database import reason_of
from garmentcut.review.guard import CUT_PATHS, STALL_BYTES, STALL_S, Access, Guard, open_access
from garmentcut.review.photos import printable
from garmentcut.review.routes import api, error_page, media, pages, static
from garmentcut.review.service import Service, Settings

_SMALL_BODY, _ALPHA_BODY, _REDRAW_BODY = 64_000, 64_000_000, 24_000_000
_ALPHA_PATH = re.compile(r"/api/photos/\d+/alpha")
_REDRAW_PATH = re.compile(r"/api/photos/\d+/redraw")
# remove.bg's error codes, which its clients check for.
_REMOVEBG_STATUS = {401: 403, 413: 400, 415: 400, 422: 400}
_REMOVEBG_CODES = {400: "invalid_request", 403: "auth_failed", 429: "rate_limit_exceeded"}
HEAD_TIMEOUT_S = 10.0
"""A request's head must arrive within this time."""
MAX_CONNECTIONS = 400
"""Maximum number of connections; a browser opens six. The slowest is closed for a new one."""
_LOOK = "load the page again to see what is saved, then try again"
_BACKLOG = 256
_KEEP_ALIVE_S = 15
_FINISH_S = 60


def make_app(service: CutService) -> ASGIApp:
    """Build the application: for reviewing a batch, or only for cutting photos that are sent to it.

    The service must be open while it runs: errors in a lifespan of its own would be printed as tracebacks.
    """
    app = FastAPI(
        title="garmentcut",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        description="What `garmentcut review` and `garmentcut serve` answer; see docs/review-api.md.",
    )
    app.state.service = service
    of_batch = (pages, api, media) if isinstance(service, Service) else ()
    for router in (cutting.router, static, *of_batch):
        app.include_router(router)
    for kind in _ERRORS:
        app.add_exception_handler(kind, _answer_error)
    return Guard(
        app, service.access, _limit_of, lambda path, error: _refusal(path, error.status, str(error), error.code)
    )


def _limit_of(method: str, path: str) -> int:
    if path in CUT_PATHS:
        return MAX_PHOTO_BYTES
    if method == "PUT" and _ALPHA_PATH.fullmatch(path):
        return _ALPHA_BODY
    return _REDRAW_BODY if _REDRAW_PATH.fullmatch(path) else _SMALL_BODY


_ERRORS: tuple[type[Exception], ...] = (
    *(ReviewError, RequestValidationError, HTTPException, ModelError, DatabaseError, DBAPIError, OSError),
    Exception,  # also logged, with its traceback
)
_SENTENCES = {"Not Found": "nothing is at this address", "Method Not Allowed": "this address takes another method"}


def _answer_error(request: Request, error: Exception) -> Response:
    status, message, code = 503, str(error), code_of(error)
    headers, more = dict[str, str](), dict[str, Any]()
    match error:
        case ReviewError():
            status, code = error.status, error.code
            headers = {"retry-after": str(error.retry_after_s)} if error.retry_after_s else {}
            more = {"item": error.item} if error.item else {}
        case RequestValidationError():
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"][1:])
            status, message, code = 422, f"{where}: {first['msg']}" if where else str(first["msg"]), "unfit"
        case HTTPException():
            status, message, headers = error.status_code, str(error.detail), dict(error.headers or {})
            message = _SENTENCES.get(message, message)
            code = "not_found" if status == 404 else "bad_request"
        case ModelError() | DatabaseError():  # the page asks a server again and again that answers 503
            status, code = 500 if isinstance(error, ModelError) else 503, error.code
        case DBAPIError():
            message, code = f"the database does not respond ({reason_of(error)}); {_LOOK}", "database"
        case OSError():
            status, message = 507, f"a file cannot be read or written: {error.strerror or error}; {_LOOK}"
        case _:
            status, code = 500, "internal"
            message = f"the server failed ({type(error).__name__}); its log says more"
    return _refusal(request.url.path, status, message, code, headers=headers, **more)


def _refusal(
    path: str, status: int, message: str, code: str, *, headers: dict[str, str] | None = None, **more: Any
) -> Response:
    """The response to a failed request, depending on its path: JSON for programs, a page for people."""
    message = printable(message)
    if path == "/v1.0/removebg":
        status = _REMOVEBG_STATUS.get(status, status)
        more["errors"] = [{"title": message, "code": _REMOVEBG_CODES.get(status, "error")}]
    elif not path.startswith(("/api", "/media", "/cut", "/static", "/openapi.json")):
        return HTMLResponse(error_page(status, message), status, headers=headers)
    return JSONResponse({"error": message, "code": code, **more}, status, headers=headers)


class Connections:
    """An application and its connections; idle connections and those that are too slow are closed.

    Run it with uvicorn and `Connection` as its `http` protocol.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.known: dict[tuple[Any, ...], Connection] = {}  # open connections by address and port, the oldest first

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        connection = self.known.get(tuple(scope.get("client") or ()))
        with connection.answering() if connection else nullcontext():
            await self._app(scope, receive, send)

    def add(self, connection: "Connection") -> None:
        """Add a connection; if there are too many, close the slowest that is waited for, or the oldest idle one."""
        self.known[connection.peer] = connection
        if len(self.known) > MAX_CONNECTIONS:
            awaited = [one for one in self.known.values() if one.is_awaited and one is not connection]
            min(awaited, key=lambda one: one.rate, default=connection).transport.abort()


class Connection(H11Protocol):
    """uvicorn's HTTP/1.1 protocol with time limits for receiving a request and for sending its response."""

    _is_answering = False
    _has_begun = True  # a request has begun and its rest must arrive; a new connection must send one
    _timer: asyncio.TimerHandle | None = None  # closes the connection unless the client acts before
    _since, _num_moved, _num_left = 0.0, 0, 0  # bytes received since then, and bytes that were left to send
    peer: tuple[Any, ...] = ()  # address and port, as `client` of an ASGI scope

    @property
    def is_awaited(self) -> bool:
        """True if the client must act: send a request or a body, or read a response."""
        if self.transport.get_write_buffer_size():
            return True
        return not self.transport.is_closing() and (not self._is_answering or self.cycle.more_body)

    @property
    def rate(self) -> float:
        """Bytes per second that the client sends or reads; infinite if it has only just begun."""
        seconds = asyncio.get_running_loop().time() - self._since
        num_taken = max(self._num_left - self.transport.get_write_buffer_size(), 0)
        return (self._num_moved + num_taken) / seconds if seconds > UNJUDGED_S else math.inf

    @contextmanager
    def answering(self) -> Iterator[None]:
        """A context for answering a request, in which the client need not send another one."""
        self._is_answering = True
        self._watch()  # the previous response may not have been read yet
        try:
            yield
        finally:
            self._is_answering = self._has_begun = False
            self._watch()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See asyncio.Protocol."""
        self.peer = tuple(transport.get_extra_info("peername") or ())[:2]
        super().connection_made(transport)
        self._watch()
        self._application.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        self._stop()
        if self._application.known.get(self.peer) is self:
            del self._application.known[self.peer]
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        if not self._is_answering and not self._has_begun:  # a further request on a kept connection
            self._has_begun = True
            self._watch()
        self._num_moved += len(data)
        super().data_received(data)

    def pause_writing(self) -> None:
        """See asyncio.Protocol: the client reads a response more slowly than it is written."""
        super().pause_writing()
        self._watch()

    def resume_writing(self) -> None:
        """See asyncio.Protocol: nearly everything that was written has been read."""
        super().resume_writing()
        self._watch()

    @property
    def _application(self) -> Connections:
        assert isinstance(self.config.app, Connections)
        return self.config.app

    def _watch(self) -> None:
        """Start the time limit for what the client must do: read a whole response, or send a request's head."""
        self._stop()
        loop = asyncio.get_running_loop()
        self._since, self._num_moved, self._num_left = loop.time(), 0, self.transport.get_write_buffer_size()
        # While an answer is written and taken as fast, more may come at any time, and less is left only now and then.
        if self._num_left and (self.flow.write_paused or not self._is_answering):
            self._timer = loop.call_later(STALL_S, self._check_taken)
        elif self._has_begun and not self._is_answering:
            self._timer = loop.call_later(HEAD_TIMEOUT_S, self.transport.abort)

    def _check_taken(self) -> None:
        num_taken = self._num_left - self.transport.get_write_buffer_size()
        if num_taken < min(STALL_BYTES, self._num_left):
            self.transport.abort()
        else:
            self._watch()

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def bind(host: str, port: int) -> socket.socket:
    """Bind a socket that does not accept connections yet; port 0 is any free port. Raises UsageError if it is taken."""
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, proto)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
        except BaseException:
            listening.close()
            raise
    except (OSError, UnicodeError) as error:  # UnicodeError: no host can have this name
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"cannot listen on {host}:{port}: {reason}; choose another --host or --port") from error
    return listening


def serve(
    settings: Settings,
    listening: socket.socket,
    *,
    token: str | None,
    say: Callable[[str], None],
    open_browser: bool = False,
) -> None:
    """Serve a batch on a socket of `bind` until the server is stopped; running requests are finished.

    `say` is called with the link once it works; `open_browser`: it is opened, too. Readers must bring the `token`;
    None: one is drawn if other machines can reach the server.

    Raises:
        garmentcut.errors.SourceError: the folder is no batch.
        garmentcut.errors.UsageError: the database cannot be used.
        OSError: the folder cannot be written.
    """
    read_batch(settings.folder)  # before anything is written to a wrong folder
    host, port = listening.getsockname()[:2]
    access = open_access(settings.folder.resolve(), host, port, token)
    service = Service(settings, access)
    link = _address_of(access) + (f"?token={quote(access.token)}" if access.token else "")

    def announce() -> None:
        say(link)
        if open_browser:
            with suppress(webbrowser.Error, OSError):
                webbrowser.open(link)

    _run(service, listening, announce)


def serve_cuts(model: Model, listening: socket.socket, *, token: str | None, say: Callable[[str], None]) -> None:
    """Cut photos that are sent, without a batch, as `serve` does; running requests are finished.

    `say` is called with the addresses, and a token that was drawn, once they work.

    Raises:
        garmentcut.errors.ModelError: it cannot be loaded.
    """
    model.cutter()
    host, port = listening.getsockname()[:2]
    access = open_access(None, host, port, token)
    address = _address_of(access)

    def announce() -> None:
        for path, form in (("cut", "plain"), ("v1.0/removebg", "remove.bg's"), ("api/remove", "rembg's")):
            say(f"{address}{path} ({form} form)")
        if access.token and token is None:
            say(f"X-Api-Key: {access.token}")

    _run(CutService(model, access), listening, announce)


def _address_of(access: Access) -> str:
    name = f"[{access.host}]" if ":" in access.host else access.host
    if access.host in ("0.0.0.0", "::"):  # all addresses, so show a name that others can use
        name = socket.gethostname()
    return f"http://{name}:{access.port}/"


def _run(service: CutService, listening: socket.socket, announce: Callable[[], None]) -> None:
    config = uvicorn.Config(
        Connections(make_app(service)),
        http=Connection,
        ws="none",
        lifespan="off",
        log_config=None,  # uvicorn's own closes all handlers; absl's (in OpenVINO) then closes its stream
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=_BACKLOG,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_FINISH_S,
    )
    service.open()
    try:
        _Announcing(config, announce).run(sockets=[listening])
    finally:
        service.close()


class _Announcing(uvicorn.Server):
    """A server that reports when it accepts requests."""

    def __init__(self, config: uvicorn.Config, announce: Callable[[], None]) -> None:
        super().__init__(config)
        self._announce = announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and not self.should_exit:
            self._announce()
