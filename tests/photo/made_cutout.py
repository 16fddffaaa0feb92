"""Retouchers' files made by hand: layered Photoshop documents, saved channels, clipping paths."""

import io
import struct

import numpy as np
from PIL import Image
from psd_tools import PSDImage
from psd_tools.constants import Resource
from psd_tools.psd.image_resources import ImageResource

KAPPA = 0.5522847498307936  # control points of a quarter circle
COMBINE, SUBTRACT, INTERSECT, EXCLUDE, MERGED = 1, 2, 3, 0, -1


def soft_disc(height=40, width=30, radius=10, dtype=np.uint8, center=None):
    """A disc with a soft edge, 0 outside, the dtype's top inside."""
    top = np.iinfo(dtype).max
    y, x = np.mgrid[:height, :width] + 0.5
    cy, cx = center or (height / 2, width / 2)
    return np.rint((radius + 0.5 - np.hypot(y - cy, x - cx)).clip(0, 1) * top).astype(dtype)


def circle(cx, cy, radius, *, turn=1):
    """Four knots `(before, anchor, after)` in pixels."""
    knots = []
    for k in range(4):
        angle = turn * k * np.pi / 2
        anchor = np.array([cx + radius * np.cos(angle), cy + radius * np.sin(angle)])
        along = turn * KAPPA * radius * np.array([-np.sin(angle), np.cos(angle)])
        knots.append((anchor - along, anchor, anchor + along))
    return knots


def box(left, top, right, bottom):
    """Four corners, straight sides."""
    corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
    return [(np.array(corner, float),) * 3 for corner in corners]


def path_records(subpaths, size_hw, *, operations=None, closed=True, initial_fill=0):
    """26-byte records; knots in pixels."""
    height, width = size_hw
    records = [struct.pack(">H24x", 6), struct.pack(">HH22x", 8, initial_fill)]
    for k, knots in enumerate(subpaths):
        operation = operations[k] if operations else EXCLUDE
        records.append(struct.pack(">HHhHII8x", 0 if closed else 3, len(knots), operation, 1, 0, 0) + bytes(2))
        for knot in knots:
            numbers = [round(v * (1 << 24)) for x, y in knot for v in (y / height, x / width)]
            records.append(struct.pack(">H6i", 2 if closed else 5, *numbers))
    return b"".join(records)


def clipping_name(name):
    """Resource 2999 as Photoshop writes it: an unpadded Pascal string, flatness and fill rule."""
    return bytes([len(name)]) + name.encode("mac_roman") + struct.pack(">IH", 1 << 16, 1)


def resource(number, data, name=""):
    pascal = bytes([len(name)]) + name.encode("mac_roman")
    pascal += bytes(len(pascal) % 2)
    return b"8BIM" + struct.pack(">H", number) + pascal + struct.pack(">I", len(data)) + data + bytes(len(data) % 2)


def path_resources(records, name="Path 1", *, clips=True):
    return resource(2000, records, name) + (resource(2999, clipping_name(name)) if clips else b"")


def with_app13(jpeg, resources, *, parts=1):
    """A JPEG with Photoshop's image resources behind its first marker, in one or several segments."""
    size = -(-len(resources) // parts)
    segments = b""
    for start in range(0, len(resources), size):
        content = b"Photoshop 3.0\0" + resources[start : start + size]
        segments += b"\xff\xed" + struct.pack(">H", len(content) + 2) + content
    return jpeg[:2] + segments + jpeg[2:]


def layered(size_hw, *, mode="RGB", depth=8):
    return PSDImage.new(mode, size_hw[::-1], color=255 if depth == 8 else 1.0, depth=depth)


def add_layer(document, array, name="Garment", *, at=(0, 0), mask=None, mask_at=None):
    """A pixel layer of `(H, W, C)` levels, with transparency where `C` is 2 or 4; `mask` is `(h, w)` uint8."""
    layer = document.create_pixel_layer_from_array(array, name=name, top=at[0], left=at[1])
    if mask is not None:
        top, left = mask_at or (0, 0)
        layer.create_mask(Image.fromarray(mask), top=top, left=left)
    return layer


def put(document, number, data, name=""):
    document.image_resources[Resource(number)] = ImageResource(key=number, name=name, data=data)


def put_path(document, records, name="Path 1", *, clips=True):
    put(document, 2000, records, name)
    if clips:
        put(document, 2999, clipping_name(name))


def save_channels(document, rgb, *channels):
    """The merged picture and saved channels behind it, all `(H, W)` or `(H, W, 3)` of the document's depth."""
    record = document._record
    record.header.channels = rgb.shape[2] + len(channels)
    planes = [*np.moveaxis(rgb, -1, 0), *channels]
    big_endian = [np.ascontiguousarray(plane, plane.dtype.newbyteorder(">")).tobytes() for plane in planes]
    record.image_data.set_data(big_endian, record.header)
    names = b"".join(bytes([len(name)]) + name for name in (f"Alpha {k + 1}".encode() for k in range(len(channels))))
    put(document, 1006, names)


def psd_bytes(document):
    document._updated = False  # keep the merged picture as it is: making it anew takes packages that are not installed
    file = io.BytesIO()
    document.save(file)
    return file.getvalue()
