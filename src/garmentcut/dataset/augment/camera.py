"""What light, lens and sensor do to a photo: light gradients, blur, noise."""

import math

import torch
from torch import Tensor

from garmentcut.dataset.augment.draws import Draws, beside, put, rows_of, take
from garmentcut.dataset.augment.filters import gaussian_blur, smooth_field
from garmentcut.recipe import Strength

_LATTICE = (3, 2)  # as coarse as softboxes and walls throw their light
_WORD = 0xFFFFFFFF
_LEVEL_BITS = 10  # a hashed word of 32 bits holds one level of noise for each channel


def vary_light(photos: Tensor, draws: Draws, strength: Strength) -> Tensor:
    """Light falls unevenly: a smooth field times the photo, `(N, 3, H, W)` in [0, 1], up to 1 +- amount."""
    amount, lattice = draws.share(strength.p) * strength.amount, draws.uniform(1, *_LATTICE) * 2 - 1
    rows = rows_of(amount)
    if not len(rows):
        return photos
    field = smooth_field(beside(lattice[rows], photos), (photos.shape[2], photos.shape[3]))
    field = field / field.abs().amax(dim=(2, 3), keepdim=True).clamp(min=1e-6)
    return put(photos, rows, (take(photos, rows) * (1 + beside(amount[rows], photos) * field)).clamp(0, 1))


def blur_photos(photos: Tensor, draws: Draws, strength: Strength) -> Tensor:
    """Out of focus: a Gaussian of up to `amount` pixels over `(N, 3, H, W)`; the alpha stays sharp."""
    sigmas = draws.share(strength.p) * strength.amount
    rows = rows_of(sigmas)
    if not len(rows):
        return photos
    return put(photos, rows, gaussian_blur(take(photos, rows), sigmas[rows]).clamp(0, 1))


def add_noise(photos: Tensor, draws: Draws, strength: Strength) -> Tensor:
    """Sensor noise over `(N, 3, H, W)`: independent in each pixel and channel, standard deviation up to `amount`."""
    deviations, seeds = draws.share(strength.p) * strength.amount, draws.seed()
    rows = rows_of(deviations)
    if not len(rows):
        return photos
    picked = take(photos, rows)
    noise = _gaussian(seeds[rows], picked) * beside(deviations[rows], photos)
    return put(photos, rows, (picked + noise).clamp(0, 1))


def _gaussian(seeds: Tensor, photos: Tensor) -> Tensor:
    """Standard normal numbers of the photos' shape, the same on every device: the place of each pixel is hashed."""
    places = torch.arange(photos[0, 0].numel(), device=photos.device).view(1, 1, *photos.shape[2:])
    words = _hash(places ^ _hash(seeds).to(photos.device, non_blocking=True).view(-1, 1, 1, 1))
    levels = torch.cat([(words >> (_LEVEL_BITS * channel)) & (2**_LEVEL_BITS - 1) for channel in range(3)], dim=1)
    steps = (torch.arange(2**_LEVEL_BITS, dtype=torch.float64) + 0.5) / 2**_LEVEL_BITS
    quantiles = math.sqrt(2) * torch.erfinv(2 * steps - 1)
    return quantiles.to(photos).take(levels)


def _hash(words: Tensor) -> Tensor:
    """Mix 32 bits held in int64 (multiply and xor-shift, constants of C. Wellons' `lowbias32`)."""
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        words = ((words ^ (words >> shift)) * factor) & _WORD
    return words ^ (words >> 16)
