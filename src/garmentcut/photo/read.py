"""Reads any photo file into a `Photo`, first of all steps; everything unfit is refused before pixels are decoded.

Pillow finds the metadata of PNG, JPEG, WebP and AVIF; a strict and exact decoder of each format gives the pixels.
"""

import importlib.util
import io
import os
import re
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import ImageFile, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

from garmentcut.config import ReadConfig
from garmentcut.errors import Note, PhotoError
from garmentcut.photo.color import (
    PngColor,
    ToRgb,
    rgb_of_cmyk,
    rgb_of_gray,
    rgb_of_rgba,
    stated_profile,
    usable_profile,
)
from garmentcut.photo.files import check_size, read_photo_bytes
from garmentcut.photo.metadata import (
    Exif,
    Xmp,
    dpi_of,
    extended_xmp,
    jpeg_scan,
    jpeg_segments,
    read_exif,
    read_xmp,
    silent_pillow,
    usable_iptc,
)
from garmentcut.photo.path import jpeg_resources, resource_of, split_resources
from garmentcut.photo.photo import Photo, Pixels, turn_upright
from garmentcut.photo.png import SIGNATURE, split_png

Kind = Literal["tiff", "png", "jpeg", "webp", "avif", "heif"]

_HAS_HEIF = importlib.util.find_spec("pi_heif") is not None
PHOTO_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".tif", ".tiff", ".webp", ".avif"),
    *((".heic", ".heif", ".hif") if _HAS_HEIF else ()),
)
"""Suffixes looked for in folders; a file's content, not its name, decides how it is read."""

_FIX = "save it as PNG, JPEG, TIFF or WebP"
# First bytes of files that are pictures, but not photos that can be read here.
_REFUSED_BY_NAME = (
    (b"8BPS", f"a Photoshop document; {_FIX}"),
    (b"GIF8", f"a GIF; {_FIX}"),
    (b"BM", f"a Windows bitmap; {_FIX}"),
    (b"%!PS", f"an EPS or PostScript file; {_FIX}"),
    (b"%PDF", f"a PDF; {_FIX}"),
    (b"<svg", f"an SVG drawing; {_FIX}"),
    (b"<?xml", f"an XML or SVG file; {_FIX}"),
    (b"\xff\x0a", f"a JPEG XL file; {_FIX}"),
    (b"\0\0\0\x0cJXL ", f"a JPEG XL file; {_FIX}"),
    (b"\0\0\0\x0cjP  ", f"a JPEG 2000 file; {_FIX}"),
    (b"\xc5\xd0\xd3\xc6", f"an EPS file; {_FIX}"),
    (b"FUJIFILMCCD-RAW", f"a camera raw file; develop it and {_FIX}"),
)
# Brands of ISO media files (ISO 23008-12 and AV1 Image File Format); Canon's raw files are one, and so are videos.
_AVIF_BRANDS = {b"avif", b"avis"}
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_MAX_DETAIL_CHARS = 120
_NOT_FOR_PILLOW = {b"IDAT", b"acTL", b"fcTL", b"fdAT"}
_PIXEL_CHUNKS = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}
_CHANNELS_OF_PNG = {0: 1, 2: 3, 3: 4, 4: 2, 6: 4}  # by colour type; a palette may hold transparency
_WEBP_ANIMATION = 0x02  # flag in the VP8X chunk
_FRAME_HEADERS = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # JPEG markers: what kind of frame, and its size
_SEQUENTIAL_FRAMES = {0xC0, 0xC1}
_NEXT_SCAN = re.compile(b"\xff\xda")  # among coded pixels a byte of 255 is followed by 0 or a restart marker
_JPEG_END = b"\xff\xd9"
_JUNK = re.compile(r"Corrupt JPEG data: ([0-9]+) extraneous bytes before marker 0xd9")
_MOST_JUNK_BYTES = 32  # that a fault in the pixels would not leave behind
_IPTC = 1028
_PSD_SIGNATURE, _PSD_HEADER_BYTES, _PSD_PROFILE = b"8BPS", 26, 1039
_TIFF_PROFILE = 34675


