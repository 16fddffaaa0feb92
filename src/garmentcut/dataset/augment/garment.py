"""Only the garment changes: its colour, or a pattern laid on the cloth. The edge stays where it was."""

import math

import torch
from torch import Tensor

from garmentcut.dataset.augment.color import color_matrices, luma_of, mix_channels
from garmentcut.dataset.augment.draws import Draws, beside, put, rows_of, take
from garmentcut.dataset.augment.filters import smooth_field
from garmentcut.dataset.augment.rim import find_edge, repaint
from garmentcut.recipe import Strength

_SHADING = (0.45, 2.2)  # folds of black cloth dyed white become so much deeper, of white dyed black shallower
_DARKEST = 0.04  # black cloth in a studio's light
_PERIODS = (0.006, 0.07)  # of the frame's height: from pinstripes to a hand's breadth
_DUTIES = (0.25, 0.6)  # share of the period that a stripe is wide
_SWAY = 0.6  # periods by which folds carry the pattern sideways, at most
_LATTICE = (9, 6)  # folds over the frame


def recolor_garment(photos: Tensor, alphas: Tensor, draws: Draws, strength: Strength) -> Tensor:
    """Dye the garment: its mean colour becomes another, its folds, prints and trims stay (after Reinhard 2001).

    What deviates from the mean is turned in hue, and scaled with the brightness as shadows on dyed cloth are.

    Args:
        photos: `(N, 3, H, W)` float32 in [0, 1].
        alphas: `(N, 1, H, W)` float32 in [0, 1]; pixels beyond its visible edge come out bit-equal.
        draws: one a photo.
        strength: `amount` 1 exchanges the colours wholly, less mixes the new with the old.
    """
    amount = (draws.share(strength.p) * strength.amount).clamp(max=1)
    dyes, hue, saturation = _dyes(draws), draws.uniform(), draws.uniform() * 1.5
    rows = rows_of(amount)
    if not len(rows):
        return photos
    picked, weights = take(photos, rows), take(alphas, rows)
    edge = find_edge(picked, weights)
    old = edge.garment
    mean = (weights * old).sum(dim=(2, 3), keepdim=True) / weights.sum(dim=(2, 3), keepdim=True).clamp(min=1)
    dye = beside(dyes[rows, :, None, None], photos)
    shading = ((luma_of(dye) + 0.05) / (luma_of(mean) + 0.05)).clamp(*_SHADING)
    deviation = mix_channels(old - mean, color_matrices(hue[rows], saturation[rows]))
    new = torch.lerp(old, (dye + shading * deviation).clamp(0, 1), beside(amount[rows], photos))
    return put(photos, rows, repaint(picked, edge.share, old, new))


def pattern_garment(photos: Tensor, alphas: Tensor, draws: Draws, strength: Strength) -> Tensor:
    """Print stripes, checks or dots on the garment, at any angle and width, swaying with the cloth.

    Args:
        photos: `(N, 3, H, W)` float32 in [0, 1].
        alphas: `(N, 1, H, W)` float32 in [0, 1]; pixels beyond its visible edge come out bit-equal.
        draws: one a photo.
        strength: `amount` is the contrast of the print; at 1 it covers the cloth.
    """
    amount = (draws.share(strength.p) * strength.amount).clamp(max=1)
    inks, kind, angle, duty = _dyes(draws), draws.uniform(), draws.angle(), _between(draws.uniform(), _DUTIES)
    period, sway, phase = draws.uniform(), draws.uniform(2, *_LATTICE) * 2 - 1, draws.uniform(2)
    rows = rows_of(amount)
    if not len(rows):
        return photos
    picked, weights = take(photos, rows), take(alphas, rows)
    height, width = photos.shape[2:]
    period_px = _PERIODS[0] * height * (_PERIODS[1] / _PERIODS[0]) ** period[rows]
    folds = smooth_field(beside(sway[rows], photos), (height, width)) * _SWAY
    places = _places(angle[rows], period_px, folds) + beside(phase[rows][..., None, None], photos)
    print_ = _prints(places, kind[rows], duty[rows], period_px)
    edge = find_edge(picked, weights)
    old = edge.garment
    luma = luma_of(old)
    mean = (weights * luma).sum(dim=(2, 3), keepdim=True) / weights.sum(dim=(2, 3), keepdim=True).clamp(min=1)
    shading = ((luma + 0.05) / (mean + 0.05)).clamp(*_SHADING)
    ink = (beside(inks[rows, :, None, None], photos) * shading).clamp(0, 1)
    new = torch.lerp(old, ink, print_ * beside(amount[rows], photos))
    return put(photos, rows, repaint(picked, edge.share, old, new))


def _dyes(draws: Draws) -> Tensor:
    """`(N, 3)`: colours of cloth: any hue, from gray to pure, from black to white (hue, saturation, value)."""
    hue, saturation, value = draws.uniform(), draws.uniform(), _between(draws.uniform(), (_DARKEST, 1.0))
    corners = torch.tensor([0.0, 2 / 3, 1 / 3], dtype=torch.float64)
    distance = ((hue[:, None] + corners) % 1 - 0.5).abs()  # from the opposite colour
    pure = (6 * distance - 1).clamp(0, 1)
    return value[:, None] * (1 - saturation[:, None] * (1 - pure))


def _places(angle: Tensor, period_px: Tensor, folds: Tensor) -> Tensor:
    """`(k, 2, H, W)`: where each pixel lies in the pattern, across and along, in periods."""
    height, width = folds.shape[2:]
    x = torch.arange(width, dtype=torch.float32, device=folds.device)
    y = torch.arange(height, dtype=torch.float32, device=folds.device)[:, None]
    cos, sin = (beside(part / period_px, folds) for part in (angle.cos(), angle.sin()))
    return torch.cat([cos * x + sin * y, cos * y - sin * x], dim=1) + folds


def _prints(places: Tensor, kind: Tensor, duty: Tensor, period_px: Tensor) -> Tensor:
    """How much ink, `(k, 1, H, W)` in [0, 1]; edges are a pixel soft."""
    off = ((places % 1) - 0.5).abs()  # periods from the middle of a stripe
    half, px = beside(duty / 2, places), beside(period_px, places)
    bands = ((half - off) * px + 0.5).clamp(0, 1)
    radius = half * math.sqrt(1.5)
    dots = ((radius - off.square().sum(dim=1, keepdim=True).sqrt()) * px + 0.5).clamp(0, 1)
    kinds = torch.stack([bands[:, :1], bands.mean(dim=1, keepdim=True), dots])
    picked = (kind * len(kinds)).long().to(places.device, non_blocking=True)
    return kinds[picked, torch.arange(len(picked), device=places.device)]


def _between(share: Tensor, limits: tuple[float, float]) -> Tensor:
    return limits[0] + (limits[1] - limits[0]) * share
