"""Alpha to clipping path: the line where the garment covers half of a pixel, as few smooth Bezier curves."""

import numpy as np
from numpy.typing import NDArray

from garmentcut.photo.bezier_fit import Limits
from garmentcut.photo.contour import area_of, trace_contours
from garmentcut.photo.line_fit import fit_lines
from garmentcut.photo.line_shape import shape_of
from garmentcut.photo.path import PenPath, Points, Subpath

EDITABLE_PX, EXACT_PX = 0.5, 0.25
"""Tolerances: few knots that are easily moved by hand, or as near as a path need be."""

_REFERENCE_HEIGHT_PX = 1728

_LEAST_LOST_SHARE = 0.0005  # asked of the curves; less only makes knots
_MEAN = 0.4  # of the tolerance: how far a curve's points may lie from it on average
# Share of the garment's area that a path may lose and add: for each pixel of tolerance, and at most. It binds on small
# garments with long outlines, bikinis above all: within 0.5 px alone their overlap (IoU) with the alpha would be 0.996.
_LOST_SHARE, _MOST_LOST_SHARE = 0.004, 0.002
# Rim pixels are half covered, which no outline is: along a pixel of it, this much is lost even to a perfect one. Where
# there is much outline around little area, as around fur, the curves have to make up for it.
_RIM_LOST_PX, _MOST_LOST_WITH_RIM = 0.029, 0.0024


def path_tolerance_px(kind: str, height_px: int) -> float:
    """How far a path may lie from the outline of a garment in a photo of this height.

    Args:
        kind: `editable`: larger photos give it more room, so that it has the same few knots; `exact`: a quarter pixel.
        height_px: of the whole photo.
    """
    return EXACT_PX if kind == "exact" else EDITABLE_PX * max(height_px / _REFERENCE_HEIGHT_PX, 1)


def trace_outline(alpha: NDArray[np.float32], *, tolerance_px: float = EDITABLE_PX, name: str = "Path 1") -> PenPath:
    """The outline of a garment, its holes too.

    Args:
        alpha: `(H, W)` float32 in [0, 1]. What lies outside the picture counts as background.
        tolerance_px: how far the path may lie from the line at alpha 0.5.
        name: the path's.

    Returns:
        Closed outlines, to be filled under the even-odd rule; none where no pixel is half covered.
    """
    lines = trace_contours(alpha)
    if not lines:
        return PenPath(name, ())
    width_px = abs(sum(map(area_of, lines))) / sum(map(_length_of, lines))
    lost_share = min(_LOST_SHARE * tolerance_px, _MOST_LOST_SHARE)
    lost_share = max(min(lost_share, _MOST_LOST_WITH_RIM - _RIM_LOST_PX / width_px), _LEAST_LOST_SHARE)
    lost_px = lost_share * width_px
    limits = Limits(tolerance_px, min(_MEAN * tolerance_px, lost_px))
    size = alpha.shape[::-1]
    outlines = fit_lines([shape_of(line) for line in lines], limits)
    return PenPath(name, tuple(Subpath(0, True, _knots(curves) / size) for curves in outlines))


def _length_of(line: Points) -> float:
    return float(np.hypot(*(line - np.roll(line, 1, axis=0)).T).sum())


def _knots(curves: Points) -> Points:
    """`(K, 3, 2)`: control point before, anchor, control point after, of a closed row of curves."""
    return np.stack([np.roll(curves[:, 2], 1, axis=0), curves[:, 0], curves[:, 1]], axis=1)
