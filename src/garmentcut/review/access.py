"""Who may do what: one secret a batch, from which the page's token and the cookie follow; nothing else is kept."""

import hashlib
import hmac
import ipaddress
import os
import secrets
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from garmentcut.prediction.batch import OWN_FOLDER

SECRET_NAME = f"{OWN_FOLDER}/review.secret"
TOKEN_HEADER, PERSON_HEADER = "x-garmentcut-token", "x-garmentcut-person"
_BEARER = "bearer "
_SAFE_METHODS = frozenset({"GET", "HEAD"})
_SAME_ORIGIN = frozenset({"same-origin", "none"})
_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})


class AccessError(ValueError):
    """A request that is refused; `status` is HTTP's."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Access:
    """The rules.

    Attributes:
        secret: of the batch; never leaves the server.
        host: address that is listened on.
        port: likewise.
        token: what a reader must bring; empty: on loopback, nothing.
    """

    secret: str
    host: str
    port: int
    token: str = ""
    _names: frozenset[str] = field(default=frozenset())

    @property
    def page_token(self) -> str:
        """What the server's own pages send along; the same after a new start, so that an open page goes on."""
        return self._derived("page")

    @property
    def cookie(self) -> str:
        """What a browser that has brought the token is known by."""
        return self._derived(f"cookie {self.token}")

    @property
    def cookie_name(self) -> str:
        """Its own for each port: browsers do not tell a host's ports apart."""
        return f"garmentcut-{self.port}"

    def accepts_token(self, token: str) -> bool:
        """Whether it is the one; takes as long for a wrong one."""
        return bool(self.token) and _same(token, self.token)

    def check(self, method: str, path: str, headers: Mapping[str, str], cookie: str) -> None:
        """Refuse a request that may not be met.

        Args:
            method: HTTP's.
            path: asked for.
            headers: names in lower case.
            cookie: value of the server's own; empty: none came.

        Raises:
            AccessError: 400 for another host, 401 without the token, 403 for another site.
        """
        if not self._is_own_host(headers.get("host", "")):
            raise AccessError(400, "this name is not the server's; open the address that garmentcut review printed")
        bearer = headers.get("authorization", "")
        has_bearer = bearer.lower().startswith(_BEARER) and self.accepts_token(bearer[len(_BEARER) :].strip())
        if self.token and not has_bearer and not _same(cookie, self.cookie):
            raise AccessError(401, "open the link that garmentcut review printed: it brings the token")
        if method not in _SAFE_METHODS and not has_bearer:
            self._check_writer(path, headers)

    def _check_writer(self, path: str, headers: Mapping[str, str]) -> None:
        """A page of another site can make a browser send a request, but neither this header nor a false origin."""
        origin, site = headers.get("origin"), headers.get("sec-fetch-site")
        own = {f"http://{headers.get('host', '')}", f"https://{headers.get('host', '')}"}
        if (origin is not None and origin not in own) or (site is not None and site not in _SAME_ORIGIN):
            raise AccessError(403, "from another site; use the page itself")
        is_browser = origin is not None or site is not None
        if path == "/cut" and not is_browser and not self.token:
            return
        if not _same(headers.get(TOKEN_HEADER, ""), self.page_token):
            raise AccessError(403, "without the page's token; load the page again")

    def _is_own_host(self, host: str) -> bool:
        """A name that nobody else can let point here: a page that rebinds its name to this machine has another."""
        name, _, port = host.rpartition(":")
        if not port.isdigit():
            name, port = host, ""
        if name.lower() in _LOOPBACK_NAMES | self._names:
            return bool(self.token) or port == str(self.port)
        return bool(self.token) and _is_address(name)

    def _derived(self, purpose: str) -> str:
        return hmac.new(self.secret.encode(), purpose.encode(), hashlib.sha256).hexdigest()


def _is_address(name: str) -> bool:
    with suppress(ValueError):
        return bool(ipaddress.ip_address(name.strip("[]")))
    return False


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    with suppress(ValueError):
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    return host == "localhost"


def open_access(folder: Path, host: str, port: int, token: str | None) -> Access:
    """The rules for a server; the batch's secret is drawn at the first one, and kept for its user alone.

    Args:
        folder: of the batch.
        host: to listen on.
        port: likewise.
        token: demanded of readers; None: one that follows from the secret where others can reach the server, else none.

    Raises:
        OSError: the secret can be neither read nor written.
    """
    secret = _read_secret(folder / SECRET_NAME)
    drawn = hmac.new(secret.encode(), b"link", hashlib.sha256).hexdigest()[:32]
    chosen = token if token is not None else "" if is_loopback(host) else drawn
    return Access(secret, host, port, chosen, _names=_names_of(host))


def _read_secret(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError), os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secrets.token_hex(32))
    if secret := path.read_text().strip():
        return secret
    path.unlink()  # of a server killed while it drew it
    return _read_secret(path)


def _names_of(host: str) -> frozenset[str]:
    """Names of this machine, where others may reach it; its addresses need no list."""
    names = () if is_loopback(host) else (host, socket.gethostname(), socket.getfqdn())
    return frozenset(name.lower() for name in names)


def _same(first: str, second: str) -> bool:
    return hmac.compare_digest(first.encode(errors="surrogateescape"), second.encode())
