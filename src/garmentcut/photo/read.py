"""Reads a photo file into a `Photo`; oversized files are refused before decoding.

Pillow finds the metadata of PNG, JPEG, WebP and AVIF; the pixels come from a strict and exact decoder for each format.
"""

import importlib.util
import io
import logging
import os
import re
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

import imagecodecs
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import AvifImagePlugin, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

from garmentcut.config import ReadConfig, check_kind
from garmentcut.errors import Note, PhotoError
from garmentcut.photo import metadata
from garmentcut.photo.color import PngColor, rgb_of_channels, stated_profile
from garmentcut.photo.files import read_photo_bytes
from garmentcut.photo.metadata import Exif
from garmentcut.photo.photo import Photo, Pixels, check_size, turn_upright
from garmentcut.photo.xmp import Xmp, extended_xmp, read_xmp

Kind = Literal["tiff", "png", "jpeg", "webp", "avif", "heif"]
Declare = Callable[..., None]
"""A reader calls it, before it decodes pixels, with what the header declares: width, height, channels, bits (8)."""

_HAS_HEIF = importlib.util.find_spec("pi_heif") is not None
PHOTO_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".tif", ".tiff", ".webp", ".avif"),
    *((".heic", ".heif", ".hif") if _HAS_HEIF else ()),
)
"""Suffixes looked for in folders; a file's content, not its name, decides how it is read."""

_FIRST_BYTES = re.compile(
    rb"(?P<tiff>II[*+]\0|MM\0[*+])|(?P<png>\x89PNG\r\n\x1a\n)|(?P<jpeg>\xff\xd8\xff)|(?P<webp>RIFF.{4}WEBP)", re.DOTALL
)
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
# Brands of ISO media files (ISO 23008-12 and AV1 Image File Format); Canon's raw files and videos are such files too.
_AVIF_BRANDS = {b"avif", b"avis"}
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_MAX_DETAIL_CHARS = 120
# Decoders log odd parts that affect no pixel; Python prints that if the application has not set up logging.
logging.getLogger("imagecodecs").addHandler(logging.NullHandler())
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHUNK_FRAME_BYTES = 12  # length, kind and checksum
_MOST_CHUNKS = 20_000  # besides pixels; each takes time, however small
_FOR_PILLOW = {b"IHDR", b"tEXt", b"zTXt", b"iTXt", b"eXIf", b"pHYs", b"IEND"}
# What precedes packed content; and the most bytes that one text (Pillow's limit) and all of a file may unpack to.
_PACKED = {kind: re.compile(rb"[^\0]{0,79}\0\0") for kind in (b"zTXt", b"iCCP")} | {
    b"iTXt": re.compile(rb"[^\0]{0,79}\0\x01\0[^\0]*\0[^\0]*\0")
}
_MOST_TEXT_BYTES, _MOST_UNPACKED_BYTES = PngImagePlugin.MAX_TEXT_CHUNK, 1 << 25
_PIXEL_CHUNKS = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}
_CHANNELS_OF_PNG = {0: 1, 2: 3, 3: 4, 4: 2, 6: 4}  # by colour type; a palette may hold transparency
_LOSSLESS_FRAMES = {0xC3, 0xC7, 0xCB, 0xCF, 0xF7}  # JPEG markers; the last: JPEG-LS
_JPEG_END, _ICC_MARK = b"\xff\xd9", b"ICC_PROFILE\0"
_JUNK = re.compile(r"Corrupt JPEG data: ([0-9]+) extraneous bytes before marker 0xd9")
_MOST_JUNK_BYTES = 32  # fewer than a fault in the pixels would leave


