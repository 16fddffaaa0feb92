"""A batch's pictures: reads, writes and compares predicted and corrected alphas, and makes the page's pictures.

Photos, alphas and thumbnails for the page are made when `routes` requests them; some are cached.
"""

import hashlib
import struct
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import imagecodecs
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from garmentcut.config import ReadConfig
from garmentcut.errors import PhotoError, ReviewError, SourceError
from garmentcut.photo.color import srgb_of
from garmentcut.photo.compose import Rgb, draw_ground, lay_on_ground, shrink_cutout
from garmentcut.photo.files import read_photo_bytes, read_regular_file, sha256_of, write_atomic
from garmentcut.photo.mask import dilate, erode
from garmentcut.photo.photo import Cutout, Photo, resize_rgb, to_8_bit, to_alpha
from garmentcut.photo.read import PNG_SIGNATURE, decode_photo, split_png
from garmentcut.photo.truth import read_cutout
from garmentcut.photo.write import png_bytes
from garmentcut.prediction.folder import Batch, Order, read_batch
from garmentcut.prediction.results import OWN_FOLDER, Row, fingerprint

_KINDS = {0: "gray", 2: "RGB", 3: "palette", 4: "gray with alpha", 6: "RGBA"}
Alpha8 = NDArray[np.uint8]
"""`(H, W)` uint8, full range: alpha as stored in files."""
_SAME_LEVELS = 8  # of 255; smaller differences are invisible
_TELLING_SUFFIXES = ("_mask.png", ".png", ".tif", ".webp")  # outputs that hold the whole alpha; the fastest first
_REFERRED_WITHIN_S = 600  # a newer file may belong to a write in progress, perhaps in another server


def read_gray(data: bytes, size_hw: tuple[int, int], *, what: str) -> Alpha8:
    """Pixels of an 8-bit gray PNG that must have height and width `size_hw`, which limits the memory used.

    Its header is checked before anything is decoded.

    Raises:
        ReviewError: it is not such a PNG; the message calls it `what` and says what it is.
    """
    if not data.startswith(PNG_SIGNATURE):
        raise ReviewError(f"{what}: not a PNG", code="unfit")
    try:
        chunks, _ = split_png(data)
        kind, header = chunks[0]
        if kind != b"IHDR" or len(header) != 25:
            raise ReviewError(f"{what}: damaged PNG: no header", code="unfit")
        width, height, depth, color, _, _, interlace = struct.unpack(">IIBBBBB", header[8:21])
        if (depth, color, interlace) != (8, 0, 0):
            found = f"{depth}-bit {_KINDS.get(color, 'unknown')} PNG"
            raise ReviewError(f"{what}: {found}; must be 8-bit gray, not interlaced", code="unfit")
        if (height, width) != size_hw:
            raise ReviewError(f"{what}: {width}x{height} pixels; must be {size_hw[1]}x{size_hw[0]}", code="unfit")
        parts = (bytes(part) for name, part in chunks if name in (b"IHDR", b"IDAT", b"IEND"))
        pixels: Alpha8 = imagecodecs.png_decode(PNG_SIGNATURE + b"".join(parts))
    except (PhotoError, imagecodecs.PngError, ValueError, RuntimeError) as error:
        if isinstance(error, ReviewError):
            raise
        raise ReviewError(f"{what}: {error}", code="unfit") from error
    if pixels.shape != size_hw or pixels.dtype != np.uint8:
        raise ReviewError(f"{what}: damaged PNG", code="unfit")
    return pixels


class EdgeChange(NamedTuple):
    """How much a correction changed."""

    pixels: int  # number of pixels that differ by more than 8 of 255 levels
    # Share of both outlines, before and after, more than 2 px from the other one: 1 - surface Dice, in [0, 1].
    edge_share: float


def measure_change(before: Alpha8, after: Alpha8) -> EdgeChange:
    """Compare two alphas of one size; the outline is that of `alpha >= 0.5`, as `garmentcut evaluate` measures it."""
    differs = np.maximum(before, after) - np.minimum(before, after) > _SAME_LEVELS
    first, second = (mask & ~erode(mask, neighbours=4, outside="background") for mask in (before >= 128, after >= 128))
    # Two dilations by the four neighbours reach 2 px.
    moved = first & ~dilate(second, 2, neighbours=4), second & ~dilate(first, 2, neighbours=4)
    num_moved, num_border = (sum(map(np.count_nonzero, borders)) for borders in (moved, (first, second)))
    return EdgeChange(int(np.count_nonzero(differs)), num_moved / max(num_border, 1))


