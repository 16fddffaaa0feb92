"""For the audit: where a cutout and an out-of-fold prediction disagree, and which of the two the photo supports.

Confident learning finds wrong labels where a model that has not seen them confidently predicts something else
(Northcutt et al., "Confident learning", JAIR 2021; for masks: Lad and Mueller, "Estimating label quality and errors in
semantic segmentation data via any model", arXiv 2307.05080, whose score is `softmin_confidence` below). But a model can
be confident and wrong. So each disputed region is also judged by the photo alone: which of the two borders lies on an
edge, and whether the region has the colours of the garment or of the background. A cutout that is shifted as a whole is
found by the distances of its border from the prediction's border and from the photo's edges.
"""

from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_gradient_magnitude

from garmentcut.evaluation.metrics import Alpha, Area, area_of, border_of, dice, distance_to, mask_of
from garmentcut.photo.mask import Mask, components, slices_of

Floats = NDArray[np.float64]

REFERENCE_HEIGHT_PX = 1728.0  # lengths below are for photos of this height, and scaled for others
_NEAR_PX = 3.0  # parts of a border this close to a region belong to it
_FAR_PX = 12.0  # distances from the border that no shift by a few pixels can explain
_SEARCH_PX = 6  # larger shifts are refused by ingest
_TRACED_PX = 1.5  # a border this close to an edge follows it
_POINTS = 4000  # most points of a border that are used; enough for hundredths of a pixel
_LEAST_POINTS = 36  # with fewer nothing is fitted
_LEAST_STRETCH = 12  # parts of a border with fewer points are not judged
_MARGIN_PX = 40
_DEPTH_PX = 5.0  # a region that is nowhere farther from the prediction's border is a usual error of predictions
_AROUND_PX = 24  # distance from a region within which its colours are compared
_LEAST_SIDE_PX = 12  # pixels that each side needs for its colour to be known
_UNTRACED, _TRACED = 1.25, 0.4  # weight of a region where the cutout's border follows no edge, and all along one
_TEMPERATURE = 0.1  # as in cleanlab


class Region(NamedTuple):
    """A part of the photo that is garment in only one of cutout and prediction."""

    box_xyxy: tuple[int, int, int, int]  # in pixels of the photo, right and bottom exclusive
    is_missing: bool  # True: the cutout lacks it; False: the cutout has it and the prediction has not
    area_px: int  # pixels
    depth_px: float  # its largest distance from the prediction's border
    confidence: float  # mean of |2 alpha - 1| of the prediction in it, in [0, 1]
    # In [-1, 1]; positive: the photo's edge is at the prediction's border, not at the cutout's.
    edge_support: float
    color_support: float  # in [-1, 1]; positive: its colours support the prediction
    # In [0, 1]: how much of the cutout's border here follows an edge of the photo, relative to the rest of the border.
    traced: float = 1.0

    @property
    def weight(self) -> float:
        """Number of disputed pixels, weighted by the model's confidence and by how well the photo supports it.

        A cutout's border that follows an edge may follow the wrong one, so such a region still has some weight.
        """
        support = float(np.clip(0.5 + 0.5 * (self.edge_support + self.color_support), 0.05, 1.5))
        return self.area_px * self.confidence**2 * support * (_UNTRACED - (_UNTRACED - _TRACED) * self.traced)


class Evidence(NamedTuple):
    """The evidence against one cutout."""

    dice: float  # of cutout and prediction, `alpha >= 0.5`
    softmin_confidence: float  # Lad and Mueller's label quality, in [0, 1]; low is suspect
    regions: tuple[Region, ...]  # disputed regions, by descending weight
    # By how many pixels the cutout as a whole lies right of and below the prediction.
    model_shift_xy: tuple[float, float]
    photo_shift_xy: tuple[float, float]  # the same against the photo's edges
    growth_px: float  # by how much its border lies outside the prediction's on all sides
    spread_px: float  # spread of the border distances that shift and growth leave unexplained


