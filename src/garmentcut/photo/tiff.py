"""Decode TIFF by tifffile: the one reader that tells straight from premultiplied alpha and alters no pixel."""

import io
import itertools
import logging
import math
from typing import Any, NamedTuple

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from garmentcut.config import ReadConfig
from garmentcut.photo.color import ToRgb, rgb_of_cmyk, rgb_of_gray, rgb_of_rgba, usable_profile
from garmentcut.photo.files import check_size
from garmentcut.photo.metadata import Exif, read_exif, read_xmp
from garmentcut.photo.photo import Photo, PhotoError, Pixels, to_8_bit, turn_upright

_ORIENTATION, _SUB_FILES, _INK_SET, _DNG_VERSION, _ICC = 274, 330, 332, 50706, 34675
_XMP, _IMAGE_RESOURCES, _PHOTOSHOP_LAYERS = 700, 34377, 37724
_NUM_COLORS = {"MINISWHITE": 1, "MINISBLACK": 1, "RGB": 3, "YCBCR": 3, "SEPARATED": 4, "PALETTE": 1}
# None, LZW, JPEG, deflate (two numbers), PackBits, Zstandard. Others are rare, and each is a decoder to be attacked.
_COMPRESSIONS = {1, 5, 7, 8, 32946, 32773, 50000}
_UNCOMPRESSED, _JPEG = 1, 7
_RAW_PHOTOMETRICS = {32803, 34892}  # color filter array, linear raw
_PREMULTIPLIED, _STRAIGHT = 1, 2  # ExtraSamples; 0 is a saved Photoshop channel, not transparency
_MAX_PAGES = 16

# tifffile reports odd tags by logging, which Python prints on stderr where the application has not set logging up.
logging.getLogger("tifffile").addHandler(logging.NullHandler())


class TiffChannels(NamedTuple):
    """A TIFF's channels as stored, before colours are converted; not yet upright.

    Attributes:
        color: `(H, W, C)`: gray (255: white), RGB or CMYK (255: full ink); premultiplied alpha is divided out.
        extra: `(H, W, K)`, the channels behind the colours.
        alpha: which of these is the transparency; None: none.
        is_cmyk: the colours are inks.
        profile: ICC profile as found in the file.
        exif: what the tags say, and the orientation.
        xmp: packet as found in the file.
        resources: Photoshop's image resources.
        has_layers: Photoshop's layers stand in it, which are not read.
    """

    color: Pixels
    extra: Pixels
    alpha: int | None
    is_cmyk: bool
    profile: bytes | None
    exif: Exif
    xmp: bytes | None
    resources: bytes
    has_layers: bool


def decode_tiff(data: bytes, limits: ReadConfig) -> Photo:
    """Decode a TIFF file: 8 or 16 bits; gray, palette, RGB, YCbCr or CMYK; straight or premultiplied alpha.

    Args:
        data: the file's content.
        limits: checked against the tags, before pixels are decoded.

    Raises:
        PhotoError: too large, several pages, camera raw, a kind of pixels not read; any other exception means damage.
    """
    tiff = read_tiff(data, limits)
    converted, exif = _rgb_of_channels(tiff), tiff.exif
    rgb = np.ascontiguousarray(turn_upright(converted.rgb, exif.orientation), converted.rgb.dtype.newbyteorder("="))
    dpi = exif.dpi[::-1] if exif.dpi and exif.orientation >= 5 else exif.dpi
    xmp, xmp_notes = read_xmp(tiff.xmp)
    return Photo(rgb, converted.profile, dpi, exif.kept, (*converted.notes, *exif.notes, *xmp_notes), xmp)


def read_tiff(data: bytes, limits: ReadConfig) -> TiffChannels:
    """The channels of a TIFF file as stored; as `decode_tiff`."""
    if data[8:10] == b"CR":
        raise PhotoError("a camera raw file; develop it and save it as TIFF or JPEG")
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = _photo_page(file)
        check_size(page.imagewidth, page.imagelength, limits)
        _refuse_kinds(page)
        _refuse_missing_pixels(page, len(data))
        if page.compression == _JPEG:
            _refuse_jpeg_bombs(page, data)
        pixels = page.asarray()
        if page.planarconfig == 2 and pixels.ndim == 3:
            pixels = np.moveaxis(pixels, 0, -1)
        return _channels_of_page(page, pixels, _exif_of(page, data))


