"""Decodes TIFF for `photo.read`, with tifffile, which distinguishes straight from premultiplied alpha."""

import io
import itertools
import logging
import math
import struct
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import simplejpeg
import tifffile
from numpy.typing import NDArray

from garmentcut.config import ReadConfig
from garmentcut.errors import Note, PhotoError
from garmentcut.photo.color import rgb_of_lab, stated_profile
from garmentcut.photo.metadata import MOST_TAGS, directory_entries, read_tiff_exif
from garmentcut.photo.photo import Pixels, check_size, to_8_bit
from garmentcut.photo.read import Raster
from garmentcut.photo.xmp import read_xmp

_SUB_FILES, _INK_SET, _DNG_VERSION, _ICC = 330, 332, 50706, 34675
_XMP, _IMAGE_RESOURCES, _IPTC, _PHOTOSHOP_LAYERS = 700, 34377, 33723, 37724
_NUM_COLORS = {"MINISWHITE": 1, "MINISBLACK": 1, "RGB": 3, "YCBCR": 3, "SEPARATED": 4, "PALETTE": 1}
_NUM_COLORS |= {"CIELAB": 3, "ICCLAB": 3}
_INTEGER, _FLOAT = 1, 3  # sample formats
_MOST_LIGHT = 16.0  # largest float that is accepted; 1 is white
_THUMBNAIL_SHARE = 0.25  # of the photo's area; a smaller page is a thumbnail even without a flag
_BAND_ROWS = 64
# None, LZW, JPEG, deflate (two numbers), PackBits, Zstandard. Others are rare, and each decoder can be attacked.
_COMPRESSIONS = {1, 5, 7, 8, 32946, 32773, 50000}
_UNCOMPRESSED, _JPEG = 1, 7
_RAW_PHOTOMETRICS = {32803, 34892}  # color filter array, linear raw
_PREMULTIPLIED, _STRAIGHT = 1, 2  # ExtraSamples; 0 is a saved Photoshop channel, not transparency
_MAX_PAGES = 16
# Tags with one value, or one for each channel, whose number is limited: tifffile makes an object of each value.
_OF_CHANNELS = {254, 255, 258, 259, 262, 266, 274, 277, 280, 281, 284, 296, 317, 332, 338, 339}
_MOST_CHANNELS = 1024
_SPARE_PARTS = 65_536  # strips or tiles allowed beyond those that the pixels take

# tifffile logs odd tags, which Python prints on stderr if the application has not set up logging.
logging.getLogger("tifffile").addHandler(logging.NullHandler())


def read_tiff(data: bytes, limits: ReadConfig, *, all_channels: bool = True) -> Raster:
    """Decode a TIFF file: 8 or 16 bits, or floats; gray, palette, RGB, YCbCr, CMYK or CIELAB; any alpha.

    CIELAB is converted to sRGB, floats to 16 bits. Limits are checked against the tags, before pixels are decoded.
    `all_channels` includes those that are neither colours nor transparency; else a note says that they were left out.

    Raises:
        PhotoError: too large, several pages, camera raw, unsupported pixels; any other exception means damage.
    """
    if data[8:10] == b"CR":
        raise PhotoError("a camera raw file; develop it and save it as TIFF or JPEG")
    _refuse_long_tags(data)
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = _photo_page(file)
        bits = page.bitspersample if isinstance(page.bitspersample, int) else max(page.bitspersample)
        width, height, channels = page.imagewidth, page.imagelength, page.samplesperpixel
        check_size(width, height, limits, channels=channels, bits=max(bits, 8), num_bytes=len(data))
        _refuse_kinds(page)
        _refuse_missing_pixels(page, len(data))
        if page.compression == _JPEG:
            _refuse_jpeg_bombs(page, data)
        pixels = page.asarray()
        if page.planarconfig == 2 and pixels.ndim == 3:
            pixels = np.moveaxis(pixels, 0, -1)
        return _raster_of_page(page, pixels, data, all_channels=all_channels)


