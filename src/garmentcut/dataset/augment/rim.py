"""The edge as the camera saw it: how much of each pixel shows the garment, and the colours on both sides.

Retouchers cut inside the visible edge, so that no backdrop is left: on studio photos of 1728 rows the garment still
covers 0.8 of the first pixel outside their alpha and 0.3 of the second (medians over 24 garments). Recolouring by the
alpha alone would leave there a line of the old colour, which no real photo has, right where the cut is to go.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812 - the name everyone knows it by
from torch import Tensor

from garmentcut.dataset.augment.filters import box_mean, dilate

BAND_PX = 3
"""The visible edge is looked for so far outside the alpha."""
_CELL_PX = 4  # clean pixels are looked for up to two cells away
_FULL = 1 - 1 / 512
_CONTRAST = 0.02  # squared distance of two colours that can just be told apart
_NOISE = 0.05  # shares below come from grain and creases


class Edge(NamedTuple):
    """What a photo's pixels are a mixture of.

    Attributes:
        share: `(N, 1, H, W)` in [0, 1]: the garment's; at least the alpha, and 0 beyond `BAND_PX` of it.
        garment: `(N, 3, H, W)`: its colours, free of the surroundings' at the edge.
        around: `(N, 3, H, W)`: the surroundings' colours, free of the garment's.
    """

    share: Tensor
    garment: Tensor
    around: Tensor


def find_edge(photos: Tensor, alphas: Tensor) -> Edge:
    """Tell the two sides of the edge apart, by the colours of clean pixels near by.

    Args:
        photos: `(N, 3, H, W)` in [0, 1].
        alphas: `(N, 1, H, W)` in [0, 1].
    """
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
    return Edge(torch.maximum(alphas, near * seen), garment, around)


def repaint(photos: Tensor, weights: Tensor, old: Tensor, new: Tensor) -> Tensor:
    """Exchange the colours of one side of an edge; the other side's share of each pixel stays.

    A pixel is `w * old + (1 - w) * other`; adding `w * (new - old)` leaves the other term as it was. Pixels of weight
    0 come out bit-equal.

    Args:
        photos: `(N, 3, H, W)` in [0, 1].
        weights: `(N, 1, H, W)` in [0, 1]: that side's share.
        old: that side's colours.
        new: what they become.
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
