"""Photo and target as a network in training sees them: the scale and the borders that prediction uses, at one size."""

import numpy as np
from numpy.typing import NDArray

from garmentcut.photo.color import srgb_of
from garmentcut.photo.photo import Photo, to_8_bit
from garmentcut.photo.resize import resize_alpha, resize_rgb
from garmentcut.recipe import DataConfig

_Levels = NDArray[np.uint8]


def frame_pair(
    photo: Photo, alpha: NDArray[np.float32], *, box_xyxy: tuple[int, int, int, int], data: DataConfig
) -> tuple[_Levels, _Levels]:
    """Scale a photo and its target to the height of `data.size_hw`; cut or pad the width.

    What is too wide is cut about the middle of the garment. What is too narrow is padded at the right by repeating the
    border, of photo and target alike: a garment that runs out of the photo runs on in the padding.

    Args:
        photo: of any size, depth and colour profile.
        alpha: `(H, W)` float32 in [0, 1], at the photo's size.
        box_xyxy: of the garment in the photo, in pixels.
        data: size and kind of target.

    Returns:
        The photo, `(*size_hw, 3)` uint8 sRGB, and the target, `size_hw` uint8, 255 for fully garment. Eight bits lose
        nothing: retouchers' alphas have 33 levels.
    """
    height, width = data.size_hw
    scale = height / photo.size_hw[0]
    content_hw = height, max(round(photo.size_hw[1] * scale), 1)
    rgb = srgb_of(resize_rgb(to_8_bit(photo.rgb), content_hw), photo.profile)
    left = round((box_xyxy[0] + box_xyxy[2]) / 2 * scale - width / 2)
    left = min(max(left, 0), max(content_hw[1] - width, 0))
    return _of_width(rgb, left, width), _of_width(_target(alpha, content_hw, data), left, width)


def _target(alpha: NDArray[np.float32], content_hw: tuple[int, int], data: DataConfig) -> _Levels:
    if data.target == "alpha":
        return np.rint(resize_alpha(alpha, content_hw) * 255).astype(np.uint8)
    # Made hard before it is scaled: `alpha > 0` of a reduced alpha would be fatter still.
    mask = alpha >= 0.5 if data.target == "alpha >= 128" else alpha > 0
    covered = resize_alpha(mask.astype(np.float32), content_hw)
    return np.where(covered >= 0.5, np.uint8(255), np.uint8(0))


def _of_width(levels: _Levels, left: int, width: int) -> _Levels:
    levels = levels[:, left : left + width]
    missing = width - levels.shape[1]
    if missing:
        levels = np.pad(levels, ((0, 0), (0, missing), *[(0, 0)] * (levels.ndim - 2)), mode="edge")
    return levels
