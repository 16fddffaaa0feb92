"""Writes a cutout as PSD, called by `write`: the photo under an editable layer mask, saved alpha, clipping path.

Written here, after Adobe's Photoshop File Formats Specification, and not by psd-tools, for the reasons in
docs/decisions/013-psd-by-hand.md. Planes are packed as Photoshop itself packs them, 8 bits as PackBits, 16 bits
deflated.
"""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from garmentcut.errors import OutputError
from garmentcut.photo.color import color_in_profile
from garmentcut.photo.compose import Preparation, lay_over
from garmentcut.photo.mask import bounding_box, slices_of
from garmentcut.photo.metadata import Resource, join_resources, pascal_text
from garmentcut.photo.path import PenPath, path_resources
from garmentcut.photo.photo import Cutout, Metadata, Pixels
from garmentcut.photo.psd_roundtrip import Mark, checksum_of, write_mark
from garmentcut.photo.write import fast_deflate

_FASTEST = 1
_MOST_SIDE_PX, _MOST_BYTES = 30_000, 2**31 - 1  # more needs a PSB, another kind of file
_RGB, _RLE, _ZIP_PREDICTED = 3, 1, 3
_TRANSPARENCY, _MASK = -1, -2  # numbers of planes that are no colours
_FLAGS = 8  # visible; written by Photoshop 5 or later
_LAYERS_OF_16_BITS = b"Lr16"
_IPTC = 1028
_MOST_DPI = 0xFFFF_FFFF  # as 16.16 fixed point
_ACTIVE_LAYER, _RESOLUTION, _CHANNEL_NAMES, _UNICODE_CHANNEL_NAMES = 1024, 1005, 1006, 1045
_CHANNEL_NUMBERS = 1053  # with one, a channel is a saved one for certain, not the merged picture's transparency
_PROFILE, _VERSION, _EXIF, _XMP = 1039, 1057, 1058, 1060
_PER_INCH, _IN_INCHES = 1, 1
_CHANNEL, _BACKGROUND = "Garment", "Background"
_MOST_NAME_CHARS = 200


def pack_rows(plane: Pixels) -> tuple[bytes, bytes]:
    """Pack a plane `(H, W)`, uint8 or uint16, as PackBits.

    Returns:
        The length of each row as big-endian 16-bit numbers, and the rows, one after another.
    """
    # As bytes, for the codec takes an array's strides for granted.
    packed = [bytes(imagecodecs.packbits_encode(row.tobytes())) for row in _bytes_of(plane)]
    return np.fromiter(map(len, packed), ">u2", count=len(packed)).tobytes(), b"".join(packed)


def pack_differences(plane: Pixels) -> bytes:
    """Deflate what each sample of a plane `(H, W)` differs by from the one before it in its row."""
    differences = plane.copy()
    np.subtract(plane[:, 1:], plane[:, :-1], out=differences[:, 1:])
    packed: bytes = fast_deflate().compress(_bytes_of(differences).data, _FASTEST)
    return packed


def _bytes_of(samples: Pixels) -> NDArray[np.uint8]:
    """The same with each sample of 16 bits as two bytes, the high one first."""
    return np.ascontiguousarray(samples, samples.dtype.newbyteorder(">")).view(np.uint8)


class PsdLayer(NamedTuple):
    """A layer as large as the picture."""

    name: str  # as the layers panel shows it; any Unicode
    rgb: Pixels  # `(H, W, 3)`
    mask: Pixels | None = None  # `(H, W)`, its editable layer mask; None: no mask


def psd_bytes(layers: Sequence[PsdLayer], planes: Sequence[Pixels], resources: Iterable[Resource]) -> bytes:
    """Encode an RGB document: its layers, the lowest first, and image resources, which also name the saved channels.

    Planes are those of the merged picture, each `(H, W)`: three colours, then saved channels. All pixels of the
    document are uint8, or all are uint16.

    Raises:
        OutputError: a side over 30,000 pixels, or over 2 GB.
    """
    (height, width), depth = planes[0].shape, 8 * planes[0].itemsize
    if max(height, width) > _MOST_SIDE_PX:
        fault = f"PSD ends at {_MOST_SIDE_PX} pixels a side, this is {width}x{height}"
        raise OutputError(f"{fault}, and PSB is not written; use tiff")
    parts = [struct.pack(">4sH6xHIIHH", b"8BPS", 1, len(planes), height, width, depth, _RGB), bytes(4)]
    lengths, rows = zip(*map(pack_rows, planes), strict=True)
    parts += [_sized(join_resources(resources)), *_layer_section(layers, depth)]
    parts += [struct.pack(">H", _RLE), *lengths, *rows]
    num_bytes = sum(map(len, parts))
    if num_bytes > _MOST_BYTES:
        raise OutputError(f"PSD ends at 2 GB, this has {num_bytes / 1e9:.1f}, and PSB is not written; use tiff")
    return b"".join(parts)


