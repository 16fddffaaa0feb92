"""The routes of `review`: HTML pages with their initial data, JSON below /api, pictures below /media, static files.

Scripts, styles and icons are kept in memory and served at addresses that change with their content, so that browsers
cache them: a page requests some twenty of them at once, and reading each file and checking it for changes took longer
than everything else when a photo was opened.
"""

import base64
import hashlib
import shlex
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote, unquote

from fastapi import APIRouter, Depends, Header, HTTPException, Query, Request
from fastapi import Path as PathParameter
from jinja2 import Environment, FileSystemLoader
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, RedirectResponse, Response

from garmentcut import __version__
from garmentcut.errors import ReviewError
from garmentcut.photo.files import read_regular_file
from garmentcut.photo.write import png_bytes
from garmentcut.prediction.results import heat_path
from garmentcut.review.cutting import ErrorBody, from_base64, service_of
from garmentcut.review.database import QueueQuery, utc_of
from garmentcut.review.media import read_gray
from garmentcut.review.photos import content_keys, printable, subject_of_photo
from garmentcut.review.redraw import Hint, Stroke
from garmentcut.review.service import Service
from garmentcut.review.store import ActionKind, Basis

MAX_NOTE_CHARS = 2000
MAX_BOX_PX = 2048
_Seconds = Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)]
_Version = Annotated[int, Field(ge=0, le=2**31 - 1)]
_Note = Annotated[str, Field(max_length=MAX_NOTE_CHARS)]
_Corner = Annotated[int, Field(ge=0, le=100_000)]
_MAX_PERSON_CHARS = 80
_FOREVER = "private, max-age=31536000, immutable"
api = APIRouter(prefix="/api", tags=["review"])
media = APIRouter(prefix="/media", tags=["media"], default_response_class=Response)
PhotoId = Annotated[int, PathParameter(ge=1, le=2**31 - 1, description="Id of the photo.")]
Content = Annotated[str, Query(alias="v", description="As in `urls`; the answer may then be cached forever.")]
_PNG_BODY = {
    "requestBody": {"required": True, "content": {"image/png": {"schema": {"type": "string", "format": "binary"}}}}
}


class _Sent(BaseModel):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class DecisionBody(_Sent):
    """What a person decides."""

    version: _Version
    """Version of the photo that the person saw."""
    action: ActionKind
    note: _Note | None = None
    """Replaces the photo's note."""
    seconds: _Seconds = 0.0
    """Hands-on seconds since the last write."""


class NoteBody(_Sent):
    """A note on a photo."""

    version: _Version
    note: _Note
    seconds: _Seconds = 0.0


class RedrawBody(_Sent):
    """A stroke of the smart brush."""

    box_xyxy: tuple[_Corner, _Corner, _Corner, _Corner]
    """Left, top, right, bottom on the photo; right and bottom exclusive."""
    stroke: str
    """Base64 of an 8-bit gray PNG of the box's size: where the brush went."""
    alpha: str
    """Likewise: the page's current alpha."""
    hint: Hint = "auto"


class RedrawAnswer(BaseModel):
    """The box drawn again."""

    alpha: str
    box_xyxy: tuple[int, int, int, int]
    seconds: float


_FAULTS: dict[int | str, dict[str, Any]] = {
    404: {"model": ErrorBody, "description": "No such photo in this batch."},
    409: {"model": ErrorBody, "description": "Somebody was faster; `item` is the photo as it now is."},
}


Serving = Annotated[Service, Depends(service_of)]
Asked = Annotated[QueueQuery, Query()]


def person_of(x_garmentcut_person: Annotated[str, Header(description="A name, percent-encoded UTF-8.")] = "") -> str:
    """The name of the person who acts; empty: not given."""
    name = "".join(letter for letter in unquote(x_garmentcut_person) if letter.isprintable())
    return name.strip()[:_MAX_PERSON_CHARS]


Person = Annotated[str, Depends(person_of)]


@api.get("/photos", responses={400: {"model": ErrorBody, "description": "`after` is no page's cursor."}})
def list_photos(service: Serving, query: Asked) -> dict[str, Any]:
    """A page of the queue."""
    return service.store.queue(query)


@api.get("/photos/{photo_id}", responses={404: _FAULTS[404]})
def show_photo(service: Serving, photo_id: PhotoId, query: Asked) -> dict[str, Any]:
    """A photo, its garment's views, and its neighbours in the queue."""
    return service.store.show(photo_id, query)


@api.get("/changes")
def list_changes(service: Serving, since: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0) -> dict[str, Any]:
    """What was written after a revision; a page asks for it every two seconds."""
    return service.store.changes(since)


@api.get("/statistics")
def show_statistics(service: Serving) -> dict[str, Any]:
    """Hands-on seconds per photo, and how much of the edge was moved."""
    return service.store.statistics()