def read_photo(path: str | os.PathLike[str], *, limits: ReadConfig | None = None) -> Photo:
    """Read a PNG, JPEG (also a camera's MPO), TIFF, WebP or AVIF photo of any depth up to 16 bits, or a HEIC photo.

    The orientation is applied, whether EXIF, TIFF or XMP states it; gray and palette become RGB, transparent parts are
    laid on white, CMYK is converted to sRGB; 16 bits stay 16 bits. Colours are what the file says: by its ICC profile,
    else cICP, else gAMA and cHRM (PNG), else EXIF, else sRGB. What was changed stands in `Photo.notes`.

    HEIC needs the extra `heif`.

    Args:
        path: a regular file; its content decides the format.
        limits: bytes, pixels and sides accepted; checked before decoding.

    Raises:
        PhotoError: missing, not a regular file, over a limit, damaged, animated, several pages, or a kind of picture
            that is not read here. The message names the file and says how to fix it.
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
    try:
        with damage_named():
            return _decoder_of(data)(data, limits)
    except PhotoError as error:
        if error.code == "damaged" and (name := _truncated(data)):
            raise PhotoError(f"truncated {name}; copy or export it again", code="truncated") from error
        raise


def _truncated(data: bytes) -> str:
    """The format's name if the end of a file that cannot be decoded is missing; PNG and TIFF are read to their end."""
    kind = format_of(data)
    if kind == "jpeg":
        return "" if _JPEG_END in data[jpeg_scan(data) :] else "JPEG"
    if kind == "webp":
        return "WebP" if len(data) < 8 + int.from_bytes(data[4:8], "little") else ""
    if kind in ("avif", "heif"):
        start = 0
        while start + 8 <= len(data) and (size := int.from_bytes(data[start : start + 4])) > 1:
            start += size  # 0: the box reaches to the end of the file; 1: its size is behind its name
        return kind.upper() if start > len(data) else ""
    return ""


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


def format_of(data: bytes) -> Kind:
    """The format that a file's content is in.

    Raises:
        PhotoError: none of these; the message names what it is.
    """
    if data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "tiff"
    if data.startswith(SIGNATURE):
        return "png"
    if data.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    if data[4:8] == b"ftyp":
        size = min(int.from_bytes(data[:4]), 256)
        brands = {data[place : place + 4] for place in (8, *range(16, size, 4))}
        if brands & _AVIF_BRANDS:
            return "avif"
        if brands & _HEIF_BRANDS:
            return "heif"
    raise PhotoError(_name_of(data))


class Size(NamedTuple):
    """What a file's header declares, as it will be decoded: pixels, channels and bits of a channel."""

    width: int
    height: int
    channels: int
    bits: int = 8


class Raster(NamedTuple):
    """A decoded file before colours are converted.

    Attributes:
        pixels: as stored, not yet upright: `(H, W)` gray or `(H, W, C)` gray, gray and alpha, RGB, RGBA or CMYK.
        profile: ICC profile as found in the file, or of what else it says about its colours.
        exif: what it says.
        xmp: what it says.
        dpi: the format's own field for the resolution, if it has one; else EXIF's counts.
        is_cmyk: the four channels are inks (255: full ink).
        iptc: as found in the file.
        notes: what had to be fixed or left out, in words.
        is_upright: the decoder has applied the orientation.
    """

    pixels: NDArray[Any]
    profile: bytes | None
    exif: Exif
    xmp: Xmp
    dpi: tuple[float, float] | None = None
    is_cmyk: bool = False
    iptc: bytes | None = None
    notes: tuple[str, ...] = ()
    is_upright: bool = False

    @property
    def orientation(self) -> int:
        """Of the pixels as stored, 1 to 8 (TIFF 6.0, tag 274)."""
        return 1 if self.is_upright else self.exif.orientation or self.xmp.orientation or 1


