"""The metrics of one photo, for `scores`, calibration, audit and studies: pure functions of two masks or two alphas.

`measure` computes all of them. A mask is `(H, W)` bool, True is garment; an alpha is `(H, W)` float32 in [0, 1]; both
arguments must have the same size. Everything outside the frame counts as background, so a garment that leaves the frame
has an outline there. If both masks are empty, Dice and IoU of all kinds are 1 and distances 0; if only one is, they are
0, and distances the frame's diagonal.

Distances are exact Euclidean distances between the centres of border pixels; a border pixel is one that an erosion by
a cross removes. These are MONAI's conventions, except for empty masks, for which MONAI returns nan or infinity. Errors
of soft alpha are measured on the edge band, the pixels where the *target* is soft or its edge is near, so that all
models are measured on the same pixels, like the unknown region of a trimap in matting benchmarks.
"""

import math
from dataclasses import dataclass, field, fields
from functools import partial
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from garmentcut.photo.mask import THIN_PX, Mask, bounding_box, components, dilate, erode, mask_iou, slices_of, thin_of

EDGE_BAND_PX = 5  # distance of the edge band's pixels from the target's edge; contains the errors of a good model
LEAST_HOLE_PX = 25  # smaller holes are specks and are not counted
TOUCH_PX = 2.0  # an outline this close to the target's needs no correction
PLACE_PX = 17  # errors closer to each other than this are corrected together

_SIGMA_PX = 1.4
_FILTER_REACH_PX = 4  # beyond this the Gaussian is below a hundredth
_LEVELS = tuple(level / 10 for level in range(1, 11))
_LEAST_GAP = 0.15 - 1e-6  # a gap of 0.15 counts in spite of rounding to float32
_RING_PX = 3  # around a hole

Alpha = NDArray[np.float32]  # `(H, W)` float32 in [0, 1]

Area = tuple[slice, slice]  # rows and columns of a part of the frame


class Metric(NamedTuple):
    """How a metric is shown in tables."""

    key: str  # field of `PhotoMetrics`
    title: str
    unit: str
    higher_is_better: bool
    decimals: int


def _score(title: str, decimals: int, *, unit: str = "", higher_is_better: bool = True, **default: Any) -> Any:
    """A field of `PhotoMetrics` whose mean over photos is reported; made by `_error`, lower is better."""
    return field(metadata={"row": (title, unit, higher_is_better, decimals)}, **default)


_error = partial(_score, higher_is_better=False)


@dataclass(frozen=True)
class PhotoMetrics:
    """All metrics of one photo; see their functions and `docs/evaluation.md` for formulas, units and sources.

    The prediction's mask is `alpha >= 0.5`, 128 or more in an 8-bit file; so is the target's, except for `dice_any`. A
    metric is None if the row is older than the metric.
    """

    dice: float = _score("Dice, alpha >= 128", 4)
    # The same predicted mask against every pixel that the retoucher left visible.
    dice_any: float = _score("Dice, alpha > 0", 4)
    iou: float = _score("IoU", 4)
    pixel_accuracy: float = _score("pixel accuracy", 4)
    surface_dice_1px: float = _score("surface Dice, 1 px", 4)
    surface_dice_2px: float = _score("surface Dice, 2 px", 4)
    surface_dice_3px: float = _score("surface Dice, 3 px", 4)
    hd95_px: float = _error("HD95", 2, unit="px")
    assd_px: float = _error("ASSD", 2, unit="px")
    boundary_iou_2px: float = _score("boundary IoU, 2 px", 4)
    boundary_iou_5px: float = _score("boundary IoU, 5 px", 4)
    edge_sad: float = _error("edge SAD", 3, unit="1000 px")
    edge_mse: float = _error("edge MSE", 4)
    edge_gradient: float = _error("edge gradient error", 3, unit="1000")
    edge_connectivity: float = _error("edge connectivity error", 3, unit="1000 px")
    effort_px: float | None = _error("outline to retouch", 0, unit="px", default=None)
    effort_places: int | None = _error("places to retouch", 1, default=None)
    thin_px: int | None = None
    thin_kept_px: int | None = None
    thin_drawn_px: int | None = None
    thin_right_px: int | None = None
    holes: int | None = None
    holes_found: int | None = None
    holes_invented: int | None = None


METRICS = tuple(Metric(key.name, *key.metadata["row"]) for key in fields(PhotoMetrics) if key.metadata)
"""Metrics whose mean over photos is reported, in the order of tables."""


