"""TIFF in and out, by tifffile: the one reader that tells straight from premultiplied alpha and alters no pixel."""

import io
import struct
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import TiffImagePlugin

from garmentcut.config import ReadConfig
from garmentcut.photo.color import ToRgb, rgb_of_cmyk, rgb_of_gray, rgb_of_rgba, usable_profile
from garmentcut.photo.exif import keep_descriptive, parse_exif
from garmentcut.photo.files import check_size
from garmentcut.photo.photo import Photo, PhotoError, Pixels, to_8_bit, turn_upright

_ORIENTATION, _X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT, _ICC = 274, 282, 283, 296, 34675
_NUM_COLORS = {"MINISWHITE": 1, "MINISBLACK": 1, "RGB": 3, "YCBCR": 3, "SEPARATED": 4, "PALETTE": 1}
_PREMULTIPLIED, _STRAIGHT = 1, 2  # ExtraSamples; 0 is a saved Photoshop channel, not transparency
_MAX_PAGES = 16
_TEXT_TAGS = (270, 271, 272, 306, 315, 33432)  # description, make, model, date, artist, copyright
_POINTERS = (0x8769, 0x8825)  # the EXIF and GPS directories


def decode_tiff(data: bytes, limits: ReadConfig) -> Photo:
    """Decode a TIFF file: 8 or 16 bits; gray, palette, RGB, YCbCr or CMYK; straight or premultiplied alpha.

    Args:
        data: the file's content.
        limits: checked against the tags, before pixels are decoded.

    Raises:
        PhotoError: too large, several pages, camera raw, a kind of pixels not read; any other exception means damage.
    """
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = _photo_page(file)
        check_size(page.imagewidth, page.imagelength, limits)
        _refuse_kinds(page)
        _refuse_missing_pixels(page, len(data))
        pixels = page.asarray()
        if page.planarconfig == 2 and pixels.ndim == 3:
            pixels = np.moveaxis(pixels, 0, -1)
        converted = _rgb_of_page(page, pixels)
        orientation = int(_tag(page, _ORIENTATION, 1))
        dpi = _dpi_of(page)
    if dpi and orientation >= 5:
        dpi = dpi[::-1]
    rgb = np.ascontiguousarray(turn_upright(converted.rgb, orientation))
    return Photo(rgb, converted.profile, dpi, keep_descriptive(parse_exif(data)), converted.notes)


def _photo_page(file: tifffile.TiffFile) -> tifffile.TiffPage:
    """The one full picture; the other pages may only be thumbnails (NewSubfileType bit 0)."""
    if len(file.pages) > _MAX_PAGES:
        raise PhotoError(f"{len(file.pages)} pages; save each page as a photo of its own")
    full = [page for page in file.pages if isinstance(page, tifffile.TiffPage) and not page.subfiletype & 1]
    if len(full) != 1:
        raise PhotoError(f"{len(full)} full-size pages; save the one you want as a photo of its own")
    if 50706 in full[0].tags or full[0].photometric in (32803, 34892):
        raise PhotoError("a camera raw file; develop it and save it as TIFF or JPEG")
    return full[0]


def _refuse_kinds(page: tifffile.TiffPage) -> None:
    kind = _kind_of(page)
    if kind not in _NUM_COLORS:
        raise PhotoError(f"TIFF of kind {kind} is not read; convert it to RGB")
    if page.sampleformat != 1 or page.bitspersample not in (1, 8, 16):
        raise PhotoError(f"TIFF with {page.bitspersample}-bit samples of format {page.sampleformat}; save 8 or 16 bits")
    if page.imagedepth != 1:
        raise PhotoError("a volume, not a photo")


def _refuse_missing_pixels(page: tifffile.TiffPage, num_bytes: int) -> None:
    """A reader fills strips that are missing with zeros; a photo has none missing."""
    for start, length in zip(page.dataoffsets, page.databytecounts, strict=True):
        if length <= 0 or start <= 0 or start + length > num_bytes:
            raise PhotoError("truncated TIFF; copy or export it again")


