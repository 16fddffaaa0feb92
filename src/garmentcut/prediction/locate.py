"""Locate: where in the photo the garment is, from the first look's small alpha."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from garmentcut.errors import PhotoError
from garmentcut.prediction.crop import Box
from garmentcut.prediction.looks import Looks
from garmentcut.prediction.parts import Parts, parts_of

LEAST_SHARE = 5e-4
"""Of the frame: the smallest garment, a tenth of a bikini; less is a stray speck."""

_NONE = "no garment found; check that it is a studio photo of a dressed mannequin"
_FAINT = 0.2  # sheer sleeves and fringe belong to the box too, where they hang on to what is surely garment
_LIKE_THE_LARGEST = 0.15  # of its area: the other piece of a two-piece, wherever below or above
_NOT_A_SPECK = 0.01  # of its area: a strap, a sleeve end, if it is near
_NEAR = 0.04  # of the frame's height
_ON_THE_FRAME = 0.01  # of the side's length


class NoGarmentError(PhotoError):
    """The photo shows no garment, as far as the network can tell."""

    code = "no_garment"


@dataclass(frozen=True, eq=False)
class Place:
    """Where the garment is.

    Attributes:
        box_xyxy: around it, in fractions of the photo's width and height.
        garment: `(h, w)` float32 in [0, 1], the first look's alpha without strays.
        notes: what is worth telling of it: that the frame cuts it off.
    """

    box_xyxy: Box
    garment: NDArray[np.float32]
    notes: tuple[str, ...]


def locate(coarse: NDArray[np.float32]) -> Place:
    """Find the garment, all its parts together, strays left out.

    Args:
        coarse: `(h, w)` float32 in [0, 1], the whole photo's alpha in small.

    Raises:
        NoGarmentError: there is none.
    """
    parts = parts_of(coarse >= 0.5)
    if not len(parts) or parts.areas[0] < LEAST_SHARE * coarse.size:
        raise NoGarmentError(_NONE)
    belongs = _belongs(parts)
    surely, faint = parts.mask_of(belongs), parts_of(coarse >= _FAINT)
    hangs_on = faint.counts_of(surely) > 0
    # What hangs on to both is in neither: it would join a stray to the garment.
    hangs_on_stray = faint.counts_of(parts.mask_of(~belongs)) > 0
    garment = surely | faint.mask_of(hangs_on & ~hangs_on_stray)
    stray = parts.mask_of(~belongs) | faint.mask_of(~hangs_on)
    return Place(_box_of(garment), np.where(stray, np.float32(0), coarse), _notes(surely))


def check_garment(looks: Looks) -> None:
    """Refuse an empty result.

    Raises:
        NoGarmentError: what was cut out is less than any garment.
    """
    seen, share = np.count_nonzero(looks.fine >= 0.5), looks.share_of_photo
    if seen * share < LEAST_SHARE * looks.fine.size:
        raise NoGarmentError(_NONE)


def _box_of(garment: NDArray[np.bool_]) -> Box:
    """Around what is true, in fractions of both sides."""
    rows, columns = np.flatnonzero(garment.any(axis=1)), np.flatnonzero(garment.any(axis=0))
    height, width = garment.shape
    left, right = float(columns[0] / width), float((columns[-1] + 1) / width)
    return left, float(rows[0] / height), right, float((rows[-1] + 1) / height)


def _belongs(parts: Parts) -> NDArray[np.bool_]:
    """Which parts are the garment's: the largest, what is as large and above or below it, what is near either.

    The pieces of a two-piece hang on one mannequin, so they share columns; furniture beside it does not.
    """
    boxes, areas = parts.boxes_xyxy, parts.areas
    belongs = np.zeros(len(parts), np.bool_)
    belongs[0] = True
    left, right = boxes[0, 0], boxes[0, 2]
    shares_columns = (boxes[:, 0] < right) & (boxes[:, 2] > left)
    belongs |= shares_columns & (areas >= _LIKE_THE_LARGEST * areas[0])
    reach = _NEAR * parts.shape_hw[0]
    for index in np.flatnonzero(~belongs & (areas >= _NOT_A_SPECK * areas[0])):
        gaps = _gaps(boxes[index], boxes[belongs])
        belongs[index] = bool((gaps <= reach).any())
    return belongs


def _gaps(box: NDArray[np.intp], others: NDArray[np.intp]) -> NDArray[np.float64]:
    """How far a box is from each of some others; 0 where they overlap."""
    apart = np.maximum(np.maximum(others[:, :2] - box[2:], box[:2] - others[:, 2:]), 0)
    gaps: NDArray[np.float64] = np.hypot(apart[:, 0], apart[:, 1])
    return gaps


def _notes(garment: NDArray[np.bool_]) -> tuple[str, ...]:
    edges = {"left": garment[:, 0], "top": garment[0], "right": garment[:, -1], "bottom": garment[-1]}
    cut = [name for name, edge in edges.items() if np.count_nonzero(edge) >= max(_ON_THE_FRAME * len(edge), 2)]
    return (f"cut by the frame: {', '.join(cut)}",) if cut else ()
