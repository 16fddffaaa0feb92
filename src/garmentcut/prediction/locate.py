"""Scales photos for `cutter` and finds the garment: the locate stage, crops, corrections based on that stage."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from garmentcut.errors import NoGarmentError, Note, PhotoError
from garmentcut.model.card import ModelCard, StageSizes
from garmentcut.photo.color import srgb_of
from garmentcut.photo.mask import (
    RARE_COLOR,
    Components,
    bounding_box,
    color_bins,
    color_frequencies,
    components,
    dilate,
    erode,
    slices_of,
)
from garmentcut.photo.photo import Photo, resize_rgb, to_8_bit
from garmentcut.prediction.runtime import Predict

MULTIPLE_OF = 32  # the encoder's coarsest stride
_REDUCING_GAP = 2.0  # coarse is enough to find a box: 1152x1728 pixels shrink in half the time
ANOTHER_GARMENT = 0.35
"""Share of the largest component's area; a component beside it that is at least this large is another garment."""

LEAST_SHARE = 5e-4
"""Share of the frame that the smallest garment covers, a tenth of a bikini; less is a false positive."""

NO_GARMENT = "no garment found; check that it is a studio photo of a dressed mannequin"
_FAINT = 0.2  # least alpha of sheer sleeves and fringe, which belong to the box if they touch sure garment
_PIECE = 0.15  # of the largest's area: the other piece of a two-piece, anywhere above or below
_NOT_A_SPECK = 0.01  # of its area: a strap or sleeve end, if it is near
_NEAR = 0.04  # of the frame's height
_ON_THE_FRAME = 0.01  # of the side's length: least contact with the frame
_FRONT_WIDTH, _FRONT_GAP, _FRONT_UNEVEN = 0.37, 0.75, 0.06  # an open vest's fronts: of height, width, height
_SURE_CLOTH = 0.9  # locate's alpha in sure cloth, at least; lace and its gaps stay below
_GROUND = 0.1  # locate's alpha in sure background, at most
_OPAQUE = 0.8, 0.97  # locate's alpha from which cloth is made more opaque, and fully opaque
_DEEP_PX = 13  # about three pixels of the locate stage; this deep within fully opaque cloth there are no gaps
_HALF_SEEN = 0.3, 0.5  # the last stage's alpha; below the first it is a gap
_LARGEST_HOLE = 2.5e-3  # of the garment: a brass button, a buckle; a larger one is a gap
_LARGEST_PART = 0.02  # of the garment: a bit of background taken for a strap, or of cloth taken for a gap
_CLEARLY_RARER = 0.2  # at most this: frequency in the background over that in the cloth, of a larger hole's colours
LARGEST_SPECK = 5e-3  # of the garment: a larger separate part is not a speck
_LARGEST_FALSE_POSITIVE = 0.05  # of the garment, in a foreign photo: a patch of a patterned floor or wall
_LEAST_COMPACT = 0.25  # of the square around it; a strap, too thin for the locate stage, fills less
_SOFT_LEVEL = 0.1  # a speck's or hole's soft edge, to this level, goes with it
_MAX_WORKING_AREA = 2.0  # times the card's working area: bounds memory and time for wide photos

_LEAST_SIDE_PX, _MOST_ASPECT = 16, 8  # beyond, no mannequin would be recognizable
_WIDER = 0.5  # of its side, by which a box that is too small is widened
_LEAST_CONTACT = 0.02  # of a crop's side: garment at the border that is more than a speck
_MAYBE = 0.25  # segment's alpha from which refine may still find garment
_SMALLER, _LARGER = 0.8, 1.15  # factors on the learned sizes, beyond which a photo is also cut at another scale
_AROUND, _ASPECT = 1.3, 1.5  # of a window: its size over the garment's; height to width, as in studio photos
_PLAIN, _PLAIN_SHARE = 12, 0.6  # plain background: levels of 255 from the median, share of the border so near
_SPARSE = 4  # every n-th pixel, each way, is enough to measure the background

