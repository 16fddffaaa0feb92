"""Augmentations of the garment alone, or of all but it, for `augment`; they keep the mixed pixels at its edge.

Retouchers cut inside the visible edge, so that no backdrop is left: on studio photos of 1728 rows the garment still
covers 0.8 of the first pixel outside their alpha and 0.3 of the second (medians over 24 garments). Recolouring by the
alpha alone would leave there a line of the old colour, which no real photo has, right where the cut is to go.

Photos are `(N, 3, H, W)` float32 in [0, 1], alphas `(N, 1, H, W)`, draws one a photo.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812 - the name everyone knows it by
from torch import Tensor

from garmentcut.dataset.frame_augment import (
    RandomDraws,
    beside,
    box_mean,
    change,
    color_matrices,
    dilate,
    luma_of,
    mix_channels,
    put,
    rows_of,
    smooth_field,
    take,
)
from garmentcut.recipe import Strength

BAND_PX = 3  # the visible edge is looked for so far outside the alpha
_CELL_PX = 4  # clean pixels are looked for up to two cells away
_FULL = 1 - 1 / 512
_CONTRAST = 0.02  # squared distance of two colours that can just be told apart
_NOISE = 0.05  # shares below come from grain and creases
_SHADING = (0.45, 2.2)  # folds of black cloth dyed white become so much deeper, of white dyed black shallower
_DARKEST = 0.04  # black cloth in a studio's light
_PERIODS = (0.006, 0.07)  # of the frame's height: from pinstripes to a hand's breadth
_DUTIES = (0.25, 0.6)  # share of the period that a stripe is wide
_SWAY = 0.6  # periods by which folds carry the pattern sideways, at most
_LATTICE = (9, 6)  # folds over the frame
_HIDE_PX = 4  # the old garment's shadow and blurred edge go with it
_TINT = 0.6  # of the change in brightness
_SEAM_PX = 3
_GAINS = (0.6, 1.6)  # beyond, it is another lighting, not another exposure


class EdgeMixture(NamedTuple):
    """What a photo's pixels are a mixture of."""

    share: Tensor  # `(N, 1, H, W)` in [0, 1]: the garment's; at least the alpha, and 0 beyond `BAND_PX` of it
    garment: Tensor  # `(N, 3, H, W)`: its colours, free of the surroundings' at the edge
    around: Tensor  # `(N, 3, H, W)`: the surroundings' colours, free of the garment's


def find_edge(photos: Tensor, alphas: Tensor) -> EdgeMixture:
    """Tell the two sides of the edge apart, by the colours of clean pixels near by."""
    near = dilate(alphas > 0, BAND_PX)
    garment = _spread(photos, (alphas >= _FULL).to(photos))
    around = _spread(photos, 1 - near)
    apart = garment - around
    contrast = apart.square().sum(dim=1, keepdim=True)
    share = (((photos - around) * apart).sum(dim=1, keepdim=True) / contrast.clamp(min=1e-6)).clamp(0, 1)
    # Counts less where the two sides look alike, or where the pixel is no mixture of them.
    strange = (photos - around - share * apart).square().sum(dim=1, keepdim=True)
    trust = contrast / (contrast + _CONTRAST) * (1 - strange / _CONTRAST).clamp(min=0)
    seen = ((share * trust - _NOISE) / (1 - _NOISE)).clamp(0, 1)
    return EdgeMixture(torch.maximum(alphas, near * seen), garment, around)


def repaint(photos: Tensor, weights: Tensor, old: Tensor, new: Tensor) -> Tensor:
    """Exchange the colours of one side of an edge; the other side's share of each pixel stays.

    A pixel is `w * old + (1 - w) * other`; adding `w * (new - old)` leaves the other term as it was. Pixels of weight
    0 come out bit-equal. `weights` are that side's share, `(N, 1, H, W)` in [0, 1].
    """
    return (photos + weights * (new - old)).clamp(0, 1)


