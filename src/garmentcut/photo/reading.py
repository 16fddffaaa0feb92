"""Read one photo safely: everything that can be refused is refused before pixels are decoded."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from garmentcut.config import ReadConfig
from garmentcut.photo.files import read_photo_bytes
from garmentcut.photo.photo import Photo, PhotoError

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
        raise PhotoError(f"{path}: {error}") from error


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
        raise PhotoError("not enough memory to decode it") from error
    # The decoders raise a dozen kinds of exception on damaged files, some of them undocumented (struct.error,
    # IndexError, SyntaxError): to the caller all of them mean the same.
    except Exception as error:
        detail = " ".join(f"{type(error).__name__}: {error}".split())[:_MAX_DETAIL_CHARS]
        raise PhotoError(f"damaged or unreadable ({detail}); export it again") from error


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
    from garmentcut.photo.raster import decode_jpeg, decode_png, decode_webp

    return {"png": decode_png, "jpeg": decode_jpeg, "webp": decode_webp}[form]


def _name_of(data: bytes) -> str:
    start = data[:64].lstrip(b"\xef\xbb\xbf \t\r\n")
    for magic, name in _REFUSED_BY_NAME:
        if start.startswith(magic):
            return name
    if data[4:8] == b"ftyp":
        return f"{_FTYP_NAMES.get(data[8:12], 'a video')}; {_MEND}"
    return "not a PNG, JPEG, TIFF or WebP file; export it again"
