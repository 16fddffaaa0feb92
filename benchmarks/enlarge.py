"""Does a guided filter enlarge an alpha better than `resize_alpha`? Reduces and enlarges retouchers' alphas.

    python benchmarks/enlarge.py DATASET [--photos 12]

Prints, for reductions by 2 and 3, means over photos: sum of absolute differences and squared gradient error within 4
pixels of the soft edge (both / 1000), and pixels on the wrong side of 0.5. The guided filter is that of He and Sun
(2015, arXiv 1505.00996): its linear coefficients are computed at the small size, guided by colours, and enlarged.
"""

import argparse
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from garmentcut.dataset.manifest import read_manifest, read_pair
from garmentcut.photo.photo import resize_alpha, to_8_bit

Floats = NDArray[np.float32]
_RADIUS_PX, _EPSILONS = 1, (1e-5, 1e-4)


def guided(rgb: NDArray[np.uint8], alpha: Floats, epsilon: float) -> Floats:
    """Enlarge a small alpha, `(h, w)`, guided by the photo, `(H, W, 3)`; returns `(H, W)` float32."""
    height, width = alpha.shape
    guide = cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    mean_guide, mean = _mean(guide), _mean(alpha)
    covariance = _mean(guide * alpha[..., None]) - mean_guide * mean[..., None]
    products = _mean((guide[..., :, None] * guide[..., None, :]).reshape(height, width, 9)).reshape(height, width, 3, 3)
    spread = products - mean_guide[..., :, None] * mean_guide[..., None, :] + np.eye(3, dtype=np.float32) * epsilon
    slope = np.linalg.solve(spread, covariance[..., None])[..., 0]
    offset = mean - (slope * mean_guide).sum(axis=-1)
    size = rgb.shape[1], rgb.shape[0]
    slope, offset = (cv2.resize(_mean(values), size, interpolation=cv2.INTER_LINEAR) for values in (slope, offset))
    found: Floats = ((slope * (rgb.astype(np.float32) / 255)).sum(axis=-1) + offset).clip(0, 1)
    return found


def _mean(values: NDArray[Any]) -> NDArray[Any]:
    side = 2 * _RADIUS_PX + 1
    return np.asarray(
        cv2.blur(values, (side, side)) if values.ndim == 2 or values.shape[2] <= 4 else _blur_many(values)
    )


def _blur_many(values: Floats) -> Floats:
    side = 2 * _RADIUS_PX + 1
    return np.stack([cv2.blur(values[..., channel], (side, side)) for channel in range(values.shape[2])], axis=-1)


def errors(found: Floats, target: Floats) -> NDArray[np.float64]:
    """The three figures of one photo."""
    band = cv2.dilate(((target > 0.02) & (target < 0.98)).astype(np.uint8), np.ones((9, 9))) > 0
    gradients = [
        np.hypot(*(cv2.Sobel(alpha, cv2.CV_32F, *axes) / 8 for axes in ((1, 0), (0, 1)))) for alpha in (found, target)
    ]
    return np.array(
        [
            np.abs(found - target)[band].sum() / 1000,
            np.square(gradients[0] - gradients[1])[band].sum() / 1000,
            np.count_nonzero((found >= 0.5) != (target >= 0.5)),
        ]
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--photos", type=int, default=12)
    arguments = parser.parse_args()
    manifest = read_manifest(arguments.dataset)
    pairs = manifest.usable[:: max(len(manifest.usable) // arguments.photos, 1)][: arguments.photos]
    found: dict[str, list[NDArray[np.float64]]] = {}
    for pair in pairs:
        photo, target = read_pair(manifest, pair)
        rgb = to_8_bit(photo.rgb)
        for factor in (2, 3):
            small = resize_alpha(target, (target.shape[0] // factor, target.shape[1] // factor))
            plain = resize_alpha(small, (target.shape[0], target.shape[1]))
            sure = (cv2.dilate(plain, np.ones((9, 9))) < 0.02) | (cv2.erode(plain, np.ones((9, 9))) > 0.98)
            found.setdefault(f"{factor}: resize_alpha", []).append(errors(plain, target))
            for epsilon in _EPSILONS:
                other = np.where(sure, plain, guided(rgb, small, epsilon))
                found.setdefault(f"{factor}: guided, epsilon {epsilon:g}", []).append(errors(other, target))
    print(f"{len(pairs)} photos; SAD / 1000, gradient error / 1000, wrong pixels")
    for name, values in found.items():
        print(name, *np.mean(values, axis=0).round(3))


if __name__ == "__main__":
    main()
