"""Traces an alpha as a clipping path, for `compose`: its contour at 0.5, in as few smooth curves as possible.

At first, every point of the contour is a knot. Knots are then removed, the least needed first: one curve replaces two,
and may be no farther from the points than the tolerance. A curve has the contour's directions at its
ends. The lengths of its handles are fitted by least squares, alternating with Newton's method for the curve parameter
of each point (P. J. Schneider, "An Algorithm for Automatically Fitting Digitized Curves", Graphics Gems, 1990).

Points and vectors are complex numbers, x + iy. The real part of conj(a) * b is the dot product of a and b, the
imaginary part their cross product.
"""

from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from garmentcut.photo.mask import bounding_box, dilate, erode, slices_of
from garmentcut.photo.path import PenPath, Subpath, count_up

EDITABLE_PX, EXACT_PX = 0.5, 0.25
"""Tolerances in pixels: for few knots, which are easily moved by hand, and for as exact a path as is useful."""
_REFERENCE_HEIGHT_PX = 1728

_NAME = "Path 1"  # as Photoshop numbers them
_LEVEL = 0.5
_LEAST_AREA_PX, _LEAST_POINTS, _LEAST_STEP_PX = 16.0, 8, 1e-4  # smaller islands and holes are dust
_REACH = 3  # points (about pixels) on either side that give a direction
_CORNER_DEGREES, _APART = 60.0, 6  # of two corners closer than this many points, the sharper one counts
_CORNER_MOVES_PX = 1.5
_ROUNDS = 5  # of fitting curves and parameters in turn; more hardly change a curve
_SHORTEST_HANDLE, _LONGEST_HANDLE = 1e-3, 3.0  # in chords; beyond, a curve would loop or fold back

_MEAN = 0.4  # of the tolerance: limit on the mean distance of points from their curve
# Share of the garment's area that a path may lose and add: for each pixel of tolerance, at most, at least. It limits
# small garments with long outlines, bikinis above all, whose IoU with the alpha would be 0.996 within 0.5 px.
_LOST_SHARE, _MOST_LOST_SHARE, _LEAST_LOST_SHARE = 0.004, 0.002, 0.0003
# Edge pixels are partly covered, which no path can be: even a perfect one loses this much along each pixel. If there is
# much outline around little area, as with fur, the curves have to be closer to make up for it.
_EDGE_LOST_PX, _MOST_LOST_WITH_EDGE = 0.041, 0.0025

_Numbers = NDArray[np.float64]
_Places = NDArray[np.intp]
_Complex = NDArray[np.complex128]


def path_tolerance_px(kind: str, height_px: int) -> float:
    """The tolerance of a path, in pixels, for a whole photo of this height.

    `editable` grows with the photo, so that the path has the same few knots; `exact` is a quarter of a pixel.
    """
    return EXACT_PX if kind == "exact" else EDITABLE_PX * max(height_px / _REFERENCE_HEIGHT_PX, 1)


def trace_outline(alpha: NDArray[np.float32], *, tolerance_px: float = EDITABLE_PX) -> PenPath:
    """Trace a garment and its holes as closed outlines, to be filled under the even-odd rule.

    They lie within the tolerance of the contour at alpha 0.5. What lies outside the picture counts as background. If no
    pixel is half covered, there are no outlines.
    """
    lines = trace_contours(alpha)
    if not lines:
        return PenPath(_NAME, ())
    width_px = abs(sum(map(area_of, lines))) / sum(float(np.abs(_steps_of(line)).sum()) for line in lines)
    lost_share = min(_LOST_SHARE * tolerance_px, _MOST_LOST_SHARE, _MOST_LOST_WITH_EDGE - _EDGE_LOST_PX / width_px)
    mean_px = min(_MEAN * tolerance_px, max(lost_share, _LEAST_LOST_SHARE) * width_px)
    subpaths = []
    for curves in fit_lines(lines, (tolerance_px, mean_px)):
        knots = np.stack([np.roll(curves[:, 2], 1), curves[:, 0], curves[:, 1]], axis=1)
        subpaths.append(Subpath(0, True, np.stack([knots.real, knots.imag], axis=2) / alpha.shape[::-1]))
    return PenPath(_NAME, tuple(subpaths))


