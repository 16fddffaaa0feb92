"""garmentcut's own PSDs: writes them, and tells `photo.truth` what a retoucher has changed in them since.

A mark in the XMP packet records what was written, as properties in a namespace of its own: Adobe's programs keep
properties that they do not know (Adobe, XMP Specification, part 1). Photoshop has 16-bit levels from 0 to 32768 and
rounds every document to them, so only 8-bit documents have checksums; a 16-bit mask is compared with the saved channel
beside it.

Layer mask and clipping path are equivalent when written, and usually only one of them is corrected. The changed one is
used; if both were changed, the mask, which is finer.
"""

import base64
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from typing import Literal, NamedTuple

import numpy as np
from isal import isal_zlib

from garmentcut.errors import PhotoError
from garmentcut.photo.color import color_in_profile, usable_profile
from garmentcut.photo.compose import Preparation, lay_over
from garmentcut.photo.mask import Mask, dilate, mask_iou
from garmentcut.photo.metadata import IPTC_RESOURCE, Resource, pascal_text
from garmentcut.photo.path import PenPath, draw_path, find_clipping_path, parse_path, path_resources
from garmentcut.photo.photo import Cutout, Metadata, Photo, Pixels, to_alpha
from garmentcut.photo.psd_format import (
    RGB,
    TRANSPARENCY,
    Box,
    Document,
    ImageResource,
    Layer,
    PsdLayer,
    psd_bytes,
    unicode_text,
)
from garmentcut.photo.psd_layers import NO_PIXELS, Alpha, draw_mask, place
from garmentcut.photo.xmp import RDF, Packet, edited, packet_of

_NAMESPACE = "http://ns.garmentcut.org/psd/1.0/"  # a name only; nothing has to be there
_MOST_BYTES, _MOST_PATH_BYTES = 8_000_000, 2_000_000  # limits for a packet and for an unpacked path
_MOST_DPI = 0xFFFF_FFFF  # as 16.16 fixed point
_PER_INCH, _IN_INCHES = 1, 1
_CHANNEL, _BACKGROUND = "Garment", "Background"
_MOST_NAME_CHARS = 200
_SAME_PX = 1 / 64  # tolerance for knots; Photoshop's own numbers are finer
_SAME_LEVELS = {8: 1.1 / 255, 16: 4.1 / 65_535}  # tolerance by a document's depth; Photoshop rounds 16 bits to 15
_SAME_COVERAGE = np.float32(1 / 255)
_SEAM_PX = 2  # around changed parts of a path, where the mask still shows the old edge
_ALIKE_IOU = 0.99


@dataclass(frozen=True)
class Mark:
    """A document as garmentcut wrote it."""

    size_hw: tuple[int, int]  # of the photo's layer
    # The layer is the whole photo, untouched; False: trimmed, laid on a customer's canvas, or its hidden pixels were
    # cleared.
    is_whole: bool = True
    # Checksums of its colours and of its mask; None: 16 bits
    photo_sum: int | None = None
    mask_sum: int | None = None
    path: PenPath | None = None  # the clipping path; None: none was written


def checksum_of(levels: Pixels) -> int | None:
    """CRC-32 of uint8 levels of any shape; None for uint16 (the module's docstring says why)."""
    return int(isal_zlib.crc32(np.ascontiguousarray(levels).data)) if levels.dtype == np.uint8 else None


def write_mark(xmp: bytes | None, mark: Mark) -> bytes:
    """Add a mark to the photo's XMP packet, or to a new one, in place of an earlier mark; all else stays.

    A packet without RDF is returned unchanged, without a mark.
    """
    values = {"Size": f"{mark.size_hw[1]}x{mark.size_hw[0]}", "Frame": "whole" if mark.is_whole else "part"}
    sums = {"Photo": mark.photo_sum, "Mask": mark.mask_sum}
    values |= {key: f"{checksum:08x}" for key, checksum in sums.items() if checksum is not None}
    if mark.path is not None:
        values["Path"] = base64.b64encode(zlib.compress(path_resources(mark.path)[0].data, 9)).decode()
    own = "".join(f' garmentcut:{key}="{value}"' for key, value in values.items())
    rdf = f'xmlns:rdf="{RDF}"'  # declared again, because the packet may use another prefix
    description = f'<rdf:Description {rdf} rdf:about="" xmlns:garmentcut="{_NAMESPACE}"{own}/>'.encode()
    packet = xmp or packet_of()
    try:
        scan = Packet(packet)
    except ValueError:
        return packet
    if scan.content is None:
        return packet
    earlier = [(place, b"") for namespaces, place in scan.descriptions if namespaces == {_NAMESPACE}]
    return edited(packet, [*earlier, (slice(scan.content.stop, scan.content.stop), description)])


