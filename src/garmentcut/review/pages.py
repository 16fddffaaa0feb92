"""The pages: made on the server, with their first data in them."""

from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Query, Request
from jinja2 import Environment, FileSystemLoader
from starlette.responses import HTMLResponse, RedirectResponse, Response

from garmentcut import __version__
from garmentcut.review.operations import operations_of
from garmentcut.review.queries import QueueQuery
from garmentcut.review.service import Service
from garmentcut.review.static_files import ADDRESS
from garmentcut.review.statistics import statistics_of

_TEMPLATES = Environment(loader=FileSystemLoader(Path(__file__).parent / "templates"), autoescape=True)
_TEMPLATES.globals["static"] = ADDRESS
_TITLES = {400: "This request cannot be met", 401: "A token is needed", 403: "Not allowed", 404: "Not found"}
_COOKIE_AGE_S = 30 * 86_400

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
Queue = Annotated[QueueQuery, Query()]


def error_page(status: int, message: str) -> bytes:
    """A page that says what went wrong."""
    title = _TITLES.get(status, "Something went wrong")
    shown = _TEMPLATES.get_template("error.html").render(
        status=status, title=title, message=message, version=__version__, page="error", token="", batch=None
    )
    return shown.encode()


@router.get("/")
def show_queue(request: Request, query: Queue, token: str | None = None) -> Response:
    """The queue; where a token is brought, a cookie instead of it."""
    service = _service(request)
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
    service = _service(request)
    return _page(service, "editor", photo=service.photo(photo_id, query))


@router.get("/statistics")
def show_statistics(request: Request) -> Response:
    """Hands-on seconds a photo, drawn."""
    service = _service(request)
    service.store.refresh()
    with service.database.read() as session:
        return _page(service, "statistics", statistics=statistics_of(session, service.store.batch_id))


@router.get("/help")
def show_help(request: Request) -> Response:
    """Keys and tools."""
    return _page(_service(request), "help")


@router.get("/docs")
def show_operations(request: Request) -> Response:
    """The HTTP interface, to read."""
    return _page(_service(request), "docs", operations=operations_of(request.app.openapi()))


@router.get("/favicon.ico")
def show_icon() -> Response:
    """The page names its own; this is for browsers that ask all the same."""
    return RedirectResponse(f"{ADDRESS}/icon.svg", 307)


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


def _page(service: Service, name: str, **shown: Any) -> HTMLResponse:
    batch = {"name": service.folder.name, "path": str(service.folder).encode(errors="backslashreplace").decode()}
    content = _TEMPLATES.get_template(f"{name}.html").render(
        page=name, token=service.access.page_token, batch=batch, version=__version__, quote=quote, **shown
    )
    return HTMLResponse(content, headers={"cache-control": "no-store"})
