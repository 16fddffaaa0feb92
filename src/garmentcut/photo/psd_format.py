"""Photoshop documents: reads layers, masks and channels, unpacking only what is asked for, and writes simple ones.

psd-tools parses the structure (Adobe, Photoshop File Formats Specification). Planes are unpacked here, strictly,
because psd-tools would replace damaged ones by black. Documents are written here too
(docs/decisions/013-psd-by-hand.md), packed as Photoshop itself does it: PackBits for 8 bits, deflate for 16.
"""

import io
import logging
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

import imagecodecs
import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from garmentcut.config import ReadConfig
from garmentcut.errors import OutputError, PhotoError
from garmentcut.photo.mask import bounding_box, slices_of
from garmentcut.photo.metadata import Resource, join_resources, pascal_text, resource_of, split_resources
from garmentcut.photo.photo import Pixels, check_size

if TYPE_CHECKING:
    from psd_tools.psd.layer_and_mask import ChannelData, LayerInfo, LayerRecord

RGB, CMYK = 3, 4
"""Colour modes."""
# If there is a vector mask too, MASK may hold what Photoshop drew of both; PAINTED_MASK is then the painted one.
TRANSPARENCY, MASK, PAINTED_MASK = -1, -2, -3
"""Numbers of the planes of a layer that are not colours."""

_RAW, _RLE, _ZIP, _ZIP_PREDICTED = range(4)  # ways of packing a plane
_HEADER = struct.Struct(">4sH6xHIIHH")  # signature, version, planes, height, width, depth, mode
_LAYERS_OF_16_BITS = b"Lr16"
_FASTEST = 1
_FLAGS = 8  # of a layer: visible, in the form of Photoshop 5 and later
_MOST_SIDE_PX, _MOST_BYTES = 30_000, 2**31 - 1  # more needs PSB, another format
_DAMAGED = "damaged Photoshop document: {}; save it again"

_RLE_GAIN = 64  # two bytes of PackBits unpack to at most 128
# Limits on what all planes of a file unpack to: layers of packed zeros could otherwise ask for terabytes.
_SPARE_BYTES, _GAIN = 1 << 29, 100
_PSD, _BIG = 1, 2  # versions
_COLORS_OF_MODE = {0: 1, 1: 1, 2: 1, RGB: 3, CMYK: 4, 8: 1, 9: 3}
_MULTICHANNEL = 7  # every plane is an ink
_MOST_NESTED = 64  # Photoshop allows 10 groups within each other
_MOST_LAYERS, _MOST_PARTS = 8000, 100_000  # Photoshop allows 8000 layers, each with about ten parts
_UNICODE_NAME, _FILL_OPACITY, _DIVIDERS = b"luni", b"iOpa", (b"lsct", b"lsdk")
_GROUP, _GROUP_END = (1, 2), 3  # a group's own record, open or closed; the divider below its lowest layer


# psd-tools logs odd parts, which Python prints on stderr if the application has not set up logging.
logging.getLogger("psd_tools").addHandler(logging.NullHandler())


class ImageResource(IntEnum):
    """Numbers of image resources; IPTC's is in `metadata`, because TIFF and JPEG hold it too."""

    RESOLUTION = 1005
    ALPHA_NAMES = 1006
    ACTIVE_LAYER = 1024
    ICC_PROFILE = 1039
    UNICODE_ALPHA_NAMES = 1045
    CHANNEL_NUMBERS = 1053  # a channel with one is certainly a saved one, not the merged picture's transparency
    VERSION_INFO = 1057
    EXIF = 1058
    XMP = 1060


class Box(NamedTuple):
    """A rectangle in the picture, in pixels; may reach outside it, or be empty."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width, 0 for an empty box."""
        return max(self.bottom - self.top, 0), max(self.right - self.left, 0)

    def within(self, frame: "Box") -> "Box":
        """The part of it that lies in another one; may be empty."""
        top, left = max(self.top, frame.top), max(self.left, frame.left)
        return Box(top, left, max(min(self.bottom, frame.bottom), top), max(min(self.right, frame.right), left))

    def seen_from(self, frame: "Box") -> "Box":
        """The same rectangle, relative to the upper left corner of another one."""
        return Box(self.top - frame.top, self.left - frame.left, self.bottom - frame.top, self.right - frame.left)