def read_raster(data: bytes, limits: ReadConfig) -> Raster:
    """The pixels of a PNG, JPEG, WebP, AVIF or HEIC file as stored.

    Args:
        data: the file's content.
        limits: checked against the header, before pixels are decoded.

    Raises:
        PhotoError: too large, animated or damaged; any other exception means damage too.
    """
    kind = format_of(data)
    size = _SIZES[kind](data)
    check_size(size.width, size.height, limits, channels=size.channels, bits=size.bits, num_bytes=len(data))
    raster = _READERS[kind](data)
    if raster.pixels.shape[:2] != (size.height, size.width):
        raise PhotoError("damaged: its header and its pixels disagree about the size; export it again", code="damaged")
    return raster


def read_png(data: bytes, limits: ReadConfig) -> Raster:
    """The pixels of a PNG file as stored; as `read_raster`, but no other format will do."""
    if not data.startswith(SIGNATURE):
        raise PhotoError("not a PNG file")
    return read_raster(data, limits)


def _decode_raster(data: bytes, limits: ReadConfig) -> Photo:
    """The upright photo with its metadata."""
    raster = read_raster(data, limits)
    converted = rgb_of_cmyk(raster.pixels, raster.profile) if raster.is_cmyk else _rgb_of_channels(raster)
    return upright_photo(
        converted._replace(notes=(*raster.notes, *converted.notes)),
        raster.exif,
        raster.xmp,
        orientation=raster.orientation,
        dpi=dpi_of(*raster.dpi, None) if raster.dpi else raster.exif.dpi,
        iptc=raster.iptc,
    )


def upright_photo(
    converted: ToRgb,
    exif: Exif,
    xmp: Xmp,
    *,
    orientation: int,
    dpi: tuple[float, float] | None,
    iptc: bytes | None,
) -> Photo:
    """A photo of pixels as stored and of what a file says besides.

    Args:
        converted: RGB, not yet upright.
        exif: what it says.
        xmp: what it says.
        orientation: of the pixels.
        dpi: of the pixels as stored.
        iptc: as found in the file.
    """
    rgb = turn_upright(converted.rgb, orientation)
    native: Pixels = np.ascontiguousarray(rgb, rgb.dtype.newbyteorder("="))
    usable, iptc_notes = usable_iptc(iptc)
    notes = (*converted.notes, *exif.notes, *xmp.notes, *iptc_notes)
    turned = dpi[::-1] if dpi and orientation >= 5 else dpi
    return Photo(native, converted.profile, turned, exif.kept, notes, xmp.packet, usable)


def _read_png(data: bytes) -> Raster:
    import imagecodecs  # Pillow would cut 16 bits down to 8

    chunks, notes = split_png(data)
    contents = {kind: bytes(chunk[8:-4]) for kind, chunk in chunks if kind != b"IDAT"}
    if b"acTL" in contents and contents[b"acTL"][:4] != b"\0\0\0\1":
        raise PhotoError("an animated PNG; save the frame you want as a photo")
    # Pillow gets no pixels, so it also sees the metadata behind them; the decoder gets no metadata, or it would print
    # what it dislikes about it.
    metadata = b"".join([SIGNATURE, *(chunk for kind, chunk in chunks if kind not in _NOT_FOR_PILLOW)])
    with silent_pillow():
        info = PngImagePlugin.PngImageFile(io.BytesIO(metadata)).info
    pixels = imagecodecs.png_decode(b"".join([SIGNATURE, *(chunk for kind, chunk in chunks if kind in _PIXEL_CHUNKS)]))
    exif = read_exif(info.get("exif") or _raw_profile(info, "exif"))
    iptc = split_resources(_raw_profile(info, "iptc") or _raw_profile(info, "8bim"))
    profile = stated_profile(info.get("icc_profile"), PngColor.of(contents), is_adobe_rgb=exif.is_adobe_rgb)
    return Raster(
        pixels,
        profile,
        exif,
        read_xmp(info.get("xmp") or _raw_profile(info, "xmp")),
        info.get("dpi"),
        iptc=resource_of(iptc, _IPTC),
        notes=notes,
    )


