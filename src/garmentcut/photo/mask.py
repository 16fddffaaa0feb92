"""Masks and alphas, by OpenCV: boxes, components, morphology, sums over squares, corrections by colour.

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
"""A part (strap, tie, fringe) is thin if no square with sides of this many pixels fits into it."""
_LEAST_SHARE = 0.001  # of the covered area: 13 x 13 pixels of a studio garment's 160,000
_MOST_BLOCKS = 256  # along the longer side; parts less than a block or two apart count as one
_COLOR_BINS = 24  # per channel
RARE_COLOR = 1e-4
"""Share of the garment's, or of the background's, pixels: a colour rarer than this counts as absent there."""
_ROUNDS = 4
_PRIOR, _FOR, _AGAINST = 2.0, 4.0, 2.0  # limits of log odds: alpha, colour for and against; sure cloth stays
_UNSURE, _EDGE_PX = 0.02, 2  # at half size: distance of unsure alpha from 0 and 1, half width of a soft edge
_AROUND_PX, _CUTS, _GAUSSIANS = 96, 2, 5  # GrabCut's: pixels around a patch, rounds, components of OpenCV's mixtures
_SMOOTH_PX, _FLAT = 4, 1e-3  # guided filter: radius, and variance of lightness below which there is no edge


def bounding_box(mask: Mask) -> Box | None:
    """The box around the true pixels of a mask `(H, W)`; None: there are none."""
    if not mask.size:
        return None
    left, top, width, height = cv2.boundingRect(mask.view(np.uint8))
    return (left, top, left + width, top + height) if width else None


def mask_iou(mask: Mask, other: Mask) -> float:
    """Intersection over union of two masks of one size, in [0, 1]; 1 if both are empty."""
    union = np.count_nonzero(mask | other)
    return float(np.count_nonzero(mask & other) / union) if union else 1.0


def slices_of(box: Box, margin_px: int = 0) -> tuple[slice, slice]:
    """Slices of the rows and columns of a box and a margin around it; indexing clips them at the picture's borders."""
    left, top, right, bottom = box
    return slice(max(top - margin_px, 0), bottom + margin_px), slice(max(left - margin_px, 0), right + margin_px)


