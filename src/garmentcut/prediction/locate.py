"""Brings a photo to the size that networks know, and finds the garment: the locate stage, and corrections by it."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from garmentcut.errors import NoGarmentError, Note, PhotoError
from garmentcut.model.card import ModelCard, StageSizes
from garmentcut.photo.color import srgb_of
from garmentcut.photo.mask import Components, components, dilate, erode
from garmentcut.photo.photo import Photo, resize_rgb, to_8_bit
from garmentcut.prediction.runtime import Predict

MULTIPLE_OF = 32  # the encoder's coarsest stride
_REDUCING_GAP = 2.0  # a box is what is looked for: 1152x1728 pixels shrink in half the time
ANOTHER_GARMENT = 0.35
"""Of the largest component's area: from there on, what lies beside it is a garment of its own."""

LEAST_SHARE = 5e-4
"""Of the frame: the smallest garment, a tenth of a bikini; less is a false positive."""

NO_GARMENT = "no garment found; check that it is a studio photo of a dressed mannequin"
_FAINT = 0.2  # sheer sleeves and fringe belong to the box too, where they hang on to what is surely garment
_PIECE = 0.15  # of the largest's area: the other piece of a two-piece, wherever below or above
_NOT_A_SPECK = 0.01  # of its area: a strap, a sleeve end, if it is near
_NEAR = 0.04  # of the frame's height
_ON_THE_FRAME = 0.01  # of the side's length
_FRONT_WIDTH, _FRONT_GAP, _FRONT_UNEVEN = 0.37, 0.7, 0.06  # of height, width and height of an open vest's fronts
_CLOTH = 0.9  # of the locate stage's alpha: lace and gaps in it stay below
_NOTHING = 0.1
_OPAQUE = (
    0.8,
    0.97,
)  # of the locate stage's alpha: from the first on cloth is made more opaque, from the second wholly
_DEEP_PX = 13  # about three pixels of the locate stage: so far within what is wholly opaque there are no gaps
_HALF_SEEN = 0.3, 0.5  # of the last stage's: below, it is a gap
_LARGEST_HOLE = 2.5e-3  # of the garment: a brass button, a buckle; a larger one is taken for a gap
_LARGEST_SPECK = 5e-3
_LARGEST_FALSE_POSITIVE = 0.05  # where the photo is foreign: a patch of a patterned floor or wall
_LEAST_COMPACT = 0.25  # of the square around it: a strap, too thin for the locate stage, is long and fills none
_SOFT_LEVEL = 0.1  # the soft edge of a speck or hole goes with it
_MAX_WORKING_AREA = 2.0  # times the card's working area: bounds memory and time for wide photos

_LEAST_SIDE_PX, _MOST_ASPECT = 16, 8  # below and above, no mannequin could be made out


Box = tuple[float, float, float, float]
"""Left, top, right, bottom."""


@dataclass(frozen=True, eq=False)
class Frame:
    """A photo as the network sees it."""

    rgb: NDArray[np.uint8]  # `(h, w, 3)` uint8 sRGB, padded at the right and the bottom
    content_hw: tuple[int, int]  # the part of it that is photo
    photo_hw: tuple[int, int]  # size of the photo


@dataclass(frozen=True)
class Crop:
    """A rectangle of the photo, and the size at which the network sees it."""

    box_xyxy: tuple[int, int, int, int]  # in pixels of the photo, right and bottom exclusive
    content_hw: tuple[int, int]  # size of the rectangle as the network sees it


def frame_photo(photo: Photo, card: ModelCard) -> Frame:
    """Scale a photo to the network's working height, convert the copy to sRGB, and pad it to a multiple.

    The mannequin stands upright and fills the height of a studio photo, so the height sets the scale: the network then
    meets garments of the size it learned, whatever the camera, whether the photo is upright or lying.

    Raises:
        PhotoError: too small or too long and thin to be a studio photo.
    """
    shorter, longer = sorted(photo.size_hw)
    if shorter < _LEAST_SIDE_PX or longer > _MOST_ASPECT * shorter:
        raise PhotoError(
            f"{photo.size_hw[1]}x{photo.size_hw[0]} pixels: too small or too narrow for a studio photo",
            code="too_small",
        )
    content_hw = _content_size(photo.size_hw, card)
    rgb = srgb_of(resize_rgb(to_8_bit(photo.rgb), content_hw), photo.profile)
    return Frame(padded(rgb, card.multiple_of), content_hw, photo.size_hw)


def _content_size(photo_hw: tuple[int, int], card: ModelCard) -> tuple[int, int]:
    working_height, working_width = card.working_size_hw
    scale = working_height / photo_hw[0]
    area = photo_hw[0] * photo_hw[1] * scale**2
    scale *= min(1.0, (_MAX_WORKING_AREA * working_height * working_width / area) ** 0.5)
    height, width = (max(round(side * scale), 1) for side in photo_hw)
    return height, width


