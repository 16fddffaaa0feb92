"""Encodes a prepared picture as PNG, mask, WebP, TIFF or JPEG; Photoshop documents are in `psd_roundtrip`.

The table `garmentcut.naming.FORMATS` names each format's `encode_` function. PNG (Portable Network Graphics
Specification, third edition, W3C 2025) is written here, ten times as fast as by Pillow, with one fixed row filter and
ISA-L's deflate. For photos with large cleared areas, the filter `up` is as good as an adaptive choice, and numpy
computes it in one subtraction.
"""

import io
import struct
import zlib
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray
from PIL import Image

from garmentcut.errors import ConfigError, Note, OutputError
from garmentcut.naming import FORMATS, known_format
from garmentcut.photo.compose import Preparation, lay_over
from garmentcut.photo.metadata import IPTC_RESOURCE, Resource, append_directories, join_resources, parse_exif, with_dpi
from garmentcut.photo.photo import NO_METADATA, Metadata, Pixels, to_8_bit
from garmentcut.photo.read import PNG_SIGNATURE
from garmentcut.photo.xmp import extended_xmp_segments

_WEBP_MAX_SIDE_PX = 16_383
_COLOR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}  # PNG's, by channels: gray, gray + alpha, RGB, RGBA
_FILTER_UP = 2
_BAND_ROWS = 256
_FASTEST = 1  # on cutouts, higher levels take several times as long and save a few per cent
_MAX_IDAT_BYTES = 1 << 30  # a chunk's length is a 31-bit number
_JPEG_QUALITY = 95
_MOST_JPEG_SIDE_PX = 65_500  # libjpeg's limit
_MOST_HEADER_DPI = 65_535
_MOST_SEGMENT_BYTES = 65_533
_APP1, _APP13, _EXIF_MARK, _XMP_MARK = b"\xff\xe1", b"\xff\xed", b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"
_RESOURCE_MARK = b"Photoshop 3.0\0"
_XMP, _IPTC, _IMAGE_RESOURCES = 700, 33723, 34377  # TIFF tags
_BYTE, _ASCII = 1, 2  # types of TIFF's values
# Description, make, model, date, artist, copyright; Windows' title, comment, author, keywords and subject.
_TEXT_TAGS = (270, 271, 272, 306, 315, 33432, *range(40091, 40096))


def encode_prepared(prepared: Preparation, format: str) -> bytes:
    """Encode a prepared picture in one of `FORMATS`; formats share the work that the preparation caches.

    Raises:
        OutputError: the format cannot hold it (a WebP side over 16383 px), or there is nothing to trim to or to trace.
    """
    module, _, function = FORMATS[format].encoder.partition(":")
    content: bytes = getattr(import_module(module), function)(prepared)
    return content


def format_for(path: Path, format: str | None) -> str:
    """The format to write a file in: the one named, else the one of its suffix.

    Raises:
        ConfigError: neither is known, or the suffix belongs to another format.
    """
    by_suffix = {suffix: name for name, row in FORMATS.items() if name != "mask" for suffix in row.suffixes}
    asked = by_suffix.get(path.suffix.lower())
    if not (format or asked):
        raise ConfigError(f"{path}: no format has the suffix {path.suffix!r}; use one of {', '.join(by_suffix)}")
    try:
        chosen = known_format(str(format or asked))
    except ValueError as error:
        raise ConfigError(str(error)) from error
    if asked and asked != ("png" if chosen == "mask" else chosen):
        raise ConfigError(f"{path}: the suffix says {asked}, the format {chosen}; change one of them")
    return chosen


def lost_metadata(metadata: Metadata, format: str) -> tuple[str, ...]:
    """Notes on the metadata of a photo that a format cannot hold; none for a mask, which is not a picture."""
    row = FORMATS[format]
    if "exif" not in row.carries:
        return ()
    kinds = [kind for kind in ("exif", "xmp", "iptc") if getattr(metadata, kind) and kind not in row.carries]
    notes = tuple(Note(f"{kind.upper()} left out: {format} holds none", "metadata_left_out") for kind in kinds)
    if format == "jpeg" and metadata.exif and not _fits(_EXIF_MARK, metadata.exif):
        notes += (Note(f"EXIF of {len(metadata.exif) / 1000:.0f} kB left out: jpeg holds 64 kB", "metadata_left_out"),)
    return notes


def _joined_resources(resources: Sequence[Resource], metadata: Metadata) -> bytes:
    """Photoshop's image resources, with IPTC as one of them."""
    return join_resources([*resources, *([Resource(IPTC_RESOURCE, "", metadata.iptc)] if metadata.iptc else [])])


