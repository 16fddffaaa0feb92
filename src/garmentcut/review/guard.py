"""What stands before every route: who may ask, how much may be sent, and what the answer's headers say."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from garmentcut.review.access import Access, AccessError

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
_OPEN_PATHS = frozenset({"/healthz", "/readyz"})
_BODY_TIMEOUT_S = 120


@dataclass(frozen=True)
class Guard:
    """ASGI middleware.

    Attributes:
        app: what is guarded.
        access: who may do what.
        limit_of: most bytes of a body, by method and path.
        refuse: makes the page for a person whose request is refused: status and message to HTML.
    """

    app: ASGIApp
    access: Access
    limit_of: Callable[[str, str], int]
    refuse: Callable[[int, str], bytes]

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
        except AccessError as error:
            answer.refusal = error
        except Exception:
            if answer.refusal is None:
                raise
        if answer.refusal is not None and not answer.has_begun:
            await self._refuse(scope, answer, answer.refusal)

    def _check(self, scope: Scope) -> None:
        if scope["path"] in _OPEN_PATHS:
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        cookie = _cookie_of(headers.get("cookie", ""), self.access.cookie_name)
        if scope["path"] == "/" and any(map(self.access.accepts_token, _tokens_of(scope["query_string"]))):
            cookie = self.access.cookie  # which the answer sets
        self.access.check(scope["method"], scope["path"], headers, cookie)

    async def _refuse(self, scope: Scope, answer: "_Answer", error: AccessError) -> None:
        answer.refusal = None
        if scope["path"].startswith(("/api", "/media", "/cut", "/openapi.json")):
            kind, body = b"application/json", json.dumps({"error": str(error)}).encode()
        else:
            kind, body = b"text/html; charset=utf-8", self.refuse(error.status, str(error))
        headers = [
            (b"content-type", kind),
            (b"content-length", str(len(body)).encode()),
            (b"cache-control", b"no-store"),
        ]
        if error.status in (408, 413):
            headers.append((b"connection", b"close"))  # the rest of the body is not waited for
        await answer({"type": "http.response.start", "status": error.status, "headers": headers})
        await answer({"type": "http.response.body", "body": body})


class _Answer:
    """Sends, with the headers that every answer has.

    Attributes:
        refusal: why the request is refused after all; what the app answers is then dropped.
        has_begun: the answer's head is sent.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self.refusal: AccessError | None = None
        self.has_begun = False

    async def __call__(self, message: Message) -> None:
        if self.refusal is not None and not self.has_begun:
            return
        if message["type"] == "http.response.start":
            self.has_begun = True
            own = [(name.encode(), value.encode()) for name, value in _HEADERS.items()]
            message = {**message, "headers": [*message.get("headers", ()), *own]}
        await self._send(message)


class _Body:
    """A request's body as it comes, in parts: no more of it than is allowed, and none that never ends.

    Frameworks make their own mistakes of an exception while they read, so the refusal is left with the answer too.
    """

    def __init__(self, receive: Receive, answer: _Answer, *, limit: int) -> None:
        self._receive, self._answer, self._limit = receive, answer, limit
        self._num_bytes, self._is_whole, self._deadline = 0, False, 0.0

    def check_declared(self, scope: Scope) -> None:
        """Refuse a body by the length that its header declares."""
        for name, value in scope["headers"]:
            if name.lower() == b"content-length" and int(value[:20]) > self._limit:  # a number: h11 has looked at it
                raise AccessError(413, self._too_large)

    async def __call__(self) -> Message:
        if self._is_whole:
            return await self._receive()
        loop = asyncio.get_running_loop()
        self._deadline = self._deadline or loop.time() + _BODY_TIMEOUT_S
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError as error:
            raise self._refused(408, "the body did not arrive in time") from error
        self._num_bytes += len(message.get("body", b""))
        self._is_whole = message["type"] != "http.request" or not message.get("more_body", False)
        if self._num_bytes > self._limit:
            raise self._refused(413, self._too_large)
        return message

    @property
    def _too_large(self) -> str:
        return f"too large: at most {self._limit / 1e6:.3g} MB are accepted here"

    def _refused(self, status: int, message: str) -> AccessError:
        self._answer.refusal = AccessError(status, message)
        return self._answer.refusal


def _tokens_of(query: bytes) -> list[str]:
    try:
        return parse_qs(query.decode("latin-1"), max_num_fields=20).get("token", [])
    except ValueError:
        return []


def _cookie_of(header: str, name: str) -> str:
    try:
        cookie = SimpleCookie(header).get(name)
    except CookieError:
        return ""
    return cookie.value if cookie else ""
