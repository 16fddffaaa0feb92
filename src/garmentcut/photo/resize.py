"""Resize photos down and alpha up; Pillow's area-aware filters, in float for alpha."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_HARD_EDGE = (0.25, 0.75)  # contrast between neighbours: below, a soft transition; above, a hard edge


def resize_rgb(rgb: NDArray[np.uint8], size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """Resize `(H, W, 3)` uint8 with an antialiased cubic filter."""
    if rgb.shape[:2] == size_hw:
        return rgb
    image = Image.fromarray(np.ascontiguousarray(rgb))
    # reducing_gap first shrinks by whole factors: three times as fast on camera photos, the same to the eye.
    return np.asarray(image.resize(size_hw[::-1], Image.Resampling.BICUBIC, reducing_gap=3.0))


def resize_alpha(alpha: NDArray[np.float32], size_hw: tuple[int, int]) -> NDArray[np.float32]:
    """Bring an alpha to another size; enlarged, hard edges stay one pixel wide and sheer parts stay sheer.

    A cubic filter alone leaves a rim as many pixels wide as the enlargement. It is steepened about 0.5 by that factor,
    but only where neighbouring pixels of the small alpha differ strongly: a plateau of 0.4 is sheer fabric, no edge.

    Args:
        alpha: `(h, w)` float32 in [0, 1].
        size_hw: height and width wanted.

    Returns:
        `size_hw` float32 in [0, 1].
    """
    if alpha.shape == size_hw:
        return alpha
    scale = max(size_hw[0] / alpha.shape[0], size_hw[1] / alpha.shape[1])
    if scale <= 1:
        return _resample(alpha, size_hw, _whole(alpha.shape), Image.Resampling.BOX).clip(0, 1)
    large = np.zeros(size_hw, np.float32)
    box = _garment_box(alpha, size_hw)
    if box is None:
        return large
    rows, columns = box
    steps = size_hw[0] / alpha.shape[0], size_hw[1] / alpha.shape[1]
    source = columns.start / steps[1], rows.start / steps[0], columns.stop / steps[1], rows.stop / steps[0]
    part_hw = rows.stop - rows.start, columns.stop - columns.start
    soft = _resample(alpha, part_hw, source, Image.Resampling.BICUBIC)
    hardness = _resample(_hardness(alpha), part_hw, source, Image.Resampling.BILINEAR)
    steepness = 1 + (scale - 1) * hardness
    large[box] = ((soft - 0.5) * steepness + 0.5).clip(0, 1)
    return large


def _whole(shape: tuple[int, ...]) -> tuple[float, float, float, float]:
    return 0, 0, shape[1], shape[0]


def _garment_box(alpha: NDArray[np.float32], size_hw: tuple[int, int]) -> tuple[slice, slice] | None:
    """Rows and columns at the wanted size that hold all of the garment, filter reach included."""
    slices = []
    for axis in (0, 1):
        shown = np.flatnonzero((alpha > 0).any(axis=1 - axis))
        if not shown.size:
            return None
        step = size_hw[axis] / alpha.shape[axis]
        start, stop = int((shown[0] - 3) * step), int((shown[-1] + 4) * step) + 1
        slices.append(slice(max(start, 0), min(stop, size_hw[axis])))
    return slices[0], slices[1]


def _hardness(alpha: NDArray[np.float32]) -> NDArray[np.float32]:
    """0 on plateaus and long ramps, 1 at hard edges: the contrast within three pixels, rescaled."""
    highest, lowest = alpha, alpha
    for axis in (0, 1):
        highest, lowest = _of_three(highest, axis, np.maximum), _of_three(lowest, axis, np.minimum)
    low, high = _HARD_EDGE
    return ((highest - lowest - low) / (high - low)).clip(0, 1).astype(np.float32)


def _of_three(values: NDArray[np.float32], axis: int, extreme: np.ufunc) -> NDArray[np.float32]:
    pad = [(0, 0), (0, 0)]
    pad[axis] = (1, 1)
    padded = np.pad(values, pad, mode="edge")
    size = values.shape[axis]
    shifted = [np.take(padded, np.arange(size) + shift, axis=axis) for shift in range(3)]
    out: NDArray[np.float32] = extreme(extreme(shifted[0], shifted[1]), shifted[2])
    return out


def _resample(
    values: NDArray[np.float32],
    size_hw: tuple[int, int],
    box_xyxy: tuple[float, float, float, float],
    resampling: Image.Resampling,
) -> NDArray[np.float32]:
    image = Image.fromarray(np.ascontiguousarray(values))
    return np.asarray(image.resize(size_hw[::-1], resampling, box=box_xyxy), np.float32)
