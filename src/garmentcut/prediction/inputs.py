"""Makes a `Photo` from bytes, a path, PIL or an array, for `Cutter`; `garmentcut.remove`; a batch's `Result`."""

import io
import os
from dataclasses import dataclass, field
from functools import lru_cache
from threading import Lock
from typing import TYPE_CHECKING, BinaryIO, TypeAlias, overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from garmentcut.config import check_kind
from garmentcut.errors import PhotoError, code_of
from garmentcut.photo.color import rgb_of_channels
from garmentcut.photo.metadata import dpi_of
from garmentcut.photo.photo import Cutout, Photo, Pixels
from garmentcut.photo.read import damage_named, decode_photo, read_photo

if TYPE_CHECKING:
    from garmentcut.prediction.cutter import Cutter

Array: TypeAlias = NDArray[np.uint8] | NDArray[np.uint16]
PhotoLike: TypeAlias = Photo | bytes | str | os.PathLike[str] | BinaryIO | Image.Image | Array
"""A photo as `read_photo` returns it, a file's content, its path, an open file, a PIL image, or an array of pixels."""

_LOADING = Lock()


def is_one_photo(source: object) -> bool:
    """Whether a value is one of `PhotoLike`, not several: an open file could be iterated over, too, by lines."""
    if isinstance(source, np.ndarray):
        return 1 < source.ndim < 4
    is_content = isinstance(source, Photo | bytes | bytearray | memoryview | Image.Image)
    return is_content or isinstance(source, str | os.PathLike) or hasattr(source, "read")


def photo_of(source: PhotoLike) -> Photo:
    """Read a photo in any of the forms of `PhotoLike`.

    Args:
        source: files are read by `read_photo`. A PIL image is turned upright; transparent parts are laid on
            white. An array is `(H, W)`, `(H, W, 3)` or `(H, W, 4)`, uint8 or uint16 (full range), sRGB, upright.

    Raises:
        PhotoError: a file, an image or an array cannot be used; the message says why.
        TypeError: none of these.
    """
    if isinstance(source, Photo):
        return source
    if isinstance(source, bytes | bytearray | memoryview):
        return decode_photo(bytes(source))
    if isinstance(source, str | os.PathLike):
        return read_photo(source)
    if isinstance(source, Image.Image):
        return _photo_of_image(source)
    if isinstance(source, np.ndarray):
        return _photo_of_array(source)
    if hasattr(source, "read"):
        try:
            content = None if isinstance(source, io.TextIOBase) else source.read()
        except Exception as error:  # a closed file, a broken connection, damaged compression
            code = "no_memory" if isinstance(error, MemoryError) else "unreadable"
            reason = f"the open file cannot be read ({str(error) or type(error).__name__}); open it again"
            raise PhotoError(reason, code=code) from error
        if isinstance(content, bytes):
            return decode_photo(content)
        raise TypeError("an open file must give bytes, not text: open it with mode 'rb', or give its path")
    raise TypeError(f"a photo is bytes, a path, an open file, a PIL image or an array, not {type(source).__name__}")


def _photo_of_array(pixels: Array) -> Photo:
    """Laid on white where it is transparent; of either byte order."""
    native = pixels.dtype.newbyteorder("=")
    channels = pixels.shape[2:] or (1,)
    if native not in (np.uint8, np.uint16) or pixels.ndim < 2 or channels not in ((1,), (3,), (4,)) or not pixels.size:
        wanted = "(H, W), (H, W, 3) or (H, W, 4) of uint8, where white is 255, or uint16, where it is 65535"
        raise PhotoError(f"an array must be {wanted}, not {pixels.shape} {pixels.dtype}")
    planes: Pixels = np.ascontiguousarray(np.atleast_3d(pixels), native)
    converted = rgb_of_channels(planes[..., :3], planes[..., 3] if channels == (4,) else None, None)
    return Photo(converted.rgb, notes=converted.notes)