def _read_jpeg(data: bytes) -> Raster:
    with silent_pillow():
        info = JpegImagePlugin.JpegImageFile(io.BytesIO(data)).info
    pixels, is_cmyk, notes = _decode_jpeg(data)
    exif = read_exif(info.get("exif"))
    return Raster(
        pixels,
        info.get("icc_profile") if is_cmyk else stated_profile(info.get("icc_profile"), is_adobe_rgb=exif.is_adobe_rgb),
        exif,
        read_xmp(info.get("xmp"), extended_xmp(jpeg_segments(data))),
        # Without a unit in the JFIF header Pillow makes up 72 dpi.
        info.get("dpi") if info.get("jfif_unit") in (1, 2) else None,
        is_cmyk,
        resource_of(split_resources(jpeg_resources(data)), _IPTC),
        notes,
    )


def _decode_jpeg(data: bytes) -> tuple[NDArray[np.uint8], bool, tuple[str, ...]]:
    """Pixels, whether they are inks, and notes on faults that cost no pixel; libjpeg's other warnings are errors."""
    import simplejpeg  # Pillow would pass files with damaged scans as good photos

    space = simplejpeg.decode_jpeg_header(data)[2]
    is_cmyk = space in ("CMYK", "YCCK")
    wanted = "CMYK" if is_cmyk else "GRAY" if space == "Gray" else "RGB"
    notes: list[str] = []
    while True:
        try:
            pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(data, wanted, strict=True)
            break
        except ValueError as error:
            fixed, note = _fix_jpeg(data, str(error))
            if fixed is None or note in notes:
                raise
            data = fixed
            notes.append(note)
    if is_cmyk:
        np.subtract(255, pixels, out=pixels)  # JPEG holds CMYK inverted, as Adobe began it
    return pixels, is_cmyk, tuple(notes)


def _fix_jpeg(data: bytes, fault: str) -> tuple[bytes | None, str]:
    """A JPEG without a fault that libjpeg warns of, if that fault touches no pixel."""
    scan = jpeg_scan(data)
    if fault == "Invalid SOS parameters for sequential JPEG":  # written by some phones
        end = scan - 2 + int.from_bytes(data[scan - 2 : scan])
        return data[: end - 3] + b"\0\x3f\0" + data[end:], Note("a wrong scan header passed over", "repaired")
    if fault == "Premature end of JPEG file" and not data.endswith(_JPEG_END) and _has_all_scans(data):
        # Where pixels are missing too, libjpeg says so once the end is there, but not where a whole scan is missing.
        return data + _JPEG_END, Note("the missing end of the file passed over", "repaired")
    if match := _JUNK.fullmatch(fault):
        end, num = data.find(_JPEG_END, scan), int(match[1])
        junk = data[end - num : end]
        # What a fault in the pixels leaves over is packed, and cannot be packed further.
        if num <= _MOST_JUNK_BYTES or len(zlib.compress(junk, 9)) < 0.8 * num:
            return data[: end - num] + data[end:], Note(f"{num} stray bytes behind the pixels passed over", "repaired")
    return None, ""


def _has_all_scans(data: bytes) -> bool:
    """True if the scans of a JPEG give each coefficient of each channel its last bit (ITU-T T.81, section G.1)."""
    frame = next(((kind, content) for kind, content in jpeg_segments(data) if kind in _FRAME_HEADERS), (0, b""))
    missing = {(channel, place) for channel in frame[1][6::3] for place in range(64)}
    starts = [jpeg_scan(data), *(match.end() + 2 for match in _NEXT_SCAN.finditer(data, jpeg_scan(data)))]
    for start in starts:
        num_channels = data[start] if start < len(data) else 0
        first, last, bits = data[start + 1 + 2 * num_channels :][:3].ljust(3, b"\xff")
        if frame[0] in _SEQUENTIAL_FRAMES:
            first, last, bits = 0, 63, 0
        if bits & 15 == 0:
            channels = data[start + 1 : start + 1 + 2 * num_channels : 2]
            missing -= {(channel, place) for channel in channels for place in range(first, last + 1)}
    return not missing


