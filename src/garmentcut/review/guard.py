"""Middleware of `review` and `serve`: access control, limits on requests, and headers of responses.

Only one secret per batch is stored; the page's token and the cookie are derived from it.
"""

import asyncio
import hashlib
import hmac
import ipaddress
import os
import secrets
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from garmentcut.errors import ReviewError
from garmentcut.prediction.results import OWN_FOLDER

SECRET_NAME = f"{OWN_FOLDER}/review.secret"
TOKEN_HEADER, KEY_HEADER = "x-garmentcut-token", "x-api-key"
_BEARER = "bearer "
_SAFE_METHODS = frozenset({"GET", "HEAD"})
_SAME_ORIGIN = frozenset({"same-origin", "none"})
_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "worker-src 'self'; font-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}
CUT_PATHS = frozenset({"/cut", "/v1.0/removebg", "/api/remove"})
"""Paths that programs, not pages, send photos to."""
_OPEN_PATHS = frozenset({"/healthz", "/readyz"})
_BODY_TIMEOUT_S = 120
STALL_S, STALL_BYTES = 15.0, 128_000
"""`STALL_BYTES` of a body, or its rest, must arrive within this time; the same holds for reading a response."""


@dataclass(frozen=True)
class Access:
    """Who may send which requests."""

    secret: str  # secret of the batch; never leaves the server
    host: str  # address that the server listens on
    port: int  # port that the server listens on
    token: str = ""  # token that readers must send; empty: none, on loopback
    _names: frozenset[str] = field(default=frozenset())

    @property
    def page_token(self) -> str:
        """The token that the server's own pages send; unchanged by a restart, so that open pages keep working."""
        return self._derived("page")

    @property
    def cookie(self) -> str:
        """The cookie of a browser that has sent the token."""
        return self._derived(f"cookie {self.token}")

    @property
    def cookie_name(self) -> str:
        """The cookie's name, different for each port, because browsers do not separate the ports of a host."""
        return f"garmentcut-{self.port}"

    def accepts_token(self, token: str) -> bool:
        """Whether the token is correct, compared in constant time."""
        return bool(self.token) and _same(token, self.token)

    def check(self, method: str, path: str, headers: Mapping[str, str], cookie: str) -> None:
        """Refuse a request: 400 for a wrong host name, 401 without the token, 403 if it comes from another site."""
        bearer = headers.get("authorization", "")
        has_token = self.accepts_token(headers.get(KEY_HEADER, "").strip()) or (
            bearer.lower().startswith(_BEARER) and self.accepts_token(bearer[len(_BEARER) :].strip())
        )
        if not (has_token and path in CUT_PATHS) and not self._is_own_host(headers.get("host", "")):
            raise ReviewError("the server has another name; open the address that it printed", code="bad_request")
        if self.token and not has_token and not _same(cookie, self.cookie):
            raise ReviewError(
                "open the link that the server printed: it brings the token; programs send it as X-Api-Key",
                code="no_token",
            )
        if method not in _SAFE_METHODS and not has_token:
            self._check_writer(path, headers)

    def _check_writer(self, path: str, headers: Mapping[str, str]) -> None:
        """Check header and origin: another site can make a browser send a request, but cannot forge these two."""
        origin, site = headers.get("origin"), headers.get("sec-fetch-site")
        own = {f"http://{headers.get('host', '')}", f"https://{headers.get('host', '')}"}
        if (origin is not None and origin not in own) or (site is not None and site not in _SAME_ORIGIN):
            raise ReviewError("the request comes from another site; use the page itself", code="forbidden")
        is_browser = origin is not None or site is not None
        if path in CUT_PATHS and not is_browser and not self.token:
            return
        if not _same(headers.get(TOKEN_HEADER, ""), self.page_token):
            raise ReviewError("the page's token is missing; reload the page", code="forbidden")

    def _is_own_host(self, host: str) -> bool:
        """Whether a host name is this server's own, which prevents DNS rebinding."""
        name, _, port = host.rpartition(":")
        if not port.isdigit():
            name, port = host, ""
        if name.lower() in _LOOPBACK_NAMES | self._names:
            return bool(self.token) or (port or "80") == str(self.port)  # browsers leave 80 out
        return bool(self.token) and _address_of(name) is not None

    def _derived(self, purpose: str) -> str:
        return hmac.new(self.secret.encode(), purpose.encode(), hashlib.sha256).hexdigest()


