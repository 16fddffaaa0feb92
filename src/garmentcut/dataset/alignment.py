"""Where in a photo a cutout's colours lie: the likeness of both at every shift.

Likeness is the structural similarity (SSIM; Wang, Bovik, Sheikh and Simoncelli 2004) of the garment as one window:
1 for the same pixels, near 1 for the same photo re-saved or graded, about 0 for another one. Fourier transforms work it
out for all shifts at once, with the garment's mask as weights (after Padfield 2012).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from garmentcut.photo.mask import bounding_box, slices_of

_Floats = NDArray[np.float32]

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
_NOISE = 8.0  # levels: contrast below this counts for little
_STABLE = 2 * _NOISE**2  # SSIM's constants C1 and C2
_COARSE_PX = 256  # long side of the pictures in which large shifts are looked for
_FAST = 32  # Fourier transforms of lengths with small factors are fast
_MAX_STEPS = 4  # of a few pixels each
_WINDOW_PX = 1536  # long side of what is compared at full size: enough to tell a pixel


@dataclass(frozen=True)
class Alignment:
    """The shift at which a cutout is most like its photo.

    Attributes:
        shift_xy: pixels that the cutout stands too far right and too far down.
        likeness: at this shift, at most 1.
        unshifted: where the cutout stands.
    """

    shift_xy: tuple[int, int]
    likeness: float
    unshifted: float


def align_near(photo: NDArray[np.uint8], cutout: NDArray[np.uint8], inside: NDArray[np.bool_]) -> Alignment:
    """The best of the shifts by a few pixels, and of those that it leads to.

    Args:
        photo: `(H, W, 3)`.
        cutout: `(H, W, 3)`.
        inside: `(H, W)`, where the cutout's colours are the garment's; at least one pixel.
    """
    return _best_about((0, 0), photo @ _LUMA, cutout @ _LUMA, inside)


def align_far(photo: NDArray[np.uint8], cutout: NDArray[np.uint8], inside: NDArray[np.bool_]) -> Alignment:
    """The best of all shifts that leave the garment in the frame; arguments as of `align_near`."""
    gray, colors = photo @ _LUMA, cutout @ _LUMA
    factor = _coarse_factor(gray)
    weights = _shrunk(inside.astype(np.float32), factor)
    if not weights.any():  # a speck at the very border
        return _best_about((0, 0), gray, colors, inside)
    garment = _shrunk(colors * inside, factor) / weights.clip(np.float32(1e-6))
    rows, columns = _box_of(weights > 0)
    likeness = _likeness_at_shifts(_shrunk(gray, factor), garment[rows, columns], weights[rows, columns])
    down, right = np.unravel_index(likeness.argmax(), likeness.shape)
    shift_xy = (columns.start - int(right)) * factor, (rows.start - int(down)) * factor
    return _best_about(shift_xy, gray, colors, inside)


def _best_about(start_xy: tuple[int, int], gray: _Floats, colors: _Floats, inside: NDArray[np.bool_]) -> Alignment:
    """The best of the shifts near one, at full size, and on from there while it gets better; all arrays `(H, W)`."""
    reach = _coarse_factor(gray) + 2
    rows, columns = _box_of(inside)
    area = _middle(rows, _WINDOW_PX), _middle(columns, _WINDOW_PX)
    template, weights = colors[area], inside[area].astype(np.float32)

    def likeness_about(center_xy: tuple[int, int], reach: int) -> NDArray[np.float64]:
        rows, columns = (
            np.arange(side.start - shift - reach, side.stop - shift + reach).clip(0, length - 1)
            for side, shift, length in zip(area, center_xy[::-1], gray.shape, strict=True)
        )
        return _likeness_at_shifts(gray[np.ix_(rows, columns)], template, weights)

    shift_xy = start_xy
    for _ in range(_MAX_STEPS):
        likeness = likeness_about(shift_xy, reach)
        down, right = np.unravel_index(likeness.argmax(), likeness.shape)
        step_xy = reach - int(right), reach - int(down)
        shift_xy = shift_xy[0] + step_xy[0], shift_xy[1] + step_xy[1]
        if max(map(abs, step_xy)) < reach:
            break
    return Alignment(shift_xy, float(likeness.max()), float(likeness_about((0, 0), 0)[0, 0]))


def _likeness_at_shifts(photo: _Floats, template: _Floats, weights: _Floats) -> NDArray[np.float64]:
    """SSIM of a template and each part of a photo of its size.

    Args:
        photo: `(H, W)` levels.
        template: `(h, w)` levels, no larger.
        weights: `(h, w)` in [0, 1], not all 0.

    Returns:
        `(H - h + 1, W - w + 1)`, by the part's top and left.
    """
    total = float(weights.sum())
    mean = float((template * weights).sum()) / total
    centered = (template - np.float32(mean)) * weights
    base = photo.mean()  # taken off first: squares of small numbers lose less
    moved = photo - base

    fast = tuple(-(-length // _FAST) * _FAST for length in photo.shape)
    rows, columns = (large - small + 1 for large, small in zip(photo.shape, template.shape, strict=True))

    def correlate(values: _Floats, kernel: _Floats) -> NDArray[np.float64]:
        product = np.fft.rfft2(values, s=fast) * np.conj(np.fft.rfft2(kernel, s=fast))
        return np.fft.irfft2(product, s=fast)[:rows, :columns] / total

    shared = correlate(moved, centered)
    part_mean = correlate(moved, weights)
    part_variance = np.maximum(correlate(moved * moved, weights) - part_mean**2, 0)
    part_mean = part_mean + base
    variance = float((centered * (template - np.float32(mean))).sum()) / total
    light = (2 * mean * part_mean + _STABLE) / (mean**2 + part_mean**2 + _STABLE)
    likeness: NDArray[np.float64] = light * (2 * shared + _STABLE) / (variance + part_variance + _STABLE)
    return likeness


def _coarse_factor(gray: _Floats) -> int:
    longest: int = max(gray.shape)
    return -(-longest // _COARSE_PX)


def _shrunk(values: _Floats, factor: int) -> _Floats:
    """Means of squares of `factor` pixels; what is left at the right and below is dropped."""
    height, width = (length // factor for length in values.shape)
    squares = values[: height * factor, : width * factor].reshape(height, factor, width, factor)
    means: _Floats = squares.mean((1, 3), dtype=np.float32)
    return means


def _box_of(mask: NDArray[np.bool_]) -> tuple[slice, slice]:
    return slices_of(bounding_box(mask) or (0, 0, 0, 0))


def _middle(side: slice, longest: int) -> slice:
    over = max(side.stop - side.start - longest, 0)
    return slice(side.start + over // 2, side.stop - (over + 1) // 2)
