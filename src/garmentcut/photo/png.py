"""PNG for reader and writer: chunks checked one by one, and an encoder ten times as fast as Pillow's.

Portable Network Graphics Specification (Third Edition), W3C 2025. The writer uses one fixed row filter and ISA-L's
deflate: `up` for all rows serves photos with large cleared areas as well as an adaptive choice does, and numpy computes
it in one subtraction.
"""

import struct
import zlib
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from garmentcut.errors import Note, PhotoError
from garmentcut.photo.photo import Pixels

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COLOR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}  # channels: gray, gray + alpha, RGB, RGBA
_FILTER_UP = 2
_BAND_ROWS = 256
_FASTEST = 1  # on cutouts, higher levels cost several times as long and save a few per cent
_MAX_IDAT_BYTES = 1 << 30  # a chunk's length is a 31-bit number
_CHUNK_FRAME_BYTES = 12  # length, kind and checksum
_MOST_CHUNKS = 20_000  # beside pixels: each takes time, however small


def split_png(data: bytes) -> tuple[list[tuple[bytes, memoryview]], tuple[str, ...]]:
    """A PNG's chunks as `(kind, all of its bytes)`, in order, up to and including IEND; and what had to be left out.

    Checksums are verified, but for IDAT's, the large ones, which the decoder verifies itself. A wrong one costs the
    chunk, unless the pixels need it.

    Raises:
        PhotoError: a chunk is cut off or damaged, IEND is missing, or there are very many chunks.
    """
    view, chunks, start, num_others = memoryview(data), [], len(SIGNATURE), 0
    notes: dict[str, None] = {}
    while start + _CHUNK_FRAME_BYTES <= len(data):
        length, kind = struct.unpack_from(">I4s", data, start)
        chunk = view[start : start + _CHUNK_FRAME_BYTES + length]
        if len(chunk) < _CHUNK_FRAME_BYTES + length:
            break
        start += len(chunk)
        if kind != b"IDAT" and zlib.crc32(chunk[4:-4]) != int.from_bytes(chunk[-4:]):
            name = f"{kind.decode('latin-1')!a}"
            is_for_metadata = kind[0] & 0x20 and kind != b"tRNS"  # a small first letter
            if not is_for_metadata:
                message = f"damaged PNG: the checksum of its {name} part is wrong; export it again"
                raise PhotoError(message, code="damaged")
            notes[Note(f"the damaged {name} part left out", "repaired")] = None
            continue
        num_others += kind != b"IDAT"
        if num_others > _MOST_CHUNKS:
            raise PhotoError(
                f"damaged PNG: over {_MOST_CHUNKS} parts beside its pixels; export it again", code="damaged"
            )
        chunks.append((kind, chunk))
        if kind == b"IEND":
            return chunks, tuple(notes)
    raise PhotoError("truncated PNG; copy or export it again", code="truncated")


def png_bytes(
    pixels: Pixels,
    *,
    profile: bytes | None = None,
    srgb: bool = False,
    dpi: tuple[float, float] | None = None,
    exif: bytes | None = None,
    xmp: bytes | None = None,
    deflate: ModuleType | None = None,
) -> bytes:
    """Encode a picture as PNG.

    Args:
        pixels: `(H, W)` or `(H, W, C)` with 1 to 4 channels, uint8 or uint16, alpha straight.
        profile: ICC profile of the pixels' colour space.
        srgb: without a profile, state that the pixels are sRGB.
        dpi: horizontal and vertical pixels an inch.
        exif: TIFF-structured bytes without the `Exif` marker.
        xmp: UTF-8 packet.
        deflate: a module with zlib's `compressobj(level)`; None: ISA-L, or the standard library where that is
            missing.
    """
    height, width = pixels.shape[:2]
    num_channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    header = struct.pack(">IIBBBBB", width, height, 8 * pixels.itemsize, _COLOR_TYPES[num_channels], 0, 0, 0)
    chunks = [SIGNATURE, _chunk(b"IHDR", header)]
    if profile:
        chunks.append(_chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(profile)))
    elif srgb:
        chunks += [_chunk(b"sRGB", b"\0"), _chunk(b"gAMA", struct.pack(">I", 45455))]
    if dpi:
        chunks.append(_chunk(b"pHYs", struct.pack(">IIB", *(round(value / 0.0254) for value in dpi), 1)))
    if exif:
        chunks.append(_chunk(b"eXIf", exif))
    if xmp:
        chunks.append(_chunk(b"iTXt", b"XML:com.adobe.xmp" + bytes(5) + xmp))  # not packed, no language
    packer = (deflate or fast_deflate()).compressobj(_FASTEST)
    packed = [packer.compress(_filtered_rows(pixels, top).data) for top in range(0, height, _BAND_ROWS)]
    content = memoryview(b"".join((*packed, packer.flush())))
    for start in range(0, len(content), _MAX_IDAT_BYTES):
        chunks.append(_chunk(b"IDAT", content[start : start + _MAX_IDAT_BYTES]))
    return b"".join([*chunks, _chunk(b"IEND", b"")])


def fast_deflate() -> ModuleType:
    """A module with zlib's functions: ISA-L, or the standard library where that is missing."""
    try:
        from isal import isal_zlib
    except ImportError:  # no wheel for this platform
        return zlib
    return isal_zlib


def _filtered_rows(pixels: Pixels, top: int) -> NDArray[np.uint8]:
    """A band of rows, each behind its filter's number; only a band at a time is held twice."""
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