def encode_png(prepared: Preparation) -> bytes:
    """PNG of the photo's depth, with alpha or on a background."""
    metadata = prepared.metadata
    return png_bytes(
        prepared.flat("png"),
        profile=metadata.profile,
        srgb=metadata.profile is None,
        dpi=metadata.dpi,
        exif=metadata.exif,
        xmp=metadata.xmp,
    )


def encode_mask(prepared: Preparation) -> bytes:
    """The alpha alone as a gray PNG of 8 bits."""
    mask: Pixels = np.rint(prepared.untouched.alpha * np.float32(255)).astype(np.uint8)
    # No profile: an RGB profile in a gray file is an error, and coverage is not a colour.
    return png_bytes(mask, dpi=prepared.metadata.dpi)


def encode_webp(prepared: Preparation) -> bytes:
    """WebP of 8 bits, lossless if no quality is given."""
    pixels, metadata = prepared.flat("webp"), prepared.metadata
    if max(pixels.shape[:2]) > _WEBP_MAX_SIDE_PX:
        raise OutputError(f"WebP holds {_WEBP_MAX_SIDE_PX} pixels per side, not {max(pixels.shape[:2])}; use png")
    file, quality = io.BytesIO(), prepared.output.quality
    # `exact` keeps hidden pixels. In lossy WebP, black ones would darken the edge, so the encoder may change them.
    packing: dict[str, Any] = {"lossless": True, "quality": 0, "method": 0, "exact": True}
    if quality is not None:
        packing = {"quality": quality, "alpha_quality": 100, "exact": prepared.output.hidden == "keep"}
    # WebP has no field of its own for DPI, so EXIF states it.
    Image.fromarray(to_8_bit(pixels)).save(
        file,
        "WEBP",
        **packing,
        icc_profile=metadata.profile or b"",
        exif=with_dpi(metadata.exif, metadata.dpi) or b"",
        xmp=metadata.xmp or b"",
    )
    return file.getvalue()


def encode_tiff(prepared: Preparation) -> bytes:
    """TIFF of the photo's depth."""
    return tiff_bytes(prepared.flat("tiff"), prepared.metadata, prepared.resources())


def encode_jpeg(prepared: Preparation) -> bytes:
    """JPEG: on a background, or the whole photo with the path that clips it."""
    output, resources = prepared.output, prepared.resources()
    is_whole_photo = bool(resources) and output.background is None and output.hidden != "clear"
    pixels = prepared.untouched.rgb if is_whole_photo else lay_over(prepared.cleaned, output.background)
    return jpeg_bytes(pixels, prepared.metadata, resources, quality=output.quality or _JPEG_QUALITY)


def png_bytes(
    pixels: Pixels,
    *,
    profile: bytes | None = None,
    srgb: bool = False,
    dpi: tuple[float, float] | None = None,
    exif: bytes | None = None,
    xmp: bytes | None = None,
) -> bytes:
    """Encode a picture, `(H, W)` or `(H, W, C)` with 1 to 4 channels, alpha straight, as PNG.

    Metadata as in `Metadata`; `srgb` states that pixels without a profile are sRGB.
    """
    height, width = pixels.shape[:2]
    num_channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    header = struct.pack(">IIBBBBB", width, height, 8 * pixels.itemsize, _COLOR_TYPES[num_channels], 0, 0, 0)
    chunks = [PNG_SIGNATURE, _chunk(b"IHDR", header)]
    if profile:
        chunks.append(_chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(profile)))
    elif srgb:
        chunks += [_chunk(b"sRGB", b"\0"), _chunk(b"gAMA", struct.pack(">I", 45455))]
    if dpi:
        chunks.append(_chunk(b"pHYs", struct.pack(">IIB", *(round(value / 0.0254) for value in dpi), 1)))
    if exif:
        chunks.append(_chunk(b"eXIf", exif))
    if xmp:
        chunks.append(_chunk(b"iTXt", b"XML:com.adobe.xmp" + bytes(5) + xmp))  # uncompressed, no language
    packer = isal_zlib.compressobj(_FASTEST)
    packed = [packer.compress(_filtered_rows(pixels, top).data) for top in range(0, height, _BAND_ROWS)]
    content = memoryview(b"".join((*packed, packer.flush())))
    for start in range(0, len(content), _MAX_IDAT_BYTES):
        chunks.append(_chunk(b"IDAT", content[start : start + _MAX_IDAT_BYTES]))
    return b"".join([*chunks, _chunk(b"IEND", b"")])