@dataclass(frozen=True, eq=False)
class Layer:
    """One layer, or a group of layers."""

    record: "LayerRecord"  # what psd-tools found about it
    channels: dict[int, "ChannelData"]  # its packed planes by number (psd-tools' `ChannelID`)
    children: tuple["Layer", ...] | None = None  # a group's layers, lowest first; None: not a group

    @property
    def name(self) -> str:
        """As the layers panel shows it."""
        return str(self.record.tagged_blocks.get_data(_UNICODE_NAME) or self.record.name)

    @property
    def box(self) -> Box:
        """Where its pixels are."""
        return Box(self.record.top, self.record.left, self.record.bottom, self.record.right)

    @property
    def opacity(self) -> float:
        """Opacity and fill opacity together, 0 to 1."""
        fill = self.record.tagged_blocks.get_data(_FILL_OPACITY, 255)
        return float(self.record.opacity * fill) / 255**2


@dataclass(eq=False)
class Document:
    """A Photoshop document; refuses to unpack far more than is plausible for a file of its size."""

    size_hw: tuple[int, int]  # of the picture
    mode: int  # Photoshop's colour mode (1 gray, 3 RGB, 4 CMYK, others)
    num_channels: int  # planes of the merged picture: colours, then transparency if it has some, then saved channels
    layers: tuple[Layer, ...]  # lowest first; empty: there is only the merged picture
    resources: tuple[Resource, ...]  # image resources
    merged: tuple[int, bytes] = field(repr=False)  # the merged picture's compression and its packed planes
    has_merged_alpha: bool  # the first plane after the merged picture's colours is its transparency
    depth: int  # bits per sample: 1, 8 or 16
    limits: ReadConfig
    bytes_left: int  # that may still be unpacked or drawn

    @property
    def frame(self) -> Box:
        """The whole picture as a box."""
        return Box(0, 0, *self.size_hw)

    @property
    def num_colors(self) -> int:
        """Number of the merged picture's planes that are colours."""
        return _COLORS_OF_MODE.get(self.mode, self.num_channels)

    @property
    def leaves(self) -> list[tuple[Layer, tuple[Layer, ...]]]:
        """All layers except groups, lowest first, each with the groups around it, innermost first."""
        return list(_leaves_of(self.layers))

    def resource(self, number: int) -> bytes | None:
        """The data of an image resource; None: there is none."""
        return resource_of(self.resources, number)

    def spend(self, num_bytes: int) -> None:
        """Count bytes that are made from the file, such as planes drawn from a few numbers; they take time and memory.

        Raises:
            PhotoError: the sum is far more than is plausible for the file.
        """
        self.bytes_left -= num_bytes
        if self.bytes_left < 0:
            fault = "its layers unpack to far more than such a file can hold"
            raise PhotoError(f"{fault}; flatten it and save it again", code="damaged")

    def layer_plane(self, layer: Layer, channel: int, box: Box) -> Pixels | None:
        """A layer's plane `(H, W)`, uint8 or uint16, the size of its box; None: it is missing or empty.

        Raises:
            PhotoError: over a limit, damaged, or far more than the file can hold.
        """
        packed = layer.channels.get(channel)
        if packed is None or not packed.data or 0 in box.size_hw:
            return None
        check_size(*box.size_hw[::-1], self.limits, channels=1, bits=self.depth)
        self.spend(box.size_hw[0] * _row_bytes(box.size_hw[1], self.depth))
        return _unpack(int(packed.compression), packed.data, box.size_hw, self.depth)

    def merged_plane(self, number: int) -> Pixels:
        """A plane of the merged picture; shape, dtype and errors as for `layer_plane`."""
        (height, width), (compression, packed) = self.size_hw, self.merged
        planes = slice(number * height, (number + 1) * height)
        if compression in (_ZIP, _ZIP_PREDICTED):  # one stream for all planes, unpacked again for each
            self.spend(self.num_channels * height * _row_bytes(width, self.depth))
            return _unpack(compression, packed, (self.num_channels * height, width), self.depth)[planes]
        if compression == _RLE:  # the lengths of all planes' rows come first
            lengths = np.frombuffer(packed, ">u2", count=self.num_channels * height)
            start = 2 * len(lengths) + int(lengths[: planes.start].sum(dtype=np.int64))
            packed = lengths[planes].tobytes() + packed[start : start + int(lengths[planes].sum(dtype=np.int64))]
        else:
            row_bytes = _row_bytes(width, self.depth)
            packed = packed[planes.start * row_bytes : planes.stop * row_bytes]
        return _unpack(compression, packed, self.size_hw, self.depth)


