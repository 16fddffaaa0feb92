"""The pictures that the review page shows: photos, alphas, thumbnails; made on request by `routes`, some cached."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import simplejpeg

from garmentcut.config import ReadConfig
from garmentcut.errors import PhotoError, ReviewError
from garmentcut.photo.color import srgb_of
from garmentcut.photo.files import read_photo_bytes, read_regular_file, write_atomic
from garmentcut.photo.photo import Cutout, Photo, resize_rgb, to_8_bit, to_alpha
from garmentcut.photo.write import png_bytes
from garmentcut.prediction.results import OWN_FOLDER, heat_path
from garmentcut.prediction.sheet import Rgb, draw_ground, lay_on_ground, shrink_cutout
from garmentcut.review.alphas import AlphaFiles, ReviewPhoto

THUMBNAILS = f"{OWN_FOLDER}/thumbnails"
_QUALITY, _THUMBNAIL_QUALITY = 95, 85
_THUMBNAIL_HW = 320, 480
_MARGIN_PX = 10
_GROUND = "#8c8c8c"  # the tiles that thumbnails lie on have it too: style/card.css
_MEMORY_BYTES = 96_000_000  # some sixty photos of two megapixels: those around the one that is looked at
_AT_A_TIME = 2  # decoded photos are large


class Media:
    """Makes pictures; one object serves all threads."""

    def __init__(self, folder: Path, alphas: AlphaFiles) -> None:
        self._folder, self._alphas = folder, alphas
        self._recent = Recent(_MEMORY_BYTES)

    def photo(self, subject: ReviewPhoto, key: str) -> bytes:
        """The photo as JPEG: full size, upright, sRGB, colours not halved.

        Raises:
            ReviewError: gone, changed, or unreadable.
        """
        return self._recent.get(f"photo {key}", lambda: self._jpeg(self._srgb(subject), _QUALITY))

    def alpha(self, subject: ReviewPhoto, key: str) -> bytes:
        """The current alpha as PNG; raises as `photo`."""
        return self._recent.get(f"alpha {subject.stem} {key}", lambda: png_bytes(self._alphas.current(subject)))

    def predicted(self, subject: ReviewPhoto, key: str) -> bytes:
        """The model's alpha as PNG; raises as `photo`."""
        return self._recent.get(f"first {subject.stem} {key}", lambda: png_bytes(self._alphas.predicted(subject)))

    def thumbnail(self, subject: ReviewPhoto, key: str, *, of_photo: bool = False) -> bytes:
        """A small JPEG of what is visible of the cutout, on gray, or of the photo; raises as `photo`."""
        kind = "photo" if of_photo or not subject.row.ok else "garment"
        path = self._folder / THUMBNAILS / f"{key}-{kind}.jpg"
        with suppress(OSError):
            return read_regular_file(path)
        make = self._small_photo if kind == "photo" else self._small_cutout
        content = self._recent.get(f"{key} {kind}", lambda: self._jpeg(make(subject), _THUMBNAIL_QUALITY))
        with suppress(OSError):  # a full disk: it is made again next time
            write_atomic(path, content, root=self._folder)
        return content

    def heat(self, place: str) -> bytes:
        """The doubt of each pixel as gray PNG.

        Raises:
            ReviewError: `cut` left none.
        """
        try:
            return read_photo_bytes(heat_path(self._folder, place), ReadConfig(max_mb=64))
        except PhotoError as error:
            raise ReviewError("there is no doubt map of this photo", code="not_found") from error

    def _srgb(self, subject: ReviewPhoto) -> Rgb:
        photo: Photo = self._alphas.read_photo(subject.row)
        try:
            return srgb_of(to_8_bit(photo.rgb), photo.profile)
        except PhotoError as error:
            raise ReviewError(f"the photo: {error}", code="not_found") from error

    def _small_photo(self, subject: ReviewPhoto) -> Rgb:
        rgb = self._srgb(subject)
        scale = min(_THUMBNAIL_HW[0] / rgb.shape[0], _THUMBNAIL_HW[1] / rgb.shape[1], 1)
        return resize_rgb(rgb, (max(round(rgb.shape[0] * scale), 1), max(round(rgb.shape[1] * scale), 1)))

    def _small_cutout(self, subject: ReviewPhoto) -> Rgb:
        cutout = Cutout(self._srgb(subject), to_alpha(self._alphas.current(subject)))
        small = shrink_cutout(cutout, (_THUMBNAIL_HW[0] - 2 * _MARGIN_PX, _THUMBNAIL_HW[1] - 2 * _MARGIN_PX))
        ground_hw = small.shape[0] + 2 * _MARGIN_PX, small.shape[1] + 2 * _MARGIN_PX
        return lay_on_ground(small, draw_ground(_GROUND, ground_hw))

    def _jpeg(self, rgb: Rgb, quality: int) -> bytes:
        content: bytes = simplejpeg.encode_jpeg(np.ascontiguousarray(rgb), quality=quality, colorsubsampling="444")
        return content


class Recent:
    """A cache of recent contents, bounded in bytes; a few are made at a time."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes, self._num_bytes = max_bytes, 0
        self._contents: OrderedDict[str, bytes] = OrderedDict()
        self._lock = threading.Lock()
        self._slots = threading.BoundedSemaphore(_AT_A_TIME)

    def get(self, key: str, make: Callable[[], bytes]) -> bytes:
        """The content of a key: as it was made before, or made now."""
        if (known := self._look_up(key)) is not None:
            return known
        with self._slots:
            if (known := self._look_up(key)) is not None:  # somebody else has made it meanwhile
                return known
            content = make()
            self._keep(key, content)
        return content

    def _look_up(self, key: str) -> bytes | None:
        with self._lock:
            if key in self._contents:
                self._contents.move_to_end(key)
            return self._contents.get(key)

    def _keep(self, key: str, content: bytes) -> None:
        with self._lock:
            self._num_bytes += len(content) - len(self._contents.pop(key, b""))
            self._contents[key] = content
            while self._num_bytes > self._max_bytes:
                self._num_bytes -= len(self._contents.popitem(last=False)[1])