@dataclass(frozen=True)
class ReviewPhoto:
    """A photo of the batch, and where its files are."""

    row: Row  # its row of results.jsonl
    stem: str  # below the batch's folder, without suffix; see `garmentcut.dataset.corrections.decision_stem`
    alpha_sha256: str = ""  # of the corrected alpha; empty: there is none
    holds_prediction: bool = True  # the batch's outputs hold the model's alpha, not a correction

    @property
    def alpha_name(self) -> str:
        """File of the corrected alpha. It is named after its content, so it never changes."""
        return f"{self.stem}.{self.alpha_sha256[:16]}.alpha.png" if self.alpha_sha256 else ""

    @property
    def prediction_name(self) -> str:
        """File of the model's alpha; named after photo and model."""
        return f"{self.stem}.{fingerprint(self.row.input_sha256, self.row.model)}.predicted.png"

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width of the photo; raises ReviewError if it could not be read."""
        if self.row.size_hw is None or not self.row.ok:
            raise ReviewError(f"there is no alpha: {self.row.reason or 'not cut'}", code="not_found")
        return self.row.size_hw[0], self.row.size_hw[1]


class AlphaFiles:
    """Reads and writes the alphas of a batch."""

    def __init__(self, folder: Path, batch: Batch, cut: Callable[[Photo], Cutout]) -> None:
        self._folder, self._batch, self._cut = folder, batch, cut
        self._predicting = threading.Lock()

    def order_of(self, row: Row) -> Order:
        """The options of the run that wrote the row; raises ReviewError if they were not recorded."""
        if (order := self._order_of(row)) is None:
            raise ReviewError("cut by an older garmentcut; run the same garmentcut cut again", code="not_found")
        return order

    def read_photo(self, row: Row) -> Photo:
        """The photo as it was cut; raises ReviewError if it is missing, was changed, or can no longer be read."""
        limits = order.read if (order := self._order_of(row)) else ReadConfig()
        try:
            data = read_photo_bytes(Path(row.input), limits)
            if row.input_sha256 and hashlib.sha256(data).hexdigest() != row.input_sha256:
                raise ReviewError("the photo has changed since it was cut; run garmentcut cut again", code="not_found")
            return decode_photo(data, limits=limits)
        except PhotoError as error:
            raise ReviewError(f"the photo: {error}", code="not_found") from error

    def current(self, subject: ReviewPhoto) -> Alpha8:
        """The corrected alpha or, without one, the prediction; raises ReviewError if there is none."""
        if not subject.alpha_sha256:
            return self.predicted(subject)
        try:
            data = read_regular_file(self._folder / subject.alpha_name)
        except OSError as error:
            raise ReviewError(f"{subject.alpha_name}: {error.strerror}", code="not_found") from error
        return read_gray(data, subject.size_hw, what="corrected alpha")

    def predicted(self, subject: ReviewPhoto, *, keep: bool = False) -> Alpha8:
        """The model's alpha: as stored, or from an unchanged output, or computed again and then stored.

        With `keep` it is always stored, so that it remains available when the outputs are replaced.

        Raises:
            ReviewError: the photo was not cut, or is missing.
            OSError: it cannot be written.
        """
        path, size_hw = self._folder / subject.prediction_name, subject.size_hw
        with suppress(OSError, ValueError):
            return read_gray(read_regular_file(path), size_hw, what="prediction")
        alpha = self._out_of_output(subject) if subject.holds_prediction else None
        if alpha is None:
            with self._predicting:
                alpha, keep = self._made_again(subject.row), True
        if keep:
            write_atomic(path, png_bytes(alpha), root=self._folder)
        return alpha

    def drop_corrections(self, subject: ReviewPhoto, *, keep: set[str]) -> None:
        """Remove a photo's corrected alphas, except the newest and those whose SHA-256 is in `keep`."""
        kept, stem, now = {digest[:16] for digest in keep}, self._folder / subject.stem, time.time()
        for path in stem.parent.iterdir():
            name = path.name.removesuffix(".alpha.png")
            if name == path.name or name[:-17] != stem.name or name[-16:] in kept:
                continue
            with suppress(OSError):
                if now - path.stat().st_mtime > _REFERRED_WITHIN_S:
                    path.unlink()

    def _order_of(self, row: Row) -> Order | None:
        if row.options not in self._batch.orders:  # written by a later run of `cut`
            with suppress(SourceError):
                self._batch = read_batch(self._folder)
        return self._batch.orders.get(row.options)

    def _out_of_output(self, subject: ReviewPhoto) -> Alpha8 | None:
        row, order = subject.row, self._order_of(subject.row)
        if order is None or order.specification is not None or order.output.trim:
            return None
        for path in self._telling_outputs(row, is_flat=order.output.background is not None):
            alpha = read_cutout(path, order.read).alpha
            if alpha.shape == subject.size_hw:
                return _to_levels(alpha)
        return None

    def _telling_outputs(self, row: Row, *, is_flat: bool) -> Iterator[Path]:
        """Unchanged outputs that hold the whole alpha; masks do so even if the cutouts have a background."""
        stem = PurePosixPath(row.place).name
        for suffix in _TELLING_SUFFIXES[:1] if is_flat else _TELLING_SUFFIXES:
            for name in row.outputs:
                path = self._folder / name
                if path.name == f"{stem}{suffix}" and path.is_file() and sha256_of(path) in row.written.get(name, ()):
                    yield path

    def _made_again(self, row: Row) -> Alpha8:
        photo = self.read_photo(row)
        try:
            return _to_levels(self._cut(photo).alpha)
        except PhotoError as error:
            raise ReviewError(str(error), code="not_found") from error


