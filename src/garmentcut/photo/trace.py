"""Traces an alpha as a clipping path, for `compose`: the line of half coverage, in as few smooth curves as will do.

Every point of the line is a knot at first. Those that are not needed go, the least needed first: one curve then takes
the place of two, and may lie no farther from the points than the tolerance. A curve has the line's directions at its
ends; the lengths of its handles follow by least squares, in turn with Newton's method for where on the curve each point
belongs (P. J. Schneider, "An Algorithm for Automatically Fitting Digitized Curves", Graphics Gems, 1990).
"""

from itertools import pairwise
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from garmentcut.photo.mask import bounding_box, dilate, erode, slices_of
from garmentcut.photo.path import PenPath, Points, Subpath, count_up

EDITABLE_PX, EXACT_PX = 0.5, 0.25
"""Tolerances: few knots that are easily moved by hand, or as near as a path need be."""
_REFERENCE_HEIGHT_PX = 1728

_NAME = "Path 1"  # as Photoshop numbers them
_LEVEL = 0.5
_LEAST_AREA_PX = 16.0  # smaller islands and holes are dust
_LEAST_POINTS = 8
_LEAST_STEP_PX = 1e-4
_REACH = 3  # points (about pixels) to either side that a direction is taken from
_CORNER_DEGREES, _APART = 60.0, 6  # of two corners nearer than so many points, the sharper one counts
_ROUNDED = 1  # points to either side of a corner that lie beside the sides that meet there
_CORNER_MOVES_PX = 1.5
_ROUNDS = 4  # of fitting and moving the points' places; more hardly change a curve
_SHORTEST_HANDLE, _LONGEST_HANDLE = 1e-3, 3.0  # chords; beyond, a curve would loop or fold back

_MEAN = 0.4  # of the tolerance: how far a curve's points may lie from it on average
# Share of the garment's area that a path may lose and add: for each pixel of tolerance, and at most. It binds on small
# garments with long outlines, bikinis above all: within 0.5 px alone their overlap (IoU) with the alpha would be 0.996.
_LOST_SHARE, _MOST_LOST_SHARE, _LEAST_LOST_SHARE = 0.004, 0.002, 0.0003
# Edge pixels are half covered, which no outline is: along a pixel of it, this much is lost even to a perfect one. Where
# there is much outline around little area, as around fur, the curves have to make up for it.
_EDGE_LOST_PX, _MOST_LOST_WITH_EDGE = 0.041, 0.0025

_Numbers = NDArray[np.float64]
_Places = NDArray[np.intp]
_Complex = NDArray[np.complex128]


class Limits(NamedTuple):
    """How far points may lie from their curve: the farthest, and all on average."""

    farthest_px: float
    mean_px: float


def path_tolerance_px(kind: str, height_px: int) -> float:
    """How far a path may lie from the outline of a garment in a whole photo of this height.

    `editable`: larger photos give it more room, so that it has the same few knots; `exact`: a quarter pixel.
    """
    return EXACT_PX if kind == "exact" else EDITABLE_PX * max(height_px / _REFERENCE_HEIGHT_PX, 1)


def trace_outline(alpha: NDArray[np.float32], *, tolerance_px: float = EDITABLE_PX) -> PenPath:
    """The outline of a garment, its holes too: closed, to be filled under the even-odd rule.

    It lies within the tolerance of the line at alpha 0.5. What lies outside the picture counts as background. There are
    no outlines where no pixel is half covered.
    """
    lines = trace_contours(alpha)
    if not lines:
        return PenPath(_NAME, ())
    width_px = abs(sum(map(area_of, lines))) / sum(_steps_of(line).sum() for line in lines)
    lost_share = min(_LOST_SHARE * tolerance_px, _MOST_LOST_SHARE, _MOST_LOST_WITH_EDGE - _EDGE_LOST_PX / width_px)
    mean_px = min(_MEAN * tolerance_px, max(lost_share, _LEAST_LOST_SHARE) * width_px)
    subpaths = []
    for curves in fit_lines(lines, Limits(tolerance_px, mean_px)):
        knots = np.stack([np.roll(curves[:, 2], 1, axis=0), curves[:, 0], curves[:, 1]], axis=1)
        subpaths.append(Subpath(0, True, knots / alpha.shape[::-1]))
    return PenPath(_NAME, tuple(subpaths))


def trace_contours(alpha: NDArray[np.float32]) -> list[Points]:
    """Closed lines around a garment, its islands and its holes; outside the picture is background.

    Returns:
        Lines `(N, 2)` of x and y in pixels from the picture's upper left corner, points at most a pixel and a half
        apart, the first not repeated at the end.
    """
    from contourpy import FillType, contour_generator

    box = bounding_box(alpha >= _LEVEL)
    if box is None:
        return []
    area = slices_of(box, _REACH)
    # A border of background closes lines at the picture's edge.
    window = _straightened(np.pad(alpha[area], _REACH))
    offset = np.array([area[1].start, area[0].start]) - _REACH + 0.5
    found = []
    groups: Any = contour_generator(z=window, fill_type=FillType.OuterOffset).filled(_LEVEL, np.inf)
    for points, ends in zip(*groups, strict=True):
        for start, end in pairwise(ends):
            line = np.clip(points[start : end - 1] + offset, 0, alpha.shape[::-1])
            line = line[_steps_of(line) > _LEAST_STEP_PX]
            if len(line) >= _LEAST_POINTS and abs(area_of(line)) >= _LEAST_AREA_PX:
                found.append(line)
    return found