Box = tuple[float, float, float, float]
"""Left, top, right, bottom."""


class Frame(NamedTuple):
    """A photo as the network sees it."""

    rgb: NDArray[np.uint8]  # `(h, w, 3)` uint8 sRGB, padded on the right and at the bottom
    content_hw: tuple[int, int]  # size of the part that is photo
    photo_hw: tuple[int, int]  # size of the photo


class Crop(NamedTuple):
    """A rectangle of the photo, and the size at which the network sees it."""

    box_xyxy: tuple[int, int, int, int]  # in pixels of the photo, right and bottom exclusive
    content_hw: tuple[int, int]  # size of the rectangle as the network sees it


def frame_photo(photo: Photo, card: ModelCard) -> Frame:
    """Scale a photo to the network's working height, convert the copy to sRGB, and pad it to a multiple.

    A mannequin stands upright and fills the height of a studio photo, so the height sets the scale: the network then
    meets garments of the size it learned, with any camera, in portrait and landscape format.

    Raises:
        PhotoError: it is too small or too narrow for a studio photo.
    """
    shorter, longer = sorted(photo.size_hw)
    if shorter < _LEAST_SIDE_PX or longer > _MOST_ASPECT * shorter:
        size = f"{photo.size_hw[1]}x{photo.size_hw[0]} pixels"
        raise PhotoError(f"{size}: too small or too narrow for a studio photo", code="too_small")
    working_height, working_width = card.working_size_hw
    scale = working_height / photo.size_hw[0]
    area = photo.size_hw[0] * photo.size_hw[1] * scale**2
    scale *= min(1.0, (_MAX_WORKING_AREA * working_height * working_width / area) ** 0.5)
    height, width = (max(round(side * scale), 1) for side in photo.size_hw)
    rgb = srgb_of(resize_rgb(to_8_bit(photo.rgb), (height, width)), photo.profile)
    return Frame(padded(rgb, card.multiple_of), (height, width), photo.size_hw)


def whole_crop(frame: Frame) -> Crop:
    """The crop that is the whole photo, at the frame's size."""
    height, width = frame.photo_hw
    return Crop((0, 0, width, height), frame.content_hw)


def crop_pixels(photo: Photo, frame: Frame, crop: Crop) -> NDArray[np.uint8]:
    """The crop as the network sees it: `(*crop.content_hw, 3)` uint8 sRGB."""
    left, top, right, bottom = crop.box_xyxy
    if frame.content_hw == frame.photo_hw and crop.content_hw == (bottom - top, right - left):  # the frame has it
        return frame.rgb[top:bottom, left:right]
    return srgb_of(resize_rgb(to_8_bit(photo.rgb[top:bottom, left:right]), crop.content_hw), photo.profile)


class Place(NamedTuple):
    """Where the garment is."""

    box_xyxy: Box  # around it, in fractions of the photo's width and height
    garment: NDArray[np.float32]  # `(h, w)` float32 in [0, 1], the locate stage's alpha without false positives
    seen: NDArray[np.float32]  # the same with the false positives
    notes: tuple[str, ...]  # such as that the frame cuts it off


def locate(coarse: NDArray[np.float32]) -> Place:
    """Find the garment, all its components together, in the locate stage's alpha; false positives are left out.

    Raises:
        NoGarmentError: there is none.
    """
    found = sorted_components(coarse >= 0.5)
    if not len(found.areas) or found.areas[0] < LEAST_SHARE * coarse.size:
        raise NoGarmentError(NO_GARMENT)
    belongs = _belongs(found)
    certain, faint = found.mask_of(belongs), components(coarse >= _FAINT)
    touches_sure = counts_in(faint, certain) > 0
    # What touches both belongs to neither: it would join a false positive to the garment.
    touches_other = counts_in(faint, found.mask_of(~belongs)) > 0
    garment = certain | faint.mask_of(touches_sure & ~touches_other)
    other = found.mask_of(~belongs) | faint.mask_of(~touches_sure)
    left, top, right, bottom = np.divide(bounding_box(garment) or (0, 0, 0, 0), garment.shape[::-1] * 2).tolist()
    return Place((left, top, right, bottom), np.where(other, np.float32(0), coarse), coarse, _notes(certain))


