"""Read one photo safely: everything that can be refused is refused before pixels are decoded.

Pillow finds the metadata of PNG, JPEG and WebP, a strict and exact decoder of each format the pixels.
"""

import io
import os
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

from garmentcut.config import ReadConfig
from garmentcut.photo.color import ToRgb, rgb_of_cmyk, rgb_of_gray, rgb_of_rgba, usable_profile
from garmentcut.photo.files import check_size, read_photo_bytes
from garmentcut.photo.metadata import Exif, dpi_of, read_exif, read_xmp, silent_pillow
from garmentcut.photo.path import split_resources
from garmentcut.photo.photo import Photo, PhotoError, Pixels, turn_upright
from garmentcut.photo.png import SIGNATURE, split_png

PHOTO_SUFFIXES = (".jpg", ".jpeg", ".jpe", ".mpo", ".png", ".tif", ".tiff", ".webp")
"""Suffixes looked for in folders; a file's content, not its name, decides how it is read."""

_MEND = "save it as PNG, JPEG, TIFF or WebP"
# First bytes of files that are pictures, but not photos that can be read here.
_REFUSED_BY_NAME = (
    (b"8BPS", f"a Photoshop document; {_MEND}"),
    (b"GIF8", f"a GIF; {_MEND}"),
    (b"BM", f"a Windows bitmap; {_MEND}"),
    (b"%!PS", f"an EPS or PostScript file; {_MEND}"),
    (b"%PDF", f"a PDF; {_MEND}"),
    (b"<svg", f"an SVG drawing; {_MEND}"),
    (b"<?xml", f"an XML or SVG file; {_MEND}"),
    (b"\xff\x0a", f"a JPEG XL file; {_MEND}"),
    (b"\0\0\0\x0cJXL ", f"a JPEG XL file; {_MEND}"),
    (b"\0\0\0\x0cjP  ", f"a JPEG 2000 file; {_MEND}"),
    (b"\xc5\xd0\xd3\xc6", f"an EPS file; {_MEND}"),
    (b"FUJIFILMCCD-RAW", f"a camera raw file; develop it and {_MEND}"),
)
# Brands of ISO media files (ISO 23008-12 and AV1 Image File Format); Canon's raw files are one, and so are videos.
_FTYP_NAMES = {
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1"), "a HEIC file"),
    **dict.fromkeys((b"avif", b"avis"), "an AVIF file"),
    b"crx ": "a camera raw file",
}
_MAX_DETAIL_CHARS = 120
_PIXEL_CHUNKS = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}
_WEBP_ANIMATION = 0x02  # flag in the VP8X chunk
_PSD_SIGNATURE, _PSD_HEADER_BYTES, _PSD_PROFILE = b"8BPS", 26, 1039
_TIFF_PROFILE = 34675
_OPENERS: dict[str, Callable[[io.BytesIO], ImageFile.ImageFile]] = {
    "png": PngImagePlugin.PngImageFile,
    "jpeg": JpegImagePlugin.JpegImageFile,
    "webp": WebPImagePlugin.WebPImageFile,
}


def read_photo(path: str | os.PathLike[str], *, limits: ReadConfig | None = None) -> Photo:
    """Read a PNG, JPEG (also a camera's MPO), TIFF or WebP photo of any depth up to 16 bits.

    The EXIF or TIFF orientation is applied; gray and palette become RGB, transparent parts are laid on white, CMYK is
    converted to sRGB by its own profile; 16 bits stay 16 bits. What was changed stands in `Photo.notes`.

    Args:
        path: a regular file; its content decides the format.
        limits: bytes, pixels and sides accepted; checked before decoding.

    Raises:
        PhotoError: missing, not a regular file, over a limit, damaged, animated, several pages, or a kind of picture
            that is not read here. The message names the file and the mend.
    """
    limits = limits or ReadConfig()
    try:
        return decode_photo(read_photo_bytes(Path(path), limits), limits=limits)
    except PhotoError as error:
        raise PhotoError(f"{path}: {error}", code=error.code) from error