def _address_of(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    with suppress(ValueError):
        return ipaddress.ip_address(host.strip("[]"))
    return None


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    address = _address_of(host)
    return address.is_loopback if address else host == "localhost"


def open_access(folder: Path | None, host: str, port: int, token: str | None) -> Access:
    """The access rules of a server that listens on a port of an address.

    The batch's secret is generated once, in a file in its `folder` that only its user can read; if that is None, at
    each start. `token` is what readers must send; None: it is derived from the secret if others can reach the server,
    else none is needed. Raises OSError if the secret can neither be read nor written.
    """
    secret = secrets.token_hex(32) if folder is None else _read_secret(folder / SECRET_NAME)
    drawn = hmac.new(secret.encode(), b"link", hashlib.sha256).hexdigest()[:32]
    chosen = token if token is not None else "" if is_loopback(host) else drawn
    # Of this machine, if others can reach it; addresses need not be listed.
    names = (host,) if is_loopback(host) else (host, socket.gethostname(), socket.getfqdn())
    return Access(secret, host, port, chosen, _names=frozenset(map(str.lower, names)))


def _read_secret(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError), os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secrets.token_hex(32))
    if secret := path.read_text(errors="replace").strip():
        return secret
    path.unlink()  # left incomplete by a killed server
    return _read_secret(path)


def _same(first: str, second: str) -> bool:
    return hmac.compare_digest(first.encode(errors="surrogateescape"), second.encode())


@dataclass(frozen=True)
class Guard:
    """ASGI middleware."""

    app: ASGIApp  # the application to protect
    access: Access  # the access rules
    limit_of: Callable[[str, str], int]  # maximum number of bytes of a body, by method and path
    # Makes the response for a refused request to a path: JSON, or a page for a person.
    answer_refusal: Callable[[str, ReviewError], Response]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        answer = _Answer(send)
        try:
            self._check(scope)
            body = _Body(receive, answer, limit=self.limit_of(scope["method"], scope["path"]))
            body.check_declared(scope)
            await self.app(scope, body, answer)
        except ReviewError as error:
            answer.refusal = error
        except Exception:
            if answer.refusal is None:
                raise
        if (refusal := answer.refusal) is not None and not answer.has_begun:
            answer.refusal = None
            response = self.answer_refusal(scope["path"], refusal)
            response.headers["cache-control"] = "no-store"
            if refusal.status in (408, 413):
                response.headers["connection"] = "close"  # do not wait for the rest of the body
            await response(scope, receive, answer)

    def _check(self, scope: Scope) -> None:
        if scope["path"] in _OPEN_PATHS:
            return
        request = HTTPConnection(scope)
        cookie = request.cookies.get(self.access.cookie_name, "")
        if scope["path"] == "/" and any(map(self.access.accepts_token, request.query_params.getlist("token"))):
            cookie = self.access.cookie  # set by the response
        self.access.check(scope["method"], scope["path"], request.headers, cookie)


class _Answer:
    """Sends a response with the headers that all responses have."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.refusal: ReviewError | None = None  # why it is refused after all; the app's response is then dropped
        self.has_begun = False  # the response's head has been sent

    async def __call__(self, message: Message) -> None:
        if self.refusal is not None and not self.has_begun:
            return
        if message["type"] == "http.response.start":
            self.has_begun = True
            own = [(name.encode(), value.encode()) for name, value in _HEADERS.items()]
            message = {**message, "headers": [*message.get("headers", ()), *own]}
        await self._send(message)


class _Body:
    """A request's body while it is received, limited in size and time.

    Frameworks turn an exception during reading into errors of their own, so the refusal is also stored in the response.
    """

    def __init__(self, receive: Receive, answer: _Answer, *, limit: int) -> None:
        self._receive, self._answer, self._limit = receive, answer, limit
        self._num_bytes, self._is_whole = 0, False
        self._began_at = self._moved_at = 0.0  # times at which the body and its last STALL_BYTES began
        self._num_since = 0

    def check_declared(self, scope: Scope) -> None:
        for name, value in scope["headers"]:
            if name.lower() == b"content-length" and int(value[:20]) > self._limit:  # h11 has checked the digits
                raise ReviewError(self._too_large, code="too_large")

    async def __call__(self) -> Message:
        if self._is_whole:
            return await self._receive()
        loop = asyncio.get_running_loop()
        if not self._began_at:
            self._began_at = self._moved_at = loop.time()
        try:
            async with asyncio.timeout_at(min(self._began_at + _BODY_TIMEOUT_S, self._moved_at + STALL_S)):
                message = await self._receive()
        except TimeoutError as error:
            raise self._refused("too_slow", "the body did not arrive in time") from error
        num_bytes = len(message.get("body", b""))
        self._num_bytes, self._num_since = self._num_bytes + num_bytes, self._num_since + num_bytes
        if self._num_since >= STALL_BYTES:
            self._moved_at, self._num_since = loop.time(), 0
        self._is_whole = message["type"] != "http.request" or not message.get("more_body", False)
        if self._num_bytes > self._limit:
            raise self._refused("too_large", self._too_large)
        return message

    @property
    def _too_large(self) -> str:
        return f"too large: at most {self._limit / 1e6:.3g} MB are accepted here"

    def _refused(self, code: str, message: str) -> ReviewError:
        self._answer.refusal = ReviewError(message, code=code)
        return self._answer.refusal
