"""An alpha as an 8-bit gray PNG: written, and read from whoever sent it."""

import struct

import imagecodecs
import numpy as np

from garmentcut.photo.photo import PhotoError
from garmentcut.photo.png import SIGNATURE, png_bytes, split_png
from garmentcut.review.conflicts import UnfitError
from garmentcut.review.edge_change import Alpha8

_KINDS = {0: "gray", 2: "RGB", 3: "palette", 4: "gray with alpha", 6: "RGBA"}


def write_gray(alpha: Alpha8) -> bytes:
    """A PNG's content."""
    return png_bytes(alpha)


def read_gray(data: bytes, size_hw: tuple[int, int], *, what: str) -> Alpha8:
    """Pixels of an 8-bit gray PNG of a known size; nothing is decoded before its header is looked at.

    Args:
        data: a PNG's content.
        size_hw: height and width that it must have; no more memory is used than these take.
        what: what it is called in the message.

    Raises:
        UnfitError: not such a PNG; says what it is.
    """
    if not data.startswith(SIGNATURE):
        raise UnfitError(f"{what}: not a PNG")
    try:
        chunks = split_png(data)
        kind, header = chunks[0]
        if kind != b"IHDR" or len(header) != 25:
            raise UnfitError(f"{what}: damaged PNG: no header")
        width, height, depth, color, _, _, interlace = struct.unpack(">IIBBBBB", header[8:21])
        if (depth, color, interlace) != (8, 0, 0):
            raise UnfitError(
                f"{what}: {depth}-bit {_KINDS.get(color, 'unknown')} PNG; must be 8-bit gray, not interlaced"
            )
        if (height, width) != size_hw:
            raise UnfitError(f"{what}: {width}x{height} pixels; must be {size_hw[1]}x{size_hw[0]}")
        parts = (bytes(part) for name, part in chunks if name in (b"IHDR", b"IDAT", b"IEND"))
        pixels: Alpha8 = imagecodecs.png_decode(SIGNATURE + b"".join(parts))
    except (PhotoError, imagecodecs.PngError, ValueError, RuntimeError) as error:
        if isinstance(error, UnfitError):
            raise
        raise UnfitError(f"{what}: {error}") from error
    if pixels.shape != size_hw or pixels.dtype != np.uint8:
        raise UnfitError(f"{what}: damaged PNG")
    return pixels