def encode_psd(prepared: Preparation) -> bytes:
    """Encode a prepared picture as a layered document."""
    path, background, cutout = prepared.path("editable"), prepared.output.background, prepared.wanted("psd")
    return layered_psd(cutout, path=path, background=background, name=prepared.name, marked=prepared.marked)


def layered_psd(
    cutout: Cutout, *, path: PenPath | None = None, background: str | None = None, name: str = "", marked: bool = True
) -> bytes:
    """Encode a layered document of the photo's depth.

    The photo is a layer with the alpha as its mask and with unchanged hidden pixels; the alpha is also a saved channel.
    A `background`, `#rrggbb` in sRGB, is a layer below it. The merged picture, which file browsers show, looks like the
    layers, on white if there is no background. `marked` adds a mark to the XMP, which later tells `read_cutout` what a
    retoucher has changed; False if a customer wants no metadata. A path without outlines is not written.

    Raises:
        OutputError: it is larger than a PSD can be.
    """
    alpha, metadata = cutout.rounded_alpha(), cutout.metadata
    merged = lay_over(cutout, background)
    # Without unprintable characters, which a file name may contain.
    plain_name = "".join(filter(str.isprintable, name))[:_MOST_NAME_CHARS]
    layers = [PsdLayer(plain_name or _CHANNEL, cutout.rgb, alpha)]
    if background:  # fills the picture, but takes the memory of one pixel
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
        ImageResource.ACTIVE_LAYER: struct.pack(">H", num_layers - 1),
        ImageResource.ALPHA_NAMES: pascal_text(_CHANNEL),
        ImageResource.UNICODE_ALPHA_NAMES: unicode_text(_CHANNEL),
        ImageResource.CHANNEL_NUMBERS: struct.pack(">I", 1),
        # There is a real merged picture; then the names of the writer and of a reader.
        ImageResource.VERSION_INFO: struct.pack(">IB", 1, 1) + 2 * unicode_text("garmentcut") + struct.pack(">I", 1),
        ImageResource.ICC_PROFILE: metadata.profile,
        ImageResource.EXIF: metadata.exif,
        ImageResource.XMP: metadata.xmp,
        IPTC_RESOURCE: metadata.iptc,
    }
    if metadata.dpi:
        sides = ((min(round(value * 65_536), _MOST_DPI), _PER_INCH, _IN_INCHES) for value in metadata.dpi)
        found[ImageResource.RESOLUTION] = b"".join(struct.pack(">IHH", *side) for side in sides)
    resources = [Resource(number, "", data) for number, data in sorted(found.items()) if data]
    return resources + (path_resources(path) if path else [])


def read_mark(xmp: bytes | None) -> Mark | None:
    """The mark in a packet, even if another program has rewritten the packet; None: there is no readable mark."""
    if not xmp or len(xmp) > _MOST_BYTES or _NAMESPACE.encode() not in xmp:
        return None
    try:
        scan = Packet(xmp.strip(b"\0 \t\r\n"))
        start = f"{_NAMESPACE} "
        own = (one for one in scan.properties if one.name.startswith(start))
        values = {one.name.removeprefix(start): one.value.strip() for one in own}
        width, _, height = values["Size"].partition("x")
        photo_sum, mask_sum = (int(values[key], 16) if key in values else None for key in ("Photo", "Mask"))
        packed = base64.b64decode(values.get("Path", ""), validate=True)
        path = parse_path(zlib.decompressobj().decompress(packed, _MOST_PATH_BYTES)) if packed else None
        return Mark((int(height), int(width)), values["Frame"] == "whole", photo_sum, mask_sum, path)
    except (KeyError, ValueError, zlib.error, PhotoError):
        return None


class MaskedPhoto(NamedTuple):
    """The photo's layer, and the alpha that its masks make."""

    layer: Layer  # the photo's
    alpha: Alpha  # `(H, W)`, of the layer, wherever it lies in the picture
    notes: tuple[str, ...] = ()  # on its masks


def find_masked_photo(document: Document, mark: Mark) -> MaskedPhoto | None:
    """In garmentcut's own document, the topmost visible, opaque layer of the photo's size with a mask; None: none.

    Masks of groups around the layer count too.
    """
    for layer, groups in reversed(document.leaves):
        if layer.box.size_hw != mark.size_hw or not all(part.record.flags.visible for part in (layer, *groups)):
            continue
        drawn = [draw_mask(document, part, layer.box) for part in (layer, *groups)]
        masks = [mask for mask, _ in drawn if mask is not None]
        if masks and _is_opaque(document, layer):
            notes = tuple(note for _, notes in drawn for note in notes)
            return MaskedPhoto(layer, reduce(np.multiply, masks), notes)
    return None