def read_photo(path: str | os.PathLike[str], *, limits: ReadConfig | None = None) -> Photo:
    """Read a PNG, JPEG (also a camera's MPO), TIFF, WebP or AVIF photo of any depth up to 16 bits, or a HEIC photo.

    The orientation is applied, whether EXIF, TIFF or XMP states it; gray and palette become RGB, transparent parts are
    laid on white, CMYK is converted to sRGB; 16 bits stay 16 bits. The colour space is that of the ICC profile, else
    cICP, else gAMA and cHRM (PNG), else EXIF, else sRGB. What was changed is listed in `Photo.notes`.

    HEIC needs the extra `heif`.

    Raises:
        PhotoError: missing, not a regular file, over a limit, damaged, animated, several pages, or a kind of picture
            that is not read here. The message names the file and says how to fix it.
    """
    check_kind(limits, ReadConfig)
    limits = limits or ReadConfig()
    try:
        return decode_photo(read_photo_bytes(Path(path), limits), limits=limits)
    except PhotoError as error:
        raise PhotoError(f"{path}: {error}", code=error.code) from error


def decode_photo(data: bytes, *, limits: ReadConfig | None = None) -> Photo:
    """Decode a photo file's content; see `read_photo`, whose errors it raises without a file name."""
    try:
        with damage_named():
            return _photo_of(read_raster(data, limits or ReadConfig()))
    except PhotoError as error:
        if error.code == "damaged" and (name := _truncated(data)):
            raise PhotoError(f"truncated {name}; copy or export it again", code="truncated") from error
        raise


def _photo_of(raster: "Raster") -> Photo:
    converted = rgb_of_channels(raster.color, raster.transparency, raster.profile, is_cmyk=raster.is_cmyk)
    iptc, iptc_notes = metadata.usable_iptc(raster.iptc or metadata.iptc_of(raster.resources))
    rgb = turn_upright(converted.rgb, raster.orientation)
    dpi = (raster.dpi and metadata.dpi_of(*raster.dpi, None)) or raster.exif.dpi
    return Photo(
        np.ascontiguousarray(rgb, rgb.dtype.newbyteorder("=")),
        converted.profile,
        dpi[::-1] if dpi and raster.orientation >= 5 else dpi,
        raster.exif.kept,
        (*converted.notes, *raster.notes, *raster.exif.notes, *raster.xmp.notes, *iptc_notes),
        raster.xmp.packet,
        iptc,
    )


def _truncated(data: bytes) -> str:
    """The format's name if an undecodable file lacks its end, else empty; PNG and TIFF readers notice by themselves."""
    kind = format_of(data)
    if kind == "jpeg":
        return "" if _JPEG_END in data[metadata.jpeg_scan(data) :] else "JPEG"
    if kind == "webp":
        return "WebP" if len(data) < 8 + int.from_bytes(data[4:8], "little") else ""
    if kind in ("avif", "heif"):
        start = 0
        while start + 8 <= len(data) and (size := int.from_bytes(data[start : start + 4])) > 1:
            start += size  # 0: the box reaches to the end of the file; 1: its size follows its name
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
    # IndexError, SyntaxError); to the caller all of them mean the same.
    except Exception as error:
        detail = " ".join(f"{type(error).__name__}: {error}".split())[:_MAX_DETAIL_CHARS]
        raise PhotoError(f"damaged or unreadable ({detail}); export it again", code="damaged") from error


