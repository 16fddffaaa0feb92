"""For the audit: where a cutout and an out-of-fold prediction disagree, and whose border the photo's edges follow.

Confident learning finds wrong labels where a model that has not seen them is sure of something else (Northcutt et
al., "Confident learning", JAIR 2021; for masks: Lad and Mueller, "Estimating label quality and errors in semantic
segmentation data via any model", arXiv 2307.05080, whose score is `softmin_confidence` below). A model errs too,
though, and is sure of it: so each disputed region is also judged by the photo alone - which of the two borders lies
on an edge, and whether the region's colours are the garment's or the background's - and a cutout that is shifted as a
whole is found by how its border lies to the prediction's and to the photo's edges.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_gradient_magnitude

from garmentcut.evaluation.metrics import Alpha, Area, area_of, border_of, dice, distance_to, mask_of
from garmentcut.photo.mask import Mask, components, slices_of

Floats = NDArray[np.float64]

REFERENCE_HEIGHT_PX = 1728.0  # lengths below are for photos this high, and scaled to others
_NEAR_PX = 3.0  # of a region: its own stretch of a border
_FAR_PX = 12.0  # from the border: what no shift of a few pixels explains
_SEARCH_PX = 6  # a shift by more would have been refused by ingest
_TRACED_PX = 1.5  # a border so near to an edge follows it
_POINTS = 4000  # of a border, at most: enough for hundredths of a pixel
_LEAST_POINTS = 36  # or nothing is fitted
_LEAST_STRETCH = 12  # points of a stretch, or nothing is said of it
_MARGIN_PX = 40
_DEPTH_PX = 5.0  # a region that nowhere lies deeper than that beyond the prediction's border is its usual error
_AROUND_PX = 24  # of a region: where its colours are compared
_LEAST_SIDE_PX = 12  # pixels of each side, or no colour is known
_UNTRACED, _TRACED = 1.25, 0.4  # how much a region counts whose cutout's border follows no edge; and wholly follows one
_TEMPERATURE = 0.1  # cleanlab's


class Region(NamedTuple):
    """A part of the photo that only one of cutout and prediction takes for garment."""

    box_xyxy: tuple[int, int, int, int]  # in pixels of the photo, right and bottom exclusive
    is_missing: bool  # the cutout lacks it; else it has it too much
    area_px: int  # pixels
    depth_px: float  # largest distance of it from the prediction's border
    confidence: float  # mean of |2 alpha - 1| of the prediction in it, in [0, 1]
    # In [-1, 1]: above zero, the photo has its edge at the prediction's border, not at the cutout's.
    edge_support: float
    color_support: float  # in [-1, 1]: above zero, its colours speak for the prediction
    # In [0, 1]: how much of the cutout's border here follows an edge of the photo, against the rest of it.
    traced: float = 1.0

    @property
    def weight(self) -> float:
        """Disputed pixels, by how sure the model is of them and how well the photo bears it out.

        A border that follows an edge may follow the wrong one, so it still counts for something.
        """
        support = float(np.clip(0.5 + 0.5 * (self.edge_support + self.color_support), 0.05, 1.5))
        return self.area_px * self.confidence**2 * support * (_UNTRACED - (_UNTRACED - _TRACED) * self.traced)


@dataclass(frozen=True)
class Evidence:
    """What speaks against one cutout."""

    dice: float  # of cutout and prediction, `alpha >= 0.5`
    softmin_confidence: float  # Lad and Mueller's label quality, in [0, 1], low is suspect
    regions: tuple[Region, ...]  # disputed regions, heaviest first
    # By how many pixels the cutout lies right of and below the prediction, as a whole.
    model_shift_xy: tuple[float, float]
    photo_shift_xy: tuple[float, float]  # and of the photo's edges
    growth_px: float  # by how much its border lies outside the prediction's, all around
    spread_px: float  # how far the rest of the border scatters about that


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
    slopes: Any = np.gradient(their_inside)  # downwards, and to the right
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
    """Label quality of a mask: softmin over pixels of the probability that the model gives the label it has.

    Source: Lad and Mueller 2023, as in cleanlab's `segmentation.rank` with its temperature of 0.1.
    """
    own = np.where(theirs, alpha, 1 - alpha).astype(np.float64).ravel()
    weights = np.exp((1 - own) / _TEMPERATURE)
    return float((own * weights).sum() / weights.sum())


@dataclass(frozen=True, eq=False)
class Scene:
    """Everything around the garment, cut out of the photo."""

    colors: NDArray[np.float32]  # `(h, w, 3)` float32, the photo
    edges: NDArray[np.float32]  # `(h, w)` float32: how steep the photo is, in lightness or in warmth
    theirs: Mask  # the cutout's
    ours: Mask  # the prediction's
    alpha: Alpha  # the prediction's
    # Signed distances from the two borders.
    their_inside: NDArray[np.float32]
    our_inside: NDArray[np.float32]
    border_yx: NDArray[np.intp]  # `(N, 2)`, of the cutout
    normals: Floats  # `(N, 2)` outward unit normals x, y of that border; not a number: it has none
    corner_xy: tuple[int, int]  # where in the photo it begins
    unit: float  # pixels of the photo that one of a photo 1728 high stands for


def inside_of(mask: Mask) -> NDArray[np.float32]:
    """Signed distance from a mask's border in pixels, above zero inside; its border pixels lie half a pixel inside."""
    distance = distance_to(border_of(mask))  # the border's own pixels belong to the mask
    return np.where(mask, distance + np.float32(0.5), np.float32(0.5) - distance)


