"""Clipping paths, for `truth` and `compose`: finds them in a file's resources, draws them as an alpha, encodes them.

By Adobe's Photoshop File Formats Specification, image resources 2000 to 2998 are the saved paths, and 2999 names the
one that clips the picture. It does not say how subpaths are combined; psd-tools found out by comparing with Photoshop's
own pictures: by even-odd fills, regardless of the fill rule in 2999.

Outlines are drawn as font rasterizers do, by signed-area accumulation: edges are split at pixel borders, so that each
piece lies in one pixel. A piece that descends by `dy` covers `dy` of every pixel to its right and `dy * (1 - x)` of its
own, where `x` is its mean distance from that pixel's left border. Summed along a row, this is the mean winding number
of each pixel; folded into [0, 1], it is the area under the even-odd rule. It is exact unless several windings meet in
one pixel.

A path with absurdly many knots or points raises PhotoError.
"""

import struct
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from garmentcut.errors import PhotoError
from garmentcut.photo.metadata import Resource, pascal_text

MOST_KNOTS = 50_000
"""Limit for one path; Photoshop gets slow far below."""

_SAVED_PATHS, _CLIPPED_BY = range(2000, 2999), 2999
_RECORD = np.dtype([("selector", ">u2"), ("points", ">i4", (3, 2))])
_HEAD = struct.Struct(">HHhH18x")  # other records: selector and, for an outline, number of knots and operation
_CLOSED, _OPEN, _FILL_RULE, _INITIAL_FILL, _KNOTS = 0, 3, 6, 8, (1, 2, 4, 5)  # selectors
_SMOOTH, _POINTED = 1, 2  # knots of a closed outline; those of an open one have other numbers
_FIXED_ONE = 1 << 24  # coordinates are 8.24 fixed-point shares of the picture's sides
_FLATNESS, _EVEN_ODD = 1 << 16, 1  # 16.16 device pixels, as Photoshop itself writes
_SMOOTH_SINE = 0.02  # of the angle between the handles of a knot; below, it is smooth
_MERGED, _EXCLUDE, _COMBINE, _SUBTRACT, _INTERSECT = -1, 0, 1, 2, 3

Points = NDArray[np.float64]
"""`(..., 2)`: x and y in pixels from the picture's upper left corner."""

_FLATNESS_PX = 0.0005  # how far a chord may lie from its curve: an eighth of a step of 8 bits
_MOST_STEPS = 1000
# A garment's outline has some 10,000 points, and twice its perimeter in pieces. Far more is an attack on the memory.
_MOST_POINTS = 1_000_000
_MOST_PIECES = 6_000_000
_BAND_ROWS = 256  # rows summed at a time: bounds the memory of the sums, which need double precision
_LEVELS = 65_535  # results are rounded to 16 bits, or rounding errors would leave traces of alpha far from the outline


def flatten_curves(curves: Points) -> Points:
    """Flatten connected cubic Bezier curves `(N, 4, 2)` to a polygon `(M, 2)`, in pixels.

    The end of the last curve is left out, because in a closed outline it is the first point.
    """
    bend = np.abs(curves[:, :-2] - 2 * curves[:, 1:-1] + curves[:, 2:]).max(axis=(1, 2))
    steps = np.ceil(np.sqrt(bend * (0.75 / _FLATNESS_PX))).clip(1, _MOST_STEPS).astype(np.int64)
    if steps.sum() > _MOST_POINTS:
        raise PhotoError("its path has over a million points; simplify the path")
    which, step = count_up(steps)
    t = (step / steps[which])[:, None]
    start, leaving, arriving, end = np.moveaxis(curves[which], 1, 0)
    polygon: Points = (1 - t) ** 3 * start + 3 * t * (1 - t) ** 2 * leaving + 3 * t**2 * (1 - t) * arriving + t**3 * end
    return polygon