class PooledMetric(NamedTuple):
    """A ratio of two counts, fields of `PhotoMetrics`, that are summed over photos before they are divided."""

    key: str
    title: str
    hits: str
    out_of: str


POOLED_METRICS = (
    PooledMetric("thin_recall", "thin parts kept", "thin_kept_px", "thin_px"),
    PooledMetric("thin_precision", "thin parts right", "thin_right_px", "thin_drawn_px"),
    PooledMetric("hole_recall", "holes found", "holes_found", "holes"),
)
"""In the order of tables; higher is better."""

COUNTS = ("thin_px", "thin_kept_px", "thin_drawn_px", "thin_right_px", "holes", "holes_found", "holes_invented")
"""Fields of `PhotoMetrics` that are summed over photos: those of `thin_parts`, then those of `count_holes`."""


def measure(prediction: Alpha, target: Alpha) -> PhotoMetrics:
    """Compute all metrics of a predicted alpha against the retoucher's, of the same size."""
    ours, theirs = mask_of(prediction), mask_of(target)
    check_masks(ours, theirs)
    outlines, band = compare_outlines(ours, theirs), edge_band(target)
    effort_px, effort_places = retouching_effort(outlines)
    return PhotoMetrics(
        dice=dice(ours, theirs),
        dice_any=dice(ours, target > 0),
        iou=iou(ours, theirs),
        pixel_accuracy=pixel_accuracy(ours, theirs),
        surface_dice_1px=surface_dice(outlines, 1),
        surface_dice_2px=surface_dice(outlines, 2),
        surface_dice_3px=surface_dice(outlines, 3),
        hd95_px=hd95(outlines),
        assd_px=assd(outlines),
        boundary_iou_2px=boundary_iou(ours, theirs, 2),
        boundary_iou_5px=boundary_iou(ours, theirs, 5),
        edge_sad=sad(prediction, target, band),
        edge_mse=mse(prediction, target, band),
        edge_gradient=gradient_error(prediction, target, band),
        edge_connectivity=connectivity_error(prediction, target, band),
        effort_px=effort_px,
        effort_places=effort_places,
        **dict(zip(COUNTS, (*thin_parts(ours, theirs), *count_holes(ours, theirs)), strict=True)),
    )


def mask_of(alpha: Alpha) -> Mask:
    """`alpha >= 0.5`, that is, 128 or more in an 8-bit file; `alpha` is `(H, W)` in [0, 1]."""
    return np.asarray(alpha >= np.float32(0.5))


def check_masks(prediction: Mask, target: Mask) -> None:
    """Raise ValueError unless both arrays are bool `(H, W)` and of the same size."""
    if prediction.shape != target.shape or target.ndim != 2 or not target.size:
        raise ValueError(f"masks must be (H, W) of one size, not {prediction.shape} and {target.shape}")
    if prediction.dtype != np.bool_ or target.dtype != np.bool_:
        raise ValueError(f"masks must be bool, not {prediction.dtype} and {target.dtype}")


def area_of(*masks: Mask, margin_px: int = 0) -> Area | None:
    """The bounding rectangle of all masks, extended by `margin_px` within the frame; None: all are empty."""
    boxes = [box for box in map(bounding_box, masks) if box is not None]
    if not boxes:
        return None
    left, top, right, bottom = zip(*boxes, strict=True)
    return slices_of((min(left), min(top), max(right), max(bottom)), margin_px)


def dice(prediction: Mask, target: Mask) -> float:
    """Dice coefficient, 2 |P and G| / (|P| + |G|); in [0, 1], higher is better.

    Raises:
        ValueError: the arrays are not bool masks of the same size; this holds for all functions of two masks here.

    Source: Dice, "Measures of the amount of ecologic association between species", 1945.
    """
    check_masks(prediction, target)
    total = np.count_nonzero(prediction) + np.count_nonzero(target)
    return float(2 * np.count_nonzero(prediction & target) / total) if total else 1.0


def iou(prediction: Mask, target: Mask) -> float:
    """Intersection over union (Jaccard), |P and G| / |P or G|; in [0, 1], higher is better.

    It ranks like Dice: IoU = Dice / (2 - Dice).

    Source: Jaccard, "The distribution of the flora in the alpine zone", 1912.
    """
    check_masks(prediction, target)
    return mask_iou(prediction, target)