def whole_crop(frame: Frame) -> Crop:
    """All of a photo, as it was framed."""
    height, width = frame.photo_hw
    return Crop((0, 0, width, height), frame.content_hw)


def crop_pixels(photo: Photo, frame: Frame, crop: Crop) -> NDArray[np.uint8]:
    """The crop as the network sees it: `(*crop.content_hw, 3)` uint8 sRGB.

    Args:
        photo: the photo.
        frame: what `frame_photo` made of it; where it has the crop at the crop's scale, it is taken from there.
        crop: what to take.
    """
    left, top, right, bottom = crop.box_xyxy
    if frame.content_hw == frame.photo_hw and crop.content_hw == (bottom - top, right - left):
        return frame.rgb[top:bottom, left:right]
    part = to_8_bit(photo.rgb[top:bottom, left:right])
    return srgb_of(resize_rgb(part, crop.content_hw), photo.profile)


@dataclass(frozen=True, eq=False)
class Place:
    """Where the garment is."""

    box_xyxy: Box  # around it, in fractions of the photo's width and height
    garment: NDArray[np.float32]  # `(h, w)` float32 in [0, 1], the locate stage's alpha without false positives
    seen: NDArray[np.float32]  # the same with them
    notes: tuple[str, ...]  # that the frame cuts it off, for one


def locate(coarse: NDArray[np.float32]) -> Place:
    """Find the garment, all its components together, false positives left out.

    Args:
        coarse: `(h, w)` float32 in [0, 1], the whole photo's alpha in small.

    Raises:
        NoGarmentError: there is none.
    """
    found = sorted_components(coarse >= 0.5)
    if not len(found.areas) or found.areas[0] < LEAST_SHARE * coarse.size:
        raise NoGarmentError(NO_GARMENT)
    belongs = _belongs(found)
    surely, faint = found.mask_of(belongs), components(coarse >= _FAINT)
    hangs_on = counts_in(faint, surely) > 0
    # What hangs on to both is in neither: it would join a false positive to the garment.
    hangs_on_other = counts_in(faint, found.mask_of(~belongs)) > 0
    garment = surely | faint.mask_of(hangs_on & ~hangs_on_other)
    other = found.mask_of(~belongs) | faint.mask_of(~hangs_on)
    return Place(_box_of(garment), np.where(other, np.float32(0), coarse), coarse, _notes(surely))


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


def _box_of(garment: NDArray[np.bool_]) -> Box:
    """Around what is true, in fractions of both sides."""
    rows, columns = np.flatnonzero(garment.any(axis=1)), np.flatnonzero(garment.any(axis=0))
    height, width = garment.shape
    left, right = float(columns[0] / width), float((columns[-1] + 1) / width)
    return left, float(rows[0] / height), right, float((rows[-1] + 1) / height)


