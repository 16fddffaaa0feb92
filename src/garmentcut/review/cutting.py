"""Photos cut for whoever sends one: one after another, and no more waiting than there is room for."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

from starlette.concurrency import run_in_threadpool

from garmentcut.config import OutputConfig, ReadConfig
from garmentcut.photo.encoding import encode_cutout
from garmentcut.photo.photo import OutputError, Photo, PhotoError
from garmentcut.photo.reading import decode_photo, format_of
from garmentcut.review.conflicts import ReviewError, UnfitError
from garmentcut.review.model import Model

MAX_PHOTO_BYTES = 100_000_000
MAX_WAITING = 8
"""Photos that wait or are under way; each may take as much memory as its body."""
RETRY_AFTER_S = 10
_LIMITS = ReadConfig(max_mb=MAX_PHOTO_BYTES // 1_000_000, max_megapixels=80.0)

Wanted = Literal["png", "mask", "psd"]


class QueueFullError(ReviewError):
    """As many wait as there is room for."""

    status = 429


class NotAPhotoError(ReviewError):
    """What came cannot be read as a photo."""

    status = 415


class TooLargeError(ReviewError):
    """More pixels than are accepted."""

    status = 413


class CutQueue:
    """Cuts photos in the order in which they come.

    Args:
        model: cuts them.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        self._num_waiting = 0
        self._turn = asyncio.Lock()

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """A place in the queue; taken before the photo's bytes are, so that those who find none cost no memory.

        Raises:
            QueueFullError: there is none.
        """
        if self._num_waiting >= MAX_WAITING:
            raise QueueFullError("too many photos wait to be cut; send it again later")
        self._num_waiting += 1
        try:
            yield
        finally:
            self._num_waiting -= 1

    async def cut(self, data: bytes, wanted: Wanted, name: str) -> bytes:
        """Cut one photo.

        Args:
            data: a photo file's content.
            wanted: format of the answer.
            name: of the photo, for the layer of a psd.

        Raises:
            NotAPhotoError: it cannot be read.
            TooLargeError: it has too many pixels.
            UnfitError: there is no garment in it.
        """
        async with self._turn:
            return await run_in_threadpool(self._cut, data, wanted, name)

    def _cut(self, data: bytes, wanted: Wanted, name: str) -> bytes:
        photo = _decoded(data)
        try:
            return encode_cutout(self._model.cut(photo), wanted, OutputConfig(formats=(wanted,)), name=name)
        except (PhotoError, OutputError) as error:
            raise UnfitError(str(error)) from error


def _decoded(data: bytes) -> Photo:
    try:
        format_of(data)
        return decode_photo(data, limits=_LIMITS)
    except PhotoError as error:
        if "read.max_" in str(error):  # the limits' own words, which name what a caller here cannot change
            most = f"{_LIMITS.max_megapixels:g} megapixels and {_LIMITS.max_side_px} pixels a side"
            raise TooLargeError(f"too large a photo: at most {most} are accepted here") from error
        raise NotAPhotoError(f"not a photo that can be read here: {error}") from error
