"""Documents that garmentcut wrote and a retoucher corrected: written anew with other masks, paths and pixels."""

import io
from dataclasses import replace

import numpy as np
from PIL import Image
from psd_tools import PSDImage

from garmentcut.photo.metadata import split_resources
from garmentcut.photo.path import path_resources
from garmentcut.photo.psd_format import PsdLayer, psd_bytes, resource_span
from garmentcut.photo.psd_roundtrip import layered_psd
from garmentcut.photo.trace import trace_outline

_PATHS = (2000, 2999)


class Written:
    """A document as garmentcut writes it, and what a retoucher's program may make of it."""

    def __init__(self, cutout, **options):
        self.cutout = cutout
        self.mask = cutout.rounded_alpha()
        self.path = trace_outline(cutout.alpha)
        self.data = layered_psd(cutout, **{"path": self.path, "name": "IMG_1", **options})
        start, end = resource_span(self.data)
        self.resources = split_resources(self.data[start + 4 : end])

    def saved(self, *, mask=None, rgb=None, path="as it was", channel="as it was", below=(), above=()):
        """Written anew with these planes instead of its own, and the same mark."""
        mask = self.mask if mask is None else mask
        rgb = self.cutout.rgb if rgb is None else rgb
        resources = self.resources
        if path != "as it was":
            resources = [resource for resource in resources if resource.number not in _PATHS]
            resources += path_resources(path) if path else []
        layer = PsdLayer("Ebene 1", rgb, None if isinstance(mask, str) else mask)
        planes = [*np.moveaxis(self.cutout.rgb, -1, 0)]
        if channel is not None:
            planes.append(self.mask if isinstance(channel, str) else channel)
        return psd_bytes([*below, layer, *above], planes, resources)

    def moved_path(self, knot=0, by_px=(6, 0)):
        """The path with one knot, and its handles, moved."""
        first = self.path.subpaths[0]
        knots = first.knots.copy()
        knots[knot] += np.array(by_px) / self.cutout.alpha.shape[::-1]
        return replace_first(self.path, first._replace(knots=knots))

    def opened(self):
        """As psd-tools opens it."""
        return PSDImage.open(io.BytesIO(self.data))


def replace_first(path, subpath):
    return path._replace(subpaths=(subpath, *path.subpaths[1:]))


def painted(mask):
    """A mask with a soft stroke over the garment's edge."""
    height, width = mask.shape
    stroke = mask.copy()
    rows, columns = slice(height // 3, height // 2), slice(width // 8, width // 2)
    ramp = np.linspace(0, np.iinfo(mask.dtype).max, columns.stop - columns.start)
    stroke[rows, columns] = np.rint(ramp).astype(mask.dtype)
    return stroke


def of_15_bits(levels):
    """What Photoshop's own 16-bit levels, 0 to 32768, leave of 65536 levels."""
    half = np.rint(levels.astype(np.float64) * 32_768 / 65_535)
    return np.rint(half * 65_535 / 32_768).astype(np.uint16)


def with_mask(layer, mask, at=(0, 0)):
    """A psd-tools layer with this `(h, w)` uint8 layer mask."""
    if layer.has_mask():
        layer.remove_mask()
    layer.create_mask(Image.fromarray(mask), top=at[0], left=at[1])
    return layer


def deep(cutout):
    """The same cutout at 16 bits, with levels that 8 bits do not have."""
    rgb = cutout.rgb.astype(np.uint16) * 257
    return replace(cutout, rgb=rgb - np.arange(rgb.size, dtype=np.uint16).reshape(rgb.shape) % 100)
