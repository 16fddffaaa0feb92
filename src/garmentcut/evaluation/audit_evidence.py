"""What speaks against a cutout: where it and an out-of-fold prediction disagree, and whose border the photo follows.

Confident learning finds wrong labels where a model that has not seen them is sure of something else (Northcutt et
al., "Confident learning", JAIR 2021; for masks: Lad and Mueller, "Estimating label quality and errors in semantic
segmentation data via any model", arXiv 2307.05080, whose score is `softmin_confidence` below). A model errs too,
though, and is sure of it: so each disputed region is also judged by the photo alone - which of the two borders lies
on an edge, and whether the region's colours are the garment's or the background's - and a cutout that is shifted as a
whole is found by how its border lies to the prediction's and to the photo's edges.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, find_objects, label, maximum_filter

from garmentcut.evaluation.audit_border import NEAR_PX, EdgesMet, displacement, edges_met, grown
from garmentcut.evaluation.audit_scene import Scene
from garmentcut.evaluation.masks import Area, Mask, area_of, mask_of
from garmentcut.evaluation.matting import Alpha
from garmentcut.evaluation.overlap import dice
from garmentcut.evaluation.surface import border_of

REFERENCE_HEIGHT_PX = 1728.0
"""Lengths below are for photos this high, and scaled to others."""

_MARGIN_PX = 40
_DEPTH_PX = 5.0  # a region that nowhere lies deeper than that beyond the prediction's border is its usual error
_AROUND_PX = 24  # of a region: where its colours are compared
_LEAST_SIDE_PX = 12  # pixels of each side, or no colour is known
_UNTRACED, _TRACED = 1.25, 0.4  # how much a region counts whose cutout's border follows no edge; and wholly follows one
_TEMPERATURE = 0.1  # cleanlab's


class Region(NamedTuple):
    """A part of the photo that only one of cutout and prediction takes for garment.

    Attributes:
        box_xyxy: in pixels of the photo, right and bottom exclusive.
        is_missing: the cutout lacks it; else it has it too much.
        area_px: pixels.
        depth_px: largest distance of it from the prediction's border.
        confidence: mean of |2 alpha - 1| of the prediction in it, in [0, 1].
        edge_support: in [-1, 1]: above zero, the photo has its edge at the prediction's border, not at the cutout's.
        color_support: in [-1, 1]: above zero, its colours speak for the prediction.
        traced: in [0, 1]: how much of the cutout's border here follows an edge of the photo, against the rest of it.
    """

    box_xyxy: tuple[int, int, int, int]
    is_missing: bool
    area_px: int
    depth_px: float
    confidence: float
    edge_support: float
    color_support: float
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
    """What speaks against one cutout.

    Attributes:
        dice: of cutout and prediction, `alpha >= 0.5`.
        softmin_confidence: Lad and Mueller's label quality, in [0, 1], low is suspect.
        regions: disputed regions, heaviest first.
        model_shift_xy: by how many pixels the cutout lies right of and below the prediction, as a whole.
        photo_shift_xy: and of the photo's edges.
        growth_px: by how much its border lies outside the prediction's, all around.
        spread_px: how far the rest of the border scatters about that.
    """

    dice: float
    softmin_confidence: float
    regions: tuple[Region, ...]
    model_shift_xy: tuple[float, float]
    photo_shift_xy: tuple[float, float]
    growth_px: float
    spread_px: float


def gather_evidence(rgb: NDArray[np.uint8], target: Alpha, alpha: Alpha) -> Evidence:
    """Compare a cutout with a prediction and with the photo.

    Args:
        rgb: `(H, W, 3)` uint8, the photo.
        target: `(H, W)` float32 in [0, 1], the cutout's alpha.
        alpha: likewise, the prediction's.
    """
    theirs, ours = mask_of(target), mask_of(alpha)
    unit = target.shape[0] / REFERENCE_HEIGHT_PX
    area = area_of(theirs, ours, margin_px=round(_MARGIN_PX * unit))
    if area is None or not ours.any() or not theirs.any():
        whole = () if area is None else (_all_of(theirs, ours, alpha),)
        return Evidence(dice(ours, theirs), 0.0, whole, (0.0, 0.0), (0.0, 0.0), 0.0, 0.0)
    scene = Scene.of(rgb, theirs, ours, alpha, area=area, unit=unit)
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


def _all_of(theirs: Mask, ours: Mask, alpha: Alpha) -> Region:
    """One of the two is empty: the other one is the region."""
    area = area_of(theirs, ours)
    assert area is not None
    box = (area[1].start, area[0].start, area[1].stop, area[0].stop)
    sure = float(np.abs(2 * alpha[area] - 1).mean())
    whole = theirs if theirs.any() else ours
    return Region(box, not theirs.any(), int(whole.sum()), float(distance_transform_edt(whole).max()), sure, 0.0, 0.0)


def _regions(scene: Scene, met: EdgesMet) -> list[tuple[Region, Mask]]:
    """Each with its pixels."""
    found = []
    for is_missing, wrong in ((True, scene.ours & ~scene.theirs), (False, scene.theirs & ~scene.ours)):
        numbered, num = label(wrong)
        if not num:
            continue
        deep = np.bincount(numbered[np.abs(scene.our_inside) >= _DEPTH_PX * scene.unit], minlength=num + 1) > 0
        boxes = find_objects(numbered)
        for number in np.flatnonzero(deep[1:]) + 1:
            where = numbered == number
            found.append((_region(scene, met, where, boxes[number - 1], is_missing=is_missing), where))
    return found


def _region(scene: Scene, met: EdgesMet, where: Mask, box: Area, *, is_missing: bool) -> Region:
    around = round(_AROUND_PX * scene.unit) + 2
    window = tuple(slice(max(side.start - around, 0), side.stop + around) for side in box)
    near = distance_transform_edt(~where[window]) <= NEAR_PX * max(scene.unit, 0.5)
    edges = maximum_filter(scene.edges[window], 3)
    strengths = []
    for mask in (scene.ours[window], scene.theirs[window]):
        own = border_of(mask) & near
        strengths.append(float(edges[own].mean()) if own.any() else 0.0)
    (top, left), depth = scene.corner_yx, float(np.abs(scene.our_inside[window][where[window]]).max())
    return Region(
        box_xyxy=(left + box[1].start, top + box[0].start, left + box[1].stop, top + box[0].stop),
        is_missing=is_missing,
        area_px=int(where[window].sum()),
        depth_px=depth,
        confidence=float(np.abs(2 * scene.alpha[window][where[window]] - 1).mean()),
        edge_support=_contrast(strengths[0], strengths[1]),
        color_support=_color_support(scene, where, window, is_missing=is_missing),  # type: ignore[arg-type]
        traced=met.traced_in(grown(where, NEAR_PX * max(scene.unit, 0.5))),
    )


def _color_support(scene: Scene, where: Mask, window: Area, *, is_missing: bool) -> float:
    """Whether the region looks like the garment or like the background beside it."""
    here = where[window]
    reach = distance_transform_edt(~here) <= _AROUND_PX * scene.unit
    sides = []
    for side in (scene.ours & scene.theirs, ~scene.ours & ~scene.theirs):
        beside = side[window] & reach & (np.abs(scene.their_inside[window]) > 2)
        if np.count_nonzero(beside) < _LEAST_SIDE_PX:
            return 0.0
        sides.append(scene.colors[window][beside].mean(axis=0))
    colors = scene.colors[window][here]
    to_garment, to_background = (float(np.linalg.norm(colors - side, axis=1).mean()) for side in sides)
    likeness = _contrast(to_background, to_garment)
    return likeness if is_missing else -likeness


def _contrast(one: float, other: float) -> float:
    return (one - other) / (one + other) if one + other > 0 else 0.0
