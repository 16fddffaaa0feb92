"""The camera: white balance, vignette, a breath of blur and sensor noise."""

import numpy as np
import numpy.typing as npt

from garmentcut.dataset.studio.canvas import Floats
from garmentcut.dataset.studio.placement import Light
from garmentcut.dataset.studio.streams import between, named_stream

_FULL_HEIGHT = 1728  # the lens blurs a photo of this height; smaller ones are reduced from it, and so are sharper


def expose(rgb: Floats, alpha: Floats, light: Light, *, seed: int, view: str) -> tuple[npt.NDArray[np.uint8], Floats]:
    """Return the photo, uint8 (H, W, 3), and its alpha, float32 (H, W), both blurred by the same lens.

    Args:
        rgb: The picture, float32 (H, W, 3) in [0, 1].
        alpha: The garment's coverage, float32 (H, W).
        light: Its colour is what the white balance left.
        seed: The photo's seed.
        view: Its name; each view has noise of its own.
    """
    rng = named_stream(seed, "camera")
    side_weight = between(rng, 0.02, 0.09) * min(1.0, alpha.shape[0] / _FULL_HEIGHT)
    corner, noise = between(rng, 0.01, 0.06), between(rng, 0.002, 0.006)
    balanced = _blur(rgb, side_weight) * (light.tint / light.tint.max()) * _vignette(alpha.shape, corner)[..., None]
    grain = named_stream(seed, "grain", view).standard_normal(rgb.shape, np.float32)
    sensed = balanced + grain * noise * (0.4 + np.sqrt(balanced))
    return np.clip(np.rint(sensed * 255), 0, 255).astype(np.uint8), np.clip(_blur(alpha, side_weight), 0, 1)


def _blur(image: Floats, side_weight: float) -> Floats:
    """Blur rows and columns with weights (side, 1 - 2 side, side); edges repeat."""
    for axis in (0, 1):
        pads = [(1, 1) if a == axis else (0, 0) for a in range(image.ndim)]
        padded = np.pad(image, pads, mode="edge")
        size = image.shape[axis]
        before, after = (np.take(padded, range(start, start + size), axis=axis) for start in (0, 2))
        image = image + np.float32(side_weight) * (before + after - 2 * image)
    return np.asarray(image, np.float32)


def _vignette(size_hw: tuple[int, ...], corner: float) -> Floats:
    """Brightness (H, W): 1 in the middle, 1 - `corner` in the corners."""
    across = ((np.arange(size_hw[1]) + 0.5) / size_hw[1] * 2 - 1)[None, :]
    down = ((np.arange(size_hw[0]) + 0.5) / size_hw[0] * 2 - 1)[:, None]
    return np.asarray(1 - corner * ((across**2 + down**2) / 2) ** 1.5, np.float32)