def gather_evidence(rgb: NDArray[np.uint8], target: Alpha, alpha: Alpha) -> Evidence:
    """Compare a cutout's alpha, `target`, `(H, W)` in [0, 1], with a prediction's and with the photo `(H, W, 3)`."""
    theirs, ours = mask_of(target), mask_of(alpha)
    unit = target.shape[0] / REFERENCE_HEIGHT_PX
    area = area_of(theirs, ours, margin_px=round(_MARGIN_PX * unit))
    if area is None or not ours.any() or not theirs.any():
        whole = () if area is None else (_all_of(theirs, ours, alpha),)
        return Evidence(dice(ours, theirs), 0.0, whole, (0.0, 0.0), (0.0, 0.0), 0.0, 0.0)
    colors = rgb[area].astype(np.float32)
    light, warmth = colors.mean(axis=2), (colors[..., 0] - colors[..., 2]) / 2
    their_inside = inside_of(theirs[area])
    yx = np.argwhere(border_of(theirs[area]))
    slopes: Any = np.gradient(their_inside)  # down and right
    down, right = (slope[tuple(yx.T)] for slope in slopes)
    normals = -np.column_stack([right, down]).astype(np.float64)
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    scene = Scene(
        colors=colors,
        edges=np.maximum(*(gaussian_gradient_magnitude(plane, 1.0) for plane in (light, warmth))),
        theirs=theirs[area],
        ours=ours[area],
        alpha=alpha[area],
        their_inside=their_inside,
        our_inside=inside_of(ours[area]),
        border_yx=yx,
        normals=normals / np.where(lengths > 0, lengths, np.nan),
        corner_xy=(area[1].start, area[0].start),
        unit=unit,
    )
    met = edges_met(scene)
    regions = sorted(_regions(scene, met), key=lambda found: -found[0].weight)
    shift, growth, spread = displacement(scene, apart_from=regions[0][1] if regions else None)
    return Evidence(
        dice=dice(ours, theirs),
        softmin_confidence=softmin_confidence(alpha[area], theirs[area]),
        regions=tuple(region for region, _ in regions),
        model_shift_xy=shift,
        photo_shift_xy=met.shift_xy,
        growth_px=growth,
        spread_px=spread,
    )


def softmin_confidence(alpha: Alpha, theirs: Mask) -> float:
    """Label quality of a mask: softmin over pixels of the probability that the model gives to the pixel's label.

    Source: Lad and Mueller 2023, as in cleanlab's `segmentation.rank` with its temperature of 0.1.
    """
    own = np.where(theirs, alpha, 1 - alpha).astype(np.float64).ravel()
    weights = np.exp((1 - own) / _TEMPERATURE)
    return float((own * weights).sum() / weights.sum())


class Scene(NamedTuple):
    """The part of the photo around the garment, and what is derived from it."""

    colors: NDArray[np.float32]  # `(h, w, 3)` float32, the photo
    edges: NDArray[np.float32]  # `(h, w)` float32: steepness of the photo, in lightness or in warmth
    theirs: Mask  # the cutout's mask
    ours: Mask  # the prediction's mask
    alpha: Alpha  # the prediction's alpha
    # Signed distances from the two borders, see `inside_of`.
    their_inside: NDArray[np.float32]
    our_inside: NDArray[np.float32]
    border_yx: NDArray[np.intp]  # `(N, 2)`, border pixels of the cutout
    normals: Floats  # `(N, 2)` outward unit normals x, y of that border; NaN: it has none
    corner_xy: tuple[int, int]  # position of its top left corner in the photo
    unit: float  # pixels of this photo per pixel of a photo 1728 pixels high


def inside_of(mask: Mask) -> NDArray[np.float32]:
    """Signed distance from a mask's border in pixels, positive inside; border pixels are half a pixel inside."""
    distance = distance_to(border_of(mask))  # the border pixels belong to the mask
    return np.where(mask, distance + np.float32(0.5), np.float32(0.5) - distance)