def _read_webp(data: bytes) -> Raster:
    import imagecodecs

    if data[12:16] == b"VP8X" and data[20] & _WEBP_ANIMATION:
        raise PhotoError("an animated WebP; save the frame you want as a photo")
    with silent_pillow():
        info = WebPImagePlugin.WebPImageFile(io.BytesIO(data)).info
    return _raster_of(imagecodecs.webp_decode(data), info)


def _read_avif(data: bytes) -> Raster:
    with silent_pillow():
        image = _open_avif(data)
    if getattr(image, "n_frames", 1) > 1:
        raise PhotoError("an animated AVIF; save the frame you want as a photo")
    return _raster_of(np.asarray(image), image.info)


def _read_heif(data: bytes) -> Raster:
    file = _open_heif(data)
    pixels = np.array(file[0])  # a copy: its memory goes with the file
    # libheif has turned the pixels.
    return _raster_of(pixels, file[0].info)._replace(is_upright=True)


def _raster_of(pixels: NDArray[Any], info: Mapping[Any, Any]) -> Raster:
    exif = read_exif(info.get("exif"))
    profile = stated_profile(info.get("icc_profile"), is_adobe_rgb=exif.is_adobe_rgb)
    return Raster(pixels, profile, exif, read_xmp(info.get("xmp")))


def _open_avif(data: bytes) -> ImageFile.ImageFile:
    try:
        from PIL import AvifImagePlugin

        return AvifImagePlugin.AvifImageFile(io.BytesIO(data))
    except (ImportError, SyntaxError) as error:
        if isinstance(error, SyntaxError) and AvifImagePlugin.SUPPORTED:
            raise
        raise PhotoError(f"an AVIF file, which Pillow cannot read here; {_FIX}") from error


def _open_heif(data: bytes) -> Any:
    try:
        import pi_heif
    except ImportError as error:
        raise PhotoError(f"a HEIC file; install garmentcut[heif] to read it, or {_FIX}") from error
    return pi_heif.open_heif(data, convert_hdr_to_8bit=False)


def _size_of_png(data: bytes) -> Size:
    width, height, depth, color_type = struct.unpack_from(">IIBB", data, 16)
    return Size(width, height, _CHANNELS_OF_PNG.get(color_type, 4), max(depth, 8))


def _size_of_jpeg(data: bytes) -> Size:
    for marker, content in jpeg_segments(data):
        if marker in _FRAME_HEADERS and len(content) >= 6:
            depth, height, width, num_channels = struct.unpack_from(">BHHB", content)
            if depth != 8:
                raise PhotoError(f"a JPEG of {depth} bits; save it with 8 bits, or with 16 as PNG or TIFF")
            return Size(width, height, num_channels)
    raise PhotoError("damaged JPEG; export it again", code="damaged")


