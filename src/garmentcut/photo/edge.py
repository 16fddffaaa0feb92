"""Edge colour: replace the background that shines through rim pixels by the garment's own colour.

Blur-fusion, twice (M. Forte, "Approximate Fast Foreground Colour Estimation", ICIP 2021). Only rim pixels change, so
only they are computed: a wide first estimate on a thinned grid, a narrow second one on the pixels around each.
"""

import numpy as np
from numpy.typing import NDArray

from garmentcut.photo.mask import box_sums
from garmentcut.photo.photo import Pixels

_WIDE_PX, _NARROW_PX = 90, 6  # windows measured at a photo height of 1728 px
_REFERENCE_HEIGHT_PX = 1728
_GRID_CELLS = 12  # grid cells in the wide window: its mean needs no more samples
_CHUNK = 65_536  # rim pixels at a time: a sheer garment has a million of them
_EPSILON = 1e-5


def edge_reach_px(height_px: int) -> int:
    """How far around the garment `clean_edge_color` looks in a photo of this height."""
    return round(_window_px(height_px)) + 1


def clean_edge_color(rgb: Pixels, alpha: NDArray[np.float32], *, full_height_px: int | None = None) -> Pixels:
    """Estimate the garment's own colour where background shows through.

    Args:
        rgb: `(H, W, 3)` uint8 or uint16, the photo.
        alpha: `(H, W)` float32 in [0, 1].
        full_height_px: height of the whole photo, which sets the windows, where `rgb` is a part of it.

    Returns:
        Like `rgb`, other only where `0 < alpha < 1`. Compositing it with `alpha` over a new background leaves no trace
        of the old one.
    """
    # np.nonzero of two dimensions would take longer than all that follows.
    rim_y, rim_x = np.divmod(np.flatnonzero((alpha > 0) & (alpha < 1)), alpha.shape[1])
    cleaned = rgb.copy()
    if not rim_y.size:
        return cleaned
    top = float(np.iinfo(rgb.dtype).max)
    observed = (rgb[rim_y, rim_x] / top).astype(np.float32)
    rim_alpha = alpha[rim_y, rim_x, None]
    height_px = full_height_px or rgb.shape[0]
    garment, behind = _wide_means(rgb, alpha, rim_y, rim_x, window_px=_window_px(height_px))
    first = _fuse(observed, rim_alpha, garment, behind)
    # The narrow window sees opaque pixels as photographed and rim pixels as first estimated.
    cleaned[rim_y, rim_x] = np.rint(first * top)
    spacing = max(round(height_px / _REFERENCE_HEIGHT_PX), 1)
    second = np.empty_like(first)
    for start in range(0, rim_y.size, _CHUNK):
        part = slice(start, start + _CHUNK)
        garment = _narrow_mean(cleaned, alpha, rim_y[part], rim_x[part], spacing_px=spacing)
        garment /= top
        second[part] = _fuse(observed[part], rim_alpha[part], garment, behind[part])
    cleaned[rim_y, rim_x] = np.rint(second * top)
    return cleaned


def _window_px(height_px: int) -> float:
    return max(_WIDE_PX * height_px / _REFERENCE_HEIGHT_PX, _GRID_CELLS)


def _fuse(
    observed: NDArray[np.float32],
    alpha: NDArray[np.float32],
    garment: NDArray[np.float32],
    behind: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Forte 2021, equation 4: shift the mean garment colour by what it leaves unexplained of the photo."""
    unexplained = observed - alpha * garment - (1 - alpha) * behind
    fused: NDArray[np.float32] = np.clip(garment + alpha * unexplained, 0, 1)
    return fused


def _wide_means(
    rgb: Pixels, alpha: NDArray[np.float32], rim_y: NDArray[np.intp], rim_x: NDArray[np.intp], *, window_px: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean garment colour and mean background colour `(N, 3)` around rim pixels, from every n-th pixel."""
    step = max(round(window_px / _GRID_CELLS), 1)
    margin = round(window_px)
    top, left = max(rim_y.min() - margin, 0), max(rim_x.min() - margin, 0)
    area = slice(top, rim_y.max() + margin + 1, step), slice(left, rim_x.max() + margin + 1, step)
    weight = alpha[area][..., None].astype(np.float64)
    color = rgb[area] / float(np.iinfo(rgb.dtype).max)
    row, column = (rim_y - top) // step, (rim_x - left) // step
    reach = _GRID_CELLS // 2
    means = []
    for part in (weight, 1 - weight):
        sums = box_sums(np.concatenate([color * part, part], axis=2), reach)[row, column]
        means.append((sums[:, :3] / (sums[:, 3:] + _EPSILON)).astype(np.float32))
    return means[0], means[1]


def _narrow_mean(
    color: Pixels, alpha: NDArray[np.float32], y: NDArray[np.intp], x: NDArray[np.intp], *, spacing_px: int
) -> NDArray[np.float32]:
    """Mean of `color` weighted by `alpha` over a square of samples around each of N places, `(N, 3)`, not scaled."""
    height, width = alpha.shape
    total = np.zeros((y.size, 3), np.float32)
    weight = np.full((y.size, 1), _EPSILON, np.float32)
    flat_alpha, flat_color = alpha.reshape(-1, 1), color.reshape(-1, 3)
    offsets = spacing_px * np.arange(-_NARROW_PX // 2, _NARROW_PX // 2)
    columns = [np.clip(x + dx, 0, width - 1) for dx in offsets]
    for dy in offsets:
        row = np.clip(y + dy, 0, height - 1) * width
        for column in columns:
            place = row + column
            share = flat_alpha.take(place, axis=0)
            total += share * flat_color.take(place, axis=0)
            weight += share
    return total / weight
