"""How far two outlines lie apart, in pixels: surface Dice, HD95, ASSD, boundary IoU.

The border of a mask is its pixels that a cross-shaped erosion by one pixel removes; beyond the frame all is background,
so a garment that leaves the frame has border pixels there. Distances are Euclidean, between pixel centres, exact. These
are MONAI's conventions, but for empty masks: MONAI gives nan or infinity, here every photo gets a number.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion
from scipy.spatial import KDTree

from garmentcut.evaluation.masks import Mask, area_of, check_masks
from garmentcut.evaluation.overlap import iou

_CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], bool)
_SQUARE = np.ones((3, 3), bool)


@dataclass(frozen=True, eq=False)
class Distances:
    """Distances between two outlines, in pixels; what the metrics below are made of.

    Attributes:
        from_prediction: `(n,)` float64: of each border pixel of the prediction to the target's nearest border pixel.
        from_target: `(m,)` float64: the other way.
    """

    from_prediction: NDArray[np.float64]
    from_target: NDArray[np.float64]


def border_of(mask: Mask) -> Mask:
    """Pixels of a `(H, W)` mask with a direct neighbour outside it, or at the frame."""
    border: Mask = mask & ~binary_erosion(mask, _CROSS)
    return border


def outline_distances(prediction: Mask, target: Mask) -> Distances:
    """Distances between the outlines of two `(H, W)` bool masks.

    Only the rectangle that holds both masks is looked at, which changes no distance. A tree over the few border pixels
    is ten times as fast as a distance transform, and as exact.

    Returns:
        No distances at all if both are empty. If one is empty, the frame's diagonal for each border pixel of the other.

    Raises:
        ValueError: not two bool masks of one size.
    """
    check_masks(prediction, target)
    area = area_of(prediction, target)
    if area is None:
        return Distances(np.zeros(0), np.zeros(0))
    first, second = (np.argwhere(border_of(mask[area])).astype(np.float64) for mask in (prediction, target))
    if not len(first) or not len(second):
        diagonal_px = math.hypot(*target.shape)
        return Distances(np.full(len(first), diagonal_px), np.full(len(second), diagonal_px))
    return Distances(KDTree(second).query(first)[0], KDTree(first).query(second)[0])


def surface_dice(distances: Distances, tolerance_px: float) -> float:
    """Surface Dice (NSD): share of both outlines within `tolerance_px` of the other; in [0, 1], higher is better.

    (|{x in border P: d(x, border G) <= t}| + |{x in border G: d(x, border P) <= t}|) / (|border P| + |border G|): how
    much of the outline a retoucher would leave as it is.

    Returns:
        1 if both masks are empty, 0 if only one is.

    Source: Nikolov et al., "Deep learning to achieve clinically applicable segmentation", arXiv 1809.04430, with border
    pixels counted as in MONAI.
    """
    both = np.concatenate([distances.from_prediction, distances.from_target])
    return float(np.mean(both <= tolerance_px)) if both.size else 1.0


def hd95(distances: Distances) -> float:
    """95th percentile Hausdorff distance in pixels: the larger of the two directed ones; 0 or more, lower is better.

    max(P95 of d(x, border G) over border P, P95 of d(x, border P) over border G), linearly interpolated.

    Returns:
        0 if both masks are empty, the frame's diagonal if only one is.

    Source: Huttenlocher 1993; percentile and maximum as in MONAI's `HausdorffDistanceMetric(percentile=95)`.
    """
    directed = (distances.from_prediction, distances.from_target)
    return max((float(np.percentile(one, 95)) for one in directed if one.size), default=0.0)


def assd(distances: Distances) -> float:
    """Average symmetric surface distance in pixels; 0 or more, lower is better.

    (sum over border P of d(x, border G) + sum over border G of d(x, border P)) / (|border P| + |border G|).

    Returns:
        0 if both masks are empty, the frame's diagonal if only one is.

    Source: Heimann et al. 2009; as in MONAI's `SurfaceDistanceMetric(symmetric=True)`.
    """
    both = np.concatenate([distances.from_prediction, distances.from_target])
    return float(both.mean()) if both.size else 0.0


def boundary_iou(prediction: Mask, target: Mask, width_px: int) -> float:
    """Boundary IoU: IoU of the masks' inner rims of `width_px` pixels; in [0, 1], higher is better.

    The rim is a mask minus the mask eroded `width_px` times by a 3x3 square; beyond the frame all is background.

    Args:
        prediction: `(H, W)` bool.
        target: the same size.
        width_px: 1 or more. The paper's 2 % of the diagonal would be 42 pixels at 1152x1728, too wide to tell edges.

    Returns:
        1 if both masks are empty, 0 if only one is.

    Raises:
        ValueError: not two bool masks of one size, or no width.

    Source: Cheng et al., "Boundary IoU", CVPR 2021, arXiv 2103.16562.
    """
    check_masks(prediction, target)
    if width_px < 1:
        raise ValueError(f"width_px is {width_px}; it must be 1 or more")
    area = area_of(prediction, target)
    if area is None:
        return 1.0
    first, second = (mask[area] & ~binary_erosion(mask[area], _SQUARE, width_px) for mask in (prediction, target))
    return iou(first, second)