def sorted_components(mask: NDArray[np.bool_]) -> Components:
    """The components of a mask, numbered from 1, the largest first."""
    found = components(mask)
    order = np.argsort(-found.areas, kind="stable")
    ranks = np.zeros(len(order) + 1, np.int32)
    ranks[order + 1] = np.arange(1, len(order) + 1)
    return Components(ranks[found.labels], found.areas[order], found.boxes_xyxy[order])


def counts_in(found: Components, mask: NDArray[np.bool_]) -> NDArray[np.intp]:
    """`(N,)`: how many of each component's pixels are true in a mask of the same shape."""
    return np.bincount(found.labels[mask], minlength=len(found.areas) + 1)[1:]


def _belongs(found: Components) -> NDArray[np.bool_]:
    """Which components are garment: the largest, ones of similar size beside it, pieces above or below it, near ones.

    The pieces of a two-piece hang on one mannequin, so they share columns; a smaller thing beside it is furniture. A
    component of similar size beside it is another garment, on its own mannequin, and must never be left out unnoticed.
    """
    boxes, areas = found.boxes_xyxy, found.areas
    belongs = np.zeros(len(areas), np.bool_)
    belongs[0] = True
    left, right = boxes[0, 0], boxes[0, 2]
    shares_columns = (boxes[:, 0] < right) & (boxes[:, 2] > left)
    belongs |= shares_columns & (areas >= _PIECE * areas[0])
    belongs |= areas >= ANOTHER_GARMENT * areas[0]
    reach = _NEAR * found.labels.shape[0]
    for index in np.flatnonzero(~belongs & (areas >= _NOT_A_SPECK * areas[0])):
        box, others = boxes[index], boxes[belongs]
        gaps = np.maximum(np.maximum(others[:, :2] - box[2:], box[:2] - others[:, 2:]), 0)  # 0 where they overlap
        belongs[index] = bool((np.hypot(*gaps.T) <= reach).any())
    return belongs


def _notes(garment: NDArray[np.bool_]) -> tuple[str, ...]:
    edges = {"left": garment[:, 0], "top": garment[0], "right": garment[:, -1], "bottom": garment[-1]}
    cut = [name for name, edge in edges.items() if np.count_nonzero(edge) >= max(_ON_THE_FRAME * len(edge), 2)]
    return (Note(f"cut by the frame: {', '.join(cut)}", "touches_frame"),) if cut else ()


def count_garments(mask: NDArray[np.bool_]) -> int:
    """How many garments a mask shows: components of similar size side by side; pieces above each other are one."""
    return len(_spans_of(mask))


