"""Photoshop's image resources as bytes: any of them, and a clipping path.

After Adobe's Photoshop File Formats Specification; the same bytes stand in PSD, TIFF (tag 34377) and JPEG (APP13).
"""

import struct
from collections.abc import Iterable

import numpy as np

from garmentcut.photo.clipping_path import PenPath, Resource, Subpath
from garmentcut.photo.coverage import Points

MOST_KNOTS = 50_000
"""Of a path; Photoshop gets slow far below."""

_CLIPPED_BY, _FIRST_PATH = 2999, 2000
_FILL_RULE, _INITIAL_FILL, _CLOSED, _OPEN, _SMOOTH, _POINTED = 6, 8, 0, 3, 1, 2  # selectors
_RECORD_BYTES = 26
_FIXED_ONE = 1 << 24  # coordinates are 8.24 fixed-point shares of the picture's sides
_FLATNESS, _EVEN_ODD = 1 << 16, 1  # 16.16 device pixels, as Photoshop itself writes
_SMOOTH_SINE = 0.02  # of the angle between the handles of a knot


def join_resources(resources: Iterable[Resource]) -> bytes:
    """Image resources one after another, as `split_resources` reads them."""
    parts = []
    for number, name, data in resources:
        text = name.encode("mac_roman", "replace")[:255]
        head = struct.pack(">4sHB", b"8BIM", number, len(text)) + text + bytes((len(text) + 1) % 2)
        parts.append(head + struct.pack(">I", len(data)) + data + bytes(len(data) % 2))
    return b"".join(parts)


def path_resources(path: PenPath) -> list[Resource]:
    """A path, and the statement that it clips the picture.

    Args:
        path: each outline has at most 65535 knots, or it does not fit in the format.
    """
    records = [_record(_FILL_RULE), _record(_INITIAL_FILL, bytes([0, path.filled]))]
    records += [_outline_records(subpath) for subpath in path.subpaths]
    name = path.name.encode("mac_roman", "replace")[:255]
    clipped_by = bytes([len(name)]) + name + struct.pack(">IH", _FLATNESS, _EVEN_ODD)
    return [Resource(_FIRST_PATH, path.name, b"".join(records)), Resource(_CLIPPED_BY, "", clipped_by)]


def _record(selector: int, content: bytes = b"") -> bytes:
    return (struct.pack(">H", selector) + content).ljust(_RECORD_BYTES, b"\0")


def _outline_records(subpath: Subpath) -> bytes:
    # The 1 behind the operation is what Photoshop writes there; the specification does not explain it.
    start = _CLOSED if subpath.closed else _OPEN  # an open outline's knots have numbers of their own, as far on
    head = _record(start, struct.pack(">HhH", len(subpath.knots), subpath.operation, 1))
    records = np.zeros(len(subpath.knots), [("selector", ">u2"), ("points", ">i4", (3, 2))])
    records["selector"] = start + np.where(_is_smooth(subpath.knots), _SMOOTH, _POINTED)
    records["points"] = np.rint(subpath.knots[..., ::-1] * _FIXED_ONE)  # y stands before x
    return head + records.tobytes()


def _is_smooth(knots: Points) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Of each knot, whether its handles lie on one line, so that moving one in Photoshop turns the other."""
    before, after = knots[:, 1] - knots[:, 0], knots[:, 2] - knots[:, 1]
    size = np.hypot(*before.T) * np.hypot(*after.T)
    cross = np.abs(before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0])
    smooth: np.ndarray[tuple[int], np.dtype[np.bool_]] = (
        (size > 0) & (cross < _SMOOTH_SINE * size) & ((before * after).sum(axis=1) > 0)
    )
    return smooth
