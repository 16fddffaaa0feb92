"""The server: binds its address first, so that it can say it, and ends when what runs is done."""

import socket
import webbrowser
from collections.abc import Callable
from contextlib import suppress

import uvicorn

from garmentcut.prediction.batch import read_batch
from garmentcut.review.access import open_access
from garmentcut.review.app import make_app
from garmentcut.review.connections import PatientProtocol
from garmentcut.review.service import Service, Settings

_BACKLOG = 256
_KEEP_ALIVE_S = 15
_FINISH_S = 60


class ServerError(ValueError):
    """A server that cannot be started; the message says why."""


def bind(host: str, port: int) -> socket.socket:
    """A socket that listens for nobody yet.

    Args:
        host: name or address.
        port: 0: a free one.

    Raises:
        ServerError: taken, or not this machine's.
    """
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, proto)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
        except BaseException:
            listening.close()
            raise
    except OSError as error:
        raise ServerError(f"cannot listen on {host}:{port}: {error.strerror}; choose another --port") from error
    return listening


def serve(
    settings: Settings,
    listening: socket.socket,
    *,
    token: str | None,
    say: Callable[[str], None],
    open_browser: bool = False,
) -> None:
    """Serve a batch until somebody ends it; what runs then is finished.

    Args:
        settings: the batch.
        listening: of `bind`.
        token: demanded of readers; None: drawn, where others than this machine can reach the server.
        say: is given the link, once it works.
        open_browser: open it, too.

    Raises:
        garmentcut.prediction.batch.BatchError: the folder is no batch.
        garmentcut.review.database.DatabaseError: the database cannot be used.
        OSError: the folder cannot be written.
    """
    read_batch(settings.folder)  # before anything is written into a folder named by mistake
    host, port = listening.getsockname()[:2]
    access = open_access(settings.folder.resolve(), host, port, token)
    service = Service(settings, access)
    name = f"[{host}]" if ":" in host else host
    if host in ("0.0.0.0", "::"):  # all addresses: a name that others can use
        name = socket.gethostname()
    link = f"http://{name}:{port}/" + (f"?token={access.token}" if access.token else "")

    config = uvicorn.Config(
        make_app(service),
        http=PatientProtocol,
        ws="none",
        lifespan="on",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=_BACKLOG,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_FINISH_S,
    )
    _Announcing(config, lambda: _announce(link, say, open_browser=open_browser)).run(sockets=[listening])


class _Announcing(uvicorn.Server):
    """Says when it can be asked."""

    def __init__(self, config: uvicorn.Config, announce: Callable[[], None]) -> None:
        super().__init__(config)
        self._announce = announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """See uvicorn."""
        await super().startup(sockets)
        if self.started and not self.should_exit:
            self._announce()


def _announce(link: str, say: Callable[[str], None], *, open_browser: bool) -> None:
    say(link)
    if open_browser:
        with suppress(webbrowser.Error, OSError):
            webbrowser.open(link)
