"""Augmentations of the garment alone, or of everything else, for `augment`; the mixed pixels at its edge stay mixed.

Retouchers cut inside the visible edge, so that no backdrop is left: on studio photos of 1728 rows the garment still
covers 0.8 of the first pixel outside their alpha and 0.3 of the second (medians over 24 garments). If only the alpha
were recoloured, a line of the old colour would remain just outside the cut, where real photos have none.

Photos are `(1, 3, H, W)` float32 in [0, 1], alphas `(1, 1, H, W)`.
"""

import colorsys
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the name everyone knows it by
from torch import Tensor

from garmentcut.dataset.frame_augment import (
    SampleDraws,
    beside,
    box_mean,
    color_matrix,
    dilate,
    luma_of,
    mix_channels,
    smooth_field,
)

BAND_PX = 3  # how far outside the alpha the visible edge is looked for
_CELL_PX = 4  # clean pixels are looked for up to two cells away
_FULL = 1 - 1 / 512
_CONTRAST = 0.02  # squared distance of two colours that can just be told apart
_NOISE = 0.05  # smaller shares of the garment come from grain and creases
_SHADING = (0.45, 2.2)  # limits of the contrast of folds after dyeing: white to black, and black to white
_DARKEST = 0.04  # black cloth in a studio's light
_PERIODS = (0.006, 0.07)  # of the frame's height: from pinstripes to a hand's breadth
_DUTIES = (0.25, 0.6)  # width of a stripe as a share of the period
_SWAY = 0.6  # most periods by which folds shift the pattern sideways
_LATTICE = (9, 6)  # rows and columns of folds over the frame
_PANELS, _PANEL_SWAY = (0.15, 0.5), 0.02  # of the garment's extent across the seam, and of the frame's height
_RING_PX, _HEM_PX = 12, 6  # how far outside the garment a panel's colour is taken, and its widest hem
_HIDE_PX = 4  # margin within which the old garment's shadow and blurred edge are hidden too
_TINT = 0.6  # of the change in brightness
_SEAM_PX = 3
_GAINS = (0.6, 1.6)  # a larger difference is one of lighting, not of exposure


class EdgeMixture(NamedTuple):
    """The two colours that each pixel of a photo is a mixture of, and their shares."""

    share: Tensor  # `(1, 1, H, W)` in [0, 1]: the garment's share; at least the alpha, and 0 beyond `BAND_PX` of it
    garment: Tensor  # `(1, 3, H, W)`: the garment's colours, without the surroundings' at the edge
    around: Tensor  # `(1, 3, H, W)`: the surroundings' colours, without the garment's


def find_edge(photos: Tensor, alphas: Tensor) -> EdgeMixture:
    """Separate the two sides of the garment's edge by the colours of unmixed pixels near it."""
    near = dilate(alphas > 0, BAND_PX)
    garment = _spread(photos, (alphas >= _FULL).to(photos))
    around = _spread(photos, 1 - near)
    apart = garment - around
    contrast = apart.square().sum(dim=1, keepdim=True)
    share = (((photos - around) * apart).sum(dim=1, keepdim=True) / contrast.clamp(min=1e-6)).clamp(0, 1)
    # The share counts less where the two sides look alike, or where the pixel is not a mixture of them.
    strange = (photos - around - share * apart).square().sum(dim=1, keepdim=True)
    trust = contrast / (contrast + _CONTRAST) * (1 - strange / _CONTRAST).clamp(min=0)
    seen = ((share * trust - _NOISE) / (1 - _NOISE)).clamp(0, 1)
    return EdgeMixture(torch.maximum(alphas, near * seen), garment, around)


def repaint(photos: Tensor, weights: Tensor, old: Tensor, new: Tensor) -> Tensor:
    """Replace the colours of one side of an edge; what the other side contributes to each pixel stays.

    A pixel is `w * old + (1 - w) * other`; adding `w * (new - old)` leaves the second term unchanged. `weights` is the
    share of the side that is repainted, `(1, 1, H, W)` in [0, 1]; pixels of weight 0 stay bit-equal.
    """
    return (photos + weights * (new - old)).clamp(0, 1)


def _spread(photos: Tensor, clean: Tensor) -> Tensor:
    """The photo's own colours at clean pixels, elsewhere the mean of clean pixels near by, if there are any."""
    size = photos.shape[2:]
    # Means are smooth, so they are computed over cells of a few pixels: a tenth of the work of a wide window.
    cells = F.avg_pool2d(torch.cat([photos * clean, clean], dim=1), _CELL_PX, ceil_mode=True)
    sums = F.interpolate(box_mean(cells, 1), size=size, mode="bilinear", align_corners=False)
    num = sums[:, 3:]
    return torch.where((clean > 0.5) | (num < 1e-4), photos, sums[:, :3] / num.clamp(min=1e-6))


