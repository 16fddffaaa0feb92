"""Where PNG, JPEG, TIFF and WebP files say what is cut out of them."""

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from garmentcut.config import ReadConfig
from garmentcut.photo.clipping_path import (
    Resource,
    draw_path,
    find_clipping_path,
    jpeg_resources,
    split_resources,
)
from garmentcut.photo.color import rgb_of_cmyk
from garmentcut.photo.layer_mask import Alpha, to_alpha
from garmentcut.photo.photo import Photo, PhotoError, Pixels, to_8_bit, turn_upright

Source = Literal["transparency", "extra channel", "layer mask", "saved channel", "clipping path", "mask image"]
Colors = tuple[Pixels | None, tuple[str, ...]]
"""`(H, W, 3)`, upright and straight, or None; and notes."""

_NEAR = 8 / 255  # what JPEG makes of a mask's black and white
_MOST_SOFT = 0.5  # of the smaller of its black and its white part; a photo in shades of gray has far more
_BORDER_PX = 2
_LEAST_BLACK, _BLACK_BORDER = 0.5, 0.99  # of the picture; of its upper and lower border


class Found(NamedTuple):
    """One place that says what is cut out.

    Attributes:
        source: the kind of place.
        alpha: `(H, W)`, upright.
        read_rgb: gives the colours that belong to it.
        notes: what to know about it.
        name: what notes call it; empty: as `source`.
    """

    source: Source
    alpha: Alpha
    read_rgb: Callable[[], Colors]
    notes: tuple[str, ...] = ()
    name: str = ""

    @property
    def is_telling(self) -> bool:
        """Whether the alpha is not the same everywhere."""
        return bool(self.alpha.min() < self.alpha.max())

    @property
    def title(self) -> str:
        """What notes call it."""
        return self.name or f"the {self.source}"


class Findings(NamedTuple):
    """What a file holds.

    Attributes:
        found: all places, the surest first.
        hints: what to know where there are none.
        is_unchanged: the surest is as garmentcut wrote it.
        read_original: gives the photo that the file holds untouched, or raises PhotoError; None: only layered documents
            hold one.
    """

    found: list[Found]
    hints: tuple[str, ...] = ()
    is_unchanged: bool = False
    read_original: Callable[[], Photo] | None = None


class _Stored(NamedTuple):
    """A file's channels as stored; of `extra`, the first `num_transparency` (0 or 1) are transparency."""

    color: Pixels
    extra: Sequence[Pixels]
    num_transparency: int
    orientation: int
    is_cmyk: bool
    profile: bytes | None
    resources: bytes = b""


def find_in_picture(data: bytes, limits: ReadConfig, form: Literal["tiff", "png", "jpeg", "webp"]) -> Findings:
    """Everything in a PNG, JPEG, TIFF or WebP file that says what is cut out.

    Args:
        data: the file's content.
        limits: checked before pixels are decoded.
        form: its format.

    Raises:
        PhotoError: as `decode_photo`; any other exception means damage.
    """
    stored, hints = _read_tiff(data, limits) if form == "tiff" else (_read_raster(data, limits, form), ())

    def read_rgb() -> Colors:
        rgb, notes = straight_rgb(stored.color, stored.profile, is_cmyk=stored.is_cmyk)
        return (None if rgb is None else turn_upright(rgb, stored.orientation)), notes

    found = []
    for place, plane in enumerate(stored.extra):
        source: Source = "transparency" if place < stored.num_transparency else "extra channel"
        found.append(Found(source, to_alpha(turn_upright(plane, stored.orientation)), read_rgb))
    found += find_in_path(split_resources(stored.resources), stored.color.shape[:2], read_rgb, stored.orientation)
    if not stored.is_cmyk and not any(place.is_telling for place in found):
        found += find_mask_image(turn_upright(stored.color, stored.orientation))
    return Findings(found, hints)


