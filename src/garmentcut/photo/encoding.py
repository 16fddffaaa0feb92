"""A cutout's file content in each format; a table, so that a new format is a new row."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, cast, get_args

import numpy as np
from PIL import Image

from garmentcut.config import ConfigError, Format, OutputConfig
from garmentcut.photo.cutout import Cutout
from garmentcut.photo.exif import with_dpi
from garmentcut.photo.photo import Pixels, to_8_bit
from garmentcut.photo.png import png_bytes

_WEBP_MAX_SIDE_PX = 16_383
_FORMAT_OF_SUFFIX: dict[str, Format] = {".png": "png", ".webp": "webp", ".tif": "tiff", ".tiff": "tiff"}


_MAX_TRIMMED_PIXELS = 100_000_000  # a margin may enlarge a photo, not eat the memory


class OutputError(ValueError):
    """A cutout that does not fit the wanted format; the message says why and what would."""


class FileFormat(NamedTuple):
    """How a format is named on disk and written."""

    suffix: str
    encode: Callable[[Pixels, Cutout], bytes]
    keeps_hidden: bool = False


def encode_cutout(cutout: Cutout, format: Format, output: OutputConfig) -> bytes:
    """A file's content.

    Args:
        cutout: full size, as the cutter made it.
        format: a key of `FORMATS`.
        output: background, trim, margin and what happens to hidden pixels.

    Raises:
        OutputError: the format cannot hold it (a WebP side over 16383 px), or there is nothing to trim to.
    """
    kind = FORMATS[format]
    keep = output.hidden == "keep" or (output.hidden == "auto" and kind.keeps_hidden and output.background is None)
    if format != "mask" and not keep:
        cutout = cutout.cleaned
    if output.trim:
        _refuse_huge(cutout, output.margin_px)
        try:
            cutout = cutout.trimmed(output.margin_px)
        except ValueError as error:
            raise OutputError(str(error)) from error
    if format == "mask":
        return kind.encode(_mask_of(cutout), cutout)
    return kind.encode(cutout.rgba() if output.background is None else cutout.over(output.background), cutout)


def output_suffix(format: Format) -> str:
    """What is put behind a photo's stem; no two formats put the same."""
    return FORMATS[format].suffix


def format_of(path: Path, format: str | None) -> Format:
    """The format to write a file in: the one named, or the one its suffix asks for.

    Raises:
        ConfigError: neither is known, or the suffix belongs to another format.
    """
    asked = _FORMAT_OF_SUFFIX.get(path.suffix.lower())
    known = get_args(Format)
    if format is None and asked is None:
        raise ConfigError(
            f"{path}: no format has the suffix {path.suffix!r}; use one of {', '.join(_FORMAT_OF_SUFFIX)}"
        )
    chosen = format or asked
    if chosen not in known:
        raise ConfigError(f"{chosen!r} is not a format; use one of {', '.join(known)}")
    if asked and asked != ("png" if chosen == "mask" else chosen):
        raise ConfigError(f"{path}: the suffix says {asked}, the format {chosen}; change one of them")
    return cast(Format, chosen)


def _refuse_huge(cutout: Cutout, margin_px: int) -> None:
    left, top, right, bottom = cutout.box_xyxy or (0, 0, 0, 0)
    num_pixels = (right - left + 2 * margin_px) * (bottom - top + 2 * margin_px)
    if num_pixels > max(_MAX_TRIMMED_PIXELS, cutout.alpha.size):
        raise OutputError(f"a margin of {margin_px} pixels makes {num_pixels / 1e6:.0f} megapixels; use a smaller one")


def _mask_of(cutout: Cutout) -> Pixels:
    mask: Pixels = np.rint(cutout.alpha * np.float32(255)).astype(np.uint8)
    return mask


def _png(pixels: Pixels, cutout: Cutout) -> bytes:
    return png_bytes(pixels, profile=cutout.profile, srgb=cutout.profile is None, dpi=cutout.dpi, exif=cutout.exif)


def _mask_png(pixels: Pixels, cutout: Cutout) -> bytes:
    # No profile: an RGB profile in a gray file is an error, and coverage is not a colour.
    return png_bytes(pixels, dpi=cutout.dpi)


def _webp(pixels: Pixels, cutout: Cutout) -> bytes:
    if max(pixels.shape[:2]) > _WEBP_MAX_SIDE_PX:
        raise OutputError(f"WebP ends at {_WEBP_MAX_SIDE_PX} pixels a side, this has {max(pixels.shape[:2])}; use png")
    file = io.BytesIO()
    # WebP has no field for DPI of its own: it stands in the EXIF. `exact` keeps the colours of hidden pixels.
    Image.fromarray(to_8_bit(pixels)).save(
        file,
        "WEBP",
        lossless=True,
        quality=0,
        method=0,
        exact=True,
        icc_profile=cutout.profile or b"",
        exif=with_dpi(cutout.exif, cutout.dpi) or b"",
    )
    return file.getvalue()


def _tiff(pixels: Pixels, cutout: Cutout) -> bytes:
    from garmentcut.photo.tiff_writer import tiff_bytes  # loads tifffile

    return tiff_bytes(pixels, profile=cutout.profile, dpi=cutout.dpi, exif=cutout.exif)


FORMATS: dict[Format, FileFormat] = {
    "png": FileFormat(".png", _png),
    "mask": FileFormat("_mask.png", _mask_png),
    "webp": FileFormat(".webp", _webp),
    "tiff": FileFormat(".tif", _tiff, keeps_hidden=True),
}
