"""Losses of the training loop, between logits and the retoucher's alpha: a weighted sum of a recipe's terms.

Each term is a pure function of logits and target, both `(N, 1, H, W)`, that returns a scalar: a mean over pixels (or
one value) per photo, then the mean over the photos. So a photo counts the same in any batch and on any device. Targets
are in [0, 1]; `weight`, `(N, 1, H, W)`, says how much each pixel counts in its photo's mean; None: all count the same.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from garmentcut.recipe import LossConfig

LAPLACIAN_LEVELS = 5
_SMOOTH_PX = 1.0
_LEAST_ERROR = 1e-6


@dataclass(frozen=True, eq=False)
class Loss:
    """The loss of one batch."""

    total: Tensor  # scalar to call `backward` on
    parts: dict[str, Tensor]  # unweighted terms, of those with a weight above 0; detached, on the logits' device


def total_loss(logits: Tensor, target: Tensor, config: LossConfig) -> Loss:
    """The weighted sum of the terms, at least in float32 even inside autocast; ValueError for unlike tensors."""
    if logits.ndim != 4 or logits.shape[1] != 1 or logits.shape != target.shape:
        raise ValueError(f"logits {tuple(logits.shape)} and target {tuple(target.shape)}: both must be (N, 1, H, W)")
    if not target.is_floating_point():
        raise ValueError(f"the target must be float in [0, 1], not {target.dtype}; divide 8-bit alphas by 255")
    with torch.autocast(logits.device.type, enabled=False):
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        target = target.to(logits.dtype)
        weight = None
        if config.edge_weight > 1:
            weight = edge_weights(target, weight=config.edge_weight, edge_px=config.edge_px)
        if config.thin_weight > 1:
            thin = thin_weights(target, weight=config.thin_weight, thin_px=config.thin_px)
            weight = thin if weight is None else torch.maximum(weight, thin)
        terms: dict[str, Callable[[], Tensor]] = {
            "bce": lambda: bce_loss(logits, target, weight=weight),
            "dice": lambda: dice_loss(logits, target),
            "focal": lambda: focal_loss(logits, target, gamma=config.focal_gamma, weight=weight),
            "lovasz": lambda: lovasz_hinge(logits, target),
            "l1": lambda: l1_loss(logits, target, weight=weight),
            "laplacian": lambda: laplacian_loss(logits, target),
            "gradient": lambda: gradient_loss(logits, target),
        }
        parts = {name: term() for name, term in terms.items() if getattr(config, name) > 0}
        total = torch.stack([getattr(config, name) * part for name, part in parts.items()]).sum()
    return Loss(total, {name: part.detach() for name, part in parts.items()})


def bce_loss(logits: Tensor, target: Tensor, *, weight: Tensor | None = None) -> Tensor:
    """Binary cross-entropy: mean of -t log p - (1 - t) log(1 - p), with p = sigmoid(logits).

    Lowest at p = t, where it is 0 for a binary target, and the target's entropy for a soft one.
    """
    return _mean(functional.binary_cross_entropy_with_logits(logits, target, reduction="none"), weight)


def dice_loss(logits: Tensor, target: Tensor) -> Tensor:
    """1 - soft Dice: sum |p - t| / (sum p + sum t + 1 px), per photo, then the mean; in [0, 1).

    For binary targets it equals the usual 1 - (2 sum p t + s) / (sum p + sum t + s) with s = 1 px, because then
    p + t - |p - t| is 2 p t. For a soft target the usual form is lowest at p = 0 or 1; this one is 0 at p = t (Wang,
    Ning, Blaschko, "Dice semimetric losses", MICCAI 2023, DML1). The added pixel keeps the loss of a photo without
    garment finite, and 0 if p is 0.
    """
    probability = torch.sigmoid(logits)
    apart = (probability - target).abs().sum((1, 2, 3))
    return (apart / (probability.sum((1, 2, 3)) + target.sum((1, 2, 3)) + _SMOOTH_PX)).mean()


def focal_loss(logits: Tensor, target: Tensor, *, gamma: float, weight: Tensor | None = None) -> Tensor:
    """Focal loss: mean of |t - p|^gamma times the binary cross-entropy; 0 at p = t for binary and soft targets.

    For binary targets this is Lin et al., "Focal loss for dense object detection", ICCV 2017, without its class weight;
    for soft ones its generalisation, the quality focal loss of Li et al., "Generalized focal loss", NeurIPS 2020. With
    `gamma` 0 it is the plain cross-entropy.
    """
    entropy = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    # For gamma < 1 the slope of x^gamma at 0 is infinite, so the error is kept above 0.
    error = (target - torch.sigmoid(logits)).abs().clamp(min=_LEAST_ERROR)
    return _mean(error**gamma * entropy, weight)


def l1_loss(logits: Tensor, target: Tensor, *, weight: Tensor | None = None) -> Tensor:
    """Mean absolute difference of the alphas, |p - t|, in [0, 1]; the usual alpha loss of matting (Xu et al. 2017)."""
    return _mean((torch.sigmoid(logits) - target).abs(), weight)


def lovasz_hinge(logits: Tensor, target: Tensor) -> Tensor:
    """The Lovasz extension of the Jaccard loss at the hinge errors; per photo, then the mean.

    errors = max(0, 1 - logit * sign), sign = +1 where target >= 0.5, else -1. Errors are sorted, the largest first;
    the weight of each is by how much 1 - IoU grows if that pixel becomes wrong in addition to those before it (Berman,
    Rannen Triki, Blaschko, "The Lovasz-Softmax loss", CVPR 2018, algorithm 1). Soft targets are thresholded at 0.5. For
    a photo without garment the loss is its largest error. Not negative; 0 if each pixel is right by a margin of 1.
    """
    hinges = []
    # One photo at a time, because sorting two million pixels takes 100 MB of temporary memory.
    for photo, garment in zip(logits.flatten(1), target.flatten(1) >= 0.5, strict=True):
        # A stable sort keeps the order of equal errors, so that a resumed training is bit-equal.
        errors, order = torch.where(garment, 1 - photo, 1 + photo).sort(descending=True, stable=True)
        hinges.append(errors.relu() @ _jaccard_steps(garment[order]).to(errors.dtype))
    return torch.stack(hinges).mean()


@torch.no_grad()
def _jaccard_steps(garment: Tensor) -> Tensor:
    """How much 1 - IoU grows with each further wrong pixel: `(P,)`, positive, with sum 1.

    Computed as fractions of integers: differences of successive values of 1 - IoU, though mathematically equal, keep
    only one significant digit in float32 for two million pixels.
    """
    seen = garment.cumsum(0, dtype=torch.int64)
    missed = seen[-1] - seen  # remaining intersection
    union = seen[-1] + torch.arange(1, len(garment) + 1, device=garment.device) - seen
    # A garment pixel reduces the intersection by one, any other enlarges the union by one, starting from an empty one.
    outside = torch.where(union > 1, missed / (union * (union - 1)).clamp(min=1), 1)
    return torch.where(garment, 1 / union, outside)


def laplacian_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Sum over five levels i of 2^(i - 1) times the mean absolute difference of the alphas' Laplacian pyramids.

    Hou and Liu, "Context-aware image matting", ICCV 2019, with means instead of sums over a level's pixels, so that the
    size of the photo does not matter. Each level is what a 5x5 binomial blur (Burt and Adelson 1983) removes; the
    blurred image is subsampled by two for the next level. The fifth level is the last blurred image itself: without it,
    alphas that differ by a constant would count as equal. Any height and width will do. Not negative; 0 if the alphas
    are equal, 16 if they differ by 1 everywhere.
    """
    # The pyramid is linear, so one pyramid of the difference replaces the difference of two: exact, and half the work.
    rest = torch.sigmoid(logits) - target
    loss = rest.new_zeros(())
    for level in range(LAPLACIAN_LEVELS - 1):
        blurred = _blur(rest)
        loss = loss + 2.0**level * (rest - blurred).abs().mean()
        rest = blurred[..., ::2, ::2]
    return loss + 2.0 ** (LAPLACIAN_LEVELS - 1) * rest.abs().mean()


