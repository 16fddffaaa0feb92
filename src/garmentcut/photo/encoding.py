"""A cutout's file content in each format; a table, so that a new format is a new row."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, cast, get_args

import numpy as np
from PIL import Image

from garmentcut.config import ConfigError, Format, OutputConfig
from garmentcut.photo.cutout import Cutout
from garmentcut.photo.metadata import with_dpi
from garmentcut.photo.photo import OutputError, Pixels, to_8_bit
from garmentcut.photo.png import png_bytes
from garmentcut.photo.preparation import Preparation

__all__ = ["FORMATS", "FileFormat", "OutputError", "encode_cutout", "encode_prepared", "format_of", "output_suffix"]

_WEBP_MAX_SIDE_PX = 16_383
_JPEG_QUALITY = 95


class FileFormat(NamedTuple):
    """How a format is named on disk and written.

    Attributes:
        suffixes: the first is written; a user may ask for the format by any.
        encode: gives the file's content.
    """

    suffixes: tuple[str, ...]
    encode: Callable[[Preparation], bytes]


def encode_cutout(cutout: Cutout, format: Format, output: OutputConfig, *, name: str = "") -> bytes:
    """A file's content.

    Args:
        cutout: full size, as the cutter made it.
        format: a key of `FORMATS`.
        output: background, trim, margin, path, quality and what happens to hidden pixels.
        name: the photo's, for the layer of a psd.

    Raises:
        OutputError: the format cannot hold it (a WebP side over 16383 px), or there is nothing to trim to or to trace.
    """
    return encode_prepared(Preparation(cutout, output, name=name), format)


def encode_prepared(prepared: Preparation, format: Format) -> bytes:
    """A file's content; formats share what they need of the same preparation.

    Raises:
        OutputError: as `encode_cutout`.
    """
    return FORMATS[format].encode(prepared)


def output_suffix(format: Format) -> str:
    """What is put behind a photo's stem; no two formats put the same."""
    return FORMATS[format].suffixes[0]


def format_of(path: Path, format: str | None) -> Format:
    """The format to write a file in: the one named, or the one its suffix asks for.

    Raises:
        ConfigError: neither is known, or the suffix belongs to another format.
    """
    by_suffix = {suffix: kind for kind, row in FORMATS.items() if kind != "mask" for suffix in row.suffixes}
    asked = by_suffix.get(path.suffix.lower())
    known = get_args(Format)
    if format is None and asked is None:
        raise ConfigError(f"{path}: no format has the suffix {path.suffix!r}; use one of {', '.join(by_suffix)}")
    chosen = format or asked
    if chosen not in known:
        raise ConfigError(f"{chosen!r} is not a format; use one of {', '.join(known)}")
    if asked and asked != ("png" if chosen == "mask" else chosen):
        raise ConfigError(f"{path}: the suffix says {asked}, the format {chosen}; change one of them")
    return cast(Format, chosen)


def _png(prepared: Preparation) -> bytes:
    pixels, cutout = prepared.flat("clear"), prepared.untouched
    return png_bytes(
        pixels,
        profile=cutout.profile,
        srgb=cutout.profile is None,
        dpi=cutout.dpi,
        exif=cutout.exif,
        xmp=cutout.xmp,
    )


def _mask_png(prepared: Preparation) -> bytes:
    cutout = prepared.untouched
    mask: Pixels = np.rint(cutout.alpha * np.float32(255)).astype(np.uint8)
    # No profile: an RGB profile in a gray file is an error, and coverage is not a colour.
    return png_bytes(mask, dpi=cutout.dpi)


def _webp(prepared: Preparation) -> bytes:
    pixels, cutout = prepared.flat("clear"), prepared.untouched
    if max(pixels.shape[:2]) > _WEBP_MAX_SIDE_PX:
        raise OutputError(f"WebP ends at {_WEBP_MAX_SIDE_PX} pixels a side, this has {max(pixels.shape[:2])}; use png")
    file, quality = io.BytesIO(), prepared.output.quality
    # `exact` keeps hidden pixels. Lossy, black ones would darken the rim: the encoder may choose their colours.
    packing: dict[str, Any] = {"lossless": True, "quality": 0, "method": 0, "exact": True}
    if quality is not None:
        packing = {"quality": quality, "alpha_quality": 100, "exact": prepared.output.hidden == "keep"}
    # WebP has no field for DPI of its own: it stands in the EXIF.
    Image.fromarray(to_8_bit(pixels)).save(
        file,
        "WEBP",
        **packing,
        icc_profile=cutout.profile or b"",
        exif=with_dpi(cutout.exif, cutout.dpi) or b"",
        xmp=cutout.xmp or b"",
    )
    return file.getvalue()


def _tiff(prepared: Preparation) -> bytes:
    from garmentcut.photo.tiff_writer import tiff_bytes  # loads tifffile

    pixels, cutout = prepared.flat("keep"), prepared.untouched
    return tiff_bytes(
        pixels,
        profile=cutout.profile,
        dpi=cutout.dpi,
        exif=cutout.exif,
        xmp=cutout.xmp,
        resources=prepared.resources("none"),
    )


def _psd(prepared: Preparation) -> bytes:
    from garmentcut.photo.psd_write import layered_psd

    path, background = prepared.path("editable"), prepared.output.background
    cutout = prepared.wanted("keep")
    return layered_psd(cutout, path=path, background=background, name=prepared.name, marked=prepared.marked)


def _jpeg(prepared: Preparation) -> bytes:
    from garmentcut.photo.jpeg_writer import jpeg_bytes

    output, cutout, path = prepared.output, prepared.untouched, prepared.resources("none")
    is_whole_photo = bool(path) and output.background is None and output.hidden != "clear"
    return jpeg_bytes(
        cutout.rgb if is_whole_photo else prepared.cleaned.over(output.background),
        quality=output.quality or _JPEG_QUALITY,
        profile=cutout.profile,
        dpi=cutout.dpi,
        exif=cutout.exif,
        xmp=cutout.xmp,
        resources=path,
    )


FORMATS: dict[Format, FileFormat] = {
    "png": FileFormat((".png",), _png),
    "mask": FileFormat(("_mask.png",), _mask_png),
    "webp": FileFormat((".webp",), _webp),
    "tiff": FileFormat((".tif", ".tiff"), _tiff),
    "psd": FileFormat((".psd",), _psd),
    "jpeg": FileFormat((".jpg", ".jpeg"), _jpeg),
}