def area_of(line: Points) -> float:
    """Signed area inside a closed line; a hole's has the other sign."""
    following = np.roll(line, -1, axis=0)
    return float((line[:, 0] * following[:, 1] - line[:, 1] * following[:, 0]).sum()) / 2


def _steps_of(line: Points) -> _Numbers:
    """Lengths of the steps to each point of a closed line from the one before."""
    lengths: _Numbers = np.hypot(*(line - np.roll(line, 1, axis=0)).T)
    return lengths


def _straightened(alpha: NDArray[np.float32]) -> NDArray[np.float32]:
    """An alpha that crosses its borders along straight slopes.

    Alpha is the covered share of a pixel, not a height: to interpolate between two pixels misplaces the border of an
    anti-aliased shape by up to 0.09 pixels. The mean of three pixels falls by a third a pixel across a straight border,
    so in it the border is found exactly. Corners, and straps and gaps too thin for that, stay as they are.
    """
    covered = alpha >= _LEVEL
    crooked = np.zeros(covered.shape, bool)  # not the same opened and closed
    for num in (4, 8):
        opened = dilate(erode(covered, neighbours=num), neighbours=num)
        crooked |= opened != erode(dilate(covered, neighbours=num), neighbours=num)
    return np.where(dilate(crooked, 2), alpha, cv2.blur(alpha, (3, 3), borderType=cv2.BORDER_CONSTANT))


class Contours(NamedTuple):
    """Closed lines one behind another, each from a joint back to it: that point stands at both ends.

    Points and vectors are complex numbers, x + iy: of the product of one, conjugated, and another the real part is
    their scalar product, the imaginary part their cross product.
    """

    points: _Complex  # `(N,)`
    leaving: _Complex  # `(N,)`, direction of the line behind each point, of length 1
    arriving: _Complex  # `(N,)`, and before it: another one at a corner
    is_joint: NDArray[np.bool_]  # `(N,)`, where a curve must end
    line: _Places  # `(N,)`, which line each point is of