def _rgb_of_page(page: tifffile.TiffPage, pixels: NDArray[Any]) -> ToRgb:
    kind = _kind_of(page)
    profile = bytes(_tag(page, _ICC, b"")) or None
    if pixels.dtype == np.bool_:
        pixels = pixels.astype(np.uint8) * 255
    if kind == "PALETTE":
        if page.colormap is None:
            raise PhotoError("palette TIFF without its palette; convert it to RGB")
        return ToRgb(to_8_bit(np.moveaxis(page.colormap, 0, -1)[pixels]), *usable_profile(profile))
    num_colors = _NUM_COLORS[kind]
    color = pixels if pixels.ndim == 3 else pixels[..., None]
    color, extra = color[..., :num_colors], color[..., num_colors:]
    if kind == "MINISWHITE":
        color = np.iinfo(color.dtype).max - color
    if kind == "SEPARATED":
        return rgb_of_cmyk(to_8_bit(color), profile)
    alpha_kind = int(page.extrasamples[0]) if page.extrasamples else 0
    if alpha_kind in (_PREMULTIPLIED, _STRAIGHT) and extra.shape[-1]:
        alpha = extra[..., :1]
        if alpha_kind == _PREMULTIPLIED:
            color = _unpremultiply(color, alpha)
        return rgb_of_rgba(np.concatenate([np.broadcast_to(color, (*color.shape[:2], 3)), alpha], axis=2), profile)
    if num_colors == 1:
        return rgb_of_gray(color[..., 0], profile)
    return ToRgb(np.ascontiguousarray(color), *usable_profile(profile))


def _unpremultiply(color: Pixels, alpha: Pixels) -> Pixels:
    top = np.iinfo(color.dtype).max
    straight = color.astype(np.float64) * top / np.maximum(alpha, 1)
    return np.rint(np.minimum(straight, top)).astype(color.dtype)


def _kind_of(page: tifffile.TiffPage) -> str:
    return str(getattr(page.photometric, "name", page.photometric))


def _tag(page: tifffile.TiffPage, number: int, default: Any) -> Any:
    return page.tags[number].value if number in page.tags else default


def _dpi_of(page: tifffile.TiffPage) -> tuple[float, float] | None:
    def value_of(number: int) -> float:
        above, below = _tag(page, number, (0, 1))
        return float(above) / below if below else 0.0

    per_inch = {2: 1.0, 3: 2.54}.get(int(_tag(page, _RESOLUTION_UNIT, 2)))
    dpi = value_of(_X_RESOLUTION), value_of(_Y_RESOLUTION)
    if per_inch is None or not all(0 < value * per_inch < 100_000 for value in dpi):
        return None
    return dpi[0] * per_inch, dpi[1] * per_inch


def tiff_bytes(pixels: Pixels, *, profile: bytes | None, dpi: tuple[float, float] | None, exif: bytes | None) -> bytes:
    """Encode RGB or RGBA as a deflate-compressed TIFF that Photoshop opens.

    Args:
        pixels: `(H, W, 3)` or `(H, W, 4)`, uint8 or uint16, alpha straight ("unassociated").
        profile: ICC profile of the pixels' colour space.
        dpi: horizontal and vertical pixels an inch.
        exif: TIFF-structured bytes without the `Exif` marker.
    """
    tags = parse_exif(exif)
    pointers = {number: tags.get_ifd(number) for number in _POINTERS}
    extratags: list[Any] = [(tag, "s", 0, str(tags[tag]), True) for tag in _TEXT_TAGS if tag in tags]
    extratags += [(number, "I", 1, 0, True) for number, entries in pointers.items() if entries]
    file = io.BytesIO()
    tifffile.imwrite(
        file,
        pixels,
        photometric="rgb",
        extrasamples=["unassalpha"] if pixels.shape[2] == 4 else None,
        compression="zlib",
        compressionargs={"level": 1},
        predictor=True,
        resolution=dpi,
        resolutionunit="INCH" if dpi else None,
        iccprofile=profile,
        software="garmentcut",
        metadata=None,
        extratags=extratags,
    )
    return _append_directories(bytearray(file.getvalue()), {n: e for n, e in pointers.items() if e})


def _append_directories(data: bytearray, directories: dict[int, Any]) -> bytes:
    """Put the EXIF and GPS directories behind the picture and point their tags at them.

    tifffile writes tags, not directories; Pillow knows how to lay a directory out for a given offset.
    """
    for number, entries in directories.items():
        data += b"\0" * (len(data) % 2)  # TIFF 6.0: a directory begins on a word boundary
        directory = TiffImagePlugin.ImageFileDirectory_v2(b"II*\0\0\0\0\0")
        directory.update(entries)
        with tifffile.TiffFile(io.BytesIO(bytes(data))) as file:
            place = file.pages.first.tags[number].valueoffset
        data[place : place + 4] = struct.pack("<I", len(data))
        data += directory.tobytes(len(data))
    return bytes(data)