@api.get("/photos/{photo_id}/actions", responses={404: _FAULTS[404]})
def list_actions(service: Serving, photo_id: PhotoId) -> dict[str, Any]:
    """What was done to a photo, newest first."""
    shown = ("who", "kind", "state", "version", "seconds", "note", "pixels_changed", "edge_share")
    actions = [
        {"at": utc_of(action.at).isoformat(), **{name: getattr(action, name) for name in shown}}
        for action in service.store.actions(photo_id)
    ]
    return {"actions": actions}


@api.post("/photos/{photo_id}/decision", responses=_FAULTS)
def decide(service: Serving, who: Person, photo_id: PhotoId, body: DecisionBody) -> dict[str, Any]:
    """Accept, reject, open again, or go back to the prediction."""
    return service.store.decide(Basis(photo_id, body.version, who, body.seconds), body.action, body.note)


@api.post("/photos/{photo_id}/note", responses=_FAULTS)
def write_note(service: Serving, who: Person, photo_id: PhotoId, body: NoteBody) -> dict[str, Any]:
    """Replace a photo's note."""
    return service.store.decide(Basis(photo_id, body.version, who, body.seconds), "note", body.note)


@media.get("/{photo_id}/thumbnail.jpg")
def send_thumbnail(
    request: Request, service: Serving, photo_id: PhotoId, v: Content = "", of: Literal["cutout", "photo"] = "cutout"
) -> Response:
    """The cutout on gray, or the photo; at most 320 pixels high."""
    subject = subject_of_photo(service.store.find(photo_id))
    key = content_keys(subject)["thumbnail"]
    make = partial(service.media.thumbnail, subject, key, of_photo=of == "photo")
    return _picture(request, key + of, make, is_asked_for=v == key, kind="image/jpeg")


@media.get("/{photo_id}/photo.jpg")
def send_photo(request: Request, service: Serving, photo_id: PhotoId, v: Content = "") -> Response:
    """The photo at full size: upright, sRGB, quality 95, colours not halved."""
    return _full_size(request, service, photo_id, v, "photo")


@media.get("/{photo_id}/alpha.png")
def send_alpha(request: Request, service: Serving, photo_id: PhotoId, v: Content = "") -> Response:
    """The current alpha: 8-bit gray, full size."""
    return _full_size(request, service, photo_id, v, "alpha")


@media.get("/{photo_id}/predicted.png")
def send_predicted(request: Request, service: Serving, photo_id: PhotoId, v: Content = "") -> Response:
    """The model's alpha: 8-bit gray, full size."""
    return _full_size(request, service, photo_id, v, "predicted")


@media.get("/{photo_id}/heat.png")
def send_heat(request: Request, service: Serving, photo_id: PhotoId, v: Content = "") -> Response:
    """The doubt of each pixel: 8-bit gray; 404 if the model gives none."""
    path = heat_path(service.folder, subject_of_photo(service.store.find(photo_id)).row.place)
    try:
        key = f"{path.stat().st_mtime_ns:x}"
        return _picture(request, key, lambda: read_regular_file(path), is_asked_for=v == key)
    except OSError as error:
        raise ReviewError("there is no doubt map of this photo", code="not_found") from error


def _full_size(
    request: Request, service: Service, photo_id: int, version: str, what: Literal["photo", "alpha", "predicted"]
) -> Response:
    subject = subject_of_photo(service.store.find(photo_id))
    key = content_keys(subject)[what]
    make, kind = partial(service.media.full_size, subject, what, key), "image/jpeg" if what == "photo" else "image/png"
    return _picture(request, key, make, is_asked_for=version == key, kind=kind)


def _picture(
    request: Request,
    key: str,
    make: Callable[[], bytes],
    *,
    is_asked_for: bool,
    kind: str = "image/png",
    otherwise: str = "private, no-cache",
) -> Response:
    """A response that depends only on the key, cached for ever if requested by key; not sent again if unchanged."""
    headers = {"etag": f'"{key}"', "cache-control": _FOREVER if is_asked_for else otherwise}
    if headers["etag"] in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(make(), media_type=kind, headers=headers)


@api.put(
    "/photos/{photo_id}/alpha",
    openapi_extra=_PNG_BODY,
    responses={
        409: {"model": ErrorBody, "description": "Somebody was faster."},
        422: {"model": ErrorBody, "description": "Not an 8-bit gray PNG of the photo's size."},
    },
)
async def save_alpha(
    request: Request,
    service: Serving,
    who: Person,
    photo_id: PhotoId,
    version: Annotated[int, Query(ge=0, le=2**31 - 1, description="Version of the photo that the person saw.")],
    seconds: Annotated[float, Query(ge=0, le=86_400, description="Hands-on seconds since the last write.")] = 0.0,
    accept: Annotated[bool, Query(description="Final: the batch's files are rewritten; else a draft.")] = False,
) -> dict[str, Any]:
    """Save a corrected alpha."""
    png = await request.body()  # size is limited by the guard
    basis = Basis(photo_id, version, who, seconds)
    return await run_in_threadpool(service.store.save_alpha, basis, png, accept=accept)


