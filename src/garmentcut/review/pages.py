"""The review's HTML pages, rendered with their first data in them, and the scripts and styles that they load.

Scripts, styles and icons are held in memory, at addresses that change with their content, so that browsers keep them:
a page asks for some twenty of them at once, and to read each file and ask whether it has changed took longer than all
the rest of opening a photo.
"""

import hashlib
import shlex
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, HTTPException, Query, Request
from jinja2 import Environment, FileSystemLoader
from starlette.responses import HTMLResponse, RedirectResponse, Response

from garmentcut import __version__
from garmentcut.review.photos import printable
from garmentcut.review.queries import QueueQuery, statistics_of
from garmentcut.review.routes import service_of
from garmentcut.review.service import Service

_FOLDER = Path(__file__).parent / "static"
_KINDS = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}
_CONTENTS = {
    path.relative_to(_FOLDER).as_posix(): path.read_bytes()
    for path in sorted(_FOLDER.rglob("*"))
    if path.suffix in _KINDS
}
_TEMPLATES = Environment(loader=FileSystemLoader(Path(__file__).parent / "templates"), autoescape=True)
_TITLES = {400: "This request cannot be met", 401: "A token is needed", 403: "Not allowed", 404: "Not found"}
_COOKIE_AGE_S = 30 * 86_400
router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
static = APIRouter(include_in_schema=False, default_response_class=Response)
Queue = Annotated[QueueQuery, Query()]


def version_of(contents: dict[str, bytes]) -> str:
    """A hash over the names and contents of all files."""
    digest = hashlib.sha256()
    for name, content in contents.items():
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:16]


_VERSION = f"v-{version_of(_CONTENTS)}"
ADDRESS = f"/static/{_VERSION}"
"""What pages put before a file's name; scripts find each other by relative names below it."""
_TEMPLATES.globals["static"] = ADDRESS


def error_page(status: int, message: str) -> bytes:
    """A page that says what went wrong."""
    title = _TITLES.get(status, "Something went wrong")
    shown = _TEMPLATES.get_template("error.html").render(
        status=status, title=title, message=message, version=__version__, page="error", token="", batch=None
    )
    return shown.encode()


@router.get("/")
def show_queue(request: Request, query: Queue, token: str | None = None) -> Response:
    """The queue's page; a token in the address is exchanged for a cookie."""
    service = service_of(request)
    access = service.access
    if token is not None and access.token:
        if not access.accepts_token(token):
            return HTMLResponse(error_page(401, "this link's token is not the server's; use the one it printed"), 401)
        answer = RedirectResponse("/", 303)
        answer.set_cookie(
            access.cookie_name, access.cookie, max_age=_COOKIE_AGE_S, httponly=True, samesite="strict", path="/"
        )
        return answer
    data = service.queue(query) | {"query": query.model_dump()}
    return _page(service, "queue", data=data)


@router.get("/photos/{photo_id}")
def show_photo(request: Request, photo_id: int, query: Queue) -> Response:
    """The editor."""
    service = service_of(request)
    return _page(service, "editor", photo=service.photo(photo_id, query))


@router.get("/statistics")
def show_statistics(request: Request) -> Response:
    """Hands-on seconds a photo, drawn; once every photo is decided, what was done and how it becomes training pairs."""
    service = service_of(request)
    service.store.refresh()
    command = shlex.join(["garmentcut", "ingest", "--from-review", str(service.folder), "--out", "dataset/", "--add"])
    with service.database.read() as session:
        statistics = statistics_of(session, service.store.batch_id)
        return _page(service, "statistics", statistics=statistics, command=printable(command))


@router.get("/help")
def show_help(request: Request) -> Response:
    """Keys and tools."""
    return _page(service_of(request), "help")


@router.get("/docs")
def show_operations(request: Request) -> Response:
    """The page that documents the HTTP interface."""
    return _page(service_of(request), "docs", schema=request.app.openapi())


@router.get("/favicon.ico")
def show_icon() -> Response:
    """The icon, for browsers that ask for it at the usual address."""
    return RedirectResponse(f"{ADDRESS}/icon.svg", 307)


@static.api_route("/static/{path:path}", methods=["GET", "HEAD"])
async def send_static(request: Request, path: str) -> Response:
    """A file: kept for ever under the right version, else asked for again each time."""
    version, _, name = path.partition("/")
    is_versioned = version.startswith("v-")
    content = _CONTENTS.get(name if is_versioned else path)
    if content is None:
        raise HTTPException(404, "there is no such file")
    is_kept = version == _VERSION
    headers = {
        "cache-control": "private, max-age=31536000, immutable" if is_kept else "no-cache",
        "etag": f'"{hashlib.sha256(content).hexdigest()[:32]}"',
    }
    if request.headers.get("if-none-match") == headers["etag"]:
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=_KINDS[Path(path).suffix], headers=headers)


def _page(service: Service, name: str, **shown: Any) -> HTMLResponse:
    batch = {"name": service.folder.name, "path": str(service.folder).encode(errors="backslashreplace").decode()}
    content = _TEMPLATES.get_template(f"{name}.html").render(
        page=name, token=service.access.page_token, batch=batch, version=__version__, quote=quote, **shown
    )
    return HTMLResponse(content, headers={"cache-control": "no-store"})
