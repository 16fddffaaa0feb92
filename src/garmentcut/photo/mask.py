"""Operations on masks and alphas for all packages, by OpenCV: boxes, components, morphology, sums over squares.

A box is `(left, top, right, bottom)` in pixels, right and bottom exclusive.
"""

from typing import Any, Literal, NamedTuple, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

HALF_LEVEL = np.float32(0.5 / 255)
"""Alpha that rounds to nothing at 8 bits."""

Box = tuple[int, int, int, int]
Mask = NDArray[np.bool_]
Sample = TypeVar("Sample", bound=np.generic)
Neighbours = Literal[4, 8]
Outside = Literal["ignored", "background"]

THIN_PX = 17
"""Parts into which no square of so many pixels fits are thin: straps, ties, fringe."""
_LEAST_SHARE = 0.001  # of all that is covered: 13 by 13 pixels of a studio garment's 160,000
_MOST_BLOCKS = 256  # along the longer side; parts that are nearer than a block or two are one


def bounding_box(mask: Mask) -> Box | None:
    """The box around what is true in a mask `(H, W)`; None: nothing is."""
    if not mask.size:
        return None
    left, top, width, height = cv2.boundingRect(mask.view(np.uint8))
    return (left, top, left + width, top + height) if width else None


def mask_iou(mask: Mask, other: Mask) -> float:
    """Intersection over union of two masks of one size, in [0, 1]; 1 if both are empty."""
    union = np.count_nonzero(mask | other)
    return float(np.count_nonzero(mask & other) / union) if union else 1.0


def slices_of(box: Box, margin_px: int = 0) -> tuple[slice, slice]:
    """Rows and columns of a box and a margin around it, cut off at the picture's borders by indexing."""
    left, top, right, bottom = box
    return slice(max(top - margin_px, 0), bottom + margin_px), slice(max(left - margin_px, 0), right + margin_px)


def garment_box(alpha: NDArray[np.float32]) -> Box | None:
    """The box of what an alpha `(H, W)` in [0, 1] shows at 8 bits, without specks; None: nothing is shown.

    A component counts from a thousandth of the covered area on: both halves of a bikini do, dust does not, which must
    not move a garment on a customer's canvas.
    """
    shown = alpha > HALF_LEVEL
    whole = bounding_box(shown)
    if whole is None:
        return None
    inside = slices_of(whole)
    part, shown = alpha[inside], shown[inside]
    step = -(-max(part.shape) // _MOST_BLOCKS)
    # Sums over blocks, those at the right and below perhaps smaller.
    rows, columns = (np.arange(0, length, step) for length in part.shape)
    covered = np.add.reduceat(np.add.reduceat(part * shown, rows, axis=0, dtype=np.float64), columns, axis=1)
    labels = components(covered > 0).labels
    areas = np.bincount(labels.ravel(), covered.ravel())
    kept = areas >= _LEAST_SHARE * areas[1:].sum()
    kept[0] = False
    if kept[1:].all() or not kept.any():
        return whole
    blocks = np.repeat(np.repeat(kept[labels], step, axis=0), step, axis=1)[: part.shape[0], : part.shape[1]]
    inner = bounding_box(shown & blocks)
    assert inner is not None  # a kept block has something in it
    left, top = whole[:2]
    return left + inner[0], top + inner[1], left + inner[2], top + inner[3]


class Components(NamedTuple):
    """The connected components of a mask, numbered from 1 in reading order."""

    labels: NDArray[np.int32]  # `(H, W)` int32: the number of each pixel's component; 0: the mask is false there
    areas: NDArray[np.int32]  # `(N,)`: pixels of component 1, 2, ...
    boxes_xyxy: NDArray[np.int32]  # `(N, 4)`

    def mask_of(self, chosen: Mask) -> Mask:
        """The mask `(H, W)` of those components that are true in `chosen`, `(N,)`."""
        mask: Mask = np.concatenate([[False], chosen])[self.labels]
        return mask


def components(mask: Mask, *, neighbours: Neighbours = 8) -> Components:
    """Connected components of a mask `(H, W)` of at least one pixel; with 8 `neighbours`, corners connect too."""
    levels = np.ascontiguousarray(mask).view(np.uint8)
    found: Any = cv2.connectedComponentsWithStats(levels, connectivity=neighbours, ltype=cv2.CV_32S)
    labels, stats = found[1:3]
    left, top, width, height, areas = stats[1:].T
    return Components(labels, areas, np.stack([left, top, left + width, top + height], axis=1))


def dilate(plane: NDArray[Sample], steps: int = 1, *, neighbours: Neighbours = 8) -> NDArray[Sample]:
    """Widen a mask, or an alpha as float32, uint8 or uint16: each step gives a pixel the highest value around it.

    4 steps of 8 neighbours reach over a square of 9, 4 steps of 4 over a diamond.
    """
    return _morphed(cv2.MORPH_DILATE, plane, steps, neighbours, None)


def erode(
    plane: NDArray[Sample], steps: int = 1, *, neighbours: Neighbours = 8, outside: Outside = "ignored"
) -> NDArray[Sample]:
    """Narrow, the opposite of `dilate`; background outside the picture eats into what touches the border."""
    return _morphed(cv2.MORPH_ERODE, plane, steps, neighbours, 0 if outside == "background" else None)


def thin_of(mask: Mask) -> Mask:
    """The thin parts of a mask `(H, W)`, less 2 pixels around all else, so that corners of the body do not count."""
    opened = dilate(erode(mask, THIN_PX // 2, outside="background"), THIN_PX // 2)
    return np.asarray(mask & ~dilate(opened, 2))


def box_sums(planes: NDArray[np.float32] | NDArray[np.float64], reach_px: int) -> NDArray[np.float64]:
    """Sums over squares of `2 * reach_px + 1` pixels of `(H, W)` or `(H, W, C)`; outside the picture all is 0."""
    size = (2 * reach_px + 1, 2 * reach_px + 1)
    values: Any = np.ascontiguousarray(planes)
    summed: Any = cv2.boxFilter(values, cv2.CV_64F, size, normalize=False, borderType=cv2.BORDER_CONSTANT)
    sums: NDArray[np.float64] = summed.reshape(planes.shape)  # of one channel OpenCV drops the axis
    return sums


def _morphed(
    operation: int, plane: NDArray[Sample], steps: int, neighbours: Neighbours, outside: float | None
) -> NDArray[Sample]:
    if not steps or not plane.size:
        return plane.copy()
    kernel = cv2.getStructuringElement(cv2.MORPH_RECT if neighbours == 8 else cv2.MORPH_CROSS, (3, 3))
    levels: Any = np.ascontiguousarray(plane.view(np.uint8) if plane.dtype == np.bool_ else plane)
    # Without a value for what lies outside, OpenCV takes one that changes nothing.
    border: dict[str, Any] = {"borderType": cv2.BORDER_CONSTANT, "borderValue": outside} if outside is not None else {}
    moved: Any = cv2.morphologyEx(levels, operation, kernel, iterations=steps, **border)
    wide: NDArray[Sample] = moved.view(plane.dtype)
    return wide
