"""The application: routes, what an error answers, and the guard before all of it."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import DBAPIError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import ASGIApp

from garmentcut import __version__
from garmentcut.model.card import ModelError
from garmentcut.review import cut_route, pages, static_files
from garmentcut.review.conflicts import BusyError, ConflictError, ReviewError
from garmentcut.review.cutting import MAX_PHOTO_BYTES, RETRY_AFTER_S, QueueFullError
from garmentcut.review.guard import Guard
from garmentcut.review.queries import CursorError
from garmentcut.review.routes import api, media
from garmentcut.review.service import Service
from garmentcut.review.uploads import uploads

_SMALL_BODY, _ALPHA_BODY, _REDRAW_BODY = 64_000, 64_000_000, 24_000_000
_ALPHA_PATH = re.compile(r"/api/photos/\d+/alpha")
_REDRAW_PATH = re.compile(r"/api/photos/\d+/redraw")
_RETRY_AFTER_S = 2


def make_app(service: Service) -> ASGIApp:
    """The whole application for one batch.

    Args:
        service: opened and closed with the application.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await run_in_threadpool(service.open)
        yield
        await run_in_threadpool(service.close)

    app = FastAPI(
        title="garmentcut review",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        description="What `garmentcut review` answers; see docs/review-api.md.",
    )
    app.state.service = service
    for router in (pages.router, static_files.router, api, uploads, media, cut_route.router):
        app.include_router(router)
    _answer_errors(app)
    return Guard(app, service.access, _limit_of, pages.error_page)


def _limit_of(method: str, path: str) -> int:
    if path == "/cut":
        return MAX_PHOTO_BYTES
    if method == "PUT" and _ALPHA_PATH.fullmatch(path):
        return _ALPHA_BODY
    return _REDRAW_BODY if _REDRAW_PATH.fullmatch(path) else _SMALL_BODY


def _answer_errors(app: FastAPI) -> None:
    @app.exception_handler(ReviewError)
    def answer_refusal(request: Request, error: ReviewError) -> Response:
        item = {"item": error.item} if isinstance(error, ConflictError) and error.item else {}
        waits = {BusyError: _RETRY_AFTER_S, QueueFullError: RETRY_AFTER_S}
        headers = {"retry-after": str(waits[type(error)])} if type(error) in waits else {}
        return _fault(request, error.status, str(error), headers=headers, **item)

    @app.exception_handler(CursorError)
    def answer_cursor(request: Request, error: CursorError) -> Response:
        return _fault(request, 400, str(error))

    @app.exception_handler(RequestValidationError)
    def answer_misfit(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"][1:])
        return _fault(request, 422, f"{where}: {first['msg']}" if where else str(first["msg"]))

    @app.exception_handler(HTTPException)
    def answer_status(request: Request, error: HTTPException) -> Response:
        return _fault(request, error.status_code, str(error.detail), headers=dict(error.headers or {}))

    @app.exception_handler(ModelError)
    def answer_model(request: Request, error: ModelError) -> Response:
        return _fault(request, 503, str(error))

    @app.exception_handler(DBAPIError)
    def answer_database(request: Request, error: DBAPIError) -> Response:
        return _fault(request, 503, f"the database does not answer ({error.orig}); nothing was stored, try again")

    @app.exception_handler(Exception)  # and it is written to the log, with where it came from
    def answer_mistake(request: Request, error: Exception) -> Response:
        return _fault(request, 500, f"the server has made a mistake ({type(error).__name__}); its log says more")

    @app.exception_handler(OSError)
    def answer_disk(request: Request, error: OSError) -> Response:
        return _fault(request, 507, f"cannot be written: {error.strerror or error}; nothing was stored")


def _fault(
    request: Request, status: int, message: str, *, headers: dict[str, str] | None = None, **more: Any
) -> Response:
    path = request.url.path
    if path.startswith(("/api", "/media", "/cut", "/static")):
        return JSONResponse({"error": message, **more}, status, headers=headers)
    return HTMLResponse(pages.error_page(status, message), status, headers=headers)