def _refuse_long_tags(data: bytes) -> None:
    """Refuse tags with far more values than channels: one could hold millions, which all pages could share."""
    order, is_big = (">" if data[:2] == b"MM" else "<"), 43 in data[2:4]
    head, head_bytes, line_bytes, pointer = ("Q", 8, 20, "Q") if is_big else ("H", 2, 12, "I")

    def unpacked(kind: str, at: int) -> tuple[int, ...]:
        is_inside = at + struct.calcsize(f"={kind}") <= len(data)
        return struct.unpack_from(f"{order}{kind}", data, at) if is_inside else (0,)

    def check(start: int) -> list[int]:
        """Check a directory; returns the offsets of the directories within it."""
        inner = list[int]()
        for number, kind, count, at in directory_entries(data, start, order, is_big=is_big):
            if number in _OF_CHANNELS and count > _MOST_CHANNELS:
                raise PhotoError(f"damaged TIFF: {count} values in tag {number}; export it again", code="damaged")
            if number == _SUB_FILES:
                inner += unpacked(f"{min(count, _MAX_PAGES)}{'Q' if kind in (16, 17, 18) else 'I'}", at)
        return inner

    place = struct.calcsize(f"={pointer}")
    for _ in range(_MAX_PAGES + 1):
        (start,) = unpacked(pointer, place)
        if not start:
            return
        for within in check(start):
            check(within)
        place = start + head_bytes + line_bytes * min(unpacked(head, start)[0], MOST_TAGS)


def _photo_page(file: tifffile.TiffFile) -> tifffile.TiffPage:
    """The one full-size page; the others must be thumbnails: flagged (NewSubfileType bit 0), or far smaller."""
    pages = [page for page in itertools.islice(file.pages, _MAX_PAGES + 1) if isinstance(page, tifffile.TiffPage)]
    if len(pages) > _MAX_PAGES:
        raise PhotoError(f"over {_MAX_PAGES} pages; save each page as a photo of its own", code="too_large")
    full = [page for page in pages if not page.is_reduced]
    inner = [] if full else [page for page in _sub_pages(pages) if not page.is_reduced]
    if any(_DNG_VERSION in page.tags for page in pages) or any(
        page.photometric in _RAW_PHOTOMETRICS for page in (*(full or pages), *inner)
    ):
        raise PhotoError("a camera raw file; develop it and save it as TIFF or JPEG")
    full = full or inner
    if not full:
        raise PhotoError("only a thumbnail; export it again" if pages else "no image in it; export it again")
    area = max(page.imagewidth * page.imagelength for page in full)
    large = [page for page in full if page.imagewidth * page.imagelength > _THUMBNAIL_SHARE * area]
    if len(large) != 1:
        raise PhotoError(f"{len(large)} full-size pages; save the one you want as a photo of its own")
    return large[0]


def _sub_pages(pages: Sequence[tifffile.TiffPage]) -> Iterator[tifffile.TiffPage]:
    """The pages within pages (SubIFDs): some programs put the photo there, and a thumbnail in the main page."""
    for page in pages:
        if _SUB_FILES in page.tags and page.pages is not None:
            yield from (
                inner for inner in itertools.islice(page.pages, _MAX_PAGES) if isinstance(inner, tifffile.TiffPage)
            )


def _refuse_kinds(page: tifffile.TiffPage) -> None:
    kind = _kind_of(page)
    if kind not in _NUM_COLORS or page.samplesperpixel < _NUM_COLORS[kind]:
        raise PhotoError(f"this {kind} TIFF with {page.samplesperpixel} channels is not supported; convert it to RGB")
    if kind == "SEPARATED" and page.tags.valueof(_INK_SET, 1) != 1:
        raise PhotoError("a TIFF with inks other than CMYK is not supported; convert it to RGB")
    if page.compression not in _COMPRESSIONS or (kind == "YCBCR" and page.compression != _JPEG):
        name = str(getattr(page.compression, "name", page.compression))
        raise PhotoError(f"this {kind} TIFF with compression {name} is not supported; save it as RGB with LZW or ZIP")
    is_float = page.sampleformat == _FLOAT and page.bitspersample in (16, 32, 64)
    is_lab = kind in ("CIELAB", "ICCLAB")  # whose samples are partly signed
    is_integer = (page.sampleformat == _INTEGER or is_lab) and page.bitspersample in ((8, 16) if is_lab else (1, 8, 16))
    if not is_integer and not (is_float and kind in ("MINISWHITE", "MINISBLACK", "RGB")):
        numbers = {1: "integers", 2: "signed integers", 3: "floats"}.get(page.sampleformat, "other numbers")
        raise PhotoError(f"a TIFF of {page.bitspersample}-bit {numbers} is not supported; save it with 8 or 16 bits")
    if page.imagedepth != 1:
        raise PhotoError("a volume, not a photo; save the slice you want as a photo")