def _size_of_webp(data: bytes) -> Size:
    """What the first chunk declares (RFC 9649, section 2)."""
    match data[12:16]:
        case b"VP8X":
            return Size(int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1, 4)
        case b"VP8L":
            bits = int.from_bytes(data[21:25], "little")
            return Size((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1, 4)
        case b"VP8 ":
            width, height = (int.from_bytes(data[place : place + 2], "little") & 0x3FFF for place in (26, 28))
            return Size(width, height, 4)
    raise PhotoError("damaged WebP; export it again", code="damaged")


def _size_of_avif(data: bytes) -> Size:
    with silent_pillow():
        width, height = _open_avif(data).size
    return Size(width, height, 4)


def _size_of_heif(data: bytes) -> Size:
    image = _open_heif(data)[0]
    return Size(image.size[0], image.size[1], 4, 16 if "16" in image.mode else 8)


_SIZES: dict[str, Callable[[bytes], Size]] = {
    "png": _size_of_png,
    "jpeg": _size_of_jpeg,
    "webp": _size_of_webp,
    "avif": _size_of_avif,
    "heif": _size_of_heif,
}
_READERS: dict[str, Callable[[bytes], Raster]] = {
    "png": _read_png,
    "jpeg": _read_jpeg,
    "webp": _read_webp,
    "avif": _read_avif,
    "heif": _read_heif,
}


def _decoder_of(data: bytes) -> Callable[[bytes, ReadConfig], Photo]:
    # Imported here: a folder of JPEGs never loads the TIFF reader.
    if format_of(data) == "tiff":
        from garmentcut.photo.tiff import decode_tiff

        return decode_tiff
    return _decode_raster


def _name_of(data: bytes) -> str:
    start = data[:64].lstrip(b"\xef\xbb\xbf \t\r\n")
    for magic, name in _REFUSED_BY_NAME:
        if start.startswith(magic):
            return name
    if data[4:8] == b"ftyp":
        return f"{'a camera raw file' if data[8:12] == b'crx ' else 'a video'}; {_FIX}"
    return "not a PNG, JPEG, TIFF, WebP or AVIF file; export it again"


def _raw_profile(info: Mapping[Any, Any], name: str) -> bytes:
    """Metadata as ImageMagick writes it into PNG: a name, a length and hexadecimal digits."""
    text = info.get(f"Raw profile type {name}", "")
    words = str(text).split()
    try:
        return bytes.fromhex("".join(words[2:])) if len(words) > 2 else b""
    except ValueError:
        return b""


def _rgb_of_channels(raster: Raster) -> ToRgb:
    """Gray, gray and alpha, RGB or RGBA, by the number of channels."""
    pixels, profile = raster.pixels, raster.profile
    num_channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    if num_channels <= 2:
        converted = rgb_of_gray(pixels.reshape(*pixels.shape[:2], -1)[..., 0], profile)
        if num_channels == 1:
            return converted
        laid = rgb_of_rgba(np.dstack([converted.rgb, pixels[..., 1]]), converted.profile)
        return laid._replace(notes=converted.notes + laid.notes)
    if num_channels == 4:
        return rgb_of_rgba(pixels, profile)
    return ToRgb(pixels, *usable_profile(profile))


def read_profile(path: str | os.PathLike[str], limits: ReadConfig | None = None) -> bytes | None:
    """The ICC profile that a picture file's RGB pixels are in; None: sRGB, or no usable one.

    Raises:
        PhotoError: the file cannot be read, or is damaged before its pixels begin.
    """
    data = read_photo_bytes(Path(path), limits or ReadConfig())
    with damage_named():
        return usable_profile(_find_profile(data))[0]


def _find_profile(data: bytes) -> bytes | None:
    if data.startswith(_PSD_SIGNATURE):
        # The image resources stand behind the header and the colour mode data, each with its length before it.
        start = _PSD_HEADER_BYTES + 4 + int.from_bytes(data[_PSD_HEADER_BYTES : _PSD_HEADER_BYTES + 4])
        end = start + 4 + int.from_bytes(data[start : start + 4])
        return resource_of(split_resources(data[start + 4 : end]), _PSD_PROFILE)
    if (form := format_of(data)) == "tiff":
        import tifffile

        with tifffile.TiffFile(io.BytesIO(data)) as file:
            tag = file.pages.first.tags.get(_TIFF_PROFILE)
            return bytes(tag.value) if tag else None
    if form == "heif":
        profile: bytes | None = _open_heif(data)[0].info.get("icc_profile")
        return profile
    with silent_pillow():
        info = _OPENERS[form](data).info
    chunks = (
        {kind: bytes(chunk[8:-4]) for kind, chunk in split_png(data)[0] if kind != b"IDAT"} if form == "png" else {}
    )
    exif = read_exif(info.get("exif"))
    return stated_profile(info.get("icc_profile"), PngColor.of(chunks), is_adobe_rgb=exif.is_adobe_rgb)


_OPENERS: dict[str, Callable[[bytes], ImageFile.ImageFile]] = {
    "png": lambda data: PngImagePlugin.PngImageFile(io.BytesIO(data)),
    "jpeg": lambda data: JpegImagePlugin.JpegImageFile(io.BytesIO(data)),
    "webp": lambda data: WebPImagePlugin.WebPImageFile(io.BytesIO(data)),
    "avif": _open_avif,
}