def _leaves_of(layers: tuple[Layer, ...], *groups: Layer) -> Iterator[tuple[Layer, tuple[Layer, ...]]]:
    for layer in layers:
        if layer.children is None:
            yield layer, groups
        else:
            yield from _leaves_of(layer.children, layer, *groups)


def _row_bytes(width: int, depth: int) -> int:
    return (width * depth + 7) // 8


def _unpack(compression: int, packed: bytes, size_hw: tuple[int, int], depth: int) -> Pixels:
    """Unpack one plane; raises PhotoError if it is damaged."""
    height, width = size_hw
    num_bytes = height * _row_bytes(width, depth)
    if compression == _RLE:
        lengths = np.frombuffer(packed, ">u2", count=min(height, len(packed) // 2))
        rows = packed[2 * height : 2 * height + int(lengths.sum(dtype=np.int64))]
        data = bytes(imagecodecs.packbits_decode(rows, out=num_bytes)) if num_bytes <= _RLE_GAIN * len(rows) else b""
    else:
        is_raw = compression == _RAW
        data = packed[:num_bytes] if is_raw else zlib.decompressobj().decompress(packed, num_bytes + 1)
    if len(data) != num_bytes:
        raise PhotoError(_DAMAGED.format("a layer is cut off"), code="damaged")
    if depth == 1:
        bits = np.unpackbits(np.frombuffer(data, np.uint8).reshape(height, -1), axis=1, count=width)
        return (1 - bits) * np.uint8(255)  # a set bit is black
    kind = np.dtype(f"u{depth // 8}")
    samples = np.frombuffer(data, kind.newbyteorder(">")).reshape(size_hw).astype(kind)
    return np.cumsum(samples, axis=1, dtype=kind) if compression == _ZIP_PREDICTED else samples


def read_document(data: bytes, limits: ReadConfig) -> Document:
    """Read a PSD file's structure, after checking its header against the limits; nothing is unpacked.

    Raises:
        PhotoError: a PSB, over a limit, of an unsupported depth, truncated; any other exception means damage.
    """
    mode, depth, size_hw, num_channels = _read_header(data, limits)
    from psd_tools import ParseLimits
    from psd_tools.psd import PSD

    # Without the image resources, which are parsed here, because psd-tools 1.26 fails on some.
    start, end = resource_span(data)
    if data.count(b"8BIM", end) > _MOST_PARTS:  # each takes time, however small
        raise PhotoError("a Photoshop document of very many parts; flatten it and save it again", code="too_large")
    content = io.BytesIO(b"".join((data[:start], bytes(4), memoryview(data)[end:])))
    # psd-tools copies nested parts once for each level.
    psd = PSD.read(content, parse_limits=ParseLimits(max_total_bytes=8 * len(data) + (1 << 20)))
    section = psd.layer_and_mask_information
    # 16-bit documents keep their layers in a block of their own.
    in_block = section.tagged_blocks.get_data(_LAYERS_OF_16_BITS) if section.tagged_blocks else None
    info: LayerInfo | None = in_block or section.layer_info
    if info is not None and abs(info.layer_count) > _MOST_LAYERS:
        raise PhotoError(f"over {_MOST_LAYERS} layers; flatten it and save it again", code="too_large")
    has_merged_alpha = info is not None and info.layer_count < 0
    merged = int(psd.image_data.compression), psd.image_data.data
    _refuse_missing_pixels(merged, num_channels * size_hw[0], _row_bytes(size_hw[1], depth))
    resources, layers = tuple(split_resources(data[start + 4 : end])), _tree_of(info)
    room = _SPARE_BYTES + _GAIN * len(data)
    return Document(size_hw, mode, num_channels, layers, resources, merged, has_merged_alpha, depth, limits, room)


def _read_header(data: bytes, limits: ReadConfig) -> tuple[int, int, tuple[int, int], int]:
    """Check the header; returns mode, depth, size and number of channels."""
    if len(data) < _HEADER.size:
        raise PhotoError("truncated Photoshop document; copy or save it again", code="truncated")
    _, version, num_channels, height, width, depth, mode = _HEADER.unpack_from(data)
    if version == _BIG:
        raise PhotoError("a large Photoshop document (PSB); save it as PSD")
    check_size(width, height, limits, channels=num_channels, bits=depth, num_bytes=len(data))
    num_colors = _COLORS_OF_MODE.get(mode, 1 if mode == _MULTICHANNEL else num_channels + 1)
    if version != _PSD or num_channels < num_colors:
        raise PhotoError(_DAMAGED.format("its header makes no sense"), code="damaged")
    if depth not in (1, 8, 16):
        raise PhotoError(f"a Photoshop document of {depth} bits; save it with 8 or 16 bits")
    return mode, depth, (height, width), num_channels


def resource_span(data: bytes) -> tuple[int, int]:
    """Offsets of the image resources: their start, which is the start of their length field, and their end."""
    start = _HEADER.size + 4 + int.from_bytes(data[_HEADER.size : _HEADER.size + 4])
    return start, start + 4 + int.from_bytes(data[start : start + 4])


def _tree_of(info: "LayerInfo | None") -> tuple[Layer, ...]:
    """Build the tree of layers. In the file, a group is a divider, then its layers, then its own record."""
    stack: list[list[Layer]] = [[]]
    for record, packed in zip(info.layer_records, info.channel_image_data, strict=True) if info else ():
        layer = Layer(record, dict(zip((int(channel.id) for channel in record.channel_info), packed, strict=True)))
        dividers = (record.tagged_blocks.get_data(key) for key in _DIVIDERS)
        kind = next((int(divider.kind) for divider in dividers if divider), None)
        if kind == _GROUP_END:
            stack.append([])
            if len(stack) > _MOST_NESTED:
                raise PhotoError(_DAMAGED.format("its groups are nested too deeply"), code="damaged")
        elif kind in _GROUP:
            children = stack.pop() if len(stack) > 1 else []
            stack[-1].append(Layer(record, layer.channels, tuple(children)))
        else:
            stack[-1].append(layer)
    return tuple(layer for level in stack for layer in level)


def _refuse_missing_pixels(merged: tuple[int, bytes], num_rows: int, row_bytes: int) -> None:
    """Refuse a truncated file: the merged picture is at the end, so it tells whether the file is whole."""
    (compression, packed), is_whole = merged, True
    if compression == _RAW:
        is_whole = len(packed) >= num_rows * row_bytes
    elif compression == _RLE:
        lengths = np.frombuffer(packed, ">u2", count=min(num_rows, len(packed) // 2))
        is_whole = len(lengths) == num_rows and 2 * num_rows + int(lengths.sum(dtype=np.int64)) <= len(packed)
    if not is_whole:
        raise PhotoError("truncated Photoshop document; copy or save it again", code="truncated")


def pack_rows(plane: Pixels) -> tuple[bytes, bytes]:
    """Pack a plane `(H, W)`, uint8 or uint16, as PackBits; a border of one level, as around a cutout, is packed once.

    Returns the packed length of each row as big-endian 16-bit numbers, and the packed rows, one after another.
    """

    def pack(samples: Pixels) -> bytes:  # as bytes, because the codec ignores an array's strides
        return bytes(imagecodecs.packbits_encode(_bytes_of(samples).tobytes())) if samples.size else b""

    first, (height, width) = plane[0], plane.shape
    box = bounding_box(plane != first[0]) if (first == first[0]).all() else (0, 0, width, height)
    left, top, right, bottom = box or (width, height, width, height)
    blank, before, after = map(pack, (first, first[:left], first[right:]))
    inside = [before + pack(row) + after for row in plane[top:bottom, left:right]]
    packed = [*[blank] * top, *inside, *[blank] * (height - bottom)]
    return np.fromiter(map(len, packed), ">u2", count=height).tobytes(), b"".join(packed)


def pack_differences(plane: Pixels) -> bytes:
    """Deflate the difference of each sample of a plane `(H, W)` from the one before it in its row."""
    differences = plane.copy()
    np.subtract(plane[:, 1:], plane[:, :-1], out=differences[:, 1:])
    return bytes(isal_zlib.compress(_bytes_of(differences).data, _FASTEST))


def _bytes_of(samples: Pixels) -> NDArray[np.uint8]:
    """The samples as big-endian bytes."""
    return np.ascontiguousarray(samples, samples.dtype.newbyteorder(">")).view(np.uint8)


class PsdLayer(NamedTuple):
    """A layer as large as the picture."""

    name: str  # as the layers panel shows it; any Unicode
    rgb: Pixels  # `(H, W, 3)`
    mask: Pixels | None = None  # `(H, W)`, its editable layer mask; None: no mask


def psd_bytes(layers: Sequence[PsdLayer], planes: Sequence[Pixels], resources: Iterable[Resource]) -> bytes:
    """Encode an RGB document from its layers, lowest first, and image resources, which also name the saved channels.

    `planes` are those of the merged picture, each `(H, W)`: three colours, then saved channels. All pixels of the
    document are uint8, or all are uint16. Raises OutputError if a side is over 30,000 pixels, or the file over 2 GB.
    """
    (height, width), depth = planes[0].shape, 8 * planes[0].itemsize
    if max(height, width) > _MOST_SIDE_PX:
        fault = f"PSD is limited to {_MOST_SIDE_PX} pixels per side, this is {width}x{height}"
        raise OutputError(f"{fault}, and PSB is not written; use tiff")
    parts = [_HEADER.pack(b"8BPS", 1, len(planes), height, width, depth, RGB), bytes(4)]
    lengths, rows = zip(*map(pack_rows, planes), strict=True)
    parts += [_sized(join_resources(resources)), *_layer_section(layers, depth)]
    parts += [struct.pack(">H", _RLE), *lengths, *rows]
    num_bytes = sum(map(len, parts))
    if num_bytes > _MOST_BYTES:
        raise OutputError(f"PSD is limited to 2 GB, this has {num_bytes / 1e9:.1f}, and PSB is not written; use tiff")
    return b"".join(parts)


def unicode_text(text: str) -> bytes:
    """Encode text as UTF-16, preceded by its number of units."""
    encoded = text.encode("utf-16-be", "replace")
    return struct.pack(">I", len(encoded) // 2) + encoded


def _layer_section(layers: Sequence[PsdLayer], depth: int) -> list[bytes]:
    """Encode all layers; in a 16-bit document they are in a block of their own."""
    encoded = [_encoded(number, layer) for number, layer in enumerate(layers, start=1)]
    content = [struct.pack(">h", len(layers)), *(record for record, _ in encoded)]
    content += [plane for _, planes in encoded for plane in planes]
    content.append(bytes(-sum(map(len, content)) % 4))
    num_bytes = sum(map(len, content))
    if depth == 8:
        return [struct.pack(">II", num_bytes + 8, num_bytes), *content, bytes(4)]
    return [struct.pack(">III4s4sI", num_bytes + 20, 0, 0, b"8BIM", _LAYERS_OF_16_BITS, num_bytes), *content]


def _encoded(number: int, layer: PsdLayer) -> tuple[bytes, list[bytes]]:
    """Encode a layer: its record, and its packed planes; `number` is its id."""
    (height, width), kind = layer.rgb.shape[:2], layer.rgb.dtype
    opaque = np.broadcast_to(np.array(np.iinfo(kind).max, kind), (height, width))
    planes, mask = {TRANSPARENCY: opaque} | {place: layer.rgb[..., place] for place in range(3)}, b""
    if layer.mask is not None:
        # The box of what it shows, or one pixel if it shows nothing; outside the box all is hidden.
        box = left, top, right, bottom = bounding_box(layer.mask > 0) or (0, 0, 1, 1)
        planes[MASK], mask = layer.mask[slices_of(box)], struct.pack(">4i4x", top, left, bottom, right)
    if kind == np.uint16:
        packed = {place: _ZIP_PREDICTED.to_bytes(2) + pack_differences(plane) for place, plane in planes.items()}
    else:
        packed = {place: _RLE.to_bytes(2) + b"".join(pack_rows(plane)) for place, plane in planes.items()}
    extra = _sized(mask)
    extra += _sized(struct.pack(">10I", *[0xFFFF] * 10))  # it blends with all tones of gray and of each plane
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