def _photo_page(file: tifffile.TiffFile) -> tifffile.TiffPage:
    """The one full picture; the other pages may only be thumbnails (NewSubfileType bit 0)."""
    pages = [page for page in itertools.islice(file.pages, _MAX_PAGES + 1) if isinstance(page, tifffile.TiffPage)]
    if len(pages) > _MAX_PAGES:
        raise PhotoError(f"over {_MAX_PAGES} pages; save each page as a photo of its own", code="too_large")
    full = [page for page in pages if not page.is_reduced]
    is_raw = any(_DNG_VERSION in page.tags or page.photometric in _RAW_PHOTOMETRICS for page in full or pages)
    if is_raw or (not full and any(_SUB_FILES in page.tags for page in pages)):
        raise PhotoError("a camera raw file; develop it and save it as TIFF or JPEG")
    if len(full) != 1:
        raise PhotoError(f"{len(full)} full-size pages; save the one you want as a photo of its own")
    return full[0]


def _refuse_kinds(page: tifffile.TiffPage) -> None:
    kind = _kind_of(page)
    if kind not in _NUM_COLORS or page.samplesperpixel < _NUM_COLORS[kind]:
        raise PhotoError(f"a TIFF of kind {kind} with {page.samplesperpixel} channels is not read; convert it to RGB")
    if kind == "SEPARATED" and _tag(page, _INK_SET, 1) != 1:
        raise PhotoError("a TIFF with inks other than CMYK is not read; convert it to RGB")
    if page.compression not in _COMPRESSIONS or (kind == "YCBCR" and page.compression != _JPEG):
        name = str(getattr(page.compression, "name", page.compression))
        raise PhotoError(f"a {kind} TIFF with compression {name} is not read; save it as RGB with LZW or ZIP")
    if page.sampleformat != 1 or page.bitspersample not in (1, 8, 16):
        numbers = {1: "integers", 2: "signed integers", 3: "floats"}.get(page.sampleformat, "other numbers")
        raise PhotoError(f"a TIFF of {page.bitspersample}-bit {numbers} is not read; save it with 8 or 16 bits")
    if page.imagedepth != 1:
        raise PhotoError("a volume, not a photo; save the slice you want as a photo")


def _refuse_missing_pixels(page: tifffile.TiffPage, num_bytes: int) -> None:
    """A reader fills strips that are missing with zeros; a photo has none missing."""
    places = list(zip(page.dataoffsets, page.databytecounts, strict=True))
    is_whole = all(start > 0 < length and start + length <= num_bytes for start, length in places)
    if page.compression == _UNCOMPRESSED:  # several strips in a row are listed as one
        num_bits = page.imagewidth * page.imagelength * page.samplesperpixel * page.bitspersample
        is_whole = is_whole and sum(page.databytecounts) * 8 >= num_bits
    elif len(places) < math.prod(page.chunked):
        is_whole = False
    if not is_whole:
        raise PhotoError("truncated TIFF; copy or export it again", code="truncated")


def _refuse_jpeg_bombs(page: tifffile.TiffPage, data: bytes) -> None:
    """A JPEG strip or tile has a size of its own, which the decoder would believe: a 1 kB file could ask for 10 GB."""
    import simplejpeg

    most_rows = page.tilelength if page.is_tiled else min(page.rowsperstrip, page.imagelength)
    most_columns = page.tilewidth if page.is_tiled else page.imagewidth
    for start, length in zip(page.dataoffsets, page.databytecounts, strict=True):
        rows, columns, *_ = simplejpeg.decode_jpeg_header(data[start : start + length])
        if rows > most_rows or columns > most_columns:
            raise PhotoError("damaged TIFF: a JPEG part is larger than its place; export it again", code="damaged")