def _photo_of_image(image: Image.Image) -> Photo:
    """Turn a PIL image upright and into RGB; its colour profile and resolution are kept."""
    profile, dpi = image.info.get("icc_profile"), image.info.get("dpi")
    if image.mode in ("I", "F"):
        fix = "convert its levels to mode L or I;16, or give the path of its file"
        raise PhotoError(f"a PIL image of mode {image.mode} does not say which level is white; {fix}")
    with damage_named():  # the pixels of an opened file are read only now
        image = ImageOps.exif_transpose(image)
    is_gray, has_alpha = image.mode.startswith("I;16") or image.mode in ("L", "1"), image.has_transparency_data
    if image.mode in ("1", "La"):  # La converts to LA only
        image = image.convert("L" if image.mode == "1" else "LA")
    if not is_gray and image.mode != "CMYK":
        image = image.convert("RGBA" if has_alpha else "RGB")
    pixels = np.atleast_3d(np.asarray(image))
    pixels = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)  # of I;16B
    alpha = pixels[..., 3] if image.mode == "RGBA" else None
    if is_gray and has_alpha:  # of a PNG: one level is transparent
        alpha = (pixels[..., 0] != image.info["transparency"]).astype(pixels.dtype) * np.iinfo(pixels.dtype).max
    color = pixels if alpha is None else pixels[..., :3]
    converted = rgb_of_channels(color, alpha, profile, is_cmyk=image.mode == "CMYK")
    sizes = dpi_of(dpi[0], dpi[1], None) if dpi else None
    return Photo(np.ascontiguousarray(converted.rgb), converted.profile, sizes, notes=converted.notes)


@overload
def remove(source: Photo | bytes | str | os.PathLike[str] | BinaryIO, *, cutter: "Cutter | None" = None) -> bytes: ...
@overload
def remove(source: Image.Image, *, cutter: "Cutter | None" = None) -> Image.Image: ...
@overload
def remove(source: NDArray[np.uint8], *, cutter: "Cutter | None" = None) -> NDArray[np.uint8]: ...
@overload
def remove(source: NDArray[np.uint16], *, cutter: "Cutter | None" = None) -> NDArray[np.uint16]: ...
def remove(source: PhotoLike, *, cutter: "Cutter | None" = None) -> "bytes | Image.Image | Array":
    """Cut the garment out of a photo in one call.

    >>> from pathlib import Path
    >>> Path("dress.png").write_bytes(remove("dress.jpg"))  # doctest: +SKIP

    Args:
        source: the photo; see `photo_of`.
        cutter: for a model other than the embedded one, which is loaded at the first call and kept.

    Returns:
        For bytes, a path or an open file: the bytes of a PNG file. For a PIL image: a PIL image, RGBA. For an array:
        `(H, W, 4)` of the same depth, straight alpha. Edge colours are cleaned.

    Raises:
        PhotoError: it cannot be read, or no garment was found; `code` says which.
    """
    from garmentcut.prediction.cutter import Cutter

    check_kind(cutter, Cutter)
    cutout = (cutter or default_cutter())(source)
    if isinstance(source, Image.Image):
        return cutout.to_pil()
    if isinstance(source, np.ndarray):
        return cutout.rgba()
    return cutout.to_bytes()


def default_cutter() -> "Cutter":
    """The embedded model, loaded once per process; any thread may call this."""
    with _LOADING:
        return _load_default()


@lru_cache(maxsize=1)
def _load_default() -> "Cutter":
    from garmentcut.prediction.cutter import Cutter

    return Cutter.load()


@dataclass(frozen=True, eq=False)
class Result:
    """The outcome for one of many photos."""

    source: PhotoLike = field(repr=False)  # the photo as it was given, perhaps megabytes
    cutout: Cutout | None = None  # None if it failed
    code: str = ""  # why it failed, a key of `garmentcut.errors.FAILURES`; empty if it did not
    reason: str = ""  # the same in words

    @classmethod
    def of(cls, source: PhotoLike, error: Exception) -> "Result":
        """The result for a photo that failed."""
        reason = "not enough memory" if isinstance(error, MemoryError) else str(error)
        return cls(source, code=code_of(error), reason=reason)

    @property
    def ok(self) -> bool:
        """Whether the photo was cut."""
        return self.cutout is not None


def photo_or_reason(source: PhotoLike) -> tuple[PhotoLike, Photo | Result]:
    """A photo and what it was given as; instead of the photo a result that says why it cannot be read."""
    try:
        return source, photo_of(source)
    except (PhotoError, OSError, MemoryError) as error:
        return source, Result.of(source, error)
    except TypeError as error:  # no photo at all, such as a file opened as text
        return source, Result(source, code="unsupported", reason=str(error))