def _to_levels(alpha: NDArray[np.float32]) -> Alpha8:
    return np.asarray(np.rint(alpha * np.float32(255)), np.uint8)


THUMBNAILS = f"{OWN_FOLDER}/thumbnails"
_QUALITY, _THUMBNAIL_QUALITY = 95, 85
_THUMBNAIL_HW = 320, 480
_MARGIN_PX = 10
_GROUND = "#8c8c8c"  # same colour as the background of thumbnails in style/card.css
_MEMORY_BYTES = 96_000_000  # some sixty photos of two megapixels: those near the one that is shown
_AT_A_TIME = 2  # because decoded photos are large


class Media:
    """Makes pictures; safe to use from several threads."""

    def __init__(self, folder: Path, alphas: AlphaFiles) -> None:
        self._folder, self._alphas = folder, alphas
        self._recent = Recent(_MEMORY_BYTES)

    def full_size(self, subject: ReviewPhoto, what: str, key: str) -> bytes:
        """The `photo` as upright sRGB JPEG with full colours; or the current `alpha` or the `predicted` one as PNG."""
        makers: dict[str, Callable[[], bytes]] = {
            "photo": lambda: self._jpeg(self._srgb(subject), _QUALITY),
            "alpha": lambda: png_bytes(self._alphas.current(subject)),
            "predicted": lambda: png_bytes(self._alphas.predicted(subject)),
        }
        return self._recent.get(f"{what} {subject.stem} {key}", makers[what])

    def thumbnail(self, subject: ReviewPhoto, key: str, *, of_photo: bool = False) -> bytes:
        """A small JPEG of the cutout on gray, cropped to what is visible, or of the photo; raises as `full_size`."""
        kind = "photo" if of_photo or not subject.row.ok else "garment"
        path = self._folder / THUMBNAILS / f"{key}-{kind}.jpg"
        with suppress(OSError):
            return read_regular_file(path)
        make = self._small_photo if kind == "photo" else self._small_cutout
        content = self._recent.get(f"{key} {kind}", lambda: self._jpeg(make(subject), _THUMBNAIL_QUALITY))
        with suppress(OSError):  # such as a full disk; it is made again next time
            write_atomic(path, content, root=self._folder)
        return content

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
    """A cache of recent contents, limited in bytes; only a few are made at the same time."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._contents: OrderedDict[str, bytes] = OrderedDict()
        self._lock = threading.Lock()
        self._slots = threading.BoundedSemaphore(_AT_A_TIME)

    def get(self, key: str, make: Callable[[], bytes]) -> bytes:
        """The content for a key, from the cache or newly made."""
        if (known := self._look_up(key)) is not None:
            return known
        with self._slots:
            if (content := self._look_up(key)) is None:  # no other thread has made it meanwhile
                content = make()
                with self._lock:
                    self._contents[key] = content
                    while sum(map(len, self._contents.values())) > self._max_bytes:
                        self._contents.popitem(last=False)
        return content

    def _look_up(self, key: str) -> bytes | None:
        with self._lock:
            if key in self._contents:
                self._contents.move_to_end(key)
            return self._contents.get(key)