def _channels_of_page(page: tifffile.TiffPage, pixels: NDArray[Any], exif: Exif) -> TiffChannels:
    kind = _kind_of(page)
    if kind == "PALETTE":
        pixels = _color_of_palette(page, pixels)
    elif pixels.dtype == np.bool_:
        pixels = pixels.astype(np.uint8) * 255
    channels = pixels if pixels.ndim == 3 else pixels[..., None]
    color, extra = np.split(channels, [3 if kind == "PALETTE" else _NUM_COLORS[kind]], axis=2)
    if kind == "MINISWHITE":
        color = np.iinfo(color.dtype).max - color
    alpha = next((place for place, use in enumerate(page.extrasamples) if use in (_PREMULTIPLIED, _STRAIGHT)), None)
    if alpha is not None and page.extrasamples[alpha] == _PREMULTIPLIED:
        color = _unpremultiply(color, extra[..., alpha : alpha + 1])
    icc, resources, xmp = _tag(page, _ICC, None), _tag(page, _IMAGE_RESOURCES, b""), _tag(page, _XMP, None)
    return TiffChannels(
        color,
        extra,
        alpha,
        kind == "SEPARATED",
        icc if isinstance(icc, bytes) else None,
        exif,
        xmp if isinstance(xmp, bytes) else None,
        resources if isinstance(resources, bytes) else b"",
        _PHOTOSHOP_LAYERS in page.tags,
    )


def _rgb_of_channels(tiff: TiffChannels) -> ToRgb:
    color, profile = tiff.color, tiff.profile
    alpha = None if tiff.alpha is None else tiff.extra[..., tiff.alpha]
    notes: tuple[str, ...] = ("saved channels left out",) if tiff.extra.shape[2] > (alpha is not None) else ()
    if tiff.is_cmyk:
        converted = rgb_of_cmyk(to_8_bit(color), profile)
        color, profile, notes = converted.rgb, None, converted.notes + notes
        alpha = None if alpha is None else to_8_bit(alpha)
    if alpha is not None:
        converted = rgb_of_rgba(np.dstack([np.broadcast_to(color, (*color.shape[:2], 3)), alpha]), profile)
    elif color.shape[2] == 1:
        converted = rgb_of_gray(color[..., 0], profile)
    else:
        converted = ToRgb(color, *usable_profile(profile))
    return converted._replace(notes=converted.notes + notes)


def _color_of_palette(page: tifffile.TiffPage, indices: NDArray[Any]) -> Pixels:
    if page.colormap is None or indices.ndim != 2:
        raise PhotoError("a palette TIFF without its palette or with extra channels; convert it to RGB")
    palette = np.moveaxis(page.colormap, 0, -1).astype(np.uint16)
    if palette.max() <= 255:  # some programs write 8-bit levels where TIFF 6.0 wants 16
        palette *= 257
    return to_8_bit(palette)[indices.astype(np.intp)]


def _unpremultiply(color: Pixels, alpha: Pixels) -> Pixels:
    top = np.iinfo(color.dtype).max
    straight = color.astype(np.float64) * top / np.maximum(alpha, 1)
    return np.rint(np.minimum(straight, top)).astype(color.dtype)


def _exif_of(page: tifffile.TiffPage, data: bytes) -> Exif:
    def load() -> Image.Exif:
        tags = Image.Exif()
        tags.endian, tags.bigtiff = page.parent.byteorder, page.parent.is_bigtiff
        tags.load_from_fp(io.BytesIO(data), page.offset)
        return tags

    # Pillow fails on big-endian BigTIFF; the turn must not be lost with the rest.
    orientation = _tag(page, _ORIENTATION, 1)
    return read_exif(load)._replace(orientation=orientation if orientation in range(1, 9) else 1)


def _kind_of(page: tifffile.TiffPage) -> str:
    return str(getattr(page.photometric, "name", page.photometric))


def _tag(page: tifffile.TiffPage, number: int, default: Any) -> Any:
    return page.tags[number].value if number in page.tags else default