def recolor_garment(photo: Tensor, alpha: Tensor, draws: SampleDraws) -> Tensor:
    """Dye the garment: its mean colour changes, while its folds, prints and trims stay (after Reinhard 2001).

    Deviations from the mean are rotated in hue, and scaled with the brightness as shadows on dyed cloth are. An
    `amount` of 1 replaces the colours, a smaller one blends them. Pixels beyond the visible edge stay bit-equal.
    """
    amount, rng = min(draws.share("recolor"), 1), draws.stream("dye")
    if not amount:
        return photo
    dye, matrix = _dye(rng, photo), color_matrix(rng.random(), rng.uniform(0, 1.5))
    edge = find_edge(photo, alpha)
    mean = _mean_of(edge.garment, alpha)
    shading = ((luma_of(dye) + 0.05) / (luma_of(mean) + 0.05)).clamp(*_SHADING)
    dyed = (dye + shading * mix_channels(edge.garment - mean, matrix)).clamp(0, 1)
    return repaint(photo, edge.share, edge.garment, torch.lerp(edge.garment, dyed, amount))


def pattern_garment(photo: Tensor, alpha: Tensor, draws: SampleDraws) -> Tensor:
    """Print stripes, checks or dots on the garment, at any angle and width, distorted as by folds.

    `amount` is the opacity of the print; at 1 it covers the cloth. Pixels beyond the visible edge stay bit-equal.
    """
    amount, rng = min(draws.share("pattern"), 1), draws.stream("print")
    if not amount:
        return photo
    cover = _print(rng, photo)
    return _paint(photo, alpha, _dye(rng, photo), amount * cover)


def panel_garment(photo: Tensor, alpha: Tensor, draws: SampleDraws) -> Tensor:
    """Make a part of the garment sheer, or nearly of the colour of the mannequin or backdrop beside it.

    The part lies on one side of a wavy line; half of these panels keep a hem of the old cloth, and half have folds. Its
    colours are blended with that of a place outside the garment, by up to `amount`. The alpha stays, because retouchers
    cut sheer cloth out as opaque. Pixels beyond the visible edge stay bit-equal.
    """
    amount, rng = min(draws.share("panel"), 1), draws.stream("seam")
    if not amount:
        return photo
    inside, smooth = alpha > 0, box_mean(photo, 1)
    y, x = (torch.arange(size, dtype=torch.float32, device=photo.device) for size in photo.shape[2:])
    angle, sway = rng.uniform(0, 2 * math.pi), _PANEL_SWAY * len(y) * rng.uniform(-1, 1, (1, *_LATTICE))
    across = math.cos(angle) * x + math.sin(angle) * y[:, None] + smooth_field(sway, photo)
    first, last = across.where(inside, across.amax()).amin(), across.where(inside, across.amin()).amax()
    cover = (first + rng.uniform(*_PANELS) * (last - first) - across + 0.5).clamp(0, 1)
    ring = (dilate(inside, _RING_PX) - dilate(inside, BAND_PX)) * (cover > 0)
    drawn = ring * (smooth_field(rng.random((1, *_LATTICE)), photo) + 1)  # positive on the ring
    if rng.random() < 0.5:  # most of a ring is backdrop: what differs from its mean is the mannequin
        drawn = drawn * (smooth - _mean_of(smooth, ring)).square().sum(dim=1, keepdim=True).sqrt()
    color = smooth.flatten(2)[..., drawn.argmax()][..., None, None]
    hem_px = int(rng.integers(_HEM_PX) + 1) if rng.random() < 0.5 else 0
    cover = cover * (1 - dilate(alpha < 0.5, hem_px)) if hem_px else cover
    return _paint(photo, alpha, color, amount * cover, has_folds=rng.random() < 0.5)


def _paint(photo: Tensor, alpha: Tensor, color: Tensor, cover: Tensor, *, has_folds: bool = True) -> Tensor:
    """Blend a colour `(1, 3, 1, 1)` into the garment by `cover`, `(1, 1, H, W)`; folds darken it as they do cloth."""
    edge = find_edge(photo, alpha)
    luma = luma_of(edge.garment)
    shading = ((luma + 0.05) / (_mean_of(luma, alpha) + 0.05)).clamp(*_SHADING) if has_folds else 1
    return repaint(photo, edge.share, edge.garment, torch.lerp(edge.garment, (color * shading).clamp(0, 1), cover))


def _mean_of(values: Tensor, weights: Tensor) -> Tensor:
    """Mean of each channel, weighted by `(1, 1, H, W)`."""
    return (weights * values).sum(dim=(2, 3), keepdim=True) / weights.sum().clamp(min=1)


def _dye(rng: np.random.Generator, photo: Tensor) -> Tensor:
    """A random colour of cloth, `(1, 3, 1, 1)`: any hue and saturation, from black to white."""
    color = colorsys.hsv_to_rgb(rng.random(), rng.random(), rng.uniform(_DARKEST, 1))
    return beside(color, photo).view(1, 3, 1, 1)


