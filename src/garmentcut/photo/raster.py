"""Decode PNG, JPEG and WebP: Pillow finds the metadata, a strict and exact decoder of each format the pixels."""

import io
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

from garmentcut.config import ReadConfig
from garmentcut.photo.color import ToRgb, rgb_of_cmyk, rgb_of_gray, rgb_of_rgba, usable_profile
from garmentcut.photo.exif import dpi_of, read_exif, silent_pillow
from garmentcut.photo.files import check_size
from garmentcut.photo.photo import Photo, PhotoError, Pixels, turn_upright
from garmentcut.photo.png import SIGNATURE, split_png

_PIXEL_CHUNKS = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}
_WEBP_ANIMATION = 0x02  # flag in the VP8X chunk


def decode_png(data: bytes, limits: ReadConfig) -> Photo:
    """Decode a PNG file of any depth and colour type.

    Args:
        data: the file's content.
        limits: checked against the header, before pixels are decoded.

    Raises:
        PhotoError: too large, animated or damaged; any other exception means damage too.
    """
    import imagecodecs  # Pillow would cut 16 bits down to 8

    width, height = struct.unpack_from(">II", data, 16)
    check_size(width, height, limits)
    chunks = split_png(data)
    if any(kind == b"acTL" for kind, _ in chunks):
        raise PhotoError("an animated PNG; save the frame you want as a photo")
    # Pillow gets no pixels, so it also sees the metadata behind them; the decoder gets no metadata, or it would print
    # what it dislikes about it.
    metadata = b"".join([SIGNATURE, *(chunk for kind, chunk in chunks if kind != b"IDAT")])
    with silent_pillow():
        image = PngImagePlugin.PngImageFile(io.BytesIO(metadata))
    pixels = imagecodecs.png_decode(b"".join([SIGNATURE, *(chunk for kind, chunk in chunks if kind in _PIXEL_CHUNKS)]))
    converted = _rgb_of_channels(pixels, image.info.get("icc_profile"))
    return _photo(converted, image, (width, height), image.info.get("dpi"))


def decode_jpeg(data: bytes, limits: ReadConfig) -> Photo:
    """Decode a JPEG file, or the photo of a camera's MPO, which has a preview behind it; else as `decode_png`."""
    import simplejpeg  # libjpeg with its warnings as errors: Pillow would pass files with damaged scans as good photos

    height, width, space, _ = simplejpeg.decode_jpeg_header(data)
    check_size(width, height, limits)
    with silent_pillow():
        image = JpegImagePlugin.JpegImageFile(io.BytesIO(data))
    profile = image.info.get("icc_profile")
    if space in ("CMYK", "YCCK"):
        ink = 255 - simplejpeg.decode_jpeg(data, "CMYK", strict=True)  # JPEG holds CMYK inverted, as Adobe began it
        converted = rgb_of_cmyk(ink, profile)
    else:
        pixels = simplejpeg.decode_jpeg(data, "GRAY" if space == "Gray" else "RGB", strict=True)
        converted = _rgb_of_channels(pixels, profile)
    # Without a unit in the JFIF header Pillow makes up 72 dpi.
    dpi = image.info.get("dpi") if image.info.get("jfif_unit") in (1, 2) else None
    return _photo(converted, image, (width, height), dpi)


def decode_webp(data: bytes, limits: ReadConfig) -> Photo:
    """Decode a WebP file; as `decode_png`."""
    import imagecodecs

    size = _webp_size(data)
    check_size(*size, limits)
    if data[12:16] == b"VP8X" and data[20] & _WEBP_ANIMATION:
        raise PhotoError("an animated WebP; save the frame you want as a photo")
    with silent_pillow():
        image = WebPImagePlugin.WebPImageFile(io.BytesIO(data))
    converted = _rgb_of_channels(imagecodecs.webp_decode(data), image.info.get("icc_profile"))
    return _photo(converted, image, size, None)


def _webp_size(data: bytes) -> tuple[int, int]:
    """Width and height that the first chunk declares (RFC 9649, section 2)."""
    match data[12:16]:
        case b"VP8X":
            return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
        case b"VP8L":
            bits = int.from_bytes(data[21:25], "little")
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case b"VP8 ":
            return int.from_bytes(data[26:28], "little") & 0x3FFF, int.from_bytes(data[28:30], "little") & 0x3FFF
    raise PhotoError("damaged WebP; export it again")


def _rgb_of_channels(pixels: NDArray[Any], profile: bytes | None) -> ToRgb:
    """Gray, gray and alpha, RGB or RGBA, by the number of channels."""
    num_channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    if num_channels == 1:
        return rgb_of_gray(pixels.reshape(pixels.shape[:2]), profile)
    if num_channels == 2:
        return rgb_of_rgba(pixels[..., [0, 0, 0, 1]], profile)
    if num_channels == 4:
        return rgb_of_rgba(pixels, profile)
    return ToRgb(pixels, *usable_profile(profile))


def _photo(converted: ToRgb, image: Image.Image, size: tuple[int, int], dpi: tuple[float, float] | None) -> Photo:
    """The upright photo with its metadata.

    Args:
        converted: pixels as stored.
        image: Pillow's view of the file, for the metadata.
        size: width and height of the header, which the limits were checked against.
        dpi: the format's own field for the resolution, if it has one; else EXIF's counts.
    """
    if converted.rgb.shape[:2] != size[::-1]:
        raise PhotoError("damaged: its header and its pixels disagree about the size; export it again")
    # Not `image.getexif()`: PNG's own would decode the pixels to look behind them.
    exif = read_exif(lambda: Image.Image.getexif(image))
    rgb: Pixels = np.ascontiguousarray(turn_upright(converted.rgb, exif.orientation))
    dpi = dpi_of(dpi[0], dpi[1], None) if dpi else exif.dpi
    if dpi and exif.orientation >= 5:
        dpi = dpi[::-1]
    return Photo(rgb, converted.profile, dpi, exif.kept, converted.notes + exif.notes)