def garment_box(alpha: NDArray[np.float32]) -> Box | None:
    """The box of what is visible of an alpha `(H, W)` in [0, 1] at 8 bits, without specks; None: nothing is.

    A component counts if it has at least a thousandth of the covered area. Both halves of a bikini do; dust does not,
    and so cannot move a garment on a customer's canvas.
    """
    shown = alpha > HALF_LEVEL
    whole = bounding_box(shown)
    if whole is None:
        return None
    inside = slices_of(whole)
    part, shown = alpha[inside], shown[inside]
    step = -(-max(part.shape) // _MOST_BLOCKS)
    # Sums over blocks; those at the right and at the bottom may be smaller.
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
    """Narrow, the opposite of `dilate`; with background `outside`, what touches the picture's border shrinks too."""
    return _morphed(cv2.MORPH_ERODE, plane, steps, neighbours, 0 if outside == "background" else None)


def thin_of(mask: Mask) -> Mask:
    """The thin parts of a mask `(H, W)`, more than 2 pixels from the rest, so that corners of the body do not count."""
    opened = dilate(erode(mask, THIN_PX // 2, outside="background"), THIN_PX // 2)
    return np.asarray(mask & ~dilate(opened, 2))


def box_sums(planes: NDArray[np.float32] | NDArray[np.float64], reach_px: int) -> NDArray[np.float64]:
    """Sums over squares of `2 * reach_px + 1` pixels of `(H, W)` or `(H, W, C)`; pixels outside the picture are 0."""
    size = (2 * reach_px + 1, 2 * reach_px + 1)
    values: Any = np.ascontiguousarray(planes)
    summed: Any = cv2.boxFilter(values, cv2.CV_64F, size, normalize=False, borderType=cv2.BORDER_CONSTANT)
    sums: NDArray[np.float64] = summed.reshape(planes.shape)  # OpenCV drops the axis of a single channel
    return sums


def _morphed(
    operation: int, plane: NDArray[Sample], steps: int, neighbours: Neighbours, outside: float | None
) -> NDArray[Sample]:
    if not steps or not plane.size:
        return plane.copy()
    kernel = cv2.getStructuringElement(cv2.MORPH_RECT if neighbours == 8 else cv2.MORPH_CROSS, (3, 3))
    levels: Any = np.ascontiguousarray(plane.view(np.uint8) if plane.dtype == np.bool_ else plane)
    # Without a border value, OpenCV uses one that changes nothing.
    border: dict[str, Any] = {"borderType": cv2.BORDER_CONSTANT, "borderValue": outside} if outside is not None else {}
    moved: Any = cv2.morphologyEx(levels, operation, kernel, iterations=steps, **border)
    wide: NDArray[Sample] = moved.view(plane.dtype)
    return wide


def agree_with_colors(
    alpha: NDArray[np.float32], rgb: NDArray[np.uint8], *, unsure_only: bool = False
) -> NDArray[np.float32]:
    """Correct a rough alpha by the colours of the garment and of the background.

    A colour that is frequent on one side only decides; elsewhere the alpha does. This is repeated, because a better
    alpha gives better histograms. It follows GrabCut (Rother et al., 2004), with histograms for its mixtures and a
    guided filter (He et al., 2010) for its graph cut. Edges become less exact, so use it for patches.

    `alpha` is `(H, W)` in [0, 1], `rgb` `(H, W, 3)` sRGB of the same pixels; with `unsure_only`, only `unsure_patches`
    change. Returns `(H, W)` float32 in [0, 1]; where alpha and colours agree, the surer of the two.
    """
    patches: Any = unsure_patches(alpha) if unsure_only else True
    if not np.any(patches):
        return alpha
    bins = color_bins(rgb)
    gray = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY) / 255, np.float32)
    prior = np.log(np.maximum(alpha, 1e-6) / np.maximum(1 - alpha, 1e-6)).clip(-_PRIOR, _PRIOR)
    agreed = alpha
    for _ in range(_ROUNDS):
        garment, ground = (color_frequencies(bins, weights) for weights in (agreed, 1 - agreed))
        evidence = np.log((garment + RARE_COLOR) / (ground + RARE_COLOR))[bins].clip(-_AGAINST, _FOR)
        odds = prior + _guided(np.asarray(evidence, np.float32), gray)
        belief = np.asarray(1 / (1 + np.exp(-odds)), np.float32)
        surer = np.where(belief >= 0.5, np.maximum(alpha, belief), np.minimum(alpha, belief))
        agreed = np.where((alpha >= 0.5) == (belief >= 0.5), surer, belief)
    return np.asarray(np.where(patches, agreed, alpha), np.float32)


def grab_cut(alpha: NDArray[np.float32], rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Decide the unsure patches of a rough alpha by OpenCV's GrabCut (Rother et al., 2004), but leave thin parts.

    GrabCut follows edges in the photo, but shortens straps. `alpha` and `rgb` are as for `agree_with_colors`.
    """
    patches = unsure_patches(alpha)
    if not patches.any():
        return alpha
    decided, free = alpha.copy(), patches & ~dilate(thin_of(alpha >= 0.5), 2)
    for box in components(dilate(patches, _AROUND_PX)).boxes_xyxy:
        area = slices_of(tuple(box))
        part, covered = alpha[area], alpha[area] >= 0.5
        if min(np.count_nonzero(covered), np.count_nonzero(~covered)) < _GAUSSIANS:
            continue
        labels = np.where(_is_unsure(part), cv2.GC_PR_BGD, cv2.GC_BGD).astype(np.uint8) + covered  # odd: foreground
        pixels, labels = np.ascontiguousarray(rgb[area]), np.ascontiguousarray(labels)
        mixtures = np.zeros((1, 13 * _GAUSSIANS)), np.zeros((1, 13 * _GAUSSIANS))
        cv2.setRNGSeed(0)  # they begin with random clusters; this thread's later random numbers from OpenCV repeat, too
        cv2.grabCut(pixels, labels, (0, 0, 1, 1), *mixtures, _CUTS, cv2.GC_INIT_WITH_MASK)
        np.copyto(decided[area], labels & 1, where=free[area])
    return decided


def unsure_patches(alpha: NDArray[np.float32]) -> Mask:
    """Where an alpha `(H, W)` is near neither 0 nor 1, without lines as narrow as a soft edge."""
    return dilate(erode(_is_unsure(alpha), _EDGE_PX), _EDGE_PX + 1)


def _is_unsure(alpha: NDArray[np.float32]) -> Mask:
    return (alpha > _UNSURE) & (alpha < 1 - _UNSURE)


def color_bins(rgb: NDArray[np.uint8]) -> NDArray[np.intp]:
    """The number of each pixel's colour, `(H, W)`, for `(H, W, 3)` uint8 sRGB; similar colours share a number."""
    lightness, *chroma = cv2.split(cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB).astype(np.int32))
    channels = lightness, *((2 * channel - 128).clip(0, 255) for channel in chroma)  # cloth and walls are rarely vivid
    return np.ravel_multi_index([channel * _COLOR_BINS // 256 for channel in channels], (_COLOR_BINS,) * 3)


def color_frequencies(bins: NDArray[np.intp], weights: NDArray[np.generic]) -> NDArray[np.float64]:
    """The weighted frequency of each colour number, smoothed over neighbouring colours; sums to 1."""
    counts: Any = np.bincount(bins.ravel(), weights.ravel(), _COLOR_BINS**3)
    for _ in range(3):  # along each axis in turn
        smooth = cv2.GaussianBlur(counts.reshape(_COLOR_BINS, -1), (1, 7), 1.0)
        counts = np.ascontiguousarray(smooth.T).ravel()
    return np.asarray(counts / max(counts.sum(), 1e-6), np.float64)


def _guided(values: NDArray[np.float32], guide: NDArray[np.float32]) -> NDArray[np.float32]:
    """Smooth values, but not across the edges of a guide (He et al., 2010); both `(H, W)`."""

    def mean(picture: Any) -> Any:
        return cv2.blur(picture, (2 * _SMOOTH_PX + 1,) * 2)

    mean_guide, mean_values = mean(guide), mean(values)
    slope = (mean(guide * values) - mean_guide * mean_values) / (mean(guide * guide) - mean_guide**2 + _FLAT)
    return np.asarray(mean(slope) * guide + mean(mean_values - slope * mean_guide), np.float32)