def draw_coverage(polygons: Sequence[Points], size_hw: tuple[int, int]) -> NDArray[np.float32]:
    """The covered share of each pixel of a picture: its area inside closed polygons, under the even-odd rule.

    A polygon `(K, 2)` does not repeat its first point, and may reach outside the picture. Returns `(H, W)` float32 in
    [0, 1], in steps of 1/65535.
    """
    height, width = size_hw
    starts = np.concatenate([np.empty((0, 2)), *polygons])
    ends = np.concatenate([np.empty((0, 2)), *(np.roll(polygon, -1, axis=0) for polygon in polygons)])
    steep = starts[:, 1] != ends[:, 1]
    starts, ends = _cut_at_borders(*_cut_at_borders(starts[steep], ends[steep], 1, height), 0, width)
    across, down = (starts + ends).T / 2
    inside = np.flatnonzero((down > 0) & (down < height))
    inside = inside[np.argsort(down[inside].astype(np.int64), kind="stable")]
    row, across, rise = down[inside].astype(np.int64), across[inside].clip(0, width), (ends - starts)[inside, 1]
    column = across.astype(np.int64)
    own = rise * (1 - (across - column))
    alpha = np.empty(size_hw, np.float32)
    for top in range(0, height, _BAND_ROWS):
        band = alpha[top : top + _BAND_ROWS]
        part = slice(*np.searchsorted(row, (top, top + len(band))))
        sums = np.zeros((len(band), width + 2))
        np.add.at(sums, (row[part] - top, column[part]), own[part])
        np.add.at(sums, (row[part] - top, column[part] + 1), (rise - own)[part])
        winding = np.abs(np.cumsum(sums[:, :width], axis=1))
        if winding.max(initial=0) > 1:  # a shape beside the picture has no columns
            winding = np.abs(winding - 2 * np.rint(winding / 2))  # folded: 0, 1, 0, 1, ...
        band[:] = np.rint(winding * _LEVELS) / _LEVELS
    return alpha


def _cut_at_borders(starts: Points, ends: Points, axis: int, size_px: int) -> tuple[Points, Points]:
    """Split edges where they cross pixel borders along an axis; returns the starts and ends of the pieces."""
    at, run = starts[:, axis], ends - starts
    first = np.maximum(np.floor(np.minimum(at, ends[:, axis])) + 1, 0)
    last = np.minimum(np.ceil(np.maximum(at, ends[:, axis])) - 1, size_px)
    num_borders = (last - first + 1).clip(min=0).astype(np.int64)
    if num_borders.sum() > _MOST_PIECES:
        raise PhotoError("its path is absurdly long; simplify the path")
    edge, number = count_up(num_borders + 1)
    border = np.where(run[:, axis] > 0, first, last)[edge] + np.sign(run[edge, axis]) * number  # at which a piece ends
    is_last = number == num_borders[edge]
    until = np.ones(len(edge))  # end of a piece, as a share of its edge
    np.divide(border - at[edge], run[edge, axis], out=until, where=~is_last)
    since = np.where(number == 0, 0, np.roll(until, 1))
    return starts[edge] + since[:, None] * run[edge], starts[edge] + until[:, None] * run[edge]


