"""Routes that take pictures: a corrected alpha, a stroke of the smart brush."""

import base64
import binascii
import time
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.concurrency import run_in_threadpool

from garmentcut.review.conflicts import UnfitError
from garmentcut.review.gray_png import read_gray, write_gray
from garmentcut.review.items import subject_of_photo
from garmentcut.review.messages import MAX_BOX_PX, Fault, RedrawAnswer, RedrawBody
from garmentcut.review.redraw import Stroke
from garmentcut.review.routes import Person, PhotoId, Serving
from garmentcut.review.store import Basis

uploads = APIRouter(prefix="/api", tags=["review"])

_PNG_BODY = {
    "requestBody": {"required": True, "content": {"image/png": {"schema": {"type": "string", "format": "binary"}}}}
}


@uploads.put(
    "/photos/{photo_id}/alpha",
    openapi_extra=_PNG_BODY,
    responses={
        409: {"model": Fault, "description": "Somebody was faster."},
        422: {"model": Fault, "description": "Not an 8-bit gray PNG of the photo's size."},
    },
)
async def save_alpha(
    request: Request,
    service: Serving,
    who: Person,
    photo_id: PhotoId,
    version: Annotated[int, Query(ge=0, le=2**31 - 1, description="Of the photo as the person saw it.")],
    seconds: Annotated[float, Query(ge=0, le=86_400, description="Hands-on since the last write.")] = 0.0,
    accept: Annotated[bool, Query(description="Final: the batch's files are made again; else a draft.")] = False,
) -> dict[str, Any]:
    """Keep a corrected alpha."""
    png = await request.body()  # no more than the guard lets through
    basis = Basis(photo_id, version, who, seconds)
    return await run_in_threadpool(service.store.save_alpha, basis, png, accept=accept)


@uploads.post(
    "/photos/{photo_id}/redraw",
    responses={
        422: {"model": Fault, "description": "The box or a picture does not fit."},
        503: {"model": Fault, "description": "Too many wait; `Retry-After` says how long."},
    },
)
def redraw(service: Serving, photo_id: PhotoId, body: RedrawBody) -> RedrawAnswer:
    """Smart brush: let the model draw the edge again inside a stroke."""
    start = time.perf_counter()
    subject = subject_of_photo(service.store.find(photo_id))
    size_hw = _box_size(body.box_xyxy, subject.size_hw)
    stroke = Stroke(
        body.box_xyxy,
        read_gray(_decoded(body.stroke, "stroke"), size_hw, what="stroke"),
        read_gray(_decoded(body.alpha, "alpha"), size_hw, what="alpha"),
        body.hint,
    )
    alpha = service.redraw(subject, stroke)
    text = base64.b64encode(write_gray(alpha)).decode()
    return RedrawAnswer(alpha=text, box_xyxy=body.box_xyxy, seconds=round(time.perf_counter() - start, 3))


def _box_size(box_xyxy: tuple[int, int, int, int], photo_hw: tuple[int, int]) -> tuple[int, int]:
    left, top, right, bottom = box_xyxy
    if not (left < right <= photo_hw[1] and top < bottom <= photo_hw[0]):
        raise UnfitError(f"box_xyxy: not within the photo, which has {photo_hw[1]}x{photo_hw[0]} pixels")
    if max(right - left, bottom - top) > MAX_BOX_PX:
        raise UnfitError(f"box_xyxy: a side is over {MAX_BOX_PX} pixels; make a shorter stroke")
    return bottom - top, right - left


def _decoded(text: str, what: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise UnfitError(f"{what}: not base64") from error
