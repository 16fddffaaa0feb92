"""How exact the soft alpha is along the edge: SAD, MSE, gradient and connectivity errors on the rim.

The rim is where the *target* is soft, or its edge is near. It does not depend on the prediction, so that all models are
measured on the same pixels, as on the unknown part of a matting benchmark's trimap; what a model gets wrong elsewhere,
Dice and the distances say.
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d, distance_transform_edt, label

from garmentcut.evaluation.masks import Mask, area_of, mask_of
from garmentcut.evaluation.surface import border_of

RIM_PX = 5
"""How near to the target's edge a pixel of the rim lies, at most: the errors of a good model lie within."""

_SIGMA_PX = 1.4
_FILTER_ERROR = 1e-2  # of the Gaussian, where it is cut off
_LEVELS = tuple(level / 10 for level in range(1, 11))
_LEAST_GAP = 0.15 - 1e-6  # a gap of 0.15 counts, however float32 rounds it

Alpha = NDArray[np.float32]
"""`(H, W)` float32 in [0, 1]."""


def rim_of(target: Alpha) -> Mask:
    """The rim of a target: `0 < alpha < 1`, or at most `RIM_PX` from its border; `(H, W)` bool, empty if it is."""
    soft: Mask = (target > 0) & (target < 1)
    garment = mask_of(target)
    area = area_of(garment, margin_px=RIM_PX)
    if area is not None:
        soft[area] |= distance_transform_edt(~border_of(garment[area])) <= RIM_PX
    return soft


def sad(prediction: Alpha, target: Alpha, rim: Mask) -> float:
    """Sum of absolute differences on the rim, in thousands of pixels; 0 or more, lower is better.

    sum |a - a*| / 1000. It grows with the length of the outline.

    Args:
        prediction: `(H, W)` float32 in [0, 1].
        target: the same size.
        rim: the same size; an empty one gives 0, here and below.

    Source: Rhemann et al., "A perceptually motivated online benchmark for image matting", CVPR 2009.
    """
    return float(np.abs(prediction[rim] - target[rim]).sum(dtype=np.float64)) / 1000


def mse(prediction: Alpha, target: Alpha, rim: Mask) -> float:
    """Mean squared difference on the rim, in [0, 1]; lower is better. Papers often print it times 1000.

    mean (a - a*)^2. Arguments and source as for `sad`.
    """
    if not rim.any():
        return 0.0
    return float(np.square(prediction[rim] - target[rim]).mean(dtype=np.float64))


def gradient_error(prediction: Alpha, target: Alpha, rim: Mask) -> float:
    """Difference of the steepness of both alphas on the rim, in thousands; 0 or more, lower is better.

    sum (|grad a| - |grad a*|)^2 / 1000, with first derivatives of a Gaussian of sigma 1.4 pixels, each filter of unit
    energy. Unlike the benchmark's own code this does not first stretch both alphas to [0, 1]: a prediction that is too
    faint must not be forgiven. Arguments and source as for `sad`.
    """
    area = area_of(rim, margin_px=_filter_reach())
    if area is None:
        return 0.0
    difference = _steepness(prediction[area]) - _steepness(target[area])
    return float(np.square(difference[rim[area]]).sum(dtype=np.float64)) / 1000


def connectivity_error(prediction: Alpha, target: Alpha, rim: Mask) -> float:
    """Rim pixels that hang together with the garment in one alpha and not in the other, in thousands; lower is better.

    For each level t = 0.1 ... 1 let O be the largest 4-connected component of {a >= t and a* >= t}; l(x) is the last
    level at which x still belongs to it, and 1 if it never leaves it. With phi(a) = 1 - d [d >= 0.15] and d = a - l,
    the error is sum |phi(a) - phi(a*)| / 1000. Arguments and source as for `sad`.
    """
    area = area_of(target > 0)
    if area is None or not rim.any():
        return _gap(prediction, target, np.zeros_like(target), rim)
    leaves = np.zeros_like(target)
    leaves[area] = _last_levels(np.minimum(prediction[area], target[area]))
    return _gap(prediction, target, leaves, rim)


def _gap(prediction: Alpha, target: Alpha, leaves: Alpha, rim: Mask) -> float:
    both = []
    for alpha in (prediction, target):
        above = alpha[rim] - leaves[rim]
        both.append(np.where(above >= np.float32(_LEAST_GAP), above, 0))
    return float(np.abs(both[0] - both[1]).sum(dtype=np.float64)) / 1000


def _last_levels(lower: Alpha) -> Alpha:
    """For each pixel the last level at which it belongs to the largest component, of the lower of both alphas."""
    last = np.ones_like(lower)
    inside = np.ones(lower.shape, bool)
    previous = 0.0
    for level in _LEVELS:
        largest = _largest_component(lower >= np.float32(level))
        last[inside & ~largest] = previous
        inside &= largest
        previous = level
    return last


def _largest_component(mask: Mask) -> Mask:
    """The largest 4-connected component; the background, however large, is none."""
    labels, num = label(mask)  # its default structure is the cross
    if not num:
        return mask
    sizes = np.bincount(labels.ravel())
    largest: Mask = labels == 1 + int(np.argmax(sizes[1:]))
    return largest


def _filter_reach() -> int:
    return math.ceil(_SIGMA_PX * math.sqrt(-2 * math.log(math.sqrt(2 * math.pi) * _SIGMA_PX * _FILTER_ERROR)))


def _steepness(alpha: Alpha) -> NDArray[np.float64]:
    """Length of the gradient, by separable derivatives of a Gaussian; the alpha goes on unchanged beyond the frame."""
    offsets = np.arange(-_filter_reach(), _filter_reach() + 1)
    bell = np.exp(-(offsets**2) / (2 * _SIGMA_PX**2))
    slope = offsets * bell
    bell, slope = bell / np.linalg.norm(bell), slope / np.linalg.norm(slope)
    values = alpha.astype(np.float64)
    across, down = (
        correlate1d(correlate1d(values, slope, axis, mode="nearest"), bell, 1 - axis, mode="nearest") for axis in (1, 0)
    )
    steepness: NDArray[np.float64] = np.hypot(across, down)
    return steepness
