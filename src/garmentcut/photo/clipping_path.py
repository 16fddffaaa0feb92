"""Photoshop's paths: found among a file's image resources, read, and drawn as an alpha.

After Adobe's Photoshop File Formats Specification: image resources 2000 to 2998 are the saved paths, 2999 names the one
that clips the picture. How subpaths are laid over each other is not in it; it follows what psd-tools found by comparing
with Photoshop's own pictures: even-odd fills, whatever fill rule stands behind the name in 2999.
"""

import struct
from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from garmentcut.photo.coverage import Points, draw_coverage, flatten_curves
from garmentcut.photo.photo import PhotoError

_SAVED_PATHS, _CLIPPING_PATH_NAME = range(2000, 2999), 2999
_SIGNATURES = (b"8BIM", b"MeSa", b"AgHg", b"PHUT", b"DCSR")
_RECORD = np.dtype([("selector", ">u2"), ("points", ">i4", (3, 2))])
_LENGTH = struct.Struct(">hHh")  # selector, number of knots, operation
_CLOSED_START, _OPEN_START, _INITIAL_FILL = 0, 3, 8
_KNOTS = (1, 2, 4, 5)
_FIXED_ONE = 1 << 24  # coordinates are 8.24 fixed-point shares of the picture's sides
_MERGED, _EXCLUDE, _COMBINE, _SUBTRACT, _INTERSECT = -1, 0, 1, 2, 3
_MOST_KNOTS = 50_000
_APP13, _PHOTOSHOP_MARK = 0xED, b"Photoshop 3.0\0"
_SCAN, _NO_LENGTH = 0xDA, (0x01, *range(0xD0, 0xDA))  # JPEG markers: start of scan, markers without content


class Resource(NamedTuple):
    """One image resource."""

    number: int
    name: str
    data: bytes


class Subpath(NamedTuple):
    """One outline of a path.

    Attributes:
        operation: what it does to those before it (-1: one with the last, 0: exclude, 1: combine, 2: subtract,
            3: intersect).
        closed: it ends where it began; else the straight line back closes it.
        knots: `(K, 3, 2)`, control point before, anchor, control point after; x and y as shares of width and height.
    """

    operation: int
    closed: bool
    knots: Points


class PenPath(NamedTuple):
    """A path; `filled`: without any outline it shows everything, not nothing."""

    name: str
    subpaths: tuple[Subpath, ...]
    filled: bool = False


def split_resources(data: bytes) -> list[Resource]:
    """Image resources as they stand in PSD, TIFF (tag 34377) and JPEG (APP13); ends at the first that is damaged."""
    resources, start = [], 0
    while data[start : start + 4] in _SIGNATURES and start + 12 <= len(data):
        name_end = start + 7 + data[start + 6]
        size_at = name_end + (name_end - start) % 2
        content = size_at + 4
        size = int.from_bytes(data[size_at:content])
        if content + size > len(data):
            break
        name = data[start + 7 : name_end].decode("mac_roman")
        resources.append(Resource(int.from_bytes(data[start + 4 : start + 6]), name, data[content : content + size]))
        start = content + size + size % 2
    return resources


def jpeg_resources(data: bytes) -> bytes:
    """Photoshop's image resources in a JPEG file, joined from its APP13 segments."""
    parts, start = [], 2
    while start + 4 <= len(data) and data[start] == 0xFF and data[start + 1] != _SCAN:
        if data[start + 1] == 0xFF:  # fill byte
            start += 1
            continue
        if data[start + 1] in _NO_LENGTH:
            start += 2
            continue
        end = start + 2 + int.from_bytes(data[start + 2 : start + 4])
        if data[start + 1] == _APP13 and data.startswith(_PHOTOSHOP_MARK, start + 4):
            parts.append(data[start + 4 + len(_PHOTOSHOP_MARK) : end])
        start = end
    return b"".join(parts)


def find_clipping_path(resources: Iterable[Resource]) -> tuple[PenPath, tuple[str, ...]] | None:
    """The path that clips the picture, and notes on how it was chosen; None: no path holds an outline.

    Without a name in resource 2999, or where that path is missing, the first saved path counts.

    Raises:
        PhotoError: a path with absurdly many knots.
    """
    name, paths = None, []
    for resource in resources:
        if resource.number == _CLIPPING_PATH_NAME and resource.data:
            name = resource.data[1 : 1 + resource.data[0]].decode("mac_roman")
        elif resource.number in _SAVED_PATHS:
            paths.append(parse_path(resource.data, resource.name))
    paths = [path for path in paths if path.subpaths]
    if not paths:
        return None
    for path in paths:
        if path.name == name:
            return path, ()
    if name:
        return paths[0], (f"the clipping path {name!r} is missing: {paths[0].name!r} used",)
    if len(paths) > 1:
        return paths[0], (f"no path is set as clipping path: the first of {len(paths)}, {paths[0].name!r}, used",)
    return paths[0], ()


