"""Estimates doubt, 1 - expected surface Dice at 2 px, from features: for `cutter`, `verdict` and calibration."""

from typing import TYPE_CHECKING, NamedTuple
from weakref import WeakKeyDictionary

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from garmentcut.errors import ModelError
from garmentcut.model.card import DoubtModel, ModelCard
from garmentcut.photo.mask import bounding_box, box_sums, components, dilate, erode, slices_of

if TYPE_CHECKING:
    from garmentcut.prediction.cutter import Prediction

MAP_HEIGHT_PX = 432
"""The approximate height of maps: a quarter of the size at which the embedded model works."""

_MARGIN_PX = 12  # margin around the garment, in pixels of the map
_FAINT = np.float32(0.1)  # least alpha that belongs to the map, so that traces beside the garment do
_RING_PX = 4  # on each side of the edge, where colours are compared
_LEAST_COMPONENT = 2e-3  # of the garment: smaller islands and holes are dust

Plane = NDArray[np.float32]
"""`(h, w)` float32."""


class Maps(NamedTuple):
    """The part of a photo in which there is alpha, at reduced size."""

    step: int  # side, in pixels of the network's frame, of the square that a pixel of the map stands for
    frame_hw: tuple[int, int]  # height and width of the whole frame, in pixels of the map
    corner_xy: tuple[int, int]  # upper left corner of the map in that frame
    alpha: Plane  # `(h, w)` float32 in [0, 1], mean over the square
    softness: Plane  # likewise, mean of 4 alpha (1 - alpha): 1 where the network cannot tell
    colors: NDArray[np.float32]  # `(h, w, 3)` float32, Y, Cb, Cr in 0 to 255
    # `(h, w)` bool: pixels of the mask with a direct neighbour outside it; the frame's border is no neighbour.
    edge: NDArray[np.bool_]
    # `(h, w)` float32: on the edge, the distance of the colours on its two sides, in levels of 255; elsewhere 0.
    contrast: Plane
    num_components: int  # components of the garment, without dust
    holes_xy: tuple[tuple[float, float], ...]  # centres of its holes, in pixels of the map, largest first

    @property
    def mask(self) -> NDArray[np.bool_]:
        """`alpha >= 0.5`."""
        return self.alpha >= np.float32(0.5)