def _belongs(found: Components) -> NDArray[np.bool_]:
    """Which components are garment: the largest, those of like size beside it, pieces above or below it, what is near.

    The pieces of a two-piece hang on one mannequin, so they share columns; a smaller thing beside it is furniture. A
    component of like size beside it is another garment, on a mannequin of its own: never left out unseen.
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
        gaps = _gaps(boxes[index], boxes[belongs])
        belongs[index] = bool((gaps <= reach).any())
    return belongs


def _gaps(box: NDArray[np.int32], others: NDArray[np.int32]) -> NDArray[np.float64]:
    """How far a box is from each of some others; 0 where they overlap."""
    apart = np.maximum(np.maximum(others[:, :2] - box[2:], box[:2] - others[:, 2:]), 0)
    gaps: NDArray[np.float64] = np.hypot(apart[:, 0], apart[:, 1])
    return gaps


def _notes(garment: NDArray[np.bool_]) -> tuple[str, ...]:
    edges = {"left": garment[:, 0], "top": garment[0], "right": garment[:, -1], "bottom": garment[-1]}
    cut = [name for name, edge in edges.items() if np.count_nonzero(edge) >= max(_ON_THE_FRAME * len(edge), 2)]
    return (Note(f"cut by the frame: {', '.join(cut)}", "touches_frame"),) if cut else ()


def count_garments(mask: NDArray[np.bool_]) -> int:
    """How many garments a mask shows: components of like size beside each other; pieces below each other are one."""
    return len(_spans_of(mask))


def split_garments(alpha: NDArray[np.float32], num: int = 0) -> list[NDArray[np.float32]]:
    """The alpha of each garment, from left to right; together they are the whole.

    Args:
        alpha: `(H, W)` float32 in [0, 1].
        num: how many there must be, whatever the alpha shows: of fewer, the last are empty; of more, the last has the
            rest. 0: as many as `count_garments` finds, one at least.
    """
    spans = sorted(_spans_of(alpha >= 0.5))
    borders = [(one[1] + other[0]) // 2 for one, other in pairwise(spans)]  # in the middle of the gaps
    if num:
        borders = [*borders, *[alpha.shape[1]] * num][: num - 1]
    found = []
    for left, right in pairwise([0, *borders, alpha.shape[1]]):
        own = np.zeros_like(alpha)
        own[:, left:right] = alpha[:, left:right]
        found.append(own)
    return found


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
    """Whether two boxes share columns, or are the two fronts of an open vest: narrow, near, and equally long."""
    gap = max(one[0], other[0]) - min(one[2], other[2])
    if gap < 0:
        return True
    widths, heights = ([box[axis + 2] - box[axis] for box in (one, other)] for axis in (0, 1))
    uneven = max(abs(one[1] - other[1]), abs(one[3] - other[3]))
    narrow = max(widths) <= _FRONT_WIDTH * min(heights)
    return narrow and gap <= _FRONT_GAP * min(widths) and uneven <= _FRONT_UNEVEN * min(heights)


def clean(fine: NDArray[np.float32], coarse: NDArray[np.float32]) -> NDArray[np.float32]:
    """Fill small holes in sure cloth, and remove small specks where there surely is no garment.

    Args:
        fine: `(H, W)` float32 in [0, 1], the last stage's alpha.
        coarse: the same size: the locate stage's alpha, enlarged.

    Returns:
        A cleaned copy, or `fine` itself if it was clean.
    """
    garment_px = float(np.count_nonzero(fine >= 0.5))
    hole_px, speck_px = _LARGEST_HOLE * garment_px, _LARGEST_SPECK * garment_px
    fill = _within(fine < 0.5, coarse >= _CLOTH, fine < 1 - _SOFT_LEVEL, most_px=hole_px)
    drop = _within(fine >= 0.5, coarse <= _NOTHING, fine > _SOFT_LEVEL, most_px=speck_px, least_compact=_LEAST_COMPACT)
    if fill is None and drop is None:
        return fine
    cleaned = fine.copy()
    if fill is not None:
        cleaned[fill] = 1
    if drop is not None:
        cleaned[drop] = 0
    return cleaned


def without_false_positives(fine: NDArray[np.float32], coarse: NDArray[np.float32]) -> NDArray[np.float32]:
    """Remove what lies apart from all that the locate stage takes for garment, unless it is large.

    Args: as `clean`.

    Returns:
        `(H, W)` float32 in [0, 1], nowhere more than `fine`; `fine` itself if there was nothing to remove.
    """
    found, largest_px = components(fine > _SOFT_LEVEL), _LARGEST_FALSE_POSITIVE * np.count_nonzero(fine >= 0.5)
    false = (counts_in(found, coarse >= 0.5) == 0) & (found.areas <= largest_px)
    return np.where(found.mask_of(false), np.float32(0), fine) if false.any() else fine


def opaque(fine: NDArray[np.float32], coarse: NDArray[np.float32]) -> NDArray[np.float32]:
    """Make cloth opaque where the locate stage is sure of it: strong prints and checks can leave it half transparent.

    Deep within sure cloth even what the last stage takes for ground becomes opaque.

    Args: as `clean`.

    Returns:
        `(H, W)` float32 in [0, 1], nowhere less than `fine`; edges, gaps and sheer cloth, of which the locate stage is
        not sure, stay as they are.
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
    """Components of `wrong` that lie within `sure` and are small, with what of `reach` adjoins; None: none."""
    candidates = wrong & sure
    if not candidates.any():
        return None
    # What is wrong beside the sure area would cut a component in two: grown by a pixel, each shows whether it goes on.
    found = components(reach & sure)
    beyond = counts_in(found, dilate(reach & ~sure)) > 0
    boxes = found.boxes_xyxy
    compact = found.areas >= least_compact * (boxes[:, 2:] - boxes[:, :2]).max(axis=1) ** 2
    chosen = (counts_in(found, candidates) > 0) & ~beyond & (found.areas <= most_px) & compact
    return found.mask_of(chosen) if chosen.any() else None


def find_garment(network: Predict, frame: Frame, sizes: StageSizes) -> Place:
    """Run the locate stage on a small copy of the whole photo, about `sizes.locate_hw`, whose height sets the scale.

    Raises:
        NoGarmentError: there is no garment.
    """
    content, size_hw = frame.rgb[: frame.content_hw[0], : frame.content_hw[1]], sizes.locate_hw
    scale = (size_hw[0] * size_hw[1] / (content.shape[0] * content.shape[1])) ** 0.5
    scale = min(size_hw[0] / content.shape[0], scale * 2**0.5)  # a wide photo must not cost too much
    height, width = (max(round(side * scale), 1) for side in content.shape[:2])
    small = resize_rgb(content, (height, width), reducing_gap=_REDUCING_GAP)
    return locate(network(padded(small, MULTIPLE_OF))[:height, :width])


def padded(rgb: NDArray[np.uint8], multiple_of: int) -> NDArray[np.uint8]:
    """Pixels whose sides are multiples, `(H, W, 3)` uint8; the last row and column are repeated."""
    missing = [(0, -side % multiple_of) for side in rgb.shape[:2]]
    return np.pad(rgb, (*missing, (0, 0)), mode="edge")