def _refuse_missing_pixels(page: tifffile.TiffPage, num_bytes: int) -> None:
    """Refuse a file with missing strips or tiles, which the decoder would fill with zeros."""
    places, num_parts = list(zip(page.dataoffsets, page.databytecounts, strict=True)), math.prod(page.chunked)
    if len(places) > num_parts + _SPARE_PARTS:
        raise PhotoError("damaged TIFF: far more parts than its pixels take; export it again", code="damaged")
    is_whole = all(start > 0 < length and start + length <= num_bytes for start, length in places)
    if page.compression == _UNCOMPRESSED:  # tifffile lists adjacent strips as one
        num_bits = page.imagewidth * page.imagelength * page.samplesperpixel * page.bitspersample
        is_whole = is_whole and sum(page.databytecounts) * 8 >= num_bits
    elif len(places) < num_parts:
        is_whole = False
    if not is_whole:
        raise PhotoError("truncated TIFF; copy or export it again", code="truncated")


def _refuse_jpeg_bombs(page: tifffile.TiffPage, data: bytes) -> None:
    """Refuse JPEG parts larger than their strip or tile: the decoder trusts their size, so 1 kB could ask for 10 GB."""
    most_rows = page.tilelength if page.is_tiled else min(page.rowsperstrip, page.imagelength)
    most_columns = page.tilewidth if page.is_tiled else page.imagewidth
    for start, length in zip(page.dataoffsets, page.databytecounts, strict=True):
        rows, columns, *_ = simplejpeg.decode_jpeg_header(data[start : start + length])
        if rows > most_rows or columns > most_columns:
            raise PhotoError("damaged TIFF: a JPEG part is larger than its place; export it again", code="damaged")


def _raster_of_page(page: tifffile.TiffPage, pixels: NDArray[Any], data: bytes, *, all_channels: bool) -> Raster:
    kind, is_lab = _kind_of(page), _kind_of(page) in ("CIELAB", "ICCLAB")
    alpha = next((place for place, use in enumerate(page.extrasamples) if use in (_PREMULTIPLIED, _STRAIGHT)), None)
    is_premultiplied = alpha is not None and page.extrasamples[alpha] == _PREMULTIPLIED
    notes: tuple[str, ...] = ()
    if kind == "PALETTE":
        pixels = _color_of_palette(page, pixels)
    elif pixels.dtype == np.bool_:
        pixels = pixels.astype(np.uint8) * 255
    elif pixels.dtype.kind == "f":
        pixels, notes = _levels_of_floats(pixels)
    channels = pixels if pixels.ndim == 3 else pixels[..., None]
    color, extra = np.split(channels, [3 if kind == "PALETTE" else _NUM_COLORS[kind]], axis=2)
    if not all_channels:  # copied, to free the memory of the others
        if extra.shape[2] > (alpha is not None):
            notes = (Note("saved channels left out", "channels_left_out"), *notes)
        color = color.copy() if extra.shape[2] else color
        extra = (extra[..., :0] if alpha is None else extra[..., alpha : alpha + 1]).copy()
        alpha = None if alpha is None else 0
        del channels, pixels
    if kind == "MINISWHITE":
        color = np.iinfo(color.dtype).max - color
    elif is_lab:
        color = _rgb_of_lab(color, is_icc=kind == "ICCLAB")
        notes = (*notes, Note("CIELAB converted to sRGB", "color_converted"))
    if alpha is not None and is_premultiplied:
        color = _unpremultiply(color, extra[..., alpha])
    exif = read_tiff_exif(data, page.offset, page.parent.byteorder, is_big=page.parent.is_bigtiff)
    icc, resources, xmp, iptc = (_bytes_of(page, number) for number in (_ICC, _IMAGE_RESOURCES, _XMP, _IPTC))
    profile, is_cmyk = None if is_lab else icc, kind == "SEPARATED"
    return Raster(
        color,
        extra,
        alpha,
        profile if is_cmyk else stated_profile(profile, is_adobe_rgb=exif.is_adobe_rgb),
        exif,
        read_xmp(xmp),
        is_cmyk=is_cmyk,
        resources=resources or b"",
        iptc=iptc,
        notes=notes,
        has_layers=_PHOTOSHOP_LAYERS in page.tags,
    )