def _spread(photos: Tensor, clean: Tensor) -> Tensor:
    """The photo's own colours at clean pixels, elsewhere the mean of the clean ones around, if there are any."""
    size = photos.shape[2:]
    # In cells of a few pixels, for means are smooth: a tenth of the work of a wide window.
    cells = F.avg_pool2d(torch.cat([photos * clean, clean], dim=1), _CELL_PX, ceil_mode=True)
    sums = F.interpolate(box_mean(cells, 1), size=size, mode="bilinear", align_corners=False)
    num = sums[:, 3:]
    return torch.where((clean > 0.5) | (num < 1e-4), photos, sums[:, :3] / num.clamp(min=1e-6))


def recolor_garment(photos: Tensor, alphas: Tensor, draws: RandomDraws, strength: Strength) -> Tensor:
    """Dye the garment: its mean colour becomes another, its folds, prints and trims stay (after Reinhard 2001).

    What deviates from the mean is turned in hue, and scaled with the brightness as shadows on dyed cloth are. `amount`
    1 exchanges the colours wholly, less mixes the new with the old. Pixels beyond the visible edge come out bit-equal.
    """
    amount = (draws.share(strength.p) * strength.amount).clamp(max=1)
    dyes, hue, saturation = _dyes(draws), draws.uniform(), draws.uniform() * 1.5

    def dyed(some: Tensor, rows: Tensor) -> Tensor:
        weights = take(alphas, rows)
        edge = find_edge(some, weights)
        mean = _mean_of(edge.garment, weights)
        dye = beside(dyes[rows, :, None, None], some)
        shading = ((luma_of(dye) + 0.05) / (luma_of(mean) + 0.05)).clamp(*_SHADING)
        deviation = mix_channels(edge.garment - mean, color_matrices(hue[rows], saturation[rows]))
        new = torch.lerp(edge.garment, (dye + shading * deviation).clamp(0, 1), beside(amount[rows], some))
        return repaint(some, edge.share, edge.garment, new)

    return change(photos, amount, dyed)


def pattern_garment(photos: Tensor, alphas: Tensor, draws: RandomDraws, strength: Strength) -> Tensor:
    """Print stripes, checks or dots on the garment, at any angle and width, swaying with the cloth.

    `amount` is the contrast of the print; at 1 it covers the cloth. Pixels beyond the visible edge come out bit-equal.
    """
    amount = (draws.share(strength.p) * strength.amount).clamp(max=1)
    inks, kind, angle = _dyes(draws), draws.uniform(), draws.uniform() * 2 * math.pi
    duty = _between(draws.uniform(), _DUTIES)
    period, sway, phase = draws.uniform(), draws.uniform(2, *_LATTICE) * 2 - 1, draws.uniform(2)

    def printed(some: Tensor, rows: Tensor) -> Tensor:
        weights = take(alphas, rows)
        height, width = some.shape[2:]
        period_px = _PERIODS[0] * height * (_PERIODS[1] / _PERIODS[0]) ** period[rows]
        folds = smooth_field(beside(sway[rows], some), (height, width)) * _SWAY
        places = _places(angle[rows], period_px, folds) + beside(phase[rows][..., None, None], some)
        edge = find_edge(some, weights)
        luma = luma_of(edge.garment)
        shading = ((luma + 0.05) / (_mean_of(luma, weights) + 0.05)).clamp(*_SHADING)
        ink = (beside(inks[rows, :, None, None], some) * shading).clamp(0, 1)
        cover = _prints(places, kind[rows], duty[rows], period_px) * beside(amount[rows], some)
        return repaint(some, edge.share, edge.garment, torch.lerp(edge.garment, ink, cover))

    return change(photos, amount, printed)


def _mean_of(values: Tensor, weights: Tensor) -> Tensor:
    """Of each sample and channel, weighted by `(N, 1, H, W)`."""
    return (weights * values).sum(dim=(2, 3), keepdim=True) / weights.sum(dim=(2, 3), keepdim=True).clamp(min=1)


def _dyes(draws: RandomDraws) -> Tensor:
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