def trace_contours(alpha: NDArray[np.float32]) -> list[_Complex]:
    """Closed lines around a garment, its islands and its holes; outside the picture is background.

    Returns lines `(N,)` complex, in pixels from the picture's upper left corner, points at most a pixel and a half
    apart; the first is not repeated at the end.
    """
    from contourpy import contour_generator

    box = bounding_box(alpha >= _LEVEL)
    if box is None:
        return []
    area = slices_of(box, _REACH)
    # A border of background closes lines at the picture's edge.
    window = _straightened(np.pad(alpha[area], _REACH))
    offset = np.array([area[1].start, area[0].start]) - _REACH + 0.5
    found = []
    closed: Any = contour_generator(z=window).lines(_LEVEL)
    for points in closed:
        line = np.clip(points[:-1] + offset, 0, alpha.shape[::-1]) @ (1, 1j)
        line = line[np.abs(_steps_of(line)) > _LEAST_STEP_PX]
        if len(line) >= _LEAST_POINTS and abs(area_of(line)) >= _LEAST_AREA_PX:
            found.append(line)
    return found


def area_of(line: _Complex) -> float:
    """Signed area inside a closed line; a hole's has the other sign."""
    return float((line.conj() * np.roll(line, -1)).imag.sum()) / 2


def _steps_of(line: _Complex, reach: int = 1) -> _Complex:
    """Vectors to each point of a closed line from the point `reach` before it."""
    return line - np.roll(line, reach)


def _straightened(alpha: NDArray[np.float32]) -> NDArray[np.float32]:
    """Smooth an alpha so that its contour at 0.5 is exact along straight borders.

    Alpha is the covered share of a pixel, not a height, so interpolating between two pixels misplaces the border of an
    anti-aliased shape by up to 0.09 pixels. The mean of three pixels falls by a third per pixel across a straight
    border, so it shows the border exactly. Corners, and straps and gaps too thin for that, stay as they are.
    """
    covered = alpha >= _LEVEL
    crooked = np.zeros(covered.shape, bool)  # where opening and closing differ
    for num in (4, 8):
        opened = dilate(erode(covered, neighbours=num), neighbours=num)
        crooked |= opened != erode(dilate(covered, neighbours=num), neighbours=num)
    return np.where(dilate(crooked, 2), alpha, cv2.blur(alpha, (3, 3), borderType=cv2.BORDER_CONSTANT))


class Contours(NamedTuple):
    """Closed lines, concatenated. Each goes from a joint back to it, so that point is at both ends."""

    points: _Complex  # `(N,)`
    leaving: _Complex  # `(N,)`, direction of the line after each point, of length 1
    arriving: _Complex  # `(N,)`, and before it; they differ at a corner
    is_joint: NDArray[np.bool_]  # `(N,)`, where a curve must end
    line: _Places  # `(N,)`, number of each point's line