def split_png(data: bytes) -> tuple[list[tuple[bytes, memoryview]], tuple[str, ...]]:
    """A PNG's chunks as `(kind, all of its bytes)`, in order, up to and including IEND; and notes on what was left out.

    Checksums are verified, except those of IDAT, the large ones, which the decoder verifies. A chunk with a wrong
    checksum is left out, unless the pixels need it.

    Raises:
        PhotoError: a chunk is cut off or damaged, IEND is missing, or there are very many chunks.
    """
    view, chunks, start, num_others = memoryview(data), [], len(PNG_SIGNATURE), 0
    notes: dict[str, None] = {}
    while start + _CHUNK_FRAME_BYTES <= len(data):
        length, kind = struct.unpack_from(">I4s", data, start)
        chunk = view[start : start + _CHUNK_FRAME_BYTES + length]
        if len(chunk) < _CHUNK_FRAME_BYTES + length:
            break
        start += len(chunk)
        if kind != b"IDAT" and zlib.crc32(chunk[4:-4]) != int.from_bytes(chunk[-4:]):
            name = f"{kind.decode('latin-1')!a}"
            if not kind[0] & 0x20 or kind == b"tRNS":  # a lower-case first letter: metadata
                fault = f"the checksum of its {name} part is wrong"
                raise PhotoError(f"damaged PNG: {fault}; export it again", code="damaged")
            notes[Note(f"the damaged {name} part left out", "repaired")] = None
            continue
        num_others += kind != b"IDAT"
        if num_others > _MOST_CHUNKS:
            fault = f"over {_MOST_CHUNKS} parts beside its pixels"
            raise PhotoError(f"damaged PNG: {fault}; export it again", code="damaged")
        chunks.append((kind, chunk))
        if kind == b"IEND":
            return chunks, tuple(notes)
    raise PhotoError("truncated PNG; copy or export it again", code="truncated")


def format_of(data: bytes) -> Kind:
    """The format of a file's content; a PhotoError names what else it is."""
    if not data:
        raise PhotoError("empty file; copy it again", code="empty")
    if found := _FIRST_BYTES.match(data):
        return cast(Kind, found.lastgroup)
    if data[4:8] == b"ftyp":
        size = min(int.from_bytes(data[:4]), 256)
        brands = {data[place : place + 4] for place in (8, *range(16, size, 4))}
        if brands & _AVIF_BRANDS:
            return "avif"
        if brands & _HEIF_BRANDS:
            return "heif"
        raise PhotoError(f"{'a camera raw file' if data[8:12] == b'crx ' else 'a video'}; {_FIX}")
    start = data[:64].lstrip(b"\xef\xbb\xbf \t\r\n")
    named = (name for magic, name in _REFUSED_BY_NAME if start.startswith(magic))
    raise PhotoError(next(named, "not a PNG, JPEG, TIFF, WebP or AVIF file; export it again"))


class Raster(NamedTuple):
    """A decoded file before colours are converted; not yet upright."""

    color: Pixels  # `(H, W, C)`: gray (255: white), RGB, or inks (255: full ink); premultiplied alpha is divided out
    extra: Pixels  # `(H, W, K)`, the channels after the colours that were asked for
    alpha: int | None  # which of `extra` is the transparency; None: none
    profile: bytes | None  # ICC profile in the file, or made from what else it says about its colours
    exif: Exif
    xmp: Xmp
    dpi: tuple[float, float] | None = None  # the format's own field; None, or no resolution: EXIF's is used
    is_cmyk: bool = False  # the colours are inks
    resources: bytes = b""  # Photoshop's, which may hold a clipping path
    iptc: bytes | None = None  # as found in the file, outside of `resources`
    notes: tuple[str, ...] = ()  # what had to be fixed or left out, in words
    is_upright: bool = False  # the decoder has applied the orientation
    has_layers: bool = False  # it has Photoshop's layers, which are not read

    @property
    def orientation(self) -> int:
        """The orientation of the stored pixels, 1 to 8 (TIFF 6.0, tag 274); without the tag, XMP's."""
        return 1 if self.is_upright else self.exif.orientation or self.xmp.orientation or 1

    @property
    def transparency(self) -> Pixels | None:
        """`(H, W)`; None: it has none."""
        return None if self.alpha is None else self.extra[..., self.alpha]


