"""Decode PNG, JPEG and WebP: Pillow finds the metadata, a strict and exact decoder of each format the pixels."""

import io
import struct
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

from garmentcut.config import ReadConfig
from garmentcut.photo.color import ToRgb, rgb_of_cmyk, rgb_of_gray, rgb_of_rgba, usable_profile
from garmentcut.photo.exif import Exif, dpi_of, read_exif, silent_pillow
from garmentcut.photo.files import check_size
from garmentcut.photo.photo import Photo, PhotoError, Pixels, turn_upright
from garmentcut.photo.png import SIGNATURE, split_png
from garmentcut.photo.xmp import read_xmp

_PIXEL_CHUNKS = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}
_WEBP_ANIMATION = 0x02  # flag in the VP8X chunk


class Raster(NamedTuple):
    """A decoded file before colours are converted.

    Attributes:
        pixels: as stored, not yet upright: `(H, W)` gray or `(H, W, C)` gray, gray and alpha, RGB, RGBA or CMYK.
        image: Pillow's view of the file, for the metadata.
        dpi: the format's own field for the resolution, if it has one; else EXIF's counts.
        is_cmyk: the four channels are inks (255: full ink).
    """

    pixels: NDArray[Any]
    image: Image.Image
    dpi: tuple[float, float] | None = None
    is_cmyk: bool = False

    @property
    def profile(self) -> bytes | None:
        """ICC profile as found in the file."""
        profile: bytes | None = self.image.info.get("icc_profile")
        return profile

    def read_exif(self) -> Exif:
        """The file's EXIF."""
        # Not `image.getexif()`: PNG's own would decode the pixels to look behind them.
        return read_exif(lambda: Image.Image.getexif(self.image))


def decode_png(data: bytes, limits: ReadConfig) -> Photo:
    """Decode a PNG file of any depth and colour type.

    Args:
        data: the file's content.
        limits: checked against the header, before pixels are decoded.

    Raises:
        PhotoError: too large, animated or damaged; any other exception means damage too.
    """
    return _photo(read_png(data, limits))


def decode_jpeg(data: bytes, limits: ReadConfig) -> Photo:
    """Decode a JPEG file, or the photo of a camera's MPO, which has a preview behind it; else as `decode_png`."""
    return _photo(read_jpeg(data, limits))


def decode_webp(data: bytes, limits: ReadConfig) -> Photo:
    """Decode a WebP file; as `decode_png`."""
    return _photo(read_webp(data, limits))


def read_png(data: bytes, limits: ReadConfig) -> Raster:
    """The pixels of a PNG file as stored; as `decode_png`."""
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
    return _checked(Raster(pixels, image, image.info.get("dpi")), (width, height))


def read_jpeg(data: bytes, limits: ReadConfig) -> Raster:
    """The pixels of a JPEG file as stored; as `decode_jpeg`."""
    import simplejpeg  # libjpeg with its warnings as errors: Pillow would pass files with damaged scans as good photos

    height, width, space, _ = simplejpeg.decode_jpeg_header(data)
    check_size(width, height, limits)
    with silent_pillow():
        image = JpegImagePlugin.JpegImageFile(io.BytesIO(data))
    is_cmyk = space in ("CMYK", "YCCK")
    if is_cmyk:
        pixels = 255 - simplejpeg.decode_jpeg(data, "CMYK", strict=True)  # JPEG holds CMYK inverted, as Adobe began it
    else:
        pixels = simplejpeg.decode_jpeg(data, "GRAY" if space == "Gray" else "RGB", strict=True)
    # Without a unit in the JFIF header Pillow makes up 72 dpi.
    dpi = image.info.get("dpi") if image.info.get("jfif_unit") in (1, 2) else None
    return _checked(Raster(pixels, image, dpi, is_cmyk), (width, height))


def read_webp(data: bytes, limits: ReadConfig) -> Raster:
    """The pixels of a WebP file as stored; as `decode_webp`."""
    import imagecodecs

    size = _webp_size(data)
    check_size(*size, limits)
    if data[12:16] == b"VP8X" and data[20] & _WEBP_ANIMATION:
        raise PhotoError("an animated WebP; save the frame you want as a photo")
    with silent_pillow():
        image = WebPImagePlugin.WebPImageFile(io.BytesIO(data))
    return _checked(Raster(imagecodecs.webp_decode(data), image), size)


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


def _checked(raster: Raster, size: tuple[int, int]) -> Raster:
    """A raster that has the width and height of the header, which the limits were checked against."""
    if raster.pixels.shape[:2] != size[::-1]:
        raise PhotoError("damaged: its header and its pixels disagree about the size; export it again")
    return raster


def _photo(raster: Raster) -> Photo:
    """The upright photo with its metadata."""
    convert = rgb_of_cmyk if raster.is_cmyk else _rgb_of_channels
    converted, exif = convert(raster.pixels, raster.profile), raster.read_exif()
    rgb: Pixels = np.ascontiguousarray(turn_upright(converted.rgb, exif.orientation))
    dpi = dpi_of(*raster.dpi, None) if raster.dpi else exif.dpi
    if dpi and exif.orientation >= 5:
        dpi = dpi[::-1]
    xmp, xmp_notes = read_xmp(raster.image.info.get("xmp"))
    return Photo(rgb, converted.profile, dpi, exif.kept, (*converted.notes, *exif.notes, *xmp_notes), xmp)