def pixel_accuracy(prediction: Mask, target: Mask) -> float:
    """Share of the frame's pixels on which both agree, including background; in [0, 1], higher is better.

    A garment fills 8 % of a studio photo, so that an empty mask already reaches 0.92.
    """
    check_masks(prediction, target)
    return float(1 - np.count_nonzero(prediction ^ target) / target.size)


@dataclass(frozen=True, eq=False)
class Outlines:
    """Two outlines and their distances from each other, from which the metrics below are computed."""

    prediction_px: NDArray[np.float64]  # `(n,)`: distance of each border pixel to the nearest one of the target
    target_px: NDArray[np.float64]  # `(m,)`: distance of each border pixel of the target to the prediction's
    points_yx: NDArray[np.intp]  # `(n + m, 2)`: row and column of each border pixel, the prediction's first

    @property
    def both_px(self) -> NDArray[np.float64]:
        """The distances of both outlines, `(n + m,)`."""
        return np.concatenate([self.prediction_px, self.target_px])


def border_of(mask: Mask) -> Mask:
    """Pixels of a `(H, W)` mask that have a direct neighbour outside it or touch the frame."""
    return np.asarray(mask & ~erode(mask, neighbours=4, outside="background"))


def distance_to(where: Mask) -> NDArray[np.float32]:
    """Distance of each pixel to the nearest true one, in pixels."""
    return np.asarray(cv2.distanceTransform((~where).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE), np.float32)


def compare_outlines(prediction: Mask, target: Mask) -> Outlines:
    """Distances between the outlines of two `(H, W)` bool masks.

    Only the bounding rectangle of both masks is processed, which changes no distance. A k-d tree of the few border
    pixels is ten times as fast as a distance transform, and as exact. Returns no distances if both are empty. If one is
    empty, the frame's diagonal for each border pixel of the other.
    """
    check_masks(prediction, target)
    area = area_of(prediction, target) or (slice(0, 0), slice(0, 0))
    first, second = (np.argwhere(border_of(mask[area])) for mask in (prediction, target))
    points = np.concatenate([first, second]) + np.array([area[0].start, area[1].start])
    if not len(first) or not len(second):
        far = math.hypot(*target.shape)
        return Outlines(np.full(len(first), far), np.full(len(second), far), points)
    return Outlines(KDTree(second).query(first)[0], KDTree(first).query(second)[0], points)


def surface_dice(outlines: Outlines, tolerance_px: float) -> float:
    """Surface Dice (NSD): share of both outlines within `tolerance_px` of the other; in [0, 1], higher is better.

    (|{x in border P: d(x, border G) <= t}| + |{x in border G: d(x, border P) <= t}|) / (|border P| + |border G|): the
    share of the outline that a retoucher would not change.

    Source: Nikolov et al., "Deep learning to achieve clinically applicable segmentation", arXiv 1809.04430, with border
    pixels counted as in MONAI.
    """
    both = outlines.both_px
    return float(np.mean(both <= tolerance_px)) if both.size else 1.0


def hd95(outlines: Outlines) -> float:
    """95th percentile Hausdorff distance in pixels, the larger of the two directions; 0 or more, lower is better.

    max(P95 of d(x, border G) over border P, P95 of d(x, border P) over border G), linearly interpolated.

    Source: Huttenlocher 1993; percentile and maximum as in MONAI's `HausdorffDistanceMetric(percentile=95)`.
    """
    directed = (outlines.prediction_px, outlines.target_px)
    return max((float(np.percentile(one, 95)) for one in directed if one.size), default=0.0)


def assd(outlines: Outlines) -> float:
    """Average symmetric surface distance in pixels; 0 or more, lower is better.

    (sum over border P of d(x, border G) + sum over border G of d(x, border P)) / (|border P| + |border G|).

    Source: Heimann et al. 2009; as in MONAI's `SurfaceDistanceMetric(symmetric=True)`.
    """
    both = outlines.both_px
    return float(both.mean()) if both.size else 0.0


def boundary_iou(prediction: Mask, target: Mask, width_px: int) -> float:
    """Boundary IoU: IoU of the masks' inner bands of `width_px` pixels; in [0, 1], higher is better.

    The band is a mask minus the mask eroded `width_px` times by a 3x3 square. The paper's width, 2 % of the diagonal,
    would be 42 pixels at 1152x1728, too wide to distinguish edges.

    Raises:
        ValueError: the width is not positive.

    Source: Cheng et al., "Boundary IoU", CVPR 2021, arXiv 2103.16562.
    """
    check_masks(prediction, target)
    if width_px < 1:
        raise ValueError(f"width_px is {width_px}; it must be 1 or more")
    area = area_of(prediction, target)
    if area is None:
        return 1.0
    return iou(*(mask[area] & ~erode(mask[area], width_px, outside="background") for mask in (prediction, target)))


