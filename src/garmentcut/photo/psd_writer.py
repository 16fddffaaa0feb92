"""Write layered Photoshop documents, after Adobe's Photoshop File Formats Specification.

Not by psd-tools: it paints the merged picture anew (seconds and gigabytes at 24 megapixels), keeps masks at 8 bits, and
takes half a second to load.
"""

import struct
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from garmentcut.photo.clipping_path import Resource
from garmentcut.photo.mask import bounding_box
from garmentcut.photo.path_writer import join_resources
from garmentcut.photo.photo import OutputError, Pixels
from garmentcut.photo.psd_packing import pack_differences, pack_rows

_MOST_SIDE_PX, _MOST_BYTES = 30_000, 2**31 - 1  # more needs a PSB, another kind of file
_RGB, _RLE, _ZIP_PREDICTED = 3, 1, 3
_TRANSPARENCY, _MASK = -1, -2  # numbers of planes that are no colours
_FLAGS = 8  # visible; written by Photoshop 5 or later
_LAYERS_OF_16_BITS = b"Lr16"


class PsdLayer(NamedTuple):
    """A layer as large as the picture.

    Attributes:
        name: as the layers panel shows it; any Unicode.
        rgb: `(H, W, 3)`.
        mask: `(H, W)`, its editable layer mask; None: no mask.
    """

    name: str
    rgb: Pixels
    mask: Pixels | None = None


def psd_bytes(layers: Sequence[PsdLayer], planes: Sequence[Pixels], resources: Iterable[Resource]) -> bytes:
    """Encode an RGB document.

    Args:
        layers: the lowest first.
        planes: of the merged picture, each `(H, W)`: three colours, then saved channels. All pixels of the document are
            uint8, or all are uint16.
        resources: image resources, which also name the saved channels.

    Raises:
        OutputError: a side over 30,000 pixels, or over 2 GB.
    """
    (height, width), depth = planes[0].shape, 8 * planes[0].itemsize
    if max(height, width) > _MOST_SIDE_PX:
        raise OutputError(
            f"PSD ends at {_MOST_SIDE_PX} pixels a side, this is {width}x{height}, and PSB is not written; use tiff"
        )
    parts = [struct.pack(">4sH6xHIIHH", b"8BPS", 1, len(planes), height, width, depth, _RGB), bytes(4)]
    parts += [_sized(join_resources(resources)), *_layer_section(layers, depth), *_merged_picture(planes)]
    num_bytes = sum(map(len, parts))
    if num_bytes > _MOST_BYTES:
        raise OutputError(f"PSD ends at 2 GB, this has {num_bytes / 1e9:.1f}, and PSB is not written; use tiff")
    return b"".join(parts)


def unicode_text(text: str) -> bytes:
    """Text behind the number of its UTF-16 units."""
    encoded = text.encode("utf-16-be", "replace")
    return struct.pack(">I", len(encoded) // 2) + encoded


def pascal_text(text: str, multiple: int = 1) -> bytes:
    """Text behind its length, with `?` for what Mac Roman lacks, filled up to a multiple of bytes."""
    encoded = text.encode("mac_roman", "replace")[:255]
    return _filled(bytes([len(encoded)]) + encoded, multiple)


def _layer_section(layers: Sequence[PsdLayer], depth: int) -> list[bytes]:
    """All layers; in a document of 16 bits they stand in a block of their own."""
    packed = [_packed_planes(layer) for layer in layers]
    content = [struct.pack(">h", len(layers))]
    content += [_record(number, *layer) for number, layer in enumerate(zip(layers, packed, strict=True), start=1)]
    content += [plane for planes in packed for plane in planes.values()]
    num_bytes = sum(map(len, content))
    content.append(bytes(-num_bytes % 4))
    num_bytes += len(content[-1])
    if depth == 8:
        return [struct.pack(">II", num_bytes + 8, num_bytes), *content, bytes(4)]
    return [struct.pack(">III4s4sI", num_bytes + 20, 0, 0, b"8BIM", _LAYERS_OF_16_BITS, num_bytes), *content]


def _packed_planes(layer: PsdLayer) -> dict[int, bytes]:
    """A layer's planes by their numbers, each behind its way of packing."""
    opaque = np.array(np.iinfo(layer.rgb.dtype).max, layer.rgb.dtype)
    planes = {_TRANSPARENCY: np.broadcast_to(opaque, layer.rgb.shape[:2])}
    planes |= {number: layer.rgb[..., number] for number in range(3)}
    if layer.mask is not None:
        top, left, bottom, right = _box_of(layer.mask)
        planes[_MASK] = layer.mask[top:bottom, left:right]
    return {number: _packed(plane) for number, plane in planes.items()}


def _packed(plane: Pixels) -> bytes:
    if plane.dtype == np.uint16:
        return struct.pack(">H", _ZIP_PREDICTED) + pack_differences(plane)
    return struct.pack(">H", _RLE) + b"".join(pack_rows(plane))


def _box_of(mask: Pixels) -> tuple[int, int, int, int]:
    """Top, left, bottom, right of what a mask shows, one pixel where it shows nothing; outside it hides."""
    left, top, right, bottom = bounding_box(mask > 0) or (0, 0, 1, 1)
    return top, left, bottom, right


def _record(number: int, layer: PsdLayer, planes: dict[int, bytes]) -> bytes:
    """All about a layer but its planes; `number` tells it from the others."""
    height, width = layer.rgb.shape[:2]
    lengths = (struct.pack(">hI", place, len(plane)) for place, plane in planes.items())
    mask = b"" if layer.mask is None else struct.pack(">4iBB2x", *_box_of(layer.mask), 0, 0)
    name = unicode_text(layer.name)
    extra = b"".join(
        (
            _sized(mask),
            _sized(struct.pack(">10I", *[0xFFFF] * 10)),  # blends with all tones of gray and of each plane
            pascal_text(layer.name, 4),
            struct.pack(">4s4sI", b"8BIM", b"luni", len(name) + -len(name) % 4) + _filled(name, 4),
            struct.pack(">4s4sII", b"8BIM", b"lyid", 4, number),
        )
    )
    head = struct.pack(">4iH", 0, 0, height, width, len(planes)) + b"".join(lengths)
    return head + struct.pack(">4s4sBBBx", b"8BIM", b"norm", 255, 0, _FLAGS) + _sized(extra)


def _merged_picture(planes: Iterable[Pixels]) -> list[bytes]:
    packed = [pack_rows(plane) for plane in planes]
    return [struct.pack(">H", _RLE), *(plane.lengths for plane in packed), *(plane.rows for plane in packed)]


def _sized(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def _filled(data: bytes, multiple: int) -> bytes:
    return data + bytes(-len(data) % multiple)
