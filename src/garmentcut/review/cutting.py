"""POST /cut, also as clients of remove.bg and rembg send it, and health: all of `serve`, a part of `review`."""

import asyncio
import base64
import json
import re
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from typing import Annotated, Any, Literal, get_args
from urllib.parse import quote

import cv2
import numpy as np
from fastapi import APIRouter, Depends, Query, Request
from PIL import ImageColor
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response
from starlette.types import Message

from garmentcut.config import CutConfig, OutputConfig, ReadConfig, RuntimeConfig
from garmentcut.errors import ModelError, OutputError, PhotoError, ReviewError
from garmentcut.naming import FORMATS
from garmentcut.photo.compose import Preparation
from garmentcut.photo.photo import Cutout, Photo
from garmentcut.photo.read import decode_photo
from garmentcut.photo.write import encode_prepared
from garmentcut.prediction.cutter import Cutter
from garmentcut.review.guard import Access
from garmentcut.review.redraw import Tiles, load_tiles

MAX_PHOTO_BYTES = 100_000_000
MAX_WAITING, MAX_UPLOADS = 8, 64
"""Limit on photos that wait or are being cut, and on bodies being received."""
MAX_BYTES = 800_000_000
"""Limit on the size of all bodies together, waiting or being received."""
UNJUDGED_S = 1.0
"""A body is not judged as slow before this time."""
_JUDGED_S = 5.0  # the rate is measured over this time, because a body that began fast may be slow now
_FULL = "too many photos wait to be cut; send it again later"
_LIMITS = ReadConfig(max_mb=MAX_PHOTO_BYTES // 1_000_000, max_megapixels=80.0)
_MAX_NAME_CHARS = 200
Wanted = Literal["png", "mask", "psd"]

# Values of remove.bg's interface, https://www.remove.bg/api, version 1.0
_SIZES_MP = {"preview": 0.25, "small": 0.25, "regular": 0.25, "medium": 1.5, "hd": 4.0, "4k": 10.0, "50mp": 50.0}
_FORMATS = {"auto": "png", "png": "png", "jpg": "jpeg", "jpeg": "jpeg", "webp": "webp"}
_PLAIN = ("", "0", "false", "none", "original")
_NOT_DONE = ("image_url", "bg_image_url", "bg_image_file", "roi", "scale", "position", "add_shadow", "shadow_type")


class Model:
    """Loads a model file on first use and shares it; None: the embedded one."""

    def __init__(
        self, path: Path | None = None, config: RuntimeConfig | None = None, cut: CutConfig | None = None
    ) -> None:
        self._path, self._config, self._cut = path, config, cut
        self._cutter: Cutter | None = None
        self._tiles: Tiles | None = None
        self._loading = threading.Lock()
        self._running = threading.Lock()

    def is_loaded(self, *, with_tiles: bool = False) -> bool:
        """True if the cutter and, with `with_tiles`, the smart brush's model are loaded."""
        return self._cutter is not None and (self._tiles is not None or not with_tiles)

    def tiles(self) -> Tiles:
        """The model for the smart brush; raises ModelError if it cannot be loaded."""
        with self._loading:
            if self._tiles is None:
                self._tiles = load_tiles(self._path, self._config)
            return self._tiles

    def cutter(self) -> Cutter:
        """The loaded model; raises ModelError if it cannot be loaded."""
        with self._loading:
            if self._cutter is None:
                self._cutter = Cutter.load(self._path, config=self._config, cut=self._cut)
            return self._cutter

    def cut(self, photo: Photo) -> Cutout:
        """Cut one photo; calls wait for each other, so that memory for one photo suffices.

        Raises:
            garmentcut.errors.PhotoError: no garment was found.
        """
        cutter = self.cutter()
        with self._running:
            return cutter(photo)


@dataclass(frozen=True)
class CutRequest:
    """What a client requests for a photo."""

    format: str = "png"  # a key of `FORMATS`
    output: OutputConfig = field(default_factory=OutputConfig)  # background, trim and margin
    name: str = "photo"  # name of the photo, for the layer of a PSD
    max_megapixels: float | None = None  # larger cutouts are shrunk to this; None: no limit


@dataclass(eq=False)
class _Upload:
    """A body that is being received: its deadline, how much has arrived, and how much had arrived a short time ago."""

    patience: asyncio.Timeout
    began: float
    content: bytearray = field(default_factory=bytearray)
    num_bytes: int = 0  # counted in the limit of all bodies
    num_before: int = 0
    is_whole: bool = False


class CutQueue:
    """Cuts photos in the order in which their bodies are completed, so that a slow upload delays nobody."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._uploads: list[_Upload] = []  # being received, or complete and not cut yet
        self._num_waiting = 0
        self._turn = asyncio.Lock()

    @asynccontextmanager
    async def upload(self, parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Receive a body completely; its memory is counted until the end of the context.

        Raises:
            ReviewError: too many photos wait, this is the slowest of too many bodies, or the body is incomplete.
        """
        self._check_room()
        upload = _Upload(asyncio.timeout(None), asyncio.get_running_loop().time())
        try:
            async with upload.patience:
                self._uploads.append(upload)
                while sum(not one.is_whole for one in self._uploads) > MAX_UPLOADS and self._give_up_slowest():
                    pass
                async for part in parts:
                    self._take(upload, part)
                await asyncio.sleep(0)  # so that a body which its own last part was too much for times out
        except TimeoutError as error:
            reason = "too many photos are being sent, and this one is slow; send it again later"
            raise ReviewError(reason, code="queue_full") from error
        except ClientDisconnect as error:
            raise ReviewError("the photo did not arrive completely", code="unfit") from error
        else:
            upload.is_whole = True
            body = bytes(upload.content)
            upload.content.clear()
            yield body
        finally:
            if upload in self._uploads:
                self._uploads.remove(upload)

    async def cut(self, data: bytes, order: CutRequest) -> bytes:
        """Cut the photo in a file's content.

        Raises:
            ReviewError: too many photos wait, or the photo cannot be read, has too many pixels, needs too much memory
                or shows no garment.
        """
        self._check_room()
        self._num_waiting += 1
        try:
            async with self._turn:
                return await run_in_threadpool(self._cut, data, order)
        finally:
            self._num_waiting -= 1

    def _check_room(self) -> None:
        if self._num_waiting >= MAX_WAITING:
            raise ReviewError(_FULL, code="queue_full")

    def _take(self, upload: _Upload, part: bytes) -> None:
        now = asyncio.get_running_loop().time()
        if now - upload.began > _JUDGED_S:
            upload.began, upload.num_before = now, len(upload.content)
        upload.content += part
        upload.num_bytes += len(part)
        while sum(one.num_bytes for one in self._uploads) > MAX_BYTES:
            if not self._give_up_slowest():
                raise ReviewError(_FULL, code="queue_full")

    def _give_up_slowest(self) -> bool:
        """Drop the slowest body and free its memory; False: all have only just begun."""
        now = asyncio.get_running_loop().time()
        judged = [one for one in self._uploads if not one.is_whole and now - one.began > UNJUDGED_S]
        if not judged:
            return False
        slowest = min(judged, key=lambda one: (len(one.content) - one.num_before) / (now - one.began))
        slowest.patience.reschedule(now)
        self._uploads.remove(slowest)
        slowest.content.clear()
        return True

    def _cut(self, data: bytes, order: CutRequest) -> bytes:
        photo = _decoded(data)
        try:
            cutout = _shrunk(self._model.cut(photo), order.max_megapixels)
            return encode_prepared(Preparation(cutout, order.output, name=order.name), order.format)
        except (PhotoError, OutputError) as error:
            raise ReviewError(str(error), code="unfit") from error


class CutService:
    """The state that these routes share; opened and closed with the server."""

    def __init__(self, model: Model, access: Access) -> None:
        self.model, self.access = model, access
        self.cut_queue = CutQueue(model)
        self._is_closing = threading.Event()

    def open(self) -> None:
        """Start loading the model."""
        threading.Thread(target=self._prepare, name="prepare", daemon=True).start()

    def close(self) -> None:
        """Report not ready from now on."""
        self._is_closing.set()

    def why_not_ready(self) -> str:
        """Why the service is not ready, in words; empty: it is ready."""
        if self._is_closing.is_set():
            return "closing"
        return "" if self.model.is_loaded() else "the model is being loaded, or cannot be"

    def _prepare(self) -> None:
        with suppress(ModelError):  # reported to each request that needs the model
            self.model.cutter()


class ErrorBody(BaseModel):
    """The body of every answer that is an error."""

    error: str
    code: str


def service_of(request: Request) -> CutService:
    """The service that all routes share."""
    service: CutService = request.app.state.service
    return service


Serving = Annotated[CutService, Depends(service_of)]
router = APIRouter(tags=["cut"], default_response_class=Response)
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_MEANINGS = {
    408: "The body came too slowly.",
    413: "Too large.",
    415: "Not a photo.",
    422: "No garment in it, or an unknown format.",
    429: "Too many requests wait; Retry-After says how long.",
}


def _described(*media_types: str, takes_bytes: bool = False, **fields: str) -> dict[str, Any]:
    """OpenAPI documentation of a route: the fields of its form with their meaning, the file first, and its responses.

    `takes_bytes`: the body may also be the photo itself.
    """
    schemas: dict[str, Any] = {name: {"type": "string", "description": meaning} for name, meaning in fields.items()}
    schemas[next(iter(fields))]["format"] = "binary"
    bodies: dict[str, Any] = {"application/octet-stream": _BINARY} if takes_bytes else {}
    bodies["multipart/form-data"] = {"schema": {"type": "object", "properties": schemas}}
    cutout = {"description": "The cutout.", "content": dict.fromkeys(sorted(set(media_types)), _BINARY)}
    faults = {status: {"model": ErrorBody, "description": meaning} for status, meaning in _MEANINGS.items()}
    return {
        "openapi_extra": {"requestBody": {"required": True, "content": bodies}},
        "responses": {200: cutout, **faults},
    }


@router.post(
    "/cut", **_described(*(FORMATS[name].media_type for name in get_args(Wanted)), takes_bytes=True, photo="The photo.")
)
async def cut(
    request: Request,
    service: Serving,
    format: Annotated[Wanted, Query(description="Format of the answer; mask: the alpha alone, gray.")] = "png",
) -> Response:
    """Cut one photo: the body is the photo, or a form with one file."""
    async with service.cut_queue.upload(request.stream()) as body:
        is_form = request.headers.get("content-type", "").lower().startswith("multipart/form-data")
        form = await _read_form(request, body) if is_form else _Form(body)
        if "format" in form.fields:
            raise ReviewError("format: belongs in the address, such as /cut?format=psd, not in the form")
        order = CutRequest(format, OutputConfig(formats=(format,)), form.name)
        content = await service.cut_queue.cut(form.file(", that is, no part with a filename"), order)
    return _cutout_of(content, order)


@router.post(
    "/v1.0/removebg",
    **_described(
        *("image/png", "image/jpeg", "image/webp"),
        image_file="The photo.",
        size=f"Most pixels in the answer: {', '.join(_SIZES_MP)}; auto or full: as many as the photo has.",
        format="auto or png, jpg, webp.",
        channels="rgba, or alpha: the alpha alone, gray.",
        bg_color="Colour to lay the garment on: fff, 81d4fa or a name.",
        crop="true: trim to the garment.",
        crop_margin="Pixels kept around a trimmed garment.",
    ),
)
async def cut_as_removebg(request: Request, service: Serving) -> Response:
    """Cut one photo as remove.bg's interface does, for its clients, which only need another address."""
    async with service.cut_queue.upload(request.stream()) as body:
        form = await _read_form(request, body)
        fields = form.fields
        order = _order_of_removebg(fields, form.name)
        if form.photo is None and (text := fields.get("image_file_b64", "")):
            photo = from_base64(text.partition(",")[2] if text.startswith("data:") else text, "image_file_b64")
        else:
            photo = form.file("; send it as `image_file`")
        content = await service.cut_queue.cut(photo, order)
    if "application/json" in request.headers.get("accept", ""):
        return JSONResponse({"data": {"result_b64": base64.b64encode(content).decode()}})
    return _cutout_of(content, order, {"x-type": "product", "x-credits-charged": "0"})


@router.post(
    "/api/remove",
    **_described(
        "image/png",
        file="The photo.",
        om="true: the mask alone.",
        bgc="Colour to lay the garment on: red,green,blue,alpha from 0 to 255; the alpha is 255 or 0.",
    ),
)
async def cut_as_rembg(request: Request, service: Serving) -> Response:
    """Cut one photo as rembg's server does, for its clients; the choice of its models and of matting is ignored."""
    async with service.cut_queue.upload(request.stream()) as body:
        form = await _read_form(request, body)
        photo = form.file("; send it as `file`")
        fields = {**request.query_params, **form.fields}
        format = "mask" if fields.get("om", "").lower() in ("true", "1", "on", "yes") else "png"
        background = _background_of_rembg(fields.get("bgc", ""))
        order = CutRequest(format, OutputConfig(formats=(format,), background=background), form.name)
        content = await service.cut_queue.cut(photo, order)
    return _cutout_of(content, order)


@router.get("/healthz", tags=["health"])
def tell_health() -> Response:
    """Whether the process lives."""
    return JSONResponse({"status": "ok"})


@router.get("/readyz", tags=["health"], responses={503: {"description": "Not yet, or no longer."}})
def tell_readiness(service: Serving) -> Response:
    """Whether the model is loaded and the database answers."""
    reason = service.why_not_ready()
    return JSONResponse({"status": reason or "ready"}, 503 if reason else 200)


@dataclass(frozen=True)
class _Form:
    """A parsed form: the first file and its name, and the other fields."""

    photo: bytes | None = None
    name: str = "photo"
    fields: Mapping[str, str] = field(default_factory=dict)

    def file(self, hint: str) -> bytes:
        """The photo; raises ReviewError, with a hint, if there is none."""
        if self.photo is None:
            raise ReviewError(f"the form has no file in it{hint}", code="not_a_photo")
        return self.photo


async def _read_form(request: Request, body: bytes) -> _Form:
    if request.headers.get("content-type", "").lower().startswith("application/json"):
        try:
            return _Form(fields={key: str(value) for key, value in json.loads(body).items()})
        except (ValueError, AttributeError, RecursionError) as error:
            raise ReviewError("the body is not a JSON object") from error

    async def receive() -> Message:
        return {"type": "http.request", "body": body}

    form = Request(request.scope, receive).form(max_files=1, max_fields=40, max_part_size=2 * MAX_PHOTO_BYTES)
    async with form as values:
        files = [value for value in values.values() if isinstance(value, UploadFile)]
        fields = {key: value for key, value in values.items() if isinstance(value, str)}
        if not files:
            return _Form(fields=fields)
        return _Form(await files[0].read(), (files[0].filename or "photo")[:_MAX_NAME_CHARS], fields)


def _order_of_removebg(fields: Mapping[str, str], name: str) -> CutRequest:
    if asked := next((key for key in _NOT_DONE if fields.get(key, "").lower() not in _PLAIN), ""):
        raise ReviewError(f"{asked} is not supported")
    size, format = fields.get("size", "auto").lower(), fields.get("format", "auto").lower()
    if size not in ("auto", "full", *_SIZES_MP) or format not in _FORMATS:
        wrong = f"format {format!r}" if format not in _FORMATS else f"size {size!r}"
        raise ReviewError(f"{wrong} is not known")
    format = "mask" if fields.get("channels") == "alpha" else _FORMATS[format]
    margin = re.fullmatch(r"(\d{1,4})(px)?", fields.get("crop_margin", "0"))
    if margin is None:
        raise ReviewError("crop_margin: a number of pixels, such as 30px")
    trim = fields.get("crop", "").lower() in ("true", "1")
    output = OutputConfig(
        formats=(format,),
        background=_color_of_removebg(fields.get("bg_color", "")),
        trim=trim,
        margin_px=int(margin[1]) if trim else 0,
    )
    return CutRequest(format, output, name, _SIZES_MP.get(size))


def _color_of_removebg(text: str) -> str | None:
    """`#rrggbb` for hexadecimal digits with or without `#`, or for a colour's name; None: the text is empty."""
    if not text:
        return None
    digits = text.removeprefix("#")
    try:
        is_hexadecimal = re.fullmatch(r"[0-9a-fA-F]{3,8}", digits) is not None
        color = ImageColor.getrgb(f"#{digits}" if is_hexadecimal else digits)
        red, green, blue, alpha = bytes([*color, 255][:4])  # `bytes` checks that each is from 0 to 255
    except ValueError as error:
        raise ReviewError(f"bg_color: {text[:40]!r} is not a colour") from error
    return _opaque("bg_color", (red, green, blue, alpha))


def _background_of_rembg(text: str) -> str | None:
    parts = text.split(",") if text else ["0"] * 4
    if len(parts) != 4 or not all(re.fullmatch(r" *\d{1,3} *", part) and int(part) <= 255 for part in parts):
        raise ReviewError("bgc: four numbers from 0 to 255, such as 255,255,255,255")
    return _opaque("bgc", tuple(map(int, parts)))


def _opaque(what: str, color: tuple[int, ...]) -> str | None:
    if color[3] not in (0, 255):
        raise ReviewError(f"{what}: a semi-transparent background is not supported")
    return "#{:02x}{:02x}{:02x}".format(*color[:3]) if color[3] else None


def from_base64(text: str, what: str, *, code: str = "") -> bytes:
    """Decode a text in base64; a ReviewError has this code and calls the text `what`."""
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise ReviewError(f"{what}: not base64", code=code) from error


def _decoded(data: bytes) -> Photo:
    if not data:
        raise ReviewError("not a photo: it is empty", code="not_a_photo")
    try:
        return decode_photo(data, limits=_LIMITS)
    except PhotoError as error:
        # The messages name options that a client cannot change.
        most = f"{_LIMITS.max_megapixels:g} megapixels and {_LIMITS.max_side_px} pixels a side"
        limits = {
            "too_large": f"at most {most} are accepted here",
            "no_memory": "it takes more memory than one photo may",
        }
        if reason := limits.get(error.code):
            raise ReviewError(f"photo too large: {reason}", code="too_large") from error
        raise ReviewError(f"not a photo that can be read: {error}", code="not_a_photo") from error


def _shrunk(cutout: Cutout, max_megapixels: float | None) -> Cutout:
    """The cutout shrunk to a limit; its edge colours are cleaned afterwards, as for a photo of that size."""
    height, width = cutout.alpha.shape
    if max_megapixels is None or height * width <= max_megapixels * 1e6:
        return cutout
    scale = (max_megapixels * 1e6 / (height * width)) ** 0.5
    size = max(int(width * scale), 1), max(int(height * scale), 1)
    planes: tuple[Any, Any] = (cutout.rgb, cutout.alpha)
    rgb, alpha = (cv2.resize(plane, size, interpolation=cv2.INTER_AREA) for plane in planes)
    return replace(cutout, rgb=np.asarray(rgb, cutout.rgb.dtype), alpha=np.asarray(alpha, np.float32).clip(0, 1))


def _cutout_of(content: bytes, order: CutRequest, headers: Mapping[str, str] | None = None) -> Response:
    stem = quote(PurePath(order.name).stem or "cutout")
    disposition = f"attachment; filename*=UTF-8''{stem}{FORMATS[order.format].suffix}"
    headers = {**(headers or {}), "content-disposition": disposition}
    return Response(content, media_type=FORMATS[order.format].media_type, headers=headers)