@dataclass(frozen=True, eq=False)
class EdgesMet:
    """Points of the cutout's border, and where along its normal each meets the photo's steepest edge."""

    yx: NDArray[np.intp]  # `(N, 2)`
    normals: Floats  # `(N, 2)`, as the scene's
    # `(N,)`: how far outside of the border the steepest edge lies, 6 px to either side being searched.
    offsets_px: Floats
    is_clear: NDArray[np.bool_]  # `(N,)` bool: there is one; where all is flat, its steepest place is chance
    unit: float  # as the scene's

    @property
    def shift_xy(self) -> tuple[float, float]:
        """Shift of the cutout as a whole against the photo's edges."""
        if np.count_nonzero(self.is_clear) < _LEAST_POINTS:
            return 0.0, 0.0
        fit, _ = _huber(self.normals[self.is_clear], self.offsets_px[self.is_clear])
        return -float(fit[0]), -float(fit[1])

    def traced_in(self, near: Mask) -> float:
        """How much of the border within `near` follows an edge, as a share of how much of all of it does; at most 1.

        Who cuts a garment out follows its edges, well or badly; a border through plain cloth was not meant.
        """
        follows = self.is_clear & (np.abs(self.offsets_px) <= max(_TRACED_PX * self.unit, 0.75))
        here = near[tuple(self.yx.T)]
        if np.count_nonzero(here) < _LEAST_STRETCH or not follows.any():
            return 1.0
        return min(float(follows[here].mean() / follows.mean()), 1.0)


def edges_met(scene: Scene) -> EdgesMet:
    """Search the photo's edges along the normals of the cutout's border."""
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
    """Shift and growth of the cutout against the prediction: Huber's regression of border distances on the normals.

    Where the cutout is shifted by d, its border lies d·n outside the prediction's, n being the outward normal. The
    border of the region `apart_from` is left out of the spread, if more than half is left: a side that is cut away
    would else look as if the prediction's border were rough.

    Returns:
        Shift x, y; growth: how far outside it lies all around; spread: how far the rest of it scatters about that.
    """
    border, normals = tuple(scene.border_yx.T), scene.normals
    outside = 0.5 - scene.our_inside[border].astype(np.float64)  # it lies half a pixel inside its own mask
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
    """Shift x, y and growth by least squares, far values weighted down again and again (Huber 1964); residuals."""
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
    """One of the two is empty: the other one is the region."""
    area = area_of(theirs, ours)
    assert area is not None
    box = (area[1].start, area[0].start, area[1].stop, area[0].stop)
    sure = float(np.abs(2 * alpha[area] - 1).mean())
    whole = theirs if theirs.any() else ours
    return Region(box, not theirs.any(), int(whole.sum()), float(inside_of(whole).max()), sure, 0.0, 0.0)


def _regions(scene: Scene, met: EdgesMet) -> list[tuple[Region, Mask]]:
    """Each with its pixels."""
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
    """Whether the region looks like the garment, above zero, or like the background beside it."""
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