def _levels_of_floats(pixels: NDArray[Any]) -> tuple[Pixels, tuple[str, ...]]:
    """Convert floats (0: black, 1: white) to 16 bits; with a note if any were clipped."""
    least, most = float(pixels.min()), float(pixels.max())
    if not -_MOST_LIGHT <= least <= most <= _MOST_LIGHT:
        raise PhotoError(f"floats from {least:g} to {most:g}, where 0 to 1 is black to white; save it with 16 bits")
    levels = np.empty(pixels.shape, np.uint16)
    for top in range(0, len(pixels), _BAND_ROWS):
        band = pixels[top : top + _BAND_ROWS].astype(np.float32).clip(0, 1)
        levels[top : top + _BAND_ROWS] = np.rint(band * 65_535)
    is_cut = least < 0 or most > 1
    return levels, (Note("values beyond black and white cut off", "color_clipped"),) if is_cut else ()


def _rgb_of_lab(lab: NDArray[Any], *, is_icc: bool) -> Pixels:
    """Convert CIELAB samples (TIFF 6.0, section 23; ICC's: TIFF technical note 4) to 16-bit sRGB."""
    top = float(np.iinfo(np.dtype(f"u{lab.dtype.itemsize}")).max)
    step = 1.0 if lab.dtype.itemsize == 1 else 256.0
    light = lab[..., 0].view(f"{lab.dtype.str[0]}u{lab.dtype.itemsize}")
    if is_icc and step > 1:
        top = 65_280.0  # 0xFF00 is 100
    kind = f"{lab.dtype.str[0]}{'u' if is_icc else 'i'}{lab.dtype.itemsize}"
    ab = [lab[..., place].view(kind).astype(np.float32) / step - (128 if is_icc else 0) for place in (1, 2)]
    return rgb_of_lab(np.stack([light.astype(np.float32) * np.float32(100 / top), *ab], axis=2))


def _color_of_palette(page: tifffile.TiffPage, indices: NDArray[Any]) -> Pixels:
    if page.colormap is None or indices.ndim != 2:
        raise PhotoError("a palette TIFF without its palette or with extra channels; convert it to RGB")
    palette = np.moveaxis(page.colormap, 0, -1).astype(np.uint16)
    if palette.max() <= 255:  # some programs write 8-bit levels where TIFF 6.0 wants 16
        palette *= 257
    return to_8_bit(palette)[indices.astype(np.intp)]


def _unpremultiply(color: Pixels, alpha: Pixels) -> Pixels:
    top = np.iinfo(color.dtype).max
    straight = np.empty(color.shape, color.dtype)
    for start in range(0, len(color), _BAND_ROWS):
        band = slice(start, start + _BAND_ROWS)
        levels = color[band].astype(np.float64) * top / np.maximum(alpha[band, :, None], 1)
        straight[band] = np.rint(np.minimum(levels, top))
    return straight


def _kind_of(page: tifffile.TiffPage) -> str:
    return str(getattr(page.photometric, "name", page.photometric))


def _bytes_of(page: tifffile.TiffPage, number: int) -> bytes | None:
    value = page.tags.valueof(number)
    if isinstance(value, bytes):
        return value
    # IPTC is often declared as 32-bit numbers.
    is_numbers = isinstance(value, tuple) and page.tags[number].dtype == 4
    return struct.pack(f"{page.parent.byteorder}{len(value)}I", *value) if is_numbers else None