def read_raster(data: bytes, limits: ReadConfig, *, all_channels: bool = False) -> Raster:
    """Decode a file of any format that `read_photo` reads; colours and orientation stay as stored.

    The header is checked against the limits before pixels are decoded. `all_channels` includes a TIFF's channels that
    are neither colours nor transparency.

    Raises:
        PhotoError: too large, animated, several pages, or damaged; any other exception means damage too.
    """
    kind = format_of(data)
    if kind == "tiff":
        from garmentcut.photo.tiff import read_tiff  # a folder of JPEGs never loads it

        return read_tiff(data, limits, all_channels=all_channels)
    declared: list[tuple[int, ...]] = []

    def declare(width: int, height: int, channels: int, bits: int = 8) -> None:
        check_size(width, height, limits, channels=channels, bits=bits, num_bytes=len(data))
        declared.append((height, width))

    raster = _READERS[kind](data, declare)
    if [raster.color.shape[:2]] != declared:
        raise PhotoError("damaged: its header and its pixels disagree about the size; export it again", code="damaged")
    return raster


def read_gray_png(data: bytes, limits: ReadConfig) -> Pixels:
    """Decode a gray PNG, and nothing else: `(H, W)`, uint8 or uint16, as stored."""
    with damage_named():
        raster = read_raster(data, limits) if data.startswith(PNG_SIGNATURE) else None
    if raster is None or raster.color.shape[2] + raster.extra.shape[2] != 1:
        raise PhotoError("not a gray PNG; review the photo again")
    return raster.color[..., 0]


def _raster(
    pixels: NDArray[Any],
    info: Mapping[Any, Any],
    *,
    png_color: PngColor | None = None,
    extended_xmp: bytes | None = None,
    **more: Any,
) -> Raster:
    """Make a `Raster` from decoded pixels, what else Pillow has found, and further fields.

    The last of two or four channels is alpha, except for inks.
    """
    exif, profile, is_cmyk = metadata.read_exif(info.get("exif")), info.get("icc_profile"), more.get("is_cmyk", False)
    profile = profile if is_cmyk else stated_profile(profile, png_color, is_adobe_rgb=exif.is_adobe_rgb)
    channels = pixels if pixels.ndim == 3 else pixels[..., None]
    has_alpha = channels.shape[2] in (2, 4) and not is_cmyk
    color, extra = np.split(channels, [channels.shape[2] - has_alpha], axis=2)
    xmp = read_xmp(info.get("xmp"), extended_xmp)
    return Raster(color, extra, 0 if has_alpha else None, profile, exif, xmp, **more)


def _read_png(data: bytes, declare: Declare) -> Raster:
    width, height, depth, color_type = struct.unpack_from(">IIBB", data, 16)
    declare(width, height, _CHANNELS_OF_PNG.get(color_type, 4), max(depth, 8))
    chunks, notes = split_png(data)
    chunks, profile, lost = _unpack_metadata(chunks)
    contents = {kind: bytes(chunk[8:-4]) for kind, chunk in chunks if kind != b"IDAT"}
    if b"acTL" in contents and contents[b"acTL"][:4] != b"\0\0\0\1":
        raise PhotoError("an animated PNG; save the frame you want as a photo")
    # Pillow gets no pixels, so it also sees the metadata after them.
    described = b"".join([PNG_SIGNATURE, *(chunk for kind, chunk in chunks if kind in _FOR_PILLOW)])
    with metadata.silent_pillow():
        info = PngImagePlugin.PngImageFile(io.BytesIO(described)).info
    picture = b"".join([PNG_SIGNATURE, *(chunk for kind, chunk in chunks if kind in _PIXEL_CHUNKS)])
    pixels = imagecodecs.png_decode(picture)  # Pillow would cut 16 bits down to 8
    info |= {kind: info.get(kind) or _raw_profile(info, kind) for kind in ("exif", "xmp")}
    info["icc_profile"] = profile
    iptc = metadata.iptc_of(_raw_profile(info, "iptc") or _raw_profile(info, "8bim"))
    return _raster(pixels, info, png_color=PngColor.of(contents), dpi=info.get("dpi"), iptc=iptc, notes=notes + lost)