def contours_of(lines: list[_Complex]) -> Contours:
    """Find the sharp corners of closed lines, move them to where the adjacent sides meet, and make them joints.

    A line with fewer than two corners gets joints that halve it, because no curve can end where it began. There must be
    at least one line `(N,)`; its first point is not repeated, and no two neighbours are equal.
    """
    parts = []
    for number, line in enumerate(lines):
        num_points, corners = len(line), _find_corners(line)
        last, first, start, end = (line.take(corners + away, mode="wrap") for away in (-1, -1 - _REACH, 1, 1 + _REACH))
        side, other = last - first, end - start
        cross = (side.conj() * other).imag
        met = last + side * (((start - last).conj() * other).imag / np.where(np.abs(cross) < 1e-3, np.nan, cross))
        line = line.copy()
        line[corners] = np.where(np.abs(met - line[corners]) < _CORNER_MOVES_PX, met, line[corners])
        here, reach = np.arange(num_points), np.full(num_points, min(_REACH, num_points // 4))
        for away in range(1, _REACH):  # no direction is taken across a corner
            reach[(corners - away) % num_points] = reach[(corners + away) % num_points] = away
        arriving = line[(here + reach) % num_points] - line[here - reach]
        leaving = arriving.copy()
        arriving[corners], leaving[corners] = side, other
        joints = corners if len(corners) > 1 else (corners.sum() + np.array([0, num_points // 2])) % num_points
        around = (np.arange(num_points + 1) + joints.min()) % num_points
        directions = (vectors[around] / np.maximum(np.abs(vectors[around]), 1e-12) for vectors in (leaving, arriving))
        parts.append((line[around], *directions, np.isin(around, joints), np.full(num_points + 1, number)))
    return Contours(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def _find_corners(line: _Complex) -> _Places:
    """Indices of the points where a closed line turns sharply; of close ones, only the sharpest."""
    if len(line) <= 4 * _REACH:
        return np.empty(0, np.intp)
    before = _steps_of(line, _REACH)
    turns = np.degrees(np.abs(np.angle(before.conj() * np.roll(before, -_REACH))))
    turns += np.linspace(0, 1e-6, len(line))  # so that no two are equal
    sharpest = np.max([np.roll(turns, shift) for shift in range(-_APART, _APART + 1)], axis=0)
    return np.flatnonzero((turns == sharpest) & (turns >= _CORNER_DEGREES))


def fit_lines(lines: list[_Complex], limits_px: tuple[float, float]) -> list[_Complex]:
    """Fit smooth curves to closed lines, sharp only at their corners; limits as for `fit_curves`.

    Returns `(K, 4)` for each line, K at least 2: start, two control points and end, the next start, of each curve.
    """
    contours = contours_of(lines)
    knots = np.arange(len(contours.points))
    error = np.where(contours.is_joint, np.inf, np.nan)  # of the curve that would replace the two that meet in a knot
    while True:
        new = np.flatnonzero(np.isnan(error[knots]))
        if len(new):
            error[knots[new]] = fit_curves(contours, knots[new - 1], knots[new + 1], limits_px)[1]
        here = error[knots]
        gone = (here <= 1) & (here < np.roll(here, 1)) & (here <= np.roll(here, -1))
        if not gone.any():
            break
        beside = knots[np.roll(gone, 1) | np.roll(gone, -1)]
        error[beside[~contours.is_joint[beside]]] = np.nan
        knots = knots[~gone]
    line = contours.line[knots]
    within = line[:-1] == line[1:]
    curves, _ = fit_curves(contours, knots[:-1][within], knots[1:][within], limits_px)
    return np.split(curves, np.searchsorted(line[:-1][within], range(1, len(lines))))


def fit_curves(
    contours: Contours, first: _Places, last: _Places, limits_px: tuple[float, float]
) -> tuple[_Complex, _Numbers]:
    """Fit one curve to each row of points of a line, from `first` to `last`, both `(K,)`, K at least 1.

    The limits are the largest and the mean distance of points from their curve. Returns curves `(K, 4)` complex, and
    their errors `(K,)`: at most 1 if both limits are kept.
    """
    num_points = last - first + 1
    row, number = count_up(num_points)
    starts = np.cumsum(num_points) - num_points

    def sums(values: NDArray[Any]) -> NDArray[Any]:
        return np.add.reduceat(values, starts)

    near = contours.points[first[row] + number]
    start, end = contours.points[first], contours.points[last]
    ahead, back, chord = contours.leaving[first], -contours.arriving[last], np.abs(end - start)
    steps = np.abs(np.diff(near, prepend=0))
    steps[starts] = 0
    length = np.cumsum(steps)
    place = (length - length[starts][row]) / np.maximum(sums(steps), _LEAST_STEP_PX)[row]  # on its curve, 0 to 1
    for _ in range(_ROUNDS):
        left = 1 - place
        weights = np.stack([left**3, 3 * place * left**2, 3 * place**2 * left, place**3])
        # The handles' lengths by least squares, if plausible; else a third of the chord.
        _, one, two, _ = weights
        missing = near - (weights[0] + one) * start[row] - (two + weights[3]) * end[row]
        square, other, mixed = sums(one**2), sums(two**2), sums(one * two) * (ahead.conj() * back).real
        rise, fall = (ahead.conj() * sums(one * missing)).real, (back.conj() * sums(two * missing)).real
        lengths = np.stack([rise * other - fall * mixed, fall * square - rise * mixed])
        lengths /= np.maximum(square * other - mixed**2, 1e-12 * square * other + 1e-30)
        is_sound = ((lengths > _SHORTEST_HANDLE * chord) & (lengths < _LONGEST_HANDLE * chord)).all(axis=0)
        lengths = np.where(is_sound, lengths, chord / 3)
        curves = np.stack([start, start + lengths[0] * ahead, end + lengths[1] * back, end])
        gaps = (weights * curves[:, row]).sum(axis=0) - near
        distance = np.abs(gaps)
        farthest, mean = np.maximum.reduceat(distance, starts), sums(distance) / num_points
        errors = np.maximum(farthest / limits_px[0], mean / limits_px[1])
        if (errors <= 1).all():
            break
        # One step of Newton's method towards the nearest point on the curve.
        rises = 3 * np.diff(curves, axis=0)[:, row]
        speed = left**2 * rises[0] + 2 * place * left * rises[1] + place**2 * rises[2]
        place = np.clip(place - (gaps.conj() * speed).real / np.maximum(np.abs(speed) ** 2, 1e-12), 0, 1)
    return curves.T, errors
