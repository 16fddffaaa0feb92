"""Fit smooth cubic Bezier curves to a row of points.

P. J. Schneider, "An Algorithm for Automatically Fitting Digitized Curves", Graphics Gems (1990): piecewise least squares
with Newton's reparametrisation.
"""

import numpy as np
from numpy.typing import NDArray

from garmentcut.photo.coverage import Points

_ROUNDS = 5  # of fitting and moving the parameters; more hardly change a curve
_HOPELESS = 4.0  # tolerances off: no reparametrisation will mend that, cut at once
_MEAN_COUNTS = 3.0  # times the mean distance must stay within the tolerance too
_TANGENT_REACH = 3  # points to either side of a cut that its direction is taken from

Curve = NDArray[np.float64]
"""`(4, 2)`: start, two control points, end."""


def fit_curves(points: Points, tolerance_px: float, *, start: Points, end: Points) -> list[Curve]:
    """Curves through a row of points, each point at most the tolerance from its curve.

    Args:
        points: `(N, 2)`, at least two, no two neighbours equal.
        tolerance_px: largest distance, in the points' unit.
        start: `(2,)` unit vector: direction at the first point, into the row.
        end: `(2,)` unit vector: direction at the last point, into the row.

    Returns:
        Curves, each from where the last one ended, joined without a bend.
    """
    curves: list[Curve] = []
    rest = [(0, len(points) - 1, start, end)]
    while rest:
        first, last, leaving, arriving = rest.pop()
        part = points[first : last + 1]
        curve, worst, error = _fit_one(part, leaving, arriving, tolerance_px)
        if error <= tolerance_px or len(part) == 2:
            curves.append(curve)
            continue
        tangent = direction_at(part, worst)
        rest += [(first + worst, last, tangent, arriving), (first, first + worst, leaving, -tangent)]
    return curves


def direction_at(points: Points, place: int) -> Points:
    """Unit vector along a row of points at one of them, `(2,)`."""
    before, after = max(place - _TANGENT_REACH, 0), min(place + _TANGENT_REACH, len(points) - 1)
    return unit(points[after] - points[before])


def unit(vector: Points) -> Points:
    """A vector `(2,)` at length 1; the zero vector stays."""
    length = float(np.hypot(vector[0], vector[1]))
    return vector / length if length > 0 else vector


def _fit_one(points: Points, leaving: Points, arriving: Points, tolerance_px: float) -> tuple[Curve, int, float]:
    """The best curve found, the point farthest from it (never an end) and how far that is."""
    steps = np.hypot(*np.diff(points, axis=0).T)
    place = np.concatenate([[0], np.cumsum(steps)]) / steps.sum()
    best: tuple[Curve, int, float] | None = None
    for _ in range(_ROUNDS):
        curve = _least_squares(points, place, leaving, arriving)
        distance = np.hypot(*(_weights(place) @ curve - points).T)
        worst = int(distance[1:-1].argmax()) + 1 if len(points) > 2 else 0
        # A long shallow error shows more, and costs more overlap, than a lone point's.
        error = max(float(distance[worst]), _MEAN_COUNTS * float(distance.mean()))
        if best is None or error < best[2]:
            best = curve, worst, error
        if best[2] <= tolerance_px or distance[worst] > _HOPELESS * tolerance_px + 2:
            break
        place = _nearer(curve, points, place)
    assert best is not None
    return best


def _weights(place: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bernstein polynomials, `(N, 4)`."""
    left = 1 - place
    weights: NDArray[np.float64] = np.stack([left**3, 3 * place * left**2, 3 * place**2 * left, place**3], axis=1)
    return weights


def _least_squares(points: Points, place: NDArray[np.float64], leaving: Points, arriving: Points) -> Curve:
    """The curve with these ends and end directions that is nearest to the points: two lengths are free."""
    weights = _weights(place)
    ends = np.outer(weights[:, :2].sum(1), points[0]) + np.outer(weights[:, 2:].sum(1), points[-1])
    along, back = np.outer(weights[:, 1], leaving), np.outer(weights[:, 2], arriving)
    missing = points - ends
    square, mixed, other = (along * along).sum(), (along * back).sum(), (back * back).sum()
    first, second = (along * missing).sum(), (back * missing).sum()
    determinant = square * other - mixed**2
    chord = float(np.hypot(*(points[-1] - points[0])))
    lengths = np.full(2, chord / 3)
    if determinant > 1e-12 * square * other:
        found = np.array([first * other - second * mixed, second * square - first * mixed]) / determinant
        if found.min() > 1e-3 * chord and found.max() < 3 * chord:  # else it would loop or fold back
            lengths = found
    curve: Curve = np.stack(
        [points[0], points[0] + lengths[0] * leaving, points[-1] + lengths[1] * arriving, points[-1]]
    )
    return curve


def _nearer(curve: Curve, points: Points, place: NDArray[np.float64]) -> NDArray[np.float64]:
    """One step of Newton's method for each point's foot on the curve."""
    left = 1 - place
    rise, bend = 3 * np.diff(curve, axis=0), 6 * np.diff(curve, n=2, axis=0)
    speed = np.stack([left**2, 2 * place * left, place**2], axis=1) @ rise
    turn = np.stack([left, place], axis=1) @ bend
    gap = _weights(place) @ curve - points
    slope = (speed**2).sum(1) + (gap * turn).sum(1)
    step = np.divide((gap * speed).sum(1), slope, out=np.zeros_like(place), where=slope > 1e-12)
    moved: NDArray[np.float64] = np.clip(place - step, 0, 1)
    return moved