def _unpack_metadata(
    chunks: list[tuple[bytes, memoryview]],
) -> tuple[list[tuple[bytes, memoryview]], bytes | None, tuple[str, ...]]:
    """The chunks except those that are damaged or unpack to very much; the colour profile; and notes on what is lost.

    A decoder would refuse the whole photo because of such chunks.
    """
    kept, profile, notes, room = [], None, dict[str, None](), _MOST_UNPACKED_BYTES
    for kind, chunk in chunks:
        unpacked: bytes | None = b""
        if kind in _PACKED and (head := _PACKED[kind].match(chunk[8:-4])):
            most = room if kind == b"iCCP" else min(room, _MOST_TEXT_BYTES)
            unpacked = _inflated(chunk[8 + head.end() : -4], most)
            room -= len(unpacked or b"")
        elif kind in (b"zTXt", b"iCCP") or (kind == b"pHYs" and len(chunk) != _CHUNK_FRAME_BYTES + 9):
            unpacked = None
        if unpacked is not None:
            kept.append((kind, chunk))
            profile = unpacked if kind == b"iCCP" else profile
        elif kind == b"iCCP":
            notes[Note("broken colour profile dropped: read as sRGB", "profile_dropped")] = None
        else:
            notes[Note(f"{kind.decode()}: damaged or very large, left out", "metadata_left_out")] = None
    return kept, profile, tuple(notes)


def _inflated(packed: memoryview, most: int) -> bytes | None:
    try:
        found = zlib.decompressobj().decompress(packed, most + 1)
    except zlib.error:
        return None
    return found if len(found) <= most else None


def _read_jpeg(data: bytes, declare: Declare) -> Raster:
    marker, frame = metadata.jpeg_frame(data)
    if not frame:
        raise PhotoError("damaged JPEG; export it again", code="damaged")
    depth, height, width, num_channels = struct.unpack_from(">BHHB", frame)
    if marker in _LOSSLESS_FRAMES:
        raise PhotoError("a lossless JPEG, which few programs read; save an ordinary JPEG, PNG or TIFF")
    if depth != 8:
        raise PhotoError(f"a JPEG of {depth} bits; save it with 8 bits, or with 16 as PNG or TIFF")
    declare(width, height, num_channels)
    with metadata.silent_pillow():
        info = JpegImagePlugin.JpegImageFile(io.BytesIO(data)).info
    pixels, is_cmyk, notes = _decode_jpeg(data)
    return _raster(
        pixels,
        info,
        extended_xmp=extended_xmp(metadata.jpeg_segments(data)),
        # Without a unit in the JFIF header Pillow makes up 72 dpi.
        dpi=info.get("dpi") if info.get("jfif_unit") in (1, 2) else None,
        is_cmyk=is_cmyk,
        resources=metadata.jpeg_resources(data),
        notes=notes,
    )


def _decode_jpeg(data: bytes) -> tuple[NDArray[np.uint8], bool, tuple[str, ...]]:
    """Pixels, whether they are inks, and notes on faults that affect no pixel; libjpeg's other warnings are errors."""
    space = simplejpeg.decode_jpeg_header(data, strict=False)[2]
    is_cmyk = space in ("CMYK", "YCCK")
    wanted = "CMYK" if is_cmyk else "GRAY" if space == "Gray" else "RGB"
    notes: list[str] = []
    while True:
        try:
            # Pillow would accept files with damaged scans.
            pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(data, wanted, strict=True)
            break
        except ValueError as error:
            data, note = _fix_jpeg(data, error)
            if note in notes:
                raise
            notes.append(note)
    if is_cmyk:
        np.subtract(255, pixels, out=pixels)  # CMYK is inverted in JPEG, as Adobe's programs write it
    return pixels, is_cmyk, tuple(notes)