def draw_maps(rgb: NDArray[np.uint8], alpha: Plane) -> Maps | None:
    """Reduce a photo and its alpha, as for `observe`, to maps, and measure the edge; None: no pixel is garment."""
    step = max(round(alpha.shape[0] / MAP_HEIGHT_PX), 1)
    small = reduced(alpha, step)
    box = bounding_box(small >= _FAINT)
    if box is None or not (small >= np.float32(0.5)).any():
        return None
    rows, columns = slices_of(box, _MARGIN_PX)
    small = small[rows, columns]
    own = slice(rows.start * step, rows.stop * step), slice(columns.start * step, columns.stop * step)
    fine, image = alpha[own], Image.fromarray(rgb[own]).convert("YCbCr")
    colors = np.asarray(image.reduce(step) if step > 1 else image, np.float32)[: small.shape[0], : small.shape[1]]
    mask = small >= np.float32(0.5)
    edge = mask & ~erode(mask, neighbours=4)
    # Islands that are more than dust, and the middles of such holes' boxes, largest first.
    islands, around = components(mask), components(np.pad(~mask, 1, constant_values=True))
    least = _LEAST_COMPONENT * int(islands.areas.max())
    is_hole = around.areas >= least
    is_hole[around.labels[0, 0] - 1] = False  # the outside, one piece
    order = np.argsort(-around.areas, kind="stable")
    middles = (around.boxes_xyxy[:, :2] + around.boxes_xyxy[:, 2:])[order][is_hole[order]] / 2 - 1
    return Maps(
        step=step,
        frame_hw=(-(-alpha.shape[0] // step), -(-alpha.shape[1] // step)),
        corner_xy=(columns.start, rows.start),
        alpha=small,
        softness=reduced(4 * fine * (1 - fine), step)[: small.shape[0], : small.shape[1]],
        colors=colors,
        edge=edge,
        contrast=_contrast_of(colors, mask, edge),
        num_components=int((islands.areas >= least).sum()),
        holes_xy=tuple((x, y) for x, y in middles.tolist()),
    )


def reduced(plane: Plane, step: int) -> Plane:
    """Means over squares with sides of `step` pixels; the last squares may be cut off by the border."""
    if step == 1:
        return plane
    return np.asarray(Image.fromarray(np.ascontiguousarray(plane)).reduce(step), np.float32)


def _contrast_of(colors: NDArray[np.float32], mask: NDArray[np.bool_], edge: NDArray[np.bool_]) -> Plane:
    """Distance of the mean colours near the edge on its two sides, without the mixed pixels of the edge itself."""
    sides = []
    for side in (erode(mask, neighbours=4), erode(~mask, neighbours=4)):
        planes = np.concatenate([colors * side[..., None], side[..., None]], axis=2, dtype=np.float32)
        sums = box_sums(planes, _RING_PX)[edge]
        sides.append((sums[:, :3] / np.maximum(sums[:, 3:], 1e-9), sums[:, 3] > 0.5))
    (inside, has_inside), (outside, has_outside) = sides
    apart = np.sqrt(((inside - outside) ** 2).sum(axis=1))
    contrast = np.zeros(mask.shape, np.float32)
    contrast[edge] = np.where(has_inside & has_outside, apart, 0)
    return contrast


FEATURES = {
    "edge_softness": "log of the soft area over the garment's size",
    "wide_edge": "log of the share of the outline where that is wider than a pixel of the map",
    "sheer": "log of the share of the inside that is soft",
    "haze": "log of the alpha far outside, over the garment",
    "outline": "log of its length over the garment's size",
    "components": "log2 of 1 + their number",
    "holes": "log2 of 1 + their number",
    "contact": "share of the outline that is the frame",
    "low_contrast": "share of the outline without contrast",
    "contrast": "log of its median",
    "mixed_colors": "log of how much the garment's colours vary",
    "stage_disagreement": "log of how far the locate stage's alpha lies from the last stage's, over the garment's size",
    "cut_off": "log of the length of what `continuation_of` finds, over the garment's size",
}
"""The features by name, in the order of `Observation.features`."""

LOW_CONTRAST = 14.0
"""Levels of 255: an edge whose two sides differ by less cannot be told from folds and shadows."""

NUM_COMPARED = 10
"""The first numbers of the appearance, by which views of a garment are compared; the rest describes the background."""

_INSIDE_PX = 3  # of the map: farther inside than any soft edge
_THIN_PX = 7  # of the map: a strap or cord is narrower
_LEAST_LENGTH_PX = 7  # of the map: a shorter line beside the edge is a fold, a seam or noise
_SAME_COLOR = 40.0  # levels of 255, Y at half weight: light and shade along one strap
_GROUND_HEIGHT_PX = 144  # height of the copy on which the background is measured
_STRIP = 12  # a border strip is as wide as the copy's side divided by this
_HAZE = 0.02
_SMALL = 1e-3  # added before a logarithm


class Observation(NamedTuple):
    """What was measured of a cutout."""

    maps: Maps  # the maps that were measured
    # `(13,)` float64, in the order of `FEATURES`; without stages, `stage_disagreement` has its least value.
    features: NDArray[np.float64]
    # `(27,)` float64: the mean colours (Y, Cb, Cr) of the garment and of the background; the garment's share of the
    # frame; its height and width, and the height of its middle, over the frame's height; for each of the strips along
    # the frame's top, bottom, left and right, the median colour and the log of the standard deviation of Y; the log of
    # the frame's mean gradient. They show whether the model has met such photos.
    appearance: NDArray[np.float64]


def observe(rgb: NDArray[np.uint8], alpha: Plane, *, apart: float = 0.0) -> Observation | None:
    """Measure a cutout's features; None: no pixel is garment.

    Args:
        rgb: `(H, W, 3)` uint8 sRGB, as the network saw it, without padding.
        alpha: `(H, W)` float32 in [0, 1], the network's output.
        apart: sum of the absolute differences of two stages' alphas, over the square root of the garment's area.
    """
    maps = draw_maps(rgb, alpha)
    if maps is None:
        return None
    thin = continuation_of(maps).sum() / np.sqrt(maps.alpha.sum())
    features = np.concatenate([_features_of(maps), np.log([apart + _SMALL, thin + 10 * _SMALL])])
    return Observation(maps, features, np.concatenate([_appearance_of(maps), _ground_of(rgb)]))


_OBSERVED: "WeakKeyDictionary[Prediction, Observation | None]" = WeakKeyDictionary()  # for cutter, then judge


def observe_prediction(prediction: "Prediction") -> Observation | None:
    """`observe` a prediction; the result is cached."""
    if prediction in _OBSERVED:
        return _OBSERVED[prediction]
    coarse, (height, width), apart = prediction.coarse, prediction.frame.content_hw, 0.0
    if coarse is not None:
        again = prediction.small_alpha((coarse.shape[0], coarse.shape[1]))
        apart = float(np.abs(coarse - again).sum() / np.sqrt(max(again.sum(), 1.0)))
    _OBSERVED[prediction] = found = observe(prediction.frame.rgb[:height, :width], prediction.alpha, apart=apart)
    return found


def lines_at_border(maps: Maps) -> dict[str, NDArray[np.bool_]]:
    """The outermost row or column of the map's mask for each side that is at the frame's border, by side."""
    mask, (left, top), (height, width) = maps.mask, maps.corner_xy, maps.frame_hw
    lines = {"top": mask[0], "bottom": mask[-1], "left": mask[:, 0], "right": mask[:, -1]}
    touches = (top == 0, top + mask.shape[0] == height, left == 0, left + mask.shape[1] == width)
    return {name: line for (name, line), at_border in zip(lines.items(), touches, strict=True) if at_border}


def continuation_of(maps: Maps) -> Plane:
    """A map: 1 where something thin continues in the photo beyond the alpha, perhaps a strap that was cut off; else 0.

    A strap is lighter or darker than both of its sides, so a top-hat or black-hat filter wider than the strap finds it.
    It begins at the mask, has the mask's colour there, and is long.
    """
    mask, found = maps.mask, np.zeros(maps.alpha.shape, np.float32)
    around, kernel = dilate(mask), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (_THIN_PX, _THIN_PX))
    hats = [cv2.morphologyEx(maps.colors, hat, kernel) for hat in (cv2.MORPH_TOPHAT, cv2.MORPH_BLACKHAT)]
    lines = components((np.maximum(*hats).max(axis=2) > LOW_CONTRAST) & ~around)
    begins = dilate(mask, 3) & ~around & (lines.labels > 0)
    inside, weight = erode(mask), np.array([0.5, 1, 1], np.float32)
    for number in np.unique(lines.labels[begins]):
        left, top, right, bottom = lines.boxes_xyxy[number - 1]
        length = max(right - left, bottom - top)
        if length < _LEAST_LENGTH_PX or lines.areas[number - 1] > _THIN_PX * length:
            continue
        line = lines.labels == number
        beside = inside & dilate(line & begins, _THIN_PX)
        if beside.any():
            apart = np.median(maps.colors[line], axis=0) - np.median(maps.colors[beside], axis=0)
            found[line] = np.linalg.norm(apart * weight) < _SAME_COLOR
    return found


def _ground_of(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Measures along the frame's borders; see `Observation.appearance`."""
    small = Image.fromarray(rgb).reduce(max(round(rgb.shape[0] / _GROUND_HEIGHT_PX), 1))
    colors = np.asarray(small.convert("YCbCr"), np.float32)
    rows, columns = (max(side // _STRIP, 1) for side in colors.shape[:2])
    values: list[float] = []
    for strip in (colors[:rows], colors[-rows:], colors[:, :columns], colors[:, -columns:]):
        values += [*np.median(strip, axis=(0, 1)).tolist(), float(np.log(strip[..., 0].std() + 1))]
    steps = [np.abs(np.diff(colors[..., 0], axis=axis)) for axis in (0, 1)]
    gradient = sum(float(step.mean()) for step in steps if step.size)
    return np.array([*values, np.log(gradient + 0.1)], np.float64)


def _features_of(maps: Maps) -> NDArray[np.float64]:
    mask, size = maps.mask, float(np.sqrt(maps.alpha.sum()))
    inside, outside = erode(mask, _INSIDE_PX, neighbours=4), erode(~mask, _INSIDE_PX, neighbours=4)
    length = max(float(maps.edge.sum()), 1.0)
    contrasts = maps.contrast[maps.edge] if maps.edge.any() else np.zeros(1, np.float32)
    near = maps.softness > np.float32(0.5)
    contact = sum(int(np.count_nonzero(line)) for line in lines_at_border(maps).values())
    spread = maps.colors[inside].std(axis=0) if inside.any() else np.zeros(3)
    return np.array(
        [
            np.log(maps.softness.sum() / size + _SMALL),
            np.log(near.sum() / length + 0.01),
            np.log(maps.softness[inside].sum() / max(inside.sum(), 1) + _SMALL),
            np.log(maps.alpha[outside & (maps.alpha > _HAZE)].sum() / maps.alpha.sum() + _SMALL),
            np.log(length / size),
            np.log2(1 + maps.num_components),
            np.log2(1 + len(maps.holes_xy)),
            contact / (contact + length),
            float(np.mean(contrasts < LOW_CONTRAST)),
            np.log(np.median(contrasts) + 1),
            np.log(np.sqrt((spread**2).sum()) + 1),
        ],
        np.float64,
    )


def _appearance_of(maps: Maps) -> NDArray[np.float64]:
    mask = maps.mask
    frame_height, frame_width = maps.frame_hw
    garment = maps.colors[mask].mean(axis=0)
    around = maps.colors[erode(~mask, _INSIDE_PX, neighbours=4)]
    background = around.mean(axis=0) if around.size else garment
    left, top, right, bottom = bounding_box(mask) or (0, 0, 1, 1)
    height, width = bottom - top, right - left
    middle = maps.corner_xy[1] + (top + bottom) / 2
    shares = (mask.sum() / (frame_height * frame_width), height / frame_height, width / frame_height)
    return np.array([*garment, *background, *shares, middle / frame_height], np.float64)


ALL_FEATURES = (*FEATURES, "unlike")
"""All features that a doubt model may read."""

_LEAST_DISTANCE = 0.1


def check_doubt(card: ModelCard) -> None:
    """Raise ModelError if this version does not know the features of a card's doubt model."""
    if card.doubt is not None and not set(card.doubt.features) <= set(ALL_FEATURES):
        raise ModelError(f"{card.label}: its doubt was learned from other features; run `garmentcut calibrate` again")


def doubt_of(model: DoubtModel, observation: Observation) -> float:
    """Doubt in one cutout, in [0, 1]: 1 - its expected surface Dice at 2 px."""
    return float(doubts_of(model, features_of(model, observation)[None])[0])


def is_foreign(model: DoubtModel, appearance: NDArray[np.float64]) -> bool:
    """Whether a photo with this `Observation.appearance` looks unlike the studio; False if the model cannot tell."""
    if model.foreign_distance is None:
        return False
    return float(distances_of(appearance, model.appearance_mean, model.appearance_precision)) > model.foreign_distance


def features_of(model: DoubtModel, observation: Observation) -> NDArray[np.float64]:
    """All features of a cutout, `(14,)`, with `unlike` measured by the model."""
    mean, precision = model.appearance_mean, model.appearance_precision
    return all_features(observation.features, observation.appearance, mean=mean, precision=precision)


def doubts_of(model: DoubtModel, features: NDArray[np.float64]) -> NDArray[np.float64]:
    """Doubts `(N,)` of many cutouts, from their features `(N, 14)`."""
    score = standardized(model, features) @ np.array(model.weights) + model.bias
    doubts: NDArray[np.float64] = 1 / (1 + np.exp(-np.clip(score, -40, 40)))
    return doubts


def usual_doubt(model: DoubtModel) -> float:
    """Doubt in a cutout in which each feature has the median of the photos from which doubt was learned."""
    return float(1 / (1 + np.exp(-model.bias)))


def standardized(model: DoubtModel, features: NDArray[np.float64]) -> NDArray[np.float64]:
    """The features that a model reads, centred and scaled; clipped at four scales, beyond which nothing was learned.

    `(..., 14)` in the order of `ALL_FEATURES` to `(..., n)` in that of `model.features`; older models have fewer.
    """
    own = features[..., [ALL_FEATURES.index(name) for name in model.features]]
    values: NDArray[np.float64] = ((own - np.array(model.center)) / np.array(model.scale)).clip(-4, 4)
    return values


def all_features(
    features: NDArray[np.float64], appearance: NDArray[np.float64], *, mean: ArrayLike, precision: ArrayLike
) -> NDArray[np.float64]:
    """Features with `unlike` appended; other arguments as for `distances_of`."""
    unlike = np.log(distances_of(appearance, mean, precision) + _LEAST_DISTANCE)
    return np.concatenate([features, unlike[..., None]], axis=-1)


def distances_of(appearance: NDArray[np.float64], mean: ArrayLike, precision: ArrayLike) -> NDArray[np.float64]:
    """Mahalanobis distances of photos, `(..., 27)`, from those from which doubt was learned.

    `mean` is the mean appearance of the training photos, in older models only its first ten numbers; `precision` is the
    inverse of their covariance.
    """
    away = appearance[..., : np.size(mean)] - np.asarray(mean)
    squares: NDArray[np.float64] = np.einsum("...i,ij,...j", away, np.asarray(precision), away)
    return np.sqrt(np.maximum(squares, 0))