def _filtered_rows(pixels: Pixels, top: int) -> NDArray[np.uint8]:
    """A band of filtered rows, each after its filter's number; only one band at a time is held twice."""
    above = pixels[max(top - 1, 0) : top + _BAND_ROWS]
    band = above.astype(">u2") if pixels.dtype == np.uint16 else above
    rows = np.ascontiguousarray(band).reshape(len(band), -1).view(np.uint8)
    filtered = np.empty((len(rows) - (top > 0), rows.shape[1] + 1), np.uint8)
    filtered[:, 0] = _FILTER_UP
    if not top:
        filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[int(not top) :, 1:])
    return filtered


def _chunk(kind: bytes, data: bytes | memoryview) -> bytes:
    checksum = zlib.crc32(data, zlib.crc32(kind))
    return b"".join((struct.pack(">I", len(data)), kind, data, struct.pack(">I", checksum)))


def tiff_bytes(pixels: Pixels, metadata: Metadata = NO_METADATA, resources: Sequence[Resource] = ()) -> bytes:
    """Encode `(H, W, 3 or 4)`, alpha straight ("unassociated"), as a deflate-compressed TIFF that Photoshop opens."""
    import tifffile

    order, main, directories = parse_exif(metadata.exif)  # makers' notes depend on the order
    # As bytes: tifffile refuses text that is not ASCII, such as photographers' names.
    texts = [(tag, *main[tag]) for tag in _TEXT_TAGS if tag in main]
    extratags: list[Any] = [(tag, "s", 0, text.rstrip(b"\0"), True) for tag, kind, text in texts if kind == _ASCII]
    extratags += [(tag, "B", len(text), text, True) for tag, kind, text in texts if kind == _BYTE]
    extratags += [(number - 1, "I", 1, 0, True) for number in directories]
    blocks = {_XMP: metadata.xmp, _IPTC: metadata.iptc, _IMAGE_RESOURCES: _joined_resources(resources, metadata)}
    extratags += [(tag, "B", len(block), block, True) for tag, block in blocks.items() if block]
    file = io.BytesIO()
    tifffile.imwrite(
        file,
        np.ascontiguousarray(pixels),
        byteorder=">" if order == ">" else "<",
        bigtiff=False,
        photometric="rgb",
        extrasamples=["unassalpha"] if pixels.shape[2] == 4 else None,
        compression="zlib",
        compressionargs={"level": 1},
        predictor=True,
        resolution=metadata.dpi,
        resolutionunit="INCH" if metadata.dpi else None,
        iccprofile=metadata.profile,
        software="garmentcut",
        metadata=None,
        extratags=extratags,
    )
    return append_directories(bytearray(file.getbuffer()), directories, order)


def jpeg_bytes(
    pixels: Pixels, metadata: Metadata = NO_METADATA, resources: Sequence[Resource] = (), *, quality: int
) -> bytes:
    """Encode RGB as a baseline JPEG without chroma subsampling (4:4:4); 16 bits are rounded to 8.

    EXIF over 64 kB does not fit in a JPEG and is left out. DPI are written as whole numbers or, if the header, which
    ends at 65535, cannot hold them, as fractions in EXIF. Raises OutputError if a side is over 65500 pixels.
    """
    if max(pixels.shape[:2]) > _MOST_JPEG_SIDE_PX:
        fault = f"JPEG ends at {_MOST_JPEG_SIDE_PX} pixels a side, this has {max(pixels.shape[:2])}"
        raise OutputError(f"{fault}; use tiff")
    exif, xmp = metadata.exif, metadata.xmp
    dpi = tuple(map(round, metadata.dpi or ()))
    if not all(0 < value <= _MOST_HEADER_DPI for value in dpi):
        dpi, exif = (), with_dpi(exif, metadata.dpi)
    # Image resources in as many segments as they need; readers join them.
    data, room = _joined_resources(resources, metadata), _MOST_SEGMENT_BYTES - len(_RESOURCE_MARK)
    parts = [(_APP13, _RESOURCE_MARK + data[start : start + room]) for start in range(0, len(data), room)]
    if xmp and not _fits(_XMP_MARK, xmp):
        xmp, extension = extended_xmp_segments(xmp)
        parts += [(_APP1, part) for part in extension]
    options = {
        "icc_profile": metadata.profile,
        "dpi": dpi,
        "exif": _EXIF_MARK + exif if exif and _fits(_EXIF_MARK, exif) else None,
        "xmp": xmp,
        "extra": b"".join(marker + (2 + len(part)).to_bytes(2) + part for marker, part in parts),
    }
    file = io.BytesIO()
    given = {key: value for key, value in options.items() if value}
    Image.fromarray(to_8_bit(pixels)).save(file, "JPEG", quality=quality, subsampling=0, **given)
    return file.getvalue()


def _fits(mark: bytes, data: bytes) -> bool:
    return len(mark) + len(data) <= _MOST_SEGMENT_BYTES