def contours_of(lines: list[Points]) -> Contours:
    """Closed lines with their sharp corners, which are put where the sides to the left and right meet, as joints.

    A line with fewer than two corners gets joints that halve it, for no curve can end where it began. Of at least one
    line `(N, 2)`, the first point is not repeated, and no two neighbours are equal.
    """
    parts = []
    for number, xy in enumerate(lines):
        line = xy[:, 0] + 1j * xy[:, 1]
        num_points, corners = len(line), _find_corners(line)
        line[corners] = [_meeting_point(line, corner) for corner in corners]
        reach = np.full(num_points, min(_REACH, num_points // 4))
        for away in range(_REACH):  # no direction is taken across a corner
            reach[(corners - away) % num_points] = reach[(corners + away) % num_points] = away
        here = np.arange(num_points)
        along = line[(here + reach) % num_points] - line[here - reach]
        leaving, arriving = along.copy(), along
        leaving[corners] = line[(corners + _REACH) % num_points] - line[corners]
        arriving[corners] = line[corners] - line[corners - _REACH]
        joints = corners if len(corners) > 1 else (corners.sum() + np.array([0, num_points // 2])) % num_points
        around = (np.arange(num_points + 1) + joints.min()) % num_points
        directions = (vectors[around] / np.maximum(np.abs(vectors[around]), 1e-12) for vectors in (leaving, arriving))
        parts.append((line[around], *directions, np.isin(around, joints), np.full(num_points + 1, number)))
    return Contours(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def _find_corners(line: _Complex) -> _Places:
    """Where a closed line turns sharply; of neighbours, the sharpest."""
    if len(line) <= 4 * _REACH:
        return np.empty(0, np.intp)
    before, after = line - np.roll(line, _REACH), np.roll(line, -_REACH) - line
    turns = np.degrees(np.abs(np.angle(before.conj() * after)))
    turns += np.linspace(0, 1e-6, len(line))  # no two are equal
    sharpest = np.max([np.roll(turns, shift) for shift in range(-_APART, _APART + 1)], axis=0)
    return np.flatnonzero((turns == sharpest) & (turns >= _CORNER_DEGREES))


def _meeting_point(line: _Complex, corner: int) -> complex:
    """Where the sides to the left and right of a corner meet, if that is near it."""
    around = np.arange(_ROUNDED, _ROUNDED + _REACH + 1, _REACH)
    (last, first), (start, end) = line[corner - around], line[(corner + around) % len(line)]
    side, other, here = last - first, end - start, complex(line[corner])
    cross = (side.conj() * other).imag
    if abs(cross) < 1e-3:
        return here
    met = complex(first + side * (((start - first).conj() * other).imag / cross))
    return met if abs(met - here) < _CORNER_MOVES_PX else here


def fit_lines(lines: list[Points], limits: Limits) -> list[Points]:
    """Smooth curves around closed lines, with sharp joints at their corners only.

    Returns:
        `(K, 4, 2)` for each line: start, two control points and end of each curve, which is the next one's start;
        at least two.
    """
    contours = contours_of(lines)
    knots = np.arange(len(contours.points))
    error = np.where(contours.is_joint, np.inf, np.nan)  # of the curve instead of the two that meet in a knot
    while True:
        new = np.flatnonzero(np.isnan(error[knots]))
        if len(new):
            error[knots[new]] = fit_curves(contours, knots[new - 1], knots[new + 1], limits)[1]
        here = error[knots]
        gone = (here <= 1) & (here < np.roll(here, 1)) & (here <= np.roll(here, -1))
        if not gone.any():
            break
        beside = knots[np.roll(gone, 1) | np.roll(gone, -1)]
        error[beside[~contours.is_joint[beside]]] = np.nan
        knots = knots[~gone]
    line = contours.line[knots]
    within = line[:-1] == line[1:]
    curves, _ = fit_curves(contours, knots[:-1][within], knots[1:][within], limits)
    xy = np.stack([curves.real, curves.imag], axis=2)
    return np.split(xy, np.searchsorted(line[:-1][within], range(1, len(lines))))


def fit_curves(contours: Contours, first: _Places, last: _Places, limits: Limits) -> tuple[_Complex, _Numbers]:
    """One curve for each row of points of a line, from its `first` to its `last`, `(K,)`; there is at least one.

    Returns:
        Curves `(K, 4)` complex, and their errors `(K,)`: 1 where a limit is just kept, more where one is broken.
    """
    num_points = last - first + 1
    row, number = count_up(num_points)
    starts = np.cumsum(num_points) - num_points
    near = contours.points[first[row] + number]
    ends = np.stack([contours.points[first], contours.leaving[first], -contours.arriving[last], contours.points[last]])
    steps = np.abs(np.diff(near, prepend=0))
    steps[starts] = 0
    length = np.cumsum(steps)
    place = (length - length[starts][row]) / np.add.reduceat(steps, starts)[row]  # of each point on its curve, 0 to 1
    best, least = np.zeros((4, len(first)), np.complex128), np.full(len(first), np.inf)
    for _ in range(_ROUNDS):
        left = 1 - place
        weights = np.stack([left**3, 3 * place * left**2, 3 * place**2 * left, place**3])
        curves = _least_squares(ends, near, weights, row, starts)
        gaps = (weights * curves[:, row]).sum(axis=0) - near
        distance = np.abs(gaps)
        mean = np.add.reduceat(distance, starts) / num_points
        errors = np.maximum(np.maximum.reduceat(distance, starts) / limits.farthest_px, mean / limits.mean_px)
        better = (errors < least) & (least > 1)
        best[:, better], least[better] = curves[:, better], errors[better]
        if (least <= 1).all():
            break
        # One step of Newton's method for each point's foot on its curve.
        rise, bend = 3 * np.diff(curves, axis=0)[:, row], 6 * np.diff(curves, n=2, axis=0)[:, row]
        speed = left**2 * rise[0] + 2 * place * left * rise[1] + place**2 * rise[2]
        turn = left * bend[0] + place * bend[1]
        slope = (speed.conj() * speed + gaps.conj() * turn).real
        step = np.divide((gaps.conj() * speed).real, slope, out=np.zeros_like(place), where=slope > 1e-12)
        place = np.clip(place - step, 0, 1)
    return best.T, least


def _least_squares(ends: _Complex, near: _Complex, weights: _Numbers, row: _Places, starts: _Places) -> _Complex:
    """Curves `(4, K)` nearest to the points, whose handles are only free in their lengths.

    Args:
        ends: `(4, K)`: start, direction of the handle there, direction of the handle at the end, end.
        near: `(N,)`, the points of all curves.
        weights: `(4, N)`, of a curve's four points where each point is nearest to it.
        row: `(N,)`, which curve each point belongs to.
        starts: `(K,)`, the first point of each.
    """
    start, leaving, back, end = ends
    _, first, second, _ = weights
    missing = near - (weights[0] + first) * start[row] - (second + weights[3]) * end[row]

    def sums(values: _Numbers) -> _Numbers:
        return np.add.reduceat(values, starts)

    square, other, mixed = sums(first**2), sums(second**2), sums(first * second * (leaving.conj() * back).real[row])
    ahead, behind = sums(first * (missing.conj() * leaving[row]).real), sums(second * (missing.conj() * back[row]).real)
    determinant = square * other - mixed**2
    is_solvable = determinant > 1e-12 * square * other
    determinant[~is_solvable] = 1
    lengths = np.stack([ahead * other - behind * mixed, behind * square - ahead * mixed]) / determinant
    chord = np.abs(end - start)
    is_sound = is_solvable & ((lengths > _SHORTEST_HANDLE * chord) & (lengths < _LONGEST_HANDLE * chord)).all(axis=0)
    lengths = np.where(is_sound, lengths, chord / 3)
    return np.stack([start, start + lengths[0] * leaving, end + lengths[1] * back, end])
