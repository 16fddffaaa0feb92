"""All but the garment changes: its surroundings' colours, or the whole photo around it."""

from collections.abc import Sequence

import torch
from torch import Tensor

from garmentcut.dataset.augment.draws import Draws, beside, put, rows_of, take
from garmentcut.dataset.augment.filters import box_mean, dilate
from garmentcut.dataset.augment.rim import find_edge, repaint
from garmentcut.recipe import Strength

_HIDE_PX = 4  # the old garment's shadow and blurred edge go with it
_TINT = 0.6  # of the change in brightness
_SEAM_PX = 3
_GAINS = (0.6, 1.6)  # beyond, it is another lighting, not another exposure


def vary_background(photos: Tensor, alphas: Tensor, draws: Draws, strength: Strength) -> Tensor:
    """Change brightness and tint of the backdrop, the mannequin and whatever stands around.

    Args:
        photos: `(N, 3, H, W)` float32 in [0, 1].
        alphas: `(N, 1, H, W)` float32 in [0, 1]; pixels of alpha 1 come out bit-equal.
        draws: one a photo.
        strength: brightness by factors between 1 - amount and 1 + amount, each channel by a bit more or less.
    """
    gains = 1 + strength.amount * draws.signed(strength.p)
    tints = 1 + strength.amount * _TINT * (draws.uniform(3) * 2 - 1)
    rows = rows_of(gains - 1)
    if not len(rows):
        return photos
    picked = take(photos, rows)
    edge = find_edge(picked, take(alphas, rows))
    gain = beside((gains[rows, None] * tints[rows]).clamp(min=0)[..., None, None], photos)
    return put(photos, rows, repaint(picked, 1 - edge.share, edge.around, (edge.around * gain).clamp(0, 1)))


def paste_garments(
    photos: Tensor, alphas: Tensor, views: Sequence[str], draws: Draws, strength: Strength
) -> tuple[Tensor, Tensor, tuple[str, ...]]:
    """Put another garment of the batch in the place of this one: its alpha becomes the target, its view the view.

    A garment laid over another would leave the old one in sight around it, as cloth that is not to be cut. So where
    the old garment was, the other photo is shown whole, with its mannequin and backdrop; elsewhere the new garment lies
    on this photo, with clean colours at its edge. No cloth but the new garment's is in sight, and all of that is.

    Args:
        photos: `(N, 3, H, W)` float32 in [0, 1].
        alphas: `(N, 1, H, W)` float32 in [0, 1].
        views: of the photos.
        draws: one a photo.
        strength: how often; a batch of one has nothing to paste.
    """
    happens, offset = draws.chosen(strength.p), draws.uniform()
    rows, num = rows_of(happens), len(photos)
    if num < 2 or not len(rows):
        return photos, alphas, tuple(views)
    donors = torch.arange(num)
    donors[rows] = (rows + 1 + (offset[rows] * (num - 1)).long()) % num
    here, covered = take(photos, rows), take(alphas, rows)
    shown = _around(covered)
    new, target = _fitted(here, covered, _of(photos, donors[rows]), _of(alphas, donors[rows]), shown)
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


def _around(alphas: Tensor) -> Tensor:
    """1 on the garment and a little beyond, softly falling to 0."""
    return box_mean(dilate(alphas > 0, _HIDE_PX + _SEAM_PX), _SEAM_PX)


def _of(pictures: Tensor, rows: Tensor) -> Tensor:
    return pictures[rows.to(pictures.device, non_blocking=True)]
