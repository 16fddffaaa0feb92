"""Losses: how far the logits are from the retoucher's alpha, as a weighted sum of terms.

Each term is a pure function of logits and target, both `(N, 1, H, W)`, that returns a scalar: a mean over pixels (or
one value) per photo, then the mean over the photos. So a photo counts the same in any batch and on any device.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from garmentcut.recipe import LossConfig
from garmentcut.training.laplacian import laplacian_loss
from garmentcut.training.lovasz import lovasz_hinge
from garmentcut.training.rim import rim_weights

_SMOOTH_PX = 1.0
_LEAST_ERROR = 1e-6


@dataclass(frozen=True, eq=False)
class Loss:
    """What one batch costs.

    Attributes:
        total: scalar to call `backward` on.
        parts: each term with a weight above 0, before it is weighted; detached, on the logits' device.
    """

    total: Tensor
    parts: dict[str, Tensor]


def total_loss(logits: Tensor, target: Tensor, config: LossConfig) -> Loss:
    """Add up the terms with their weights, in float32 at least, also inside autocast.

    Args:
        logits: `(N, 1, H, W)` float, the network's output.
        target: `(N, 1, H, W)` float in [0, 1].
        config: weights of the terms.

    Raises:
        ValueError: the shapes differ or are not `(N, 1, H, W)`, or the target is not of a float dtype.
    """
    _check(logits, target)
    with torch.autocast(logits.device.type, enabled=False):
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        target = target.to(logits.dtype)
        weight = None
        if config.rim_weight > 1:
            weight = rim_weights(target, weight=config.rim_weight, rim_px=config.rim_px)
        terms: dict[str, Callable[[], Tensor]] = {
            "bce": lambda: bce_loss(logits, target, weight=weight),
            "dice": lambda: dice_loss(logits, target),
            "focal": lambda: focal_loss(logits, target, gamma=config.focal_gamma, weight=weight),
            "lovasz": lambda: lovasz_hinge(logits, target),
            "l1": lambda: l1_loss(logits, target, weight=weight),
            "laplacian": lambda: laplacian_loss(logits, target),
        }
        parts = {name: term() for name, term in terms.items() if getattr(config, name) > 0}
        total = torch.stack([getattr(config, name) * part for name, part in parts.items()]).sum()
    return Loss(total, {name: part.detach() for name, part in parts.items()})


def bce_loss(logits: Tensor, target: Tensor, *, weight: Tensor | None = None) -> Tensor:
    """Binary cross-entropy: mean of -t log p - (1 - t) log(1 - p), with p = sigmoid(logits).

    Lowest at p = t; there it is 0 for a mask, and the target's own entropy where the target is soft.

    Args:
        logits: `(N, 1, H, W)` float.
        target: `(N, 1, H, W)` float in [0, 1].
        weight: `(N, 1, H, W)`, how much each pixel counts in its photo's mean; None: all the same.
    """
    return _mean(functional.binary_cross_entropy_with_logits(logits, target, reduction="none"), weight)


def dice_loss(logits: Tensor, target: Tensor) -> Tensor:
    """1 - soft Dice: sum |p - t| / (sum p + sum t + 1 px), per photo, then the mean; in [0, 1).

    For masks it equals the usual 1 - (2 sum p t + s) / (sum p + sum t + s) with s = 1 px, since there p + t - |p - t|
    is 2 p t. For a soft target the usual form is lowest at p = 0 or 1; this one is 0 at p = t (Wang, Ning, Blaschko,
    "Dice semimetric losses", MICCAI 2023, DML1). The smooth term makes a photo without garment cost 0 where p is 0,
    and keeps it finite.
    """
    probability = torch.sigmoid(logits)
    apart = (probability - target).abs().sum((1, 2, 3))
    return (apart / (probability.sum((1, 2, 3)) + target.sum((1, 2, 3)) + _SMOOTH_PX)).mean()


def focal_loss(logits: Tensor, target: Tensor, *, gamma: float, weight: Tensor | None = None) -> Tensor:
    """Focal loss: mean of |t - p|^gamma times the binary cross-entropy; 0 at p = t, soft or not.

    For masks this is Lin et al., "Focal loss for dense object detection", ICCV 2017, without its class weight; for
    soft targets its continuation, the quality focal loss of Li et al., "Generalized focal loss", NeurIPS 2020. With
    `gamma` 0 it is the plain cross-entropy.
    """
    entropy = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    # The slope of x^gamma at 0 is infinite for gamma < 1: stay off it.
    error = (target - torch.sigmoid(logits)).abs().clamp(min=_LEAST_ERROR)
    return _mean(error**gamma * entropy, weight)


def l1_loss(logits: Tensor, target: Tensor, *, weight: Tensor | None = None) -> Tensor:
    """Mean absolute difference of the alphas, |p - t|, in [0, 1]; the matting papers' alpha loss (Xu et al. 2017)."""
    return _mean((torch.sigmoid(logits) - target).abs(), weight)


def _mean(values: Tensor, weight: Tensor | None) -> Tensor:
    if weight is None:
        return values.mean()
    return ((values * weight).sum((1, 2, 3)) / weight.sum((1, 2, 3))).mean()


def _check(logits: Tensor, target: Tensor) -> None:
    if logits.ndim != 4 or logits.shape[1] != 1 or logits.shape != target.shape:
        raise ValueError(f"logits {tuple(logits.shape)} and target {tuple(target.shape)}: both must be (N, 1, H, W)")
    if not target.is_floating_point():
        raise ValueError(f"the target must be float in [0, 1], not {target.dtype}; divide 8-bit alphas by 255")