def _blur(image: Tensor) -> Tensor:
    """5x5 binomial blur, normalised over the pixels inside the frame."""
    for axis in (2, 3):
        ones = image.new_ones([size if place == axis else 1 for place, size in enumerate(image.shape)])
        image = _weigh_neighbours(image, axis) / _weigh_neighbours(ones, axis)
    return image


def _weigh_neighbours(image: Tensor, axis: int) -> Tensor:
    # Sums of shifted copies are several times as fast on a CPU as a convolution of one channel, and exact in float32.
    padded = functional.pad(image, (0, 0, 2, 2) if axis == 2 else (2, 2, 0, 0))
    far_before, before, here, after, far_after = (padded.narrow(axis, start, image.shape[axis]) for start in range(5))
    return 6 * here + 4 * (before + after) + far_before + far_after


def near_edge(target: Tensor, edge_px: int) -> Tensor:
    """Pixels within `edge_px` of the target's edge, and all soft pixels: `(N, 1, H, W)` bool.

    A pixel is near the edge if the square of side `2 * edge_px + 1` around it has pixels on both sides of 0.5. Pixels
    outside the frame are ignored: a garment that the frame cuts off has no edge there. The band is `2 * edge_px` wide,
    half inside and half outside.
    """
    share = (target >= 0.5).to(target.dtype)
    # The mean over the square is exactly 0 or 1 if all its pixels are on one side.
    for kernel, pad in (((2 * edge_px + 1, 1), (edge_px, 0)), ((1, 2 * edge_px + 1), (0, edge_px))):
        share = functional.avg_pool2d(share, kernel, stride=1, padding=pad, count_include_pad=False)
    return ((share > 0) & (share < 1)) | ((target > 0) & (target < 1))