def find_in_path(
    resources: Sequence[Resource], size_hw: tuple[int, ...], read_rgb: Callable[[], Colors], orientation: int = 1
) -> list[Found]:
    """The clipping path among a file's image resources, if there is one.

    Args:
        resources: as `split_resources` gives them.
        size_hw: of the picture as stored.
        read_rgb: see `Found`.
        orientation: of the picture (TIFF 6.0, tag 274).

    Raises:
        PhotoError: an absurdly long path.
    """
    chosen = find_clipping_path(resources)
    if chosen is None:
        return []
    path, notes = chosen
    alpha = turn_upright(draw_path(path, (size_hw[0], size_hw[1])), orientation)
    return [Found("clipping path", alpha, read_rgb, notes, f"the clipping path {path.name!r}")]


def find_mask_image(color: NDArray[Any]) -> list[Found]:
    """The picture itself, if it is a mask: gray, and nearly all of it black or white.

    Args:
        color: `(H, W, C)` gray or RGB, upright.
    """
    sample = color[::16, ::16]
    if not (sample == sample[..., :1]).all() or not (color == color[..., :1]).all():
        return []
    alpha = to_alpha(color[..., 0])
    black, white = float((alpha <= _NEAR).mean()), float((alpha >= 1 - _NEAR).mean())
    border = np.concatenate([alpha[:_BORDER_PX].ravel(), alpha[-_BORDER_PX:].ravel()])
    # Of a sheer garment hardly anything is white; but all around it is black, as around no photo.
    is_sheer = black >= _LEAST_BLACK and float((border <= _NEAR).mean()) >= _BLACK_BORDER
    if 1 - black - white > _MOST_SOFT * min(black, white) and not is_sheer:
        return []
    notes = ("the mask's border is white: it may be inverted",) if border.mean() > 0.5 and black else ()
    return [Found("mask image", alpha, lambda: (None, ()), notes)]


def straight_rgb(color: Pixels, profile: bytes | None, *, is_cmyk: bool = False) -> Colors:
    """Colours as stored, but gray made RGB and CMYK converted to sRGB by its profile, at 8 bits."""
    if not is_cmyk:
        rgb = np.repeat(color, 3, axis=2) if color.shape[2] == 1 else color
        return np.ascontiguousarray(rgb, rgb.dtype.newbyteorder("=")), ()
    try:
        converted = rgb_of_cmyk(to_8_bit(color), profile)
    except PhotoError:
        return None, ("CMYK colours without a usable profile left out",)
    return converted.rgb, converted.notes


def _read_raster(data: bytes, limits: ReadConfig, form: Literal["png", "jpeg", "webp"]) -> _Stored:
    from garmentcut.photo.raster import read_jpeg, read_png, read_webp

    raster = {"png": read_png, "jpeg": read_jpeg, "webp": read_webp}[form](data, limits)
    pixels = raster.pixels if raster.pixels.ndim == 3 else raster.pixels[..., None]
    has_alpha = pixels.shape[2] in (2, 4) and not raster.is_cmyk
    return _Stored(
        pixels[..., : pixels.shape[2] - has_alpha],
        [pixels[..., -1]] if has_alpha else [],
        int(has_alpha),
        raster.read_exif().orientation,
        raster.is_cmyk,
        raster.profile,
        jpeg_resources(data) if form == "jpeg" else b"",
    )


def _read_tiff(data: bytes, limits: ReadConfig) -> tuple[_Stored, tuple[str, ...]]:
    from garmentcut.photo.tiff import read_tiff

    tiff = read_tiff(data, limits)
    order = sorted(range(tiff.extra.shape[2]), key=lambda place: place != tiff.alpha)
    planes = [tiff.extra[..., place] for place in order]
    stored = _Stored(
        tiff.color,
        planes,
        int(tiff.alpha is not None),
        tiff.exif.orientation,
        tiff.is_cmyk,
        tiff.profile,
        tiff.resources,
    )
    return stored, ("its Photoshop layers are not read from TIFF",) if tiff.has_layers else ()