def split_garments(alpha: NDArray[np.float32], num: int = 0) -> list[NDArray[np.float32]]:
    """The alpha of each garment, from left to right; together they are the whole, `(H, W)` float32 in [0, 1].

    With `num`, exactly that many are returned: if the alpha shows fewer, the last are empty; if more, the last has the
    rest. 0: as many as `count_garments` finds, but at least one.
    """
    width = alpha.shape[1]
    spans = sorted(_spans_of(alpha >= 0.5))
    borders = [(one[1] + other[0]) // 2 for one, other in pairwise(spans)]  # in the middle of the gaps
    if num:
        borders = [*borders, *[width] * num][: num - 1]
    columns = np.arange(width)
    return [
        np.where((columns >= left) & (columns < right), alpha, np.float32(0))
        for left, right in pairwise([0, *borders, width])
    ]


def _spans_of(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First and last column, the latter exclusive, of each garment; no two of them share one."""
    found = sorted_components(mask)
    if not len(found.areas):
        return []
    boxes: list[tuple[int, int, int, int]] = []
    for box in found.boxes_xyxy[found.areas >= ANOTHER_GARMENT * found.areas[0]].tolist():
        same = [other for other in boxes if _are_one_garment(box, other)]
        left, top, right, bottom = zip(box, *same, strict=True)
        boxes = [*(other for other in boxes if other not in same), (min(left), min(top), max(right), max(bottom))]
    return [(left, right) for left, _, right, _ in boxes]


def _are_one_garment(one: Sequence[int], other: Sequence[int]) -> bool:
    """Whether two boxes share columns, or are the fronts of an open vest: narrow, close together, and equally long."""
    gap = max(one[0], other[0]) - min(one[2], other[2])
    if gap < 0:
        return True
    widths, heights = ([box[axis + 2] - box[axis] for box in (one, other)] for axis in (0, 1))
    uneven = max(abs(one[1] - other[1]), abs(one[3] - other[3]))
    narrow = max(widths) <= _FRONT_WIDTH * min(heights)
    return narrow and gap <= _FRONT_GAP * min(widths) and uneven <= _FRONT_UNEVEN * min(heights)


def clean(fine: NDArray[np.float32], coarse: NDArray[np.float32]) -> NDArray[np.float32]:
    """Fill small holes in sure cloth, and remove small specks where there is surely no garment.

    `fine` is the last stage's alpha, `(H, W)` float32 in [0, 1]; `coarse` is the locate stage's, enlarged to that size.
    Returns a cleaned copy, or `fine` itself if it was clean.
    """
    garment_px = float(np.count_nonzero(fine >= 0.5))
    hole_px, speck_px = _LARGEST_HOLE * garment_px, LARGEST_SPECK * garment_px
    fill = _within(fine < 0.5, coarse >= _SURE_CLOTH, fine < 1 - _SOFT_LEVEL, most_px=hole_px)
    drop = _within(fine >= 0.5, coarse <= _GROUND, fine > _SOFT_LEVEL, most_px=speck_px, least_compact=_LEAST_COMPACT)
    if fill is None and drop is None:
        return fine
    cleaned = fine.copy()
    if fill is not None:
        cleaned[fill] = 1
    if drop is not None:
        cleaned[drop] = 0
    return cleaned


def correct_small_parts(fine: NDArray[np.float32], rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Fill small holes that do not look like background, and remove small separate parts that do.

    A button or buckle is filled, but not what is seen through a keyhole; a strap stays, but not the gap between the
    mannequin's legs. `fine` is as for `clean`; `rgb` is `(H, W, 3)` uint8 sRGB. Returns `fine` itself if it has none.
    """
    cloth = fine >= 0.5
    gaps, parts, garment_px = components(~cloth), components(fine > _SOFT_LEVEL), np.count_nonzero(cloth)
    left, top, right, bottom = gaps.boxes_xyxy.T
    is_hole = (left > 0) & (top > 0) & (right < fine.shape[1]) & (bottom < fine.shape[0])
    is_hole &= gaps.areas <= _LARGEST_PART * garment_px
    is_stray = parts.areas <= _LARGEST_PART * garment_px
    if not (is_hole.any() or is_stray.any()):
        return fine
    half = slice(None, None, 2), slice(None, None, 2)  # a quarter of the pixels is enough
    bins, sure_cloth, sure_ground = color_bins(rgb[half]), fine > 1 - _SOFT_LEVEL, fine < _SOFT_LEVEL
    of_cloth = color_frequencies(bins, (sure_cloth & ~parts.mask_of(is_stray))[half])
    of_ground = color_frequencies(bins, (sure_ground & ~gaps.mask_of(is_hole))[half])

    def frequencies(area: tuple[slice, slice], part: NDArray[np.bool_]) -> tuple[float, float]:
        """How frequent a part's colours are in the cloth and in the background."""
        middle = erode(part)  # without the rim, in which colours mix
        seen = color_bins(rgb[area])[middle if middle.any() else part]
        return float(np.median(of_cloth[seen])), float(np.median(of_ground[seen]))

    corrected = fine.copy()
    for number in np.flatnonzero(is_hole):
        area = slices_of(gaps.boxes_xyxy[number], 2)
        hole = gaps.labels[area] == number + 1
        in_cloth, in_ground = frequencies(area, hole)
        is_small = gaps.areas[number] <= _LARGEST_HOLE * garment_px
        if in_ground < (max(in_cloth, RARE_COLOR) if is_small else _CLEARLY_RARER * in_cloth):
            corrected[area][dilate(hole) & (fine[area] < 1 - _SOFT_LEVEL)] = 1
    for number in np.flatnonzero(is_stray):
        area = slices_of(parts.boxes_xyxy[number])
        part = parts.labels[area] == number + 1
        in_cloth, in_ground = frequencies(area, part & cloth[area] if cloth[area][part].any() else part)
        if in_cloth < min(in_ground, RARE_COLOR):  # white straps of a white dress stay
            corrected[area][part] = 0
    return corrected


def without_false_positives(fine: NDArray[np.float32], coarse: NDArray[np.float32]) -> NDArray[np.float32]:
    """Remove parts of `fine`, unless large, where the locate stage sees no garment at all; arguments as for `clean`.

    `fine` itself is returned if there was nothing to remove.
    """
    found, largest_px = components(fine > _SOFT_LEVEL), _LARGEST_FALSE_POSITIVE * np.count_nonzero(fine >= 0.5)
    false = (counts_in(found, coarse >= 0.5) == 0) & (found.areas <= largest_px)
    return np.where(found.mask_of(false), np.float32(0), fine) if false.any() else fine


def opaque(fine: NDArray[np.float32], coarse: NDArray[np.float32]) -> NDArray[np.float32]:
    """Make cloth opaque where the locate stage is sure of it; in strong prints and checks it may be half transparent.

    Deep within sure cloth, even what the last stage takes for background becomes opaque. Edges, gaps and sheer cloth,
    of which the locate stage is not sure, stay as they are. `fine` and `coarse` are as for `clean`.
    """
    unsure = (fine < 1) & (coarse > _OPAQUE[0])
    if not unsure.any():
        return fine
    deep = erode(coarse >= _OPAQUE[1], _DEEP_PX)[unsure]
    lifted, seen, known = fine.copy(), fine[unsure], coarse[unsure]
    share = np.interp(known, _OPAQUE, (0, 1)) * np.interp(seen, _HALF_SEEN, (0, 1))
    lifted[unsure] = seen + (1 - seen) * np.where(deep, 1, share)
    return lifted


def _within(
    wrong: NDArray[np.bool_],
    sure: NDArray[np.bool_],
    reach: NDArray[np.bool_],
    *,
    most_px: float,
    least_compact: float = 0.0,
) -> NDArray[np.bool_] | None:
    """Small components of `wrong` that lie within `sure`, with the adjoining part of `reach`; None: there are none."""
    candidates = wrong & sure
    if not candidates.any():
        return None
    # The border of the sure area may cut a component in two; one that continues beyond it does not count.
    found = components(reach & sure)
    beyond = counts_in(found, dilate(reach & ~sure)) > 0
    boxes = found.boxes_xyxy
    compact = found.areas >= least_compact * (boxes[:, 2:] - boxes[:, :2]).max(axis=1) ** 2
    chosen = (counts_in(found, candidates) > 0) & ~beyond & (found.areas <= most_px) & compact
    return found.mask_of(chosen) if chosen.any() else None


def find_garment(network: Predict, frame: Frame, sizes: StageSizes) -> Place:
    """Run the locate stage on a small copy of the photo, of about `sizes.locate_hw`, whose height sets the scale."""
    content, size_hw = frame.rgb[: frame.content_hw[0], : frame.content_hw[1]], sizes.locate_hw
    scale = (size_hw[0] * size_hw[1] / (content.shape[0] * content.shape[1])) ** 0.5
    scale = min(size_hw[0] / content.shape[0], scale * 2**0.5)  # a wide photo must not cost too much
    height, width = (max(round(side * scale), 1) for side in content.shape[:2])
    small = resize_rgb(content, (height, width), reducing_gap=_REDUCING_GAP)
    return locate(network(padded(small, MULTIPLE_OF))[:height, :width])


def padded(rgb: NDArray[np.uint8], multiple_of: int) -> NDArray[np.uint8]:
    """Pad `(H, W, 3)` uint8 to multiples, by repeating the last row and column."""
    missing = [(0, -side % multiple_of) for side in rgb.shape[:2]]
    return np.pad(rgb, (*missing, (0, 0)), mode="edge")


def window_of(frame: Frame, garment_px: tuple[float, float]) -> Box | None:
    """The window in which to cut a garment on plain background that is larger or smaller than all training garments.

    Returns a window in fractions of the photo, reaching beyond it if the garment is too large. In this window the
    garment has the middle size of the training garments. None: its size is usual, or the background is not plain.
    """
    (height, width), (least, most), ground = frame.content_hw, garment_px, _ground_of(frame)
    if most <= 0 or ground is None:
        return None
    stands_out = np.abs(_sparse(frame).astype(np.int16) - ground).max(axis=2) > _PLAIN
    box = bounding_box(dilate(erode(stands_out)))  # without specks and JPEG noise
    if box is None:
        return None
    left, top, right, bottom = (_SPARSE * side for side in box)
    size = ((right - left) * (bottom - top)) ** 0.5
    if _SMALLER * least <= size <= _LARGER * most:
        return None
    around = max(_AROUND * (bottom - top), _AROUND * (right - left) * _ASPECT)
    down = max(height * size / (least * most) ** 0.5, around) / 2
    across, x, y = down / _ASPECT, (left + right) / 2, (top + bottom) / 2
    return (x - across) / width, (y - down) / height, (x + across) / width, (y + down) / height


def photo_in(window_xyxy: Box, photo: Photo, frame: Frame) -> tuple[Photo, Box]:
    """The part of a photo on plain background that a window of `window_of` shows; the background continues beyond it.

    Returns the part, and the window in fractions of the photo, now on whole pixels.
    """
    is_larger = window_xyxy[3] - window_xyxy[1] > 1  # than the photo, so the frame's resolution is enough
    source = Photo(frame.rgb[: frame.content_hw[0], : frame.content_hw[1]]) if is_larger else photo
    height, width = source.size_hw
    left, top, right, bottom = (round(side) for side in np.multiply(window_xyxy, (width, height) * 2).tolist())
    if not is_larger:  # moved into the photo, as far as it fits
        left, top = max(min(left, width - (right - left)), 0), max(min(top, height - (bottom - top)), 0)
        right, bottom = min(left + round(width * (window_xyxy[2] - window_xyxy[0])), width), min(bottom, height)
    ground = np.asarray(_ground_of(frame)).tolist()  # not None, or there would be no window
    part: Any = source.rgb[max(top, 0) : bottom, max(left, 0) : right]
    beyond = max(-top, 0), max(bottom - height, 0), max(-left, 0), max(right - width, 0)
    part = cv2.copyMakeBorder(part, *beyond, cv2.BORDER_CONSTANT, value=ground)
    return replace(source, rgb=part), (left / width, top / height, right / width, bottom / height)


def _ground_of(frame: Frame) -> NDArray[np.int16] | None:
    """The colour along the photo's borders, `(3,)`; None: there is no single one."""
    rgb = _sparse(frame)
    rows, columns = (max(side // 12, 1) for side in rgb.shape[:2])
    strips = rgb[:rows], rgb[-rows:], rgb[:, :columns], rgb[:, -columns:]
    border = np.concatenate([strip.reshape(-1, 3) for strip in strips]).astype(np.int16)
    ground: NDArray[np.int16] = np.median(border, axis=0).astype(np.int16)
    is_near = np.abs(border - ground).max(axis=1) <= _PLAIN
    return ground if is_near.mean() >= _PLAIN_SHARE else None


def _sparse(frame: Frame) -> NDArray[np.uint8]:
    return frame.rgb[: frame.content_hw[0] : _SPARSE, : frame.content_hw[1] : _SPARSE]


def learned_scale(box_xyxy: Box, photo_hw: tuple[int, int], scale: float, garment_px: tuple[float, float]) -> float:
    """The scale at which a garment, whose box is in fractions of the photo, is as large as the training garments.

    It corrects `scale`, the frame's (pixels of the network for one of the photo), for a mannequin that is far away in a
    wide photo, or so near that it leaves the frame. The photo is not enlarged beyond its own pixels for that.
    `garment_px` is as in `StageSizes`.
    """
    least, most = garment_px
    if most <= 0:
        return scale
    width, height = box_xyxy[2] - box_xyxy[0], box_xyxy[3] - box_xyxy[1]
    own_px = float(width * photo_hw[1] * height * photo_hw[0]) ** 0.5 * scale
    wanted = min(max(own_px, least), most) / own_px
    return float(min(scale * wanted, max(scale, 1.0)))


def crop_of(box_xyxy: Box, frame: Frame, sizes: StageSizes) -> Crop:
    """The crop of a box, in fractions of the photo, with a margin, at the scale that `learned_scale` gives."""
    (photo_height, photo_width), scale = frame.photo_hw, frame.content_hw[0] / frame.photo_hw[0]
    left, top, right, bottom = np.multiply(box_xyxy, (photo_width, photo_height) * 2)
    scale = learned_scale(box_xyxy, frame.photo_hw, scale, sizes.garment_px)
    margin = sizes.margin_px / scale
    box = (
        max(int(left - margin), 0),
        max(int(top - margin), 0),
        min(int(np.ceil(right + margin)), photo_width),
        min(int(np.ceil(bottom + margin)), photo_height),
    )
    content_hw = max(round((box[3] - box[1]) * scale), 1), max(round((box[2] - box[0]) * scale), 1)
    return Crop(box, content_hw)


def wider_box(box_xyxy: Box, seen: NDArray[np.float32], crop: Crop, frame: Frame) -> Box | None:
    """A larger box if the garment continues beyond its crop, so that no hem is cut off in a straight line.

    `box_xyxy` is the box of the crop, in fractions of the photo; `seen` is the segment stage's alpha of the crop.
    Returns a box in fractions, too; None: the garment ends within its crop, or where the photo does.
    """
    (height, width), (left, top, right, bottom) = frame.photo_hw, box_xyxy
    lines = seen[:, 0], seen[0], seen[:, -1], seen[-1]
    ends = crop.box_xyxy[0] > 0, crop.box_xyxy[1] > 0, crop.box_xyxy[2] < width, crop.box_xyxy[3] < height
    continues = [
        float(inside and np.count_nonzero(line >= _MAYBE) >= max(_LEAST_CONTACT * len(line), 2))
        for line, inside in zip(lines, ends, strict=True)
    ]
    if not any(continues):
        return None
    across, down = _WIDER * (right - left), _WIDER * (bottom - top)
    wider = np.add(box_xyxy, np.multiply(continues, (-across, -down, across, down))).clip(0, 1)
    left, top, right, bottom = wider.tolist()
    return left, top, right, bottom


def coarse_in(crop: Crop, coarse: NDArray[np.float32], photo_hw: tuple[int, int]) -> NDArray[np.float32]:
    """The part of a small alpha of the whole photo that lies in a crop: `crop.content_hw` float32 in [0, 1], smooth."""
    step = np.array(coarse.shape[::-1] * 2) / np.array(photo_hw[::-1] * 2)
    box = np.minimum(np.array(crop.box_xyxy) * step, coarse.shape[::-1] * 2)  # rounding may lead beyond
    image = Image.fromarray(np.ascontiguousarray(coarse))
    small = image.resize(crop.content_hw[::-1], Image.Resampling.BILINEAR, box=tuple(box))
    return np.asarray(small, np.float32).clip(0, 1)
