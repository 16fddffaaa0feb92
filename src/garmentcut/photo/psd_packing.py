"""Planes of Photoshop documents, packed as Photoshop itself packs them: 8 bits as PackBits, 16 bits deflated."""

from typing import NamedTuple

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from garmentcut.photo.mask import bounding_box
from garmentcut.photo.photo import Pixels
from garmentcut.photo.png import fast_deflate

_FASTEST = 1


class PackedRows(NamedTuple):
    """A plane's rows as PackBits, one after another, and the length of each as big-endian 16-bit numbers."""

    lengths: bytes
    rows: bytes


def pack_rows(plane: Pixels) -> PackedRows:
    """Pack a plane `(H, W)`, uint8 or uint16, as PackBits; a plain border all around is packed once."""
    height, width = plane.shape
    top, left, bottom, right = _inside_border(plane)
    blank, before, after = (_pack(_bytes_of(np.full(size, plane[0, 0]))) for size in (width, left, width - right))
    inside = _bytes_of(plane[top:bottom, left:right])
    packed = [blank] * top + [before + _pack(row) + after for row in inside] + [blank] * (height - bottom)
    return PackedRows(np.fromiter(map(len, packed), ">u2", count=height).tobytes(), b"".join(packed))


def pack_differences(plane: Pixels) -> bytes:
    """Deflate what each sample of a plane `(H, W)` differs by from the one before it in its row."""
    differences = plane.copy()
    np.subtract(plane[:, 1:], plane[:, :-1], out=differences[:, 1:])
    packed: bytes = fast_deflate().compress(_bytes_of(differences).data, _FASTEST)
    return packed


def _inside_border(plane: Pixels) -> tuple[int, int, int, int]:
    """Top, left, bottom, right of what lies within a border that is like the first sample; a plain plane is all border.

    Around a cutout most of the picture is border; a photo's first row tells that it has none.
    """
    height, width = plane.shape
    if (plane[0] != plane[0, 0]).any():
        return 0, 0, height, width
    left, top, right, bottom = bounding_box(plane != plane[0, 0]) or (width, height, width, height)
    return top, left, bottom, right


def _pack(row: NDArray[np.uint8]) -> bytes:
    return bytes(imagecodecs.packbits_encode(row)) if row.size else b""


def _bytes_of(samples: Pixels) -> NDArray[np.uint8]:
    """The same with each sample of 16 bits as two bytes, the high one first."""
    return np.ascontiguousarray(samples, samples.dtype.newbyteorder(">")).view(np.uint8)