class EdgesMet(NamedTuple):
    """Points of the cutout's border, and where the photo's steepest edge lies along the normal of each."""

    yx: NDArray[np.intp]  # `(N, 2)`
    normals: Floats  # `(N, 2)`, as in `Scene`
    # `(N,)`: how far outside the border the steepest edge lies, searched within 6 px on both sides.
    offsets_px: Floats
    is_clear: NDArray[np.bool_]  # `(N,)` bool: there is an edge; in flat areas the steepest place is chance
    unit: float  # as in `Scene`

    @property
    def shift_xy(self) -> tuple[float, float]:
        """Shift of the cutout as a whole against the photo's edges."""
        if np.count_nonzero(self.is_clear) < _LEAST_POINTS:
            return 0.0, 0.0
        fit, _ = _huber(self.normals[self.is_clear], self.offsets_px[self.is_clear])
        return -float(fit[0]), -float(fit[1])

    def traced_in(self, near: Mask) -> float:
        """How much of the border within `near` follows an edge, relative to the whole border; at most 1.

        A retoucher follows the garment's edges, more or less well; a border through plain cloth is a mistake.
        """
        follows = self.is_clear & (np.abs(self.offsets_px) <= max(_TRACED_PX * self.unit, 0.75))
        here = near[tuple(self.yx.T)]
        if np.count_nonzero(here) < _LEAST_STRETCH or not follows.any():
            return 1.0
        return min(float(follows[here].mean() / follows.mean()), 1.0)