def _print(rng: np.random.Generator, photo: Tensor) -> Tensor:
    """Ink coverage of stripes, checks or dots, `(1, 1, H, W)` in [0, 1]; their edges are one pixel soft."""
    period_px = float(photo.shape[2] * _PERIODS[0] * (_PERIODS[1] / _PERIODS[0]) ** rng.random())
    angle, radius, kind = rng.uniform(0, 2 * math.pi), rng.uniform(*_DUTIES) / 2, int(rng.integers(3))
    y, x = (torch.arange(size, dtype=torch.float32, device=photo.device) for size in photo.shape[2:])
    y, cos, sin = y[:, None], math.cos(angle) / period_px, math.sin(angle) / period_px
    places = torch.stack([cos * x + sin * y + rng.random(), cos * y - sin * x + rng.random()])[None]  # in periods
    places = places + _SWAY * smooth_field(rng.uniform(-1, 1, (2, *_LATTICE)), photo)
    off = (places % 1 - 0.5).abs()  # distance from the middle of a stripe
    bands = ((radius - off) * period_px + 0.5).clamp(0, 1)
    dots = ((radius * math.sqrt(1.5) - off.square().sum(dim=1, keepdim=True).sqrt()) * period_px + 0.5).clamp(0, 1)
    return (bands[:, :1], bands.mean(dim=1, keepdim=True), dots)[kind]


def vary_background(photo: Tensor, alpha: Tensor, draws: SampleDraws) -> Tensor:
    """Change brightness and tint of the backdrop, the mannequin and everything else around the garment.

    The brightness changes by a factor between 1 - amount and 1 + amount, each channel by slightly more or less. Pixels
    of alpha 1 stay bit-equal.
    """
    change = draws.signed("background", 1)[0]
    if not change:
        return photo
    tints = draws.config.background.amount * _TINT * draws.stream("tint").uniform(-1, 1, 3)
    gains = ((1 + change) * (1 + tints)).clip(0)
    edge = find_edge(photo, alpha)
    varied = (edge.around * beside(gains, photo).view(1, 3, 1, 1)).clamp(0, 1)
    return repaint(photo, 1 - edge.share, edge.around, varied)


def paste_garment(
    photos: Tensor, alphas: Tensor, views: Sequence[str], row: int, draws: SampleDraws
) -> tuple[Tensor, Tensor, str]:
    """Replace a photo's garment by another one of the batch; returns the photo and the new garment's alpha and view.

    If the new garment were only laid over the old one, the old one would stay visible around it, as cloth that must not
    be cut out. So the other photo is shown, with its mannequin and backdrop, wherever the old garment was; elsewhere
    the new garment is laid on this photo, with unmixed colours at its edge. Thus all of the new garment is visible, and
    no other cloth. In a batch of one there is nothing to paste.
    """
    here, covered = photos[row : row + 1], alphas[row : row + 1]
    if len(photos) < 2 or not draws.happens("paste"):
        return here, covered, views[row]
    donor = (row + 1 + int(draws.stream("donor").integers(len(photos) - 1))) % len(photos)
    shown = box_mean(dilate(covered > 0, _HIDE_PX + _SEAM_PX), _SEAM_PX)  # over the garment, with a soft margin
    new, target = _fitted(here, covered, photos[donor : donor + 1], alphas[donor : donor + 1], shown)
    edge = find_edge(new, target)
    laid = torch.lerp(here, edge.garment, edge.share)
    return torch.lerp(laid, new, shown).clamp(0, 1), target, views[donor]


def _fitted(here: Tensor, covered: Tensor, new: Tensor, target: Tensor, shown: Tensor) -> tuple[Tensor, Tensor]:
    """Shift the other photo sideways until the garments coincide, and match its exposure to this one's around them.

    Otherwise the visible patch of its surroundings would look like another garment.
    """
    columns = torch.arange(here.shape[3], dtype=here.dtype, device=here.device)
    shift = (_middle(covered, columns) - _middle(target, columns)).round()
    places = (columns - shift).long().clamp(0, len(columns) - 1)
    new, target = new[..., places], target[..., places]
    ring = shown * (covered == 0) * (target == 0)
    gain = ((here * ring).sum(dim=(2, 3), keepdim=True) + 1) / ((new * ring).sum(dim=(2, 3), keepdim=True) + 1)
    return (new * torch.where(ring.sum() > 0, gain, 1).clamp(*_GAINS)).clamp(0, 1), target


def _middle(alpha: Tensor, columns: Tensor) -> Tensor:
    """Column of the garment's centroid, or of the frame's middle if there is no garment; a tensor on the device."""
    weight = alpha.sum()
    return torch.where(weight > 0, (alpha * columns).sum() / weight.clamp(min=1e-6), columns.mean())