def read_original(document: Document, mark: Mark | None) -> Photo:
    """The untouched photo.

    In garmentcut's own documents, this is the layer of the photo's size, wherever it was moved; of several, one that is
    unchanged, else the lowest with a mask, else the lowest. In other documents, it is the lowest layer that covers the
    picture without a hole.

    Raises:
        PhotoError: the document does not hold it; the message says why.
    """
    if document.mode != RGB:
        raise PhotoError("its document is not in RGB, so no photo is taken out of it")
    if mark is not None and not mark.is_whole:
        fault = "trimmed, laid on another canvas or with its hidden pixels cleared"
        raise PhotoError(f"its document holds the photo {fault}")
    candidates = list(_candidates(document, mark))
    if not candidates:
        raise PhotoError(_reason_for_none(document, mark))
    photo_sum = mark.photo_sum if mark else None
    same = [one for one in candidates if photo_sum is not None and checksum_of(one[1]) == photo_sum]
    layer, rgb = (same or candidates)[0]
    notes = [f"out of the layer {layer.name!r}{', as garmentcut wrote it' if same else ''}"]
    if photo_sum is not None and not same:
        notes.append("not as garmentcut wrote it: retouched, perhaps")
    profile, profile_notes = usable_profile(document.resource(ImageResource.ICC_PROFILE))
    return Photo(np.ascontiguousarray(rgb), profile, notes=(*notes, *profile_notes))


def layer_rgb(document: Document, layer: Layer, frame: Box) -> Pixels | None:
    """A layer's colours `(h, w, C)` within a frame, black outside the layer; None: it lacks one."""
    planes = [document.layer_plane(layer, number, layer.box) for number in range(document.num_colors)]
    present = [plane for plane in planes if plane is not None]
    if len(present) < len(planes):
        return None
    return place(np.stack(present, axis=2), layer.box.seen_from(frame), frame.size_hw)


def _candidates(document: Document, mark: Mark | None) -> Iterator[tuple[Layer, Pixels]]:
    """Yield layers that may be the photo, the most likely first; they are unpacked one at a time."""
    leaves = [leaf for leaf in document.leaves if _may_be_photo(document, leaf[0], mark)]
    if mark is not None:
        leaves.sort(key=lambda leaf: not any(part.record.mask_data for part in (leaf[0], *leaf[1])))
    for layer, _ in leaves:
        rgb = layer_rgb(document, layer, document.frame if mark is None else layer.box)
        if rgb is not None and (rgb != rgb[:1, :1]).any():  # a layer of a single colour is a background
            yield layer, rgb


def _may_be_photo(document: Document, layer: Layer, mark: Mark | None) -> bool:
    if any(kind in layer.record.tagged_blocks for kind in NO_PIXELS):
        return False
    box, (height, width) = layer.box, document.size_hw
    if mark is None:
        fits = box.top <= 0 and box.left <= 0 and box.bottom >= height and box.right >= width
    else:
        fits = box.size_hw == mark.size_hw
    return fits and _is_opaque(document, layer)


def _is_opaque(document: Document, layer: Layer) -> bool:
    plane = document.layer_plane(layer, TRANSPARENCY, layer.box)
    return plane is None or bool(plane.min() == np.iinfo(plane.dtype).max)


def _reason_for_none(document: Document, mark: Mark | None) -> str:
    if mark is None:
        return "its document holds no layer that covers the image without a hole"
    unlike = replace(mark, size_hw=document.size_hw)
    if document.size_hw != mark.size_hw and any(_may_be_photo(document, leaf, unlike) for leaf, _ in document.leaves):
        sizes = ["x".join(map(str, size_hw[::-1])) for size_hw in (mark.size_hw, document.size_hw)]
        return f"its document was cropped or scaled from {sizes[0]} to {sizes[1]} pixels"
    return "its document no longer holds the whole photo: its layer was erased in, scaled or removed"


class Correction(NamedTuple):
    """The cutout that a document of garmentcut's now holds."""

    source: Literal["layer mask", "clipping path"]
    alpha: Alpha  # `(H, W)` of the layer
    notes: tuple[str, ...]  # how it was chosen, in words
    is_unchanged: bool = False  # it is as garmentcut wrote it