@api.post(
    "/photos/{photo_id}/redraw",
    responses={
        422: {"model": ErrorBody, "description": "The box or an image does not fit."},
        503: {"model": ErrorBody, "description": "Too many wait; `Retry-After` says how long."},
    },
)
def redraw(service: Serving, photo_id: PhotoId, body: RedrawBody) -> RedrawAnswer:
    """Smart brush: let the model redraw the edge inside a stroke."""
    start = time.perf_counter()
    subject = subject_of_photo(service.store.find(photo_id))
    size_hw = _box_size(body.box_xyxy, subject.size_hw)
    stroke = Stroke(
        body.box_xyxy,
        read_gray(from_base64(body.stroke, "stroke", code="unfit"), size_hw, what="stroke"),
        read_gray(from_base64(body.alpha, "alpha", code="unfit"), size_hw, what="alpha"),
        body.hint,
    )
    alpha = service.redraw(subject, stroke)
    text = base64.b64encode(png_bytes(alpha)).decode()
    return RedrawAnswer(alpha=text, box_xyxy=body.box_xyxy, seconds=round(time.perf_counter() - start, 3))


def _box_size(box_xyxy: tuple[int, int, int, int], photo_hw: tuple[int, int]) -> tuple[int, int]:
    left, top, right, bottom = box_xyxy
    if not (left < right <= photo_hw[1] and top < bottom <= photo_hw[0]):
        raise ReviewError(f"box_xyxy: not within the photo, which has {photo_hw[1]}x{photo_hw[0]} pixels", code="unfit")
    if max(right - left, bottom - top) > MAX_BOX_PX:
        raise ReviewError(f"box_xyxy: a side is over {MAX_BOX_PX} pixels; make a shorter stroke", code="unfit")
    return bottom - top, right - left


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
pages = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
static = APIRouter(include_in_schema=False, default_response_class=Response)


def version_of(contents: dict[str, bytes]) -> str:
    """A hash over the names and contents of all files."""
    digest = hashlib.sha256()
    for name, content in contents.items():
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:16]


_VERSION = f"v-{version_of(_CONTENTS)}"
ADDRESS = f"/static/{_VERSION}"
"""Address that pages put before a file's name; scripts import each other by relative names below it."""
_TEMPLATES.globals["static"] = ADDRESS


def error_page(status: int, message: str) -> bytes:
    """An HTML page with an error message."""
    title = _TITLES.get(status, "Something went wrong")
    shown = _TEMPLATES.get_template("error.html").render(
        status=status, title=title, message=message, version=__version__, page="error", token="", batch=None
    )
    return shown.encode()


@pages.get("/")
def queue_page(service: Serving, query: Asked, token: str | None = None) -> Response:
    """The queue's page; a token in the address is exchanged for a cookie."""
    access = service.access
    if token is not None and access.token:
        if not access.accepts_token(token):
            return HTMLResponse(error_page(401, "this link's token is not the server's; use the one it printed"), 401)
        answer = RedirectResponse("/", 303)
        answer.set_cookie(
            access.cookie_name, access.cookie, max_age=_COOKIE_AGE_S, httponly=True, samesite="strict", path="/"
        )
        return answer
    return _page(service, "queue", data=service.store.queue(query) | {"query": query.model_dump()})


@pages.get("/photos/{photo_id}")
def photo_page(service: Serving, photo_id: int, query: Asked) -> Response:
    """The editor."""
    return _page(service, "editor", photo=service.store.show(photo_id, query))


@pages.get("/statistics")
def statistics_page(service: Serving) -> Response:
    """Hands-on seconds per photo, drawn; once all are decided, what was done and how it becomes training pairs."""
    command = shlex.join(["garmentcut", "ingest", "--from-review", str(service.folder), "--out", "dataset/", "--add"])
    return _page(service, "statistics", statistics=service.store.statistics(), command=printable(command))


@pages.get("/help")
def help_page(service: Serving) -> Response:
    """Keys and tools."""
    return _page(service, "help")


@pages.get("/docs")
def docs_page(request: Request, service: Serving) -> Response:
    """The page that documents the HTTP interface."""
    return _page(service, "docs", schema=request.app.openapi())


@pages.get("/favicon.ico")
def icon() -> Response:
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
    key, kind = hashlib.sha256(content).hexdigest()[:32], _KINDS[Path(path).suffix]
    return _picture(request, key, lambda: content, is_asked_for=version == _VERSION, kind=kind, otherwise="no-cache")


def _page(service: Service, name: str, **shown: Any) -> HTMLResponse:
    batch = {"name": service.folder.name, "path": str(service.folder).encode(errors="backslashreplace").decode()}
    content = _TEMPLATES.get_template(f"{name}.html").render(
        page=name, token=service.access.page_token, batch=batch, version=__version__, quote=quote, **shown
    )
    return HTMLResponse(content, headers={"cache-control": "no-store"})