def count_up(counts: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For groups of `counts` members, concatenated: the group of each member, and its index within the group."""
    which = np.repeat(np.arange(len(counts)), counts)
    return which, np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts, counts)


class Subpath(NamedTuple):
    """One outline of a path."""

    # How it combines with those before it (-1: part of the last, 0: exclude, 1: combine, 2: subtract, 3: intersect).
    operation: int
    closed: bool  # it ends where it began; else a straight line closes it
    # `(K, 3, 2)`, control point before, anchor, control point after; x and y as shares of width and height.
    knots: Points


class PenPath(NamedTuple):
    """A path; if it is `filled` and has no outline, it shows everything instead of nothing."""

    name: str
    subpaths: tuple[Subpath, ...]
    filled: bool = False


def find_clipping_path(resources: Iterable[Resource]) -> tuple[PenPath, tuple[str, ...]] | None:
    """The path that clips the picture, and notes on how it was chosen; None: no path has an outline.

    If resource 2999 names no path, or a missing one, the first saved path is used.
    """
    name, paths = None, []
    for resource in resources:
        if resource.number == _CLIPPED_BY and resource.data:
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
    """Read a path's 26-byte records."""
    records = np.frombuffer(data, _RECORD, count=len(data) // _RECORD.itemsize)
    selectors = records["selector"]
    if np.isin(selectors, _KNOTS).sum() > MOST_KNOTS:
        raise PhotoError(f"its path has over {MOST_KNOTS} knots; simplify the path")
    points = records["points"][..., ::-1] / _FIXED_ONE
    starts = np.flatnonzero(np.isin(selectors, (_CLOSED, _OPEN)))
    subpaths = []
    for first, until in pairwise([*starts, len(records)]):
        _, _, operation, _ = _HEAD.unpack_from(data, int(first) * _RECORD.itemsize)
        inside = slice(first + 1, until)
        knots = points[inside][np.isin(selectors[inside], _KNOTS)]
        if len(knots) > 1:
            subpaths.append(Subpath(operation, bool(selectors[first] == _CLOSED), knots))
    fills = np.flatnonzero(selectors == _INITIAL_FILL)
    return PenPath(name, tuple(subpaths), any(data[place * _RECORD.itemsize + 3] for place in fills))


def draw_path(path: PenPath, size_hw: tuple[int, int]) -> NDArray[np.float32]:
    """The area that a path encloses, `(H, W)` float32 in [0, 1], in a picture as stored, not yet upright."""
    # Outlines that one even-odd fill can draw together, which is faster, and exact where they touch.
    shapes: list[tuple[int, list[Subpath]]] = []
    for subpath in path.subpaths:
        is_even_odd = bool(shapes) and shapes[-1][0] in ((_EXCLUDE, _COMBINE) if len(shapes) == 1 else (_EXCLUDE,))
        if shapes and (subpath.operation == _MERGED or (subpath.operation == _EXCLUDE and is_even_odd)):
            shapes[-1][1].append(subpath)
        else:
            shapes.append((subpath.operation, [subpath]))
    # A path that begins with subtract or intersect starts from the whole picture.
    filled = shapes[0][0] in (_SUBTRACT, _INTERSECT) if shapes else path.filled
    alpha = np.full(size_hw, filled, np.float32)
    for operation, outlines in shapes:
        polygons = [_polygon_of(outline, size_hw) for outline in outlines]
        corners = np.concatenate(polygons)  # only the shape's box is drawn
        left, top = np.floor(corners.min(axis=0)).clip(0, size_hw[::-1]).astype(int)
        right, bottom = np.ceil(corners.max(axis=0)).clip(0, size_hw[::-1]).astype(int)
        inside = alpha[top:bottom, left:right]
        shape = draw_coverage([polygon - (left, top) for polygon in polygons], inside.shape)
        if operation == _INTERSECT:
            shape *= inside
            alpha[:] = 0
            inside[:] = shape
        elif operation == _SUBTRACT:
            np.maximum(inside - shape, 0, out=inside)
        else:
            inside += shape - (2 if operation == _EXCLUDE else 1) * inside * shape
    return alpha


def _polygon_of(subpath: Subpath, size_hw: tuple[int, int]) -> Points:
    knots = subpath.knots * size_hw[::-1]
    following = np.roll(knots, -1, axis=0)
    curves = np.stack([knots[:, 1], knots[:, 2], following[:, 0], following[:, 1]], axis=1)
    if subpath.closed:
        return flatten_curves(curves)
    return np.concatenate([flatten_curves(curves[:-1]), knots[-1:, 1]])


def path_resources(path: PenPath) -> list[Resource]:
    """The image resources that hold a path, with at most 65,535 knots an outline, and name it as the clipping path."""
    parts = [_HEAD.pack(_FILL_RULE, 0, 0, 0), _HEAD.pack(_INITIAL_FILL, path.filled, 0, 0)]
    for operation, closed, knots in path.subpaths:
        start = _CLOSED if closed else _OPEN  # the numbers of its knots follow in the same order
        before, after = knots[:, 1] - knots[:, 0], knots[:, 2] - knots[:, 1]
        # A knot is smooth if its handles lie on one line: moving one in Photoshop turns the other.
        cross = np.abs(before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0])
        is_smooth = cross < _SMOOTH_SINE * np.hypot(*before.T) * np.hypot(*after.T)
        is_smooth &= (before * after).sum(axis=1) > 0
        records = np.zeros(len(knots), _RECORD)
        records["selector"] = start + np.where(is_smooth, _SMOOTH, _POINTED)
        records["points"] = np.rint(knots[..., ::-1] * _FIXED_ONE)  # y is stored before x
        # Photoshop writes the 1 after the operation; the specification does not explain it.
        parts += [_HEAD.pack(start, len(knots), operation, 1), records.tobytes()]
    clipped_by = pascal_text(path.name) + struct.pack(">IH", _FLATNESS, _EVEN_ODD)
    return [Resource(_SAVED_PATHS.start, path.name, b"".join(parts)), Resource(_CLIPPED_BY, "", clipped_by)]