def find_correction(document: Document, mark: Mark, masked: MaskedPhoto) -> Correction:
    """Choose between the mask and the clipping path of a document that garmentcut wrote.

    If only the path was changed, it counts where it was moved, and the mask elsewhere; otherwise the mask counts.
    """
    is_painted = not _is_as_written(document, mark, masked.alpha)
    new = _Drawn.of_document(document, masked.layer.box)
    old = _Drawn.of_mark(mark)
    is_moved = new is not None and not new.is_like(old)
    if not is_painted and new is not None and is_moved:
        note = "the clipping path was changed, the layer mask was not: "
        note += "it counts where it was moved, elsewhere the mask" if old else "it counts"
        return Correction("clipping path", new.laid_over(masked.alpha, old), (*masked.notes, note))
    notes = masked.notes
    # IoU of hard masks, because a path has no soft edges.
    iou = mask_iou(masked.alpha >= 0.5, new.alpha >= 0.5) if is_painted and new is not None else 1.0
    if iou < _ALIKE_IOU:
        what = "was changed too, but" if is_moved else "was left as garmentcut wrote it and"
        notes += (f"the clipping path {what} differs from the layer mask (IoU {iou:.3f}): the mask counts",)
    return Correction("layer mask", masked.alpha, notes, is_unchanged=not is_painted)


def unchanged_places(document: Document, mark: Mark) -> set[str]:
    """Which of `saved channel` and `clipping path` are as garmentcut wrote them."""
    unchanged = set()
    channel, path = _saved_channel(document), _Drawn.of_document(document, document.frame)
    if channel is not None and (mark.mask_sum is None or _sum_of(to_alpha(channel)) == mark.mask_sum):
        unchanged.add("saved channel")
    if path is not None and path.is_like(_Drawn.of_mark(mark)):
        unchanged.add("clipping path")
    return unchanged


@dataclass(frozen=True, eq=False)
class _Drawn:
    """A path, and the area that it encloses, which is drawn on first use."""

    path: PenPath
    size_hw: tuple[int, int]  # of the picture that it lies on
    frame: Box  # the part of that picture that is wanted

    @classmethod
    def of_document(cls, document: Document, frame: Box) -> "_Drawn | None":
        chosen = find_clipping_path(document.resources)
        return cls(chosen[0], document.size_hw, frame) if chosen else None

    @classmethod
    def of_mark(cls, mark: Mark) -> "_Drawn | None":
        return cls(mark.path, mark.size_hw, Box(0, 0, *mark.size_hw)) if mark.path else None

    @cached_property
    def alpha(self) -> Alpha:
        picture = Box(0, 0, *self.size_hw)
        return place(draw_path(self.path, self.size_hw), picture.seen_from(self.frame), self.frame.size_hw)

    def is_like(self, other: "_Drawn | None") -> bool:
        """Whether both have the same knots, in pixels, or enclose the same area."""
        if other is None:
            return False
        same_size = self.alpha.shape == other.alpha.shape
        return self._has_knots_of(other) or (same_size and not self._differs_from(other).any())

    def laid_over(self, mask: Alpha, old: "_Drawn | None") -> Alpha:
        """The path's area where the path differs from `old`, and the mask elsewhere."""
        if old is None:
            return self.alpha
        return np.where(dilate(self._differs_from(old), _SEAM_PX), self.alpha, mask)

    def _differs_from(self, other: "_Drawn") -> Mask:
        return np.asarray(np.abs(self.alpha - other.alpha) > _SAME_COVERAGE)

    def _has_knots_of(self, other: "_Drawn") -> bool:
        mine, others = self.path.subpaths, other.path.subpaths
        return len(mine) == len(others) and all(
            one.knots.shape == two.knots.shape
            and one.operation == two.operation
            and np.abs(one.knots * self.size_hw[::-1] - two.knots * other.size_hw[::-1]).max() <= _SAME_PX
            for one, two in zip(mine, others, strict=True)
        )


def _is_as_written(document: Document, mark: Mark, alpha: Alpha) -> bool:
    if mark.mask_sum is not None:
        return _sum_of(alpha) == mark.mask_sum
    plane = _saved_channel(document)
    if plane is None or plane.shape != alpha.shape:
        return False
    return float(np.abs(to_alpha(plane) - alpha).max()) <= _SAME_LEVELS[document.depth]


def _saved_channel(document: Document) -> Pixels | None:
    first = document.num_colors + document.has_merged_alpha
    return document.merged_plane(first) if first < document.num_channels else None


def _sum_of(alpha: Alpha) -> int | None:
    return checksum_of(np.rint(alpha * np.float32(255)).astype(np.uint8))