def decode_photo(data: bytes, *, limits: ReadConfig | None = None) -> Photo:
    """Decode a photo file's content; see `read_photo`.

    Raises:
        PhotoError: as `read_photo`, without a file name.
    """
    limits = limits or ReadConfig()
    with damage_named():
        return _decoder_of(data)(data, limits)


@contextmanager
def damage_named() -> Iterator[None]:
    """Turn whatever a decoder raises into a PhotoError; a PhotoError stays as it is."""
    try:
        yield
    except PhotoError:
        raise
    except MemoryError as error:
        raise PhotoError("not enough memory to decode it", code="no_memory") from error
    # The decoders raise a dozen kinds of exception on damaged files, some of them undocumented (struct.error,
    # IndexError, SyntaxError): to the caller all of them mean the same.
    except Exception as error:
        detail = " ".join(f"{type(error).__name__}: {error}".split())[:_MAX_DETAIL_CHARS]
        raise PhotoError(f"damaged or unreadable ({detail}); export it again", code="damaged") from error


def format_of(data: bytes) -> Literal["tiff", "png", "jpeg", "webp"]:
    """The format that a file's content is in.

    Raises:
        PhotoError: none of these; the message names what it is.
    """
    if data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "tiff"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if data.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    raise PhotoError(_name_of(data))


def _decoder_of(data: bytes) -> Callable[[bytes, ReadConfig], Photo]:
    # Imported here: a folder of JPEGs never loads the TIFF reader.
    if (form := format_of(data)) == "tiff":
        from garmentcut.photo.tiff import decode_tiff

        return decode_tiff
    return {"png": decode_png, "jpeg": decode_jpeg, "webp": decode_webp}[form]


def _name_of(data: bytes) -> str:
    start = data[:64].lstrip(b"\xef\xbb\xbf \t\r\n")
    for magic, name in _REFUSED_BY_NAME:
        if start.startswith(magic):
            return name
    if data[4:8] == b"ftyp":
        return f"{_FTYP_NAMES.get(data[8:12], 'a video')}; {_MEND}"
    return "not a PNG, JPEG, TIFF or WebP file; export it again"


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
    raise PhotoError("damaged WebP; export it again", code="damaged")


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
        raise PhotoError("damaged: its header and its pixels disagree about the size; export it again", code="damaged")
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


def read_profile(path: str | os.PathLike[str], limits: ReadConfig | None = None) -> bytes | None:
    """The ICC profile that a PNG, JPEG, WebP, TIFF or PSD file's RGB pixels are in; None: sRGB, or no usable one.

    Raises:
        PhotoError: the file cannot be read, or is damaged before its pixels begin.
    """
    data = read_photo_bytes(Path(path), limits or ReadConfig())
    with damage_named():
        return usable_profile(_find_profile(data))[0]


def _find_profile(data: bytes) -> bytes | None:
    if data.startswith(_PSD_SIGNATURE):
        return _profile_of_psd(data)
    if (form := format_of(data)) == "tiff":
        import tifffile

        with tifffile.TiffFile(io.BytesIO(data)) as file:
            tag = file.pages.first.tags.get(_TIFF_PROFILE)
            return bytes(tag.value) if tag else None
    with silent_pillow():
        profile: bytes | None = _OPENERS[form](io.BytesIO(data)).info.get("icc_profile")
    return profile


def _profile_of_psd(data: bytes) -> bytes | None:
    """The image resources stand behind the header and the colour mode data, each with its length before it."""
    start = _PSD_HEADER_BYTES
    start += 4 + int.from_bytes(data[start : start + 4])
    end = start + 4 + int.from_bytes(data[start : start + 4])
    resources = split_resources(data[start + 4 : end])
    return next((resource.data for resource in resources if resource.number == _PSD_PROFILE), None)
