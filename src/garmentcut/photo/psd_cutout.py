"""A cutout as a retoucher wants to find it in Photoshop: the untouched photo under an editable layer mask."""

import struct
from dataclasses import replace

import numpy as np

from garmentcut.photo.clipping_path import PenPath, Resource
from garmentcut.photo.color import color_in_profile
from garmentcut.photo.cutout import Cutout
from garmentcut.photo.path_writer import path_resources
from garmentcut.photo.photo import Pixels
from garmentcut.photo.psd_mark import mark_of, write_mark
from garmentcut.photo.psd_writer import PsdLayer, pascal_text, psd_bytes, unicode_text

_ACTIVE_LAYER, _RESOLUTION, _CHANNEL_NAMES, _UNICODE_CHANNEL_NAMES = 1024, 1005, 1006, 1045
_CHANNEL_NUMBERS = 1053  # with one, a channel is a saved one for certain, not the merged picture's transparency
_PROFILE, _VERSION, _EXIF, _XMP = 1039, 1057, 1058, 1060
_PER_INCH, _IN_INCHES = 1, 1
_CHANNEL, _BACKGROUND = "Garment", "Background"
_MOST_NAME_CHARS = 200


def layered_psd(
    cutout: Cutout,
    *,
    path: PenPath | None = None,
    background: str | None = None,
    name: str = "",
    marked: bool = True,
) -> bytes:
    """Encode a layered document of the photo's depth.

    The photo is a layer with the alpha as its mask; the alpha is a saved channel too. The merged picture, which file
    browsers show, is what the layers look like, on white if nothing lies below. A mark in the XMP tells `read_cutout`
    later what a retoucher has changed.

    Args:
        cutout: what to write; its hidden pixels go into the layer as they are.
        path: the clipping path; None, or one without outlines: none.
        background: `#rrggbb` in sRGB: a layer of this colour below the photo.
        name: of the photo's layer.
        marked: False where a customer wants no metadata.

    Raises:
        OutputError: over what a PSD holds.
    """
    alpha = cutout.rounded_alpha()
    merged = cutout.over(background)
    layers = [PsdLayer(_plain(name) or _CHANNEL, cutout.rgb, alpha)]
    if background:
        layers.insert(0, PsdLayer(_BACKGROUND, _sheet(background, cutout)))
    planes = [*(merged[..., number] for number in range(3)), alpha]
    path = path if path and path.subpaths else None
    if marked:
        mark = mark_of(cutout.rgb, alpha, path, is_whole=cutout.is_whole and not cutout.is_clean)
        cutout = replace(cutout, xmp=write_mark(cutout.xmp, mark))
    return psd_bytes(layers, planes, _resources(cutout, path, num_layers=len(layers)))


def _sheet(color: str, cutout: Cutout) -> Pixels:
    """The colour in every pixel, at the memory of one."""
    scale = int(np.iinfo(cutout.rgb.dtype).max) // 255
    pixel = np.array(color_in_profile(color, cutout.profile)) * scale
    return np.broadcast_to(pixel.astype(cutout.rgb.dtype), cutout.rgb.shape)


def _plain(name: str) -> str:
    """A layer name without characters that have no shape, such as a file name may hold."""
    return "".join(character for character in name if character.isprintable())[:_MOST_NAME_CHARS]


def _resources(cutout: Cutout, path: PenPath | None, *, num_layers: int) -> list[Resource]:
    found = {
        _ACTIVE_LAYER: struct.pack(">H", num_layers - 1),
        _CHANNEL_NAMES: pascal_text(_CHANNEL),
        _UNICODE_CHANNEL_NAMES: unicode_text(_CHANNEL),
        _CHANNEL_NUMBERS: struct.pack(">I", 1),
        # The merged picture is a true one; then who wrote it and who can read it.
        _VERSION: struct.pack(">IB", 1, 1) + 2 * unicode_text("garmentcut") + struct.pack(">I", 1),
        _PROFILE: cutout.profile,
        _EXIF: cutout.exif,
        _XMP: cutout.xmp,
    }
    if cutout.dpi:
        across, down = (round(value * 65_536) for value in cutout.dpi)
        found[_RESOLUTION] = struct.pack(">IHHIHH", across, _PER_INCH, _IN_INCHES, down, _PER_INCH, _IN_INCHES)
    resources = [Resource(number, "", data) for number, data in sorted(found.items()) if data]
    return resources + (path_resources(path) if path else [])
