"""POST /cut: a photo in, its cutout out; and whether the server is ready for one."""

from pathlib import PurePath
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Query, Request
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response

from garmentcut.photo.encoding import output_suffix
from garmentcut.review.conflicts import UnfitError
from garmentcut.review.cutting import NotAPhotoError, Wanted
from garmentcut.review.messages import Fault
from garmentcut.review.routes import Serving

router = APIRouter(tags=["cut"], default_response_class=Response)

_MAX_NAME_CHARS = 200
_KINDS: dict[str, str] = {"png": "image/png", "mask": "image/png", "psd": "image/vnd.adobe.photoshop"}
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_FORM = {"schema": {"type": "object", "properties": {"photo": {"type": "string", "format": "binary"}}}}
_MEANINGS = {
    413: "Too large.",
    415: "Not a photo.",
    422: "No garment in it.",
    429: "Too many wait; `Retry-After` says how long.",
}
_BODY: dict[str, Any] = {
    "requestBody": {"required": True, "content": {"application/octet-stream": _BINARY, "multipart/form-data": _FORM}}
}
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"description": "The cutout.", "content": dict.fromkeys(sorted(set(_KINDS.values())), _BINARY)},
    **{status: {"model": Fault, "description": meaning} for status, meaning in _MEANINGS.items()},
}


@router.post("/cut", openapi_extra=_BODY, responses=_RESPONSES)
async def cut(
    request: Request,
    service: Serving,
    format: Annotated[Wanted, Query(description="Of the answer; `mask`: the alpha alone, gray.")] = "png",
) -> Response:
    """Cut one photo: the body is the photo, or a form with one file."""
    async with service.cut_queue.place():
        data, name = await _read_upload(request)
        content = await service.cut_queue.cut(data, format, name)
    stem = quote(PurePath(name).stem or "cutout")
    disposition = f"attachment; filename*=UTF-8''{stem}{output_suffix(format)}"
    return Response(content, media_type=_KINDS[format], headers={"content-disposition": disposition})


@router.get("/healthz", tags=["health"])
def tell_health() -> Response:
    """Whether the process lives."""
    return JSONResponse({"status": "ok"})


@router.get("/readyz", tags=["health"], responses={503: {"description": "Not yet, or no longer."}})
def tell_readiness(service: Serving) -> Response:
    """Whether the model is loaded and the database answers."""
    reason = service.why_not_ready()
    if not reason:
        try:
            with service.database.read() as session:
                session.execute(text("SELECT 1"))
        except SQLAlchemyError:
            reason = "the database does not answer"
    return JSONResponse({"status": reason or "ready"}, 503 if reason else 200)


async def _read_upload(request: Request) -> tuple[bytes, str]:
    """The photo's bytes and its name; no more of them than the guard lets through."""
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        return await request.body(), "photo"
    try:
        async with request.form(max_files=1, max_fields=8) as form:
            files = [value for value in form.values() if isinstance(value, UploadFile)]
            if not files:
                raise NotAPhotoError("the form has no file in it")
            return await files[0].read(), (files[0].filename or "photo")[:_MAX_NAME_CHARS]
    except (MultiPartException, ClientDisconnect) as error:
        raise UnfitError(f"the form cannot be read: {error}") from error