@torch.no_grad()
def edge_weights(target: Tensor, *, weight: float, edge_px: int) -> Tensor:
    """How much each pixel counts: `weight` near the edge, 1 elsewhere.

    The edge weights of the winner of the Carvana challenge (asanakoy, 2017), with a width in pixels. The losses divide
    by the photo's sum of weights, so that neither `weight` nor the length of a garment's edge changes their scale.
    """
    return 1 + (weight - 1) * near_edge(target, edge_px).to(target.dtype)


@torch.no_grad()
def thin_weights(target: Tensor, *, weight: float, thin_px: int) -> Tensor:
    """How much each pixel counts: `weight` on and near thin parts such as straps, ties and fringe, 1 elsewhere.

    Thin are pixels more than 2 pixels away from all squares of side `thin_px` inside the garment, as in `thin_parts` of
    `garmentcut.evaluation.metrics`; near means within a quarter of `thin_px`. Garments continue outside the frame.
    """
    thin_px = thin_px // 2 * 2 + 1
    garment = (target >= 0.5).to(target.dtype)
    wider = functional.pad(garment, (thin_px,) * 4, mode="replicate")
    covered = _widened(-_widened(-wider, thin_px), thin_px + 4)[..., thin_px:-thin_px, thin_px:-thin_px]
    return 1 + (weight - 1) * _widened(garment * (1 - covered), 2 * (thin_px // 4) + 1)


def _widened(levels: Tensor, size_px: int) -> Tensor:
    """The maximum over a square of odd side `size_px` around each pixel."""
    for kernel, pad in (((size_px, 1), (size_px // 2, 0)), ((1, size_px), (0, size_px // 2))):
        levels = functional.max_pool2d(levels, kernel, stride=1, padding=pad)
    return levels


def _mean(values: Tensor, weight: Tensor | None) -> Tensor:
    if weight is None:
        return values.mean()
    return ((values * weight).sum((1, 2, 3)) / weight.sum((1, 2, 3))).mean()


def gradient_loss(logits: Tensor, target: Tensor) -> Tensor:
    """L1 distance between the horizontal and vertical differences of neighbouring alphas; 0 for equally soft edges."""
    alpha = logits.sigmoid()
    return torch.stack([(alpha.diff(dim=dim) - target.diff(dim=dim)).abs().mean() for dim in (2, 3)]).sum()