def retouching_effort(outlines: Outlines) -> tuple[float, int]:
    """Length of outline that must be redrawn, in pixels, and the number of separate places; lower is better.

    Let F(P) be the border pixels of the prediction more than `TOUCH_PX` from the target's border, and F(G) those of the
    target far from the prediction's. Length = (|F(P)| + |F(G)|) / 2, so that a displaced edge counts once, and a
    missing strap by its length. Places are the 8-connected components of the union of F(P) and F(G), dilated by a
    square of side `PLACE_PX`. Returns 0, 0 if both masks are empty; if one is empty, half of the other's outline.

    Source: our own; surface Dice at 2 px is the same outline as a share.
    """
    far = outlines.points_yx[outlines.both_px > TOUCH_PX]
    if not len(far):
        return 0.0, 0
    inside = far - far.min(axis=0) + PLACE_PX // 2
    canvas = np.zeros(inside.max(axis=0) + PLACE_PX // 2 + 1, bool)
    canvas[inside[:, 0], inside[:, 1]] = True
    return len(far) / 2, len(components(dilate(canvas, PLACE_PX // 2)).areas)


def thin_parts(prediction: Mask, target: Mask) -> tuple[int, int, int, int]:
    """Pixel counts for recall and precision of thin parts such as straps.

    Thin(M) = M minus the opening of M by a square of side `THIN_PX`, which is first dilated by a 5x5 square so that
    corners of the body do not count. Recall = |Thin(G) and P| / |Thin(G)|; precision = |Thin(P) and G dilated by 5x5| /
    |Thin(P)|; in [0, 1], higher is better. Sum counts over photos before dividing: most photos have few thin parts.
    Returns thin pixels of the target, and how many of them the prediction has; thin pixels of the prediction, and how
    many of them are within 2 pixels of the target.

    Source: our own; as the white top-hat of Serra 1982.
    """
    check_masks(prediction, target)
    area = area_of(prediction, target, margin_px=THIN_PX)
    if area is None:
        return 0, 0, 0, 0
    ours, theirs = prediction[area], target[area]
    thin, drawn, near = thin_of(theirs), thin_of(ours), dilate(theirs, 2)
    kept, drawn_px, right = (int(np.count_nonzero(mask)) for mask in (thin & ours, drawn, drawn & near))
    return int(np.count_nonzero(thin)), kept, drawn_px, right


def count_holes(prediction: Mask, target: Mask) -> tuple[int, int, int]:
    """Count the holes of the target, those of them that the prediction has too, and those only in the prediction.

    A hole is a 4-connected component of `LEAST_HOLE_PX` or more background pixels that does not touch the frame. It is
    found if at least half of its pixels are background in the prediction, and at least half of the ring around it, its
    dilation by a square of reach 3 px, is garment there: where the garment itself is lost, no hole is found. A hole of
    the prediction is invented if at least half of its pixels are garment in the target. More found and fewer invented
    holes are better; all holes that are not found are missed.

    Source: our own.
    """
    check_masks(prediction, target)
    area = area_of(prediction, target, margin_px=1)
    if area is None:
        return 0, 0, 0
    ours, theirs = prediction[area], target[area]
    holes, found = _holes_of(theirs), 0
    for hole, window in holes:
        around = dilate(hole, _RING_PX) & ~hole
        shown, ring = ~ours[window][hole], ours[window][around]
        found += bool(2 * np.count_nonzero(shown) >= shown.size and 2 * np.count_nonzero(ring) >= ring.size)
    invented = [theirs[window][hole] for hole, window in _holes_of(ours)]
    return len(holes), found, sum(bool(2 * np.count_nonzero(lost) >= lost.size) for lost in invented)


def edge_band(target: Alpha) -> Mask:
    """The edge band of a target: `0 < alpha < 1`, or at most `EDGE_BAND_PX` from its border.

    Returns `(H, W)` bool; empty if the target is empty.
    """
    soft: Mask = (target > 0) & (target < 1)
    garment = mask_of(target)
    area = area_of(garment, margin_px=EDGE_BAND_PX)
    if area is not None:
        soft[area] |= distance_to(border_of(garment[area])) <= EDGE_BAND_PX
    return soft


def sad(prediction: Alpha, target: Alpha, band: Mask) -> float:
    """Sum of absolute differences on the edge band, in thousands of pixels; 0 or more, lower is better.

    sum |a - a*| / 1000. It grows with the length of the outline. For an empty band, this and the metrics below are 0.

    Source: Rhemann et al., "A perceptually motivated online benchmark for image matting", CVPR 2009.
    """
    return float(np.abs(prediction[band] - target[band]).sum(dtype=np.float64)) / 1000


def mse(prediction: Alpha, target: Alpha, band: Mask) -> float:
    """Mean squared difference on the edge band, in [0, 1]; lower is better. Papers often print it times 1000.

    mean (a - a*)^2. Source as for `sad`.
    """
    return float(np.square(prediction[band] - target[band]).mean(dtype=np.float64)) if band.any() else 0.0


def gradient_error(prediction: Alpha, target: Alpha, band: Mask) -> float:
    """Difference of the gradient magnitudes of both alphas on the edge band, in thousands; 0 or more, lower is better.

    sum (|grad a| - |grad a*|)^2 / 1000, with derivative-of-Gaussian filters of sigma 1.4 pixels, each of unit energy.
    Unlike the benchmark's own code, this does not first stretch both alphas to [0, 1], so that a prediction that is too
    faint is penalised. Source as for `sad`.
    """
    area = area_of(band, margin_px=_FILTER_REACH_PX)
    if area is None:
        return 0.0
    difference = _steepness(prediction[area]) - _steepness(target[area])
    return float(np.square(difference[band[area]]).sum(dtype=np.float64)) / 1000


def connectivity_error(prediction: Alpha, target: Alpha, band: Mask) -> float:
    """Pixels of the edge band that are connected to the garment in one alpha only, in thousands; lower is better.

    For each level t = 0.1 ... 1 let O be the largest 4-connected component of {a >= t and a* >= t}; l(x) is the last
    level at which x still belongs to O, or 1 if it always does. With phi(a) = 1 - d [d >= 0.15] and d = a - l, the
    error is sum |phi(a) - phi(a*)| / 1000. Source as for `sad`.
    """
    area, leaves = area_of(target > 0), np.zeros_like(target)
    if area is not None and band.any():
        leaves[area] = _last_levels(np.minimum(prediction[area], target[area]))
    above = [alpha[band] - leaves[band] for alpha in (prediction, target)]
    ours, theirs = (np.where(gap >= np.float32(_LEAST_GAP), gap, 0) for gap in above)
    return float(np.abs(ours - theirs).sum(dtype=np.float64)) / 1000


def _holes_of(mask: Mask) -> list[tuple[Mask, Area]]:
    """The mask of each hole in a window around it, and the window."""
    height, width = mask.shape
    labels, areas, boxes = components(~mask, neighbours=4)
    found = []
    for number in np.flatnonzero(areas >= LEAST_HOLE_PX):
        left, top, right, bottom = boxes[number].tolist()
        if left and top and right < width and bottom < height:
            window = slices_of((left, top, right, bottom), _RING_PX)
            found.append((labels[window] == number + 1, window))
    return found


def _last_levels(lower: Alpha) -> Alpha:
    """The last level at which each pixel is in the largest component; `lower` is the minimum of both alphas."""
    last, inside, previous = np.ones_like(lower), np.ones(lower.shape, bool), 0.0
    for level in _LEVELS:
        labels, areas, _ = components(lower >= np.float32(level), neighbours=4)
        largest = labels == (1 + int(np.argmax(areas)) if len(areas) else -1)  # background is not a component
        last[inside & ~largest] = previous
        inside &= largest
        previous = level
    return last


def _steepness(alpha: Alpha) -> NDArray[np.float64]:
    """Gradient magnitude by separable derivative-of-Gaussian filters; the border is repeated outside the frame."""
    offsets = np.arange(-_FILTER_REACH_PX, _FILTER_REACH_PX + 1)
    bell = np.exp(-(offsets**2) / (2 * _SIGMA_PX**2))
    slope = offsets * bell
    bell, slope = bell / np.linalg.norm(bell), slope / np.linalg.norm(slope)
    across, down = (
        cv2.sepFilter2D(alpha, cv2.CV_64F, along, upright, borderType=cv2.BORDER_REPLICATE)
        for along, upright in ((slope, bell), (bell, slope))
    )
    return np.asarray(np.hypot(across, down))