def vary_background(photos: Tensor, alphas: Tensor, draws: RandomDraws, strength: Strength) -> Tensor:
    """Change brightness and tint of the backdrop, the mannequin and whatever stands around.

    Brightness by factors between 1 - amount and 1 + amount, each channel by a bit more or less. Pixels of alpha 1 come
    out bit-equal.
    """
    gains = 1 + strength.amount * draws.signed(strength.p)
    tints = 1 + strength.amount * _TINT * (draws.uniform(3) * 2 - 1)

    def changed(some: Tensor, rows: Tensor) -> Tensor:
        edge = find_edge(some, take(alphas, rows))
        gain = beside((gains[rows, None] * tints[rows]).clamp(min=0)[..., None, None], some)
        return repaint(some, 1 - edge.share, edge.around, (edge.around * gain).clamp(0, 1))

    return change(photos, gains - 1, changed)


def paste_garments(
    photos: Tensor, alphas: Tensor, views: Sequence[str], draws: RandomDraws, strength: Strength
) -> tuple[Tensor, Tensor, tuple[str, ...]]:
    """Put another garment of the batch in the place of this one: its alpha becomes the target, its view the view.

    A garment laid over another would leave the old one in sight around it, as cloth that is not to be cut. So where
    the old garment was, the other photo is shown whole, with its mannequin and backdrop; elsewhere the new garment lies
    on this photo, with clean colours at its edge. No cloth but the new garment's is in sight, and all of that is. A
    batch of one has nothing to paste.
    """
    happens, offset = draws.chosen(strength.p), draws.uniform()
    rows, num = rows_of(happens), len(photos)
    if num < 2 or not len(rows):
        return photos, alphas, tuple(views)
    donors = torch.arange(num)
    donors[rows] = (rows + 1 + (offset[rows] * (num - 1)).long()) % num
    here, covered = take(photos, rows), take(alphas, rows)
    shown = box_mean(dilate(covered > 0, _HIDE_PX + _SEAM_PX), _SEAM_PX)  # on the garment and softly beyond
    others = donors[rows].to(photos.device, non_blocking=True)
    new, target = _fitted(here, covered, photos[others], alphas[others], shown)
    edge = find_edge(new, target)
    laid = torch.lerp(here, edge.garment, edge.share)
    pasted = torch.lerp(laid, new, shown).clamp(0, 1)
    return put(photos, rows, pasted), put(alphas, rows, target), tuple(views[donor] for donor in donors.tolist())


def _fitted(here: Tensor, covered: Tensor, new: Tensor, target: Tensor, shown: Tensor) -> tuple[Tensor, Tensor]:
    """Shift the other photo sideways, garment upon garment, and match its exposure to this one's around the garment.

    Else the patch of its surroundings would look like a garment of its own, that is not one.
    """
    width = here.shape[3]
    columns = torch.arange(width, device=here.device)
    shift = (_middle(covered) - _middle(target)).round().long()
    places = (columns - shift).clamp(0, width - 1)
    new, target = (part.gather(3, places.expand(part.shape)) for part in (new, target))
    ring = shown * (covered == 0) * (target == 0)
    share = ring.sum(dim=(2, 3), keepdim=True)
    gain = ((here * ring).sum(dim=(2, 3), keepdim=True) + 1) / ((new * ring).sum(dim=(2, 3), keepdim=True) + 1)
    return (new * torch.where(share > 0, gain, 1).clamp(*_GAINS)).clamp(0, 1), target


def _middle(alphas: Tensor) -> Tensor:
    """Column of the garment's centre of gravity, `(N, 1, 1, 1)`; the frame's middle without a garment."""
    columns = torch.arange(alphas.shape[3], dtype=alphas.dtype, device=alphas.device)
    weight = alphas.sum(dim=(2, 3), keepdim=True)
    middle = (alphas.sum(dim=2, keepdim=True) * columns).sum(dim=3, keepdim=True) / weight.clamp(min=1e-6)
    return torch.where(weight > 0, middle, (alphas.shape[3] - 1) / 2)