def edges_met(scene: Scene) -> EdgesMet:
    """Search for the photo's edges along the normals of the cutout's border."""
    step = max(len(scene.border_yx) // _POINTS, 1)
    known = np.isfinite(scene.normals[::step]).all(axis=1)
    yx, normals = scene.border_yx[::step][known], scene.normals[::step][known]
    reach = max(_SEARCH_PX * scene.unit, 2.0)
    offsets = np.linspace(-reach, reach, 4 * round(reach) + 1)
    along = np.rint(yx[:, None] + offsets[:, None] * normals[:, None, ::-1]).astype(np.intp)  # `(N, offsets, 2)`
    y, x = np.moveaxis(along.clip(0, np.array(scene.edges.shape) - 1), -1, 0)
    profiles = scene.edges[y, x]
    is_clear = profiles.max(axis=1) > 2 * np.median(profiles, axis=1)
    return EdgesMet(yx, normals, offsets[np.argmax(profiles, axis=1)], is_clear, scene.unit)


def displacement(scene: Scene, *, apart_from: Mask | None) -> tuple[tuple[float, float], float, float]:
    """Shift and growth of the cutout against the prediction, by Huber regression of border distances on the normals.

    If the cutout is shifted by d, its border lies d·n outside the prediction's, where n is the outward normal. The
    border of the region `apart_from` is left out of the spread if more than half of the border remains: otherwise a
    side that was cut away would look as if the prediction's border were rough. Returns shift x, y; growth, by how much
    it lies outside on all sides; spread of the unexplained distances.
    """
    border, normals = tuple(scene.border_yx.T), scene.normals
    outside = 0.5 - scene.our_inside[border].astype(np.float64)  # border pixels are half a pixel inside their mask
    usable = (np.abs(outside) < _FAR_PX * scene.unit) & np.isfinite(normals).all(axis=1)
    if np.count_nonzero(usable) < _LEAST_POINTS:
        return (0.0, 0.0), 0.0, float(np.abs(outside).mean())
    fit, residuals = _huber(normals[usable], outside[usable])
    if apart_from is not None:
        rest = usable & (distance_to(apart_from) > _NEAR_PX * max(scene.unit, 0.5))[border]
        if 2 * np.count_nonzero(rest) > len(outside):
            _, residuals = _huber(normals[rest], outside[rest])
    return (float(fit[0]), float(fit[1])), float(fit[2]), float(1.4826 * np.median(np.abs(residuals)))


def _huber(normals: Floats, values: Floats) -> tuple[Floats, Floats]:
    """Shift x, y and growth by iteratively reweighted least squares (Huber 1964), and the residuals."""
    design = np.column_stack([normals, np.ones(len(normals))])
    weights, fit, residuals = np.ones(len(values)), np.zeros(3), values
    for _ in range(8):
        root = np.sqrt(weights)
        fit = np.asarray(np.linalg.lstsq(design * root[:, None], values * root, rcond=None)[0], np.float64)
        residuals = values - design @ fit
        scale = max(1.345 * 1.4826 * float(np.median(np.abs(residuals))), 1e-3)
        weights = np.minimum(1, scale / np.maximum(np.abs(residuals), 1e-9))
    return fit, residuals


def _all_of(theirs: Mask, ours: Mask, alpha: Alpha) -> Region:
    """The region if one of the two masks is empty: it is the other mask."""
    area = area_of(theirs, ours)
    assert area is not None
    box = (area[1].start, area[0].start, area[1].stop, area[0].stop)
    sure = float(np.abs(2 * alpha[area] - 1).mean())
    whole = theirs if theirs.any() else ours
    return Region(box, not theirs.any(), int(whole.sum()), float(inside_of(whole).max()), sure, 0.0, 0.0)


def _regions(scene: Scene, met: EdgesMet) -> list[tuple[Region, Mask]]:
    found = []
    for is_missing, wrong in ((True, scene.ours & ~scene.theirs), (False, scene.theirs & ~scene.ours)):
        labels, _, boxes = components(wrong, neighbours=4)
        deep = np.unique(labels[np.abs(scene.our_inside) >= _DEPTH_PX * scene.unit])
        for number in deep[deep > 0]:
            where = labels == number
            box_xyxy: tuple[int, int, int, int] = tuple(boxes[number - 1].tolist())
            found.append((_region(scene, met, where, box_xyxy, is_missing=is_missing), where))
    return found


def _region(
    scene: Scene, met: EdgesMet, where: Mask, box_xyxy: tuple[int, int, int, int], *, is_missing: bool
) -> Region:
    window = slices_of(box_xyxy, round(_AROUND_PX * scene.unit) + 2)
    here, near = where[window], np.zeros_like(where)
    apart_px = distance_to(here)
    near[window] = apart_px <= _NEAR_PX * max(scene.unit, 0.5)
    edges = cv2.dilate(scene.edges[window], np.ones((3, 3), np.uint8))
    strengths = []
    for mask in (scene.ours, scene.theirs):
        own = border_of(mask[window]) & near[window]
        strengths.append(float(edges[own].mean()) if own.any() else 0.0)
    left, top, right, bottom = box_xyxy
    x, y = scene.corner_xy
    return Region(
        box_xyxy=(left + x, top + y, right + x, bottom + y),
        is_missing=is_missing,
        area_px=int(here.sum()),
        depth_px=float(np.abs(scene.our_inside[window][here]).max()),
        confidence=float(np.abs(2 * scene.alpha[window][here] - 1).mean()),
        edge_support=_contrast(strengths[0], strengths[1]),
        color_support=_color_support(scene, window, here, apart_px) * (1 if is_missing else -1),
        traced=met.traced_in(near),
    )


def _color_support(scene: Scene, window: Area, here: Mask, apart_px: NDArray[np.float32]) -> float:
    """Whether the region looks like the garment (positive) or like the background next to it."""
    reach = (apart_px <= _AROUND_PX * scene.unit) & (np.abs(scene.their_inside[window]) > 2)
    colors, ours, theirs = scene.colors[window], scene.ours[window], scene.theirs[window]
    apart = []
    for side in (ours & theirs, ~ours & ~theirs):
        beside = colors[side & reach]
        if len(beside) < _LEAST_SIDE_PX:
            return 0.0
        apart.append(float(np.linalg.norm(colors[here] - beside.mean(axis=0), axis=1).mean()))
    return _contrast(apart[1], apart[0])


def _contrast(one: float, other: float) -> float:
    return (one - other) / (one + other) if one + other > 0 else 0.0