def parse_path(data: bytes, name: str = "") -> PenPath:
    """Read a path's 26-byte records.

    Raises:
        PhotoError: absurdly many knots.
    """
    records = np.frombuffer(data, _RECORD, count=len(data) // _RECORD.itemsize)
    selectors = records["selector"]
    if np.isin(selectors, _KNOTS).sum() > _MOST_KNOTS:
        raise PhotoError(f"its path has over {_MOST_KNOTS} knots; simplify the path")
    points = records["points"][..., ::-1] / _FIXED_ONE
    starts = np.flatnonzero(np.isin(selectors, (_CLOSED_START, _OPEN_START)))
    subpaths = []
    for first, until in pairwise([*starts, len(records)]):
        _, _, operation = _LENGTH.unpack_from(data, int(first) * _RECORD.itemsize)
        inside = slice(first + 1, until)
        knots = points[inside][np.isin(selectors[inside], _KNOTS)]
        if len(knots) > 1:
            subpaths.append(Subpath(operation, bool(selectors[first] == _CLOSED_START), knots))
    fills = np.flatnonzero(selectors == _INITIAL_FILL)
    filled = any(data[place * _RECORD.itemsize + 3] for place in fills)
    return PenPath(name, tuple(subpaths), filled)


def draw_path(path: PenPath, size_hw: tuple[int, int]) -> NDArray[np.float32]:
    """The area a path encloses.

    Args:
        path: its outlines.
        size_hw: of the whole picture, as stored.

    Returns:
        `(H, W)` float32 in [0, 1].

    Raises:
        PhotoError: absurdly long outlines.
    """
    shapes = _merge_outlines(path.subpaths)
    # A path that begins by taking away takes away from the whole picture.
    filled = shapes[0][0] in (_SUBTRACT, _INTERSECT) if shapes else path.filled
    alpha = np.full(size_hw, filled, np.float32)
    for operation, outlines in shapes:
        _lay_over(alpha, operation, [_polygon_of(outline, size_hw) for outline in outlines])
    return alpha


def _merge_outlines(subpaths: Iterable[Subpath]) -> list[tuple[int, list[Subpath]]]:
    """Outlines that one even-odd fill draws: exact where they touch, and faster, than laying each over the last."""
    shapes: list[tuple[int, list[Subpath]]] = []
    for subpath in subpaths:
        last = shapes[-1][0] if shapes else None
        is_first = len(shapes) == 1 and last in (_COMBINE, _EXCLUDE)
        if shapes and (
            subpath.operation == _MERGED or (subpath.operation == _EXCLUDE and (is_first or last == _EXCLUDE))
        ):
            shapes[-1][1].append(subpath)
        else:
            shapes.append((subpath.operation, [subpath]))
    return shapes


def _lay_over(alpha: NDArray[np.float32], operation: int, polygons: list[Points]) -> None:
    """Lay a shape over an alpha, in place; only the shape's box is drawn."""
    height, width = alpha.shape
    corners = np.concatenate(polygons)
    left, top = np.floor(corners.min(axis=0)).clip(0, (width, height)).astype(int)
    right, bottom = np.ceil(corners.max(axis=0)).clip(0, (width, height)).astype(int)
    inside = alpha[top:bottom, left:right]
    shape = draw_coverage([polygon - (left, top) for polygon in polygons], (bottom - top, right - left))
    if operation == _INTERSECT:
        kept = inside * shape
        alpha[:] = 0
        inside[:] = kept
    elif operation == _SUBTRACT:
        np.maximum(inside - shape, 0, out=inside)
    elif operation == _EXCLUDE:
        inside += shape - 2 * inside * shape
    else:
        inside += shape - inside * shape


def _polygon_of(subpath: Subpath, size_hw: tuple[int, int]) -> Points:
    knots = subpath.knots * size_hw[::-1]
    following = np.roll(knots, -1, axis=0)
    curves = np.stack([knots[:, 1], knots[:, 2], following[:, 0], following[:, 1]], axis=1)
    if subpath.closed:
        return flatten_curves(curves)
    return np.concatenate([flatten_curves(curves[:-1]), knots[-1:, 1]])