def unicode_text(text: str) -> bytes:
    """Text behind the number of its UTF-16 units."""
    encoded = text.encode("utf-16-be", "replace")
    return struct.pack(">I", len(encoded) // 2) + encoded


def _layer_section(layers: Sequence[PsdLayer], depth: int) -> list[bytes]:
    """All layers; in a document of 16 bits they stand in a block of their own."""
    encoded = [_encoded(number, layer) for number, layer in enumerate(layers, start=1)]
    content = [struct.pack(">h", len(layers)), *(record for record, _ in encoded)]
    content += [plane for _, planes in encoded for plane in planes]
    content.append(bytes(-sum(map(len, content)) % 4))
    num_bytes = sum(map(len, content))
    if depth == 8:
        return [struct.pack(">II", num_bytes + 8, num_bytes), *content, bytes(4)]
    return [struct.pack(">III4s4sI", num_bytes + 20, 0, 0, b"8BIM", _LAYERS_OF_16_BITS, num_bytes), *content]


def _encoded(number: int, layer: PsdLayer) -> tuple[bytes, list[bytes]]:
    """All about a layer but its planes, and these, packed; `number` tells it from the others."""
    (height, width), kind = layer.rgb.shape[:2], layer.rgb.dtype
    opaque = np.broadcast_to(np.array(np.iinfo(kind).max, kind), (height, width))
    planes, mask = {_TRANSPARENCY: opaque} | {place: layer.rgb[..., place] for place in range(3)}, b""
    if layer.mask is not None:
        # What it shows, one pixel where it shows nothing; outside it hides.
        box = left, top, right, bottom = bounding_box(layer.mask > 0) or (0, 0, 1, 1)
        planes[_MASK], mask = layer.mask[slices_of(box)], struct.pack(">4i4x", top, left, bottom, right)
    if kind == np.uint16:
        packed = {place: _ZIP_PREDICTED.to_bytes(2) + pack_differences(plane) for place, plane in planes.items()}
    else:
        packed = {place: _RLE.to_bytes(2) + b"".join(pack_rows(plane)) for place, plane in planes.items()}
    extra = _sized(mask)
    extra += _sized(struct.pack(">10I", *[0xFFFF] * 10))  # blends with all tones of gray and of each plane
    extra += pascal_text(layer.name, 4)
    text = unicode_text(layer.name)
    extra += b"8BIMluni" + _sized(text + bytes(-len(text) % 4))
    extra += b"8BIMlyid" + _sized(struct.pack(">I", number))
    head = struct.pack(">4iH", 0, 0, height, width, len(packed))
    head += b"".join(struct.pack(">hI", place, len(plane)) for place, plane in packed.items())
    head += struct.pack(">4s4sBBBx", b"8BIM", b"norm", 255, 0, _FLAGS)
    return head + _sized(extra), list(packed.values())


def _sized(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def encode_psd(prepared: Preparation) -> bytes:
    """A layered document of a picture that is on its way to its files."""
    path, background = prepared.path("editable"), prepared.output.background
    return layered_psd(
        prepared.wanted("psd"), path=path, background=background, name=prepared.name, marked=prepared.marked
    )


def layered_psd(
    cutout: Cutout,
    *,
    path: PenPath | None = None,
    background: str | None = None,
    name: str = "",
    marked: bool = True,
) -> bytes:
    """Encode a layered document of the photo's depth.

    The photo is a layer with the alpha as its mask, its hidden pixels as they are; the alpha is a saved channel too. A
    `background`, `#rrggbb` in sRGB, is a layer below it. The merged picture, which file browsers show, is what the
    layers look like, on white if nothing lies below. `marked` puts a mark into the XMP that tells `read_cutout` later
    what a retoucher has changed; False where a customer wants no metadata. A path without outlines is none.

    Raises:
        OutputError: over what a PSD holds.
    """
    alpha, metadata = cutout.rounded_alpha(), cutout.metadata
    merged = lay_over(cutout, background)
    # Without characters that have no shape, such as a file name may hold.
    plain_name = "".join(filter(str.isprintable, name))[:_MOST_NAME_CHARS]
    layers = [PsdLayer(plain_name or _CHANNEL, cutout.rgb, alpha)]
    if background:  # in every pixel, at the memory of one
        pixel = np.array(color_in_profile(background, cutout.profile)) * (int(np.iinfo(alpha.dtype).max) // 255)
        layers.insert(0, PsdLayer(_BACKGROUND, np.broadcast_to(pixel.astype(alpha.dtype), cutout.rgb.shape)))
    planes = [*(merged[..., number] for number in range(3)), alpha]
    path = path if path and path.subpaths else None
    if marked:
        size_hw, is_whole = (alpha.shape[0], alpha.shape[1]), cutout.is_whole and not cutout.is_clean
        mark = Mark(size_hw, is_whole, checksum_of(cutout.rgb), checksum_of(alpha), path)
        metadata = replace(metadata, xmp=write_mark(metadata.xmp, mark))
    return psd_bytes(layers, planes, _resources(metadata, path, num_layers=len(layers)))


def _resources(metadata: Metadata, path: PenPath | None, *, num_layers: int) -> list[Resource]:
    found = {
        _ACTIVE_LAYER: struct.pack(">H", num_layers - 1),
        _CHANNEL_NAMES: pascal_text(_CHANNEL),
        _UNICODE_CHANNEL_NAMES: unicode_text(_CHANNEL),
        _CHANNEL_NUMBERS: struct.pack(">I", 1),
        # The merged picture is a true one; then who wrote it and who can read it.
        _VERSION: struct.pack(">IB", 1, 1) + 2 * unicode_text("garmentcut") + struct.pack(">I", 1),
        _PROFILE: metadata.profile,
        _EXIF: metadata.exif,
        _XMP: metadata.xmp,
        _IPTC: metadata.iptc,
    }
    if metadata.dpi:
        across, down = (min(round(value * 65_536), _MOST_DPI) for value in metadata.dpi)
        found[_RESOLUTION] = struct.pack(">IHHIHH", across, _PER_INCH, _IN_INCHES, down, _PER_INCH, _IN_INCHES)
    resources = [Resource(number, "", data) for number, data in sorted(found.items()) if data]
    return resources + (path_resources(path) if path else [])