def _fix_jpeg(data: bytes, warning: ValueError) -> tuple[bytes, str]:
    """Remove the fault that libjpeg warns about; raises the warning if the fault affects pixels, or is unknown."""
    fault, scan = str(warning), metadata.jpeg_scan(data)
    if fault == "Invalid SOS parameters for sequential JPEG":  # written by some phones
        end = scan - 2 + int.from_bytes(data[scan - 2 : scan])
        return data[: end - 3] + b"\0\x3f\0" + data[end:], Note("a wrong scan header ignored", "repaired")
    if fault == "Premature end of JPEG file" and not data.endswith(_JPEG_END) and metadata.has_all_scans(data):
        # With the end in place, libjpeg reports missing pixels, but not a missing scan.
        return data + _JPEG_END, Note("the missing end of the file ignored", "repaired")
    if fault == "Corrupt JPEG data: bad ICC marker" and (named := data.find(_ICC_MARK, 0, scan)) >= 0:
        data = data[:named] + data[named:scan].replace(_ICC_MARK, bytes(len(_ICC_MARK))) + data[scan:]
        return data, Note("broken colour profile dropped: read as sRGB", "profile_dropped")
    if match := _JUNK.fullmatch(fault):
        end, num = data.find(_JPEG_END, scan), int(match[1])
        junk = data[end - num : end]
        # Bytes left over by a fault in the pixels are packed, and cannot be packed further.
        if num <= _MOST_JUNK_BYTES or len(zlib.compress(junk, 9)) < 0.8 * num:
            return data[: end - num] + data[end:], Note(f"{num} stray bytes after the pixels ignored", "repaired")
    raise warning


def _read_webp(data: bytes, declare: Declare) -> Raster:
    is_animated = False
    match data[12:16]:  # the first chunk declares the size (RFC 9649, section 2)
        case b"VP8X":
            width, height = (int.from_bytes(data[place : place + 3], "little") + 1 for place in (24, 27))
            is_animated = bool(data[20] & 0x02)
        case b"VP8L":
            bits = int.from_bytes(data[21:25], "little")
            width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case b"VP8 ":
            width, height = (int.from_bytes(data[place : place + 2], "little") & 0x3FFF for place in (26, 28))
        case _:
            raise PhotoError("damaged WebP; export it again", code="damaged")
    declare(width, height, 4)
    if is_animated:
        raise PhotoError("an animated WebP; save the frame you want as a photo")
    with metadata.silent_pillow():
        info = WebPImagePlugin.WebPImageFile(io.BytesIO(data)).info
    return _raster(imagecodecs.webp_decode(data), info)


def _read_avif(data: bytes, declare: Declare) -> Raster:
    if not AvifImagePlugin.SUPPORTED:
        raise PhotoError(f"an AVIF file, which Pillow cannot read here; {_FIX}")
    with metadata.silent_pillow():
        image = AvifImagePlugin.AvifImageFile(io.BytesIO(data))
    declare(image.width, image.height, 4)
    if image.n_frames > 1:
        raise PhotoError("an animated AVIF; save the frame you want as a photo")
    return _raster(np.asarray(image), image.info)


def _read_heif(data: bytes, declare: Declare) -> Raster:
    try:
        import pi_heif
    except ImportError as error:
        raise PhotoError(f"a HEIC file; install garmentcut[heif] to read it, or {_FIX}") from error
    file = pi_heif.open_heif(data, convert_hdr_to_8bit=False)
    image = file[0]
    declare(*image.size, 4, 16 if "16" in image.mode else 8)
    # Copied, because the memory goes with the file; libheif has turned the pixels upright.
    return _raster(np.array(image), image.info, is_upright=True)


_READERS: dict[str, Callable[[bytes, Declare], Raster]] = {
    "png": _read_png,
    "jpeg": _read_jpeg,
    "webp": _read_webp,
    "avif": _read_avif,
    "heif": _read_heif,
}


def _raw_profile(info: Mapping[Any, Any], name: str) -> bytes:
    """Metadata as ImageMagick writes it into PNG: a name, a length and hexadecimal digits."""
    try:
        return bytes.fromhex("".join(str(info.get(f"Raw profile type {name}", "")).split()[2:]))
    except ValueError:
        return b""
