"""Augmentations of the whole photo, for `augment`: colour, light, lens, sensor, geometry, JPEG; and random draws.

Every random number is drawn on the CPU in an order that never changes. Photos are `(N, 3, H, W)` float32 in [0, 1],
alphas `(N, 1, H, W)`, draws one a photo.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the name everyone knows it by
from torch import Tensor

from garmentcut.dataset.samples import SharedGenerator
from garmentcut.recipe import AugmentConfig, Strength

_MAX_SEED = 2**31
LUMA = (0.299, 0.587, 0.114)  # weights of red, green and blue in how bright a pixel looks (ITU-R BT.601)

# Red, green, blue to luma and two colour differences (NTSC's YIQ): hue is the angle in the plane of the latter.
_TO_YIQ = torch.tensor([LUMA, (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112)], dtype=torch.float64)
_LATTICE = (3, 2)  # as coarse as softboxes and walls throw their light
_WORD = 0xFFFFFFFF
_LEVEL_BITS = 10  # a hashed word of 32 bits holds one level of noise for each channel
_MOST_REDUCTION = 1.35  # beyond, single pixels would fall between the samples of the cubic filter
# Annex K's tables of quantisation steps, row by row.
_LUMA_STEPS = """16 11 10 16 24 40 51 61 12 12 14 19 26 58 60 55 14 13 16 24 40 57 69 56 14 17 22 29 51 87 80 62
18 22 37 56 68 109 103 77 24 35 55 64 81 104 113 92 49 64 78 87 103 121 120 101 72 92 95 98 112 100 103 99"""
_CHROMA_STEPS = " ".join(
    ["17 18 24 47 99 99 99 99 18 21 26 66 99 99 99 99 24 26 56 99 99 99 99 99 47 66 99 99 99 99 99 99", *["99"] * 32]
)
# The orthonormal 8-point cosine transform (A.3.3), a frequency a row.
_COSINES = torch.cos((2 * torch.arange(8.0, dtype=torch.float64) + 1) * torch.arange(8.0)[:, None] * math.pi / 16) / 2
_COSINES[0] /= math.sqrt(2)
_RED, _GREEN, _BLUE = LUMA
_TO_YCC = torch.tensor(
    [
        LUMA,
        (-_RED / (2 - 2 * _BLUE), -_GREEN / (2 - 2 * _BLUE), 0.5),
        (0.5, -_GREEN / (2 - 2 * _RED), -_BLUE / (2 - 2 * _RED)),
    ],
    dtype=torch.float64,
)


@dataclass(frozen=True)
class RandomDraws:
    """Random numbers for augmentation, one set for each sample, float64 on the CPU.

    Every call takes as many numbers as there are samples, whatever `p` is: switching one augmentation off leaves what
    the others draw as it was, so that two recipes can be compared.
    """

    generator: torch.Generator  # on the CPU; a `SharedGenerator` draws for the other devices' samples too
    num: int  # samples of this device
    strongest: bool = False  # every strength at its largest, as pages of examples want it; signs and kinds stay random

    def chosen(self, p: float | Sequence[float]) -> Tensor:
        """`(num,)` bool: whether it happens; `p` may differ between the samples."""
        return self.uniform() < torch.as_tensor(p, dtype=torch.float64)

    def share(self, p: float) -> Tensor:
        """`(num,)`: even in [0, 1] where it happens, 0 elsewhere."""
        happens, size = self.chosen(p), self.uniform()
        return torch.where(happens, torch.ones_like(size) if self.strongest else size, 0.0)

    def signed(self, p: float, *shape: int) -> Tensor:
        """`(num, *shape)`: even in [-1, 1] where it happens, 0 elsewhere."""
        happens, size = self.chosen(p), self.uniform(*shape) * 2 - 1
        if self.strongest:
            size = torch.where(size < 0, -1.0, 1.0).to(size)
        return torch.where(happens.view(-1, *(1 for _ in shape)), size, 0.0)

    def uniform(self, *shape: int) -> Tensor:
        """`(num, *shape)`: even in [0, 1)."""
        return self._own(lambda num: torch.rand(num, *shape, generator=self.generator, dtype=torch.float64))

    def seed(self) -> Tensor:
        """`(num,)` int64 in [0, 2**31)."""
        return self._own(lambda num: torch.randint(_MAX_SEED, (num,), generator=self.generator))

    def _own(self, draw: Callable[[int], Tensor]) -> Tensor:
        """This device's share of the numbers that are drawn for all devices."""
        shared = self.generator if isinstance(self.generator, SharedGenerator) else SharedGenerator()
        return draw(self.num * shared.world_size)[self.num * shared.rank :][: self.num]


def rows_of(happens: Tensor) -> Tensor:
    """Numbers of the samples whose bool, or any of whose numbers, is not 0: `(k,)` int64."""
    return happens.reshape(len(happens), -1).any(dim=1).nonzero()[:, 0]


def beside(values: Tensor, pictures: Tensor) -> Tensor:
    """Random numbers, float64 `(N, ...)` on the CPU, as float32 on the pictures' device; `(N,)` becomes `(N, 1, 1, 1)`.

    The copy does not wait for the device: what is queued there goes on.
    """
    values = values.reshape(-1, 1, 1, 1) if values.ndim == 1 else values
    return values.to(torch.float32).to(pictures.device, non_blocking=True)


def take(pictures: Tensor, rows: Tensor) -> Tensor:
    """The samples `rows`, a view where that is all of them."""
    return pictures if len(rows) == len(pictures) else pictures[rows.to(pictures.device, non_blocking=True)]


def put(pictures: Tensor, rows: Tensor, changed: Tensor) -> Tensor:
    """A copy of `pictures` with the samples `rows` replaced; the others stay as they are, bit for bit."""
    if len(rows) == len(pictures):
        return changed
    return pictures.index_copy(0, rows.to(pictures.device, non_blocking=True), changed)


def change(pictures: Tensor, amounts: Tensor, changed: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Change the samples whose amounts are not 0; the others stay as they are, bit for bit.

    Args:
        pictures: `(N, C, H, W)` float32.
        amounts: `(N, ...)`: what happens to each.
        changed: from the pictures of some samples and their numbers `(k,)` to new ones, which are clamped to [0, 1].
    """
    rows = rows_of(amounts)
    return put(pictures, rows, changed(take(pictures, rows), rows).clamp(0, 1)) if len(rows) else pictures


def gaussian_blur(pictures: Tensor, sigmas: Tensor) -> Tensor:
    """Blur each sample, `(N, C, H, W)`, by its own Gaussian, the border repeated; `sigmas`, `(N,)` in pixels."""
    reach = max(1, math.ceil(3 * float(sigmas.max())))
    steps = torch.arange(-reach, reach + 1, dtype=torch.float64)
    weights = torch.exp(-0.5 * (steps / sigmas.clamp(min=1e-3)[:, None]) ** 2)
    kernels = beside((weights / weights.sum(dim=1, keepdim=True))[:, None, None], pictures)
    num, channels, height, width = pictures.shape
    kernels = kernels.repeat_interleave(channels, dim=0)
    lanes = pictures.reshape(1, num * channels, height, width)
    lanes = F.conv2d(F.pad(lanes, (reach, reach, 0, 0), mode="replicate"), kernels, groups=num * channels)
    lanes = F.conv2d(F.pad(lanes, (0, 0, reach, reach), mode="replicate"), kernels.mT, groups=num * channels)
    return lanes.reshape(pictures.shape)


def box_mean(pictures: Tensor, reach: int) -> Tensor:
    """Mean of the `2 * reach + 1` square about each pixel; beyond the border counts as 0."""
    width = 2 * reach + 1
    return F.avg_pool2d(F.avg_pool2d(pictures, (1, width), 1, (0, reach)), (width, 1), 1, (reach, 0))


def dilate(masks: Tensor, reach: int) -> Tensor:
    """1 where a mask of zeros and ones has a 1 in the `2 * reach + 1` square about the pixel, else 0; float."""
    return (box_mean(masks.float(), reach) > 0).float()


def smooth_field(heights: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """The smooth surface through a coarse lattice `(N, C, h, w)`, over the whole frame."""
    return F.interpolate(heights, size=size_hw, mode="bicubic", align_corners=True)


def vary_color(photos: Tensor, draws: RandomDraws, config: AugmentConfig) -> Tensor:
    """Vary brightness, contrast, saturation, hue, white balance and gamma."""
    gains = 1 + config.white_balance.amount * draws.signed(config.white_balance.p, 3)
    gains[:, 1] = 1
    gains *= 1 + config.brightness.amount * draws.signed(config.brightness.p)[:, None]
    saturation = 1 + config.saturation.amount * draws.signed(config.saturation.p)
    hue = min(config.hue.amount, 0.5) * draws.signed(config.hue.p)
    contrast = (1 + config.contrast.amount * draws.signed(config.contrast.p)).clamp(min=0)
    gamma = (1 + config.gamma.amount) ** draws.signed(config.gamma.p)
    matrices = color_matrices(hue, saturation.clamp(min=0)) @ torch.diag_embed(gains.clamp(min=0))

    def mixed(some: Tensor, rows: Tensor) -> Tensor:
        some = mix_channels(some, matrices[rows])
        return torch.lerp(luma_of(some).mean(dim=(2, 3), keepdim=True), some, beside(contrast[rows], some))

    photos = change(photos, torch.cat([(matrices - torch.eye(3)).flatten(1), contrast[:, None] - 1], dim=1), mixed)
    return change(photos, gamma - 1, lambda some, rows: some ** beside(gamma[rows], some))


def color_matrices(hue: Tensor, saturation: Tensor) -> Tensor:
    """`(N, 3, 3)` float64 colour matrices that turn the hue by `(N,)` circles and scale the saturation by `(N,)`.

    Luma and grays stay; the identity, exactly, for 0 and 1.
    """
    angle = hue * 2 * math.pi
    turned = torch.zeros(len(hue), 3, 3, dtype=torch.float64)
    turned[:, 0, 0] = 1
    turned[:, 1, 1] = turned[:, 2, 2] = saturation * angle.cos()
    turned[:, 2, 1] = saturation * angle.sin()
    turned[:, 1, 2] = -turned[:, 2, 1]
    matrices = torch.linalg.inv(_TO_YIQ) @ turned @ _TO_YIQ
    same = (hue == 0) & (saturation == 1)
    return torch.where(same[:, None, None], torch.eye(3, dtype=torch.float64), matrices)


def mix_channels(photos: Tensor, matrices: Tensor) -> Tensor:
    """Each pixel's colour times its sample's matrix, `(N, 3, 3)` on the CPU; not clamped."""
    weights = beside(matrices[..., None, None], photos)
    # Sums of products: on CUDA a matrix product might be rounded to ten bits (TF32).
    return weights[:, :, 0] * photos[:, :1] + weights[:, :, 1] * photos[:, 1:2] + weights[:, :, 2] * photos[:, 2:]


def luma_of(photos: Tensor) -> Tensor:
    """`(N, 1, H, W)`: how bright each pixel looks."""
    red, green, blue = LUMA
    return red * photos[:, :1] + green * photos[:, 1:2] + blue * photos[:, 2:]


def vary_light(photos: Tensor, draws: RandomDraws, strength: Strength) -> Tensor:
    """Light falls unevenly: a smooth field times the photo, up to 1 +- amount."""
    amount, lattice = draws.share(strength.p) * strength.amount, draws.uniform(1, *_LATTICE) * 2 - 1

    def lit(some: Tensor, rows: Tensor) -> Tensor:
        field = smooth_field(beside(lattice[rows], some), (some.shape[2], some.shape[3]))
        field = field / field.abs().amax(dim=(2, 3), keepdim=True).clamp(min=1e-6)
        return some * (1 + beside(amount[rows], some) * field)

    return change(photos, amount, lit)


def blur_photos(photos: Tensor, draws: RandomDraws, strength: Strength) -> Tensor:
    """Out of focus: a Gaussian of up to `amount` pixels over `(N, 3, H, W)`; the alpha stays sharp."""
    sigmas = draws.share(strength.p) * strength.amount
    return change(photos, sigmas, lambda some, rows: gaussian_blur(some, sigmas[rows]))


def add_noise(photos: Tensor, draws: RandomDraws, strength: Strength) -> Tensor:
    """Sensor noise over `(N, 3, H, W)`: independent in each pixel and channel, standard deviation up to `amount`."""
    deviations, seeds = draws.share(strength.p) * strength.amount, draws.seed()
    return change(
        photos, deviations, lambda some, rows: some + _gaussian(seeds[rows], some) * beside(deviations[rows], some)
    )


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


def draw_warps(draws: RandomDraws, config: AugmentConfig, views: Sequence[str], size_hw: tuple[int, int]) -> Tensor:
    """One homography a sample, from the photo to where it goes; `FrontRight` is mirrored by `flip_front_right`.

    Returns:
        `(N, 3, 3)` float64 on the CPU, in pixels from the middle of the frame, x before y; positive angles turn
        clockwise. The identity, exactly, where nothing happens.
    """
    height, width = size_hw
    sides = torch.tensor([width, height], dtype=torch.float64)
    corners = draws.signed(config.perspective.p, 4, 2) * config.perspective.amount * sides
    mirrored = [config.flip_front_right.p if view == "FrontRight" else config.flip.p for view in views]
    side = torch.where(draws.chosen(mirrored), -1.0, 1.0)
    zoom = (1 + config.zoom.amount) ** draws.signed(config.zoom.p)
    aspect = (1 + config.aspect.amount) ** draws.signed(config.aspect.p)
    turn = torch.deg2rad(draws.signed(config.rotation.p) * config.rotation.amount)
    shift = draws.signed(config.shift.p, 2) * config.shift.amount * sides
    warps = torch.eye(3, dtype=torch.float64).repeat(len(zoom), 1, 1)
    scale = torch.stack([side * zoom * aspect, zoom], dim=1)[:, None]
    cos, sin = turn.cos(), turn.sin()
    warps[:, :2, :2] = torch.stack([cos, -sin, sin, cos], dim=1).view(-1, 2, 2) * scale
    warps[:, :2, 2] = shift
    frame = np.array([[-width, -height], [width, -height], [width, height], [-width, height]], np.float32) / 2
    for row in rows_of(corners):
        tilt = cv2.getPerspectiveTransform(frame, frame + corners[row].numpy().astype(np.float32))
        warps[row] @= torch.from_numpy(tilt)
    return warps


def bend(photos: Tensor, alphas: Tensor, warps: Tensor) -> tuple[Tensor, Tensor]:
    """Move photo and alpha to their new place in one and the same resampling.

    They travel as one picture of four channels, so nothing can move the one without the other. What comes in from
    outside the frame repeats the border. `warps` are those of `draw_warps`.
    """
    moves = warps - torch.eye(3, dtype=warps.dtype)
    if not moves.any():
        return photos, alphas
    joined = change(torch.cat([photos, alphas], dim=1), moves, lambda some, rows: _resample(some, warps[rows]))
    return joined[:, :3], joined[:, 3:]


def _resample(pictures: Tensor, warps: Tensor) -> Tensor:
    backward = torch.linalg.inv(warps)
    pictures = _soften(pictures, backward)
    height, width = pictures.shape[2:]
    steps = torch.arange(max(height, width), dtype=torch.float32, device=pictures.device)
    x, y = steps[:width] - (width - 1) / 2, steps[:height, None] - (height - 1) / 2
    # Sums of products, no matrix product: on CUDA that might be rounded to ten bits (TF32), which is whole pixels.
    to = beside(backward[..., None, None], pictures)
    across, down, depth = (to[:, row, 0] * x + to[:, row, 1] * y + to[:, row, 2] for row in range(3))
    grid = torch.stack([across / depth * (2 / width), down / depth * (2 / height)], dim=-1)
    # Cubic, for a linear filter would blur the warped photos, and only them. It overshoots: hence the clamp.
    return F.grid_sample(pictures, grid, mode="bicubic", padding_mode="border", align_corners=False)


def _soften(pictures: Tensor, backward: Tensor) -> Tensor:
    """Blur what is going to be made much smaller, photo and alpha alike, as antialiasing."""
    reduction = backward[:, :2, :2].norm(dim=1).amin(dim=1)
    sigmas = 0.5 * (reduction**2 - 1).clamp(min=0).sqrt()
    return change(pictures, reduction > _MOST_REDUCTION, lambda some, rows: gaussian_blur(some, sigmas[rows]))


def compress_jpeg(photos: Tensor, draws: RandomDraws, strength: Strength) -> Tensor:
    """Give photos the blocks and smears of JPEG, of qualities from 100 down to 100 - amount."""
    lost = draws.share(strength.p) * strength.amount
    return change(photos, lost, lambda some, rows: at_quality(some, 100 - lost[rows]))


def at_quality(photos: Tensor, quality: Tensor) -> Tensor:
    """Through JPEG and back; `quality` is `(N,)` on the CPU, 1 to 100, as libjpeg counts it."""
    height, width = photos.shape[2:]
    padded = F.pad(photos * 255, (0, -width % 16, 0, -height % 16), mode="replicate")
    mixed = mix_channels(padded, _TO_YCC[None])
    luma = _quantised(mixed[:, :1] - 128, _steps(_LUMA_STEPS, quality)) + 128
    chroma = _quantised(F.avg_pool2d(mixed[:, 1:], 2), _steps(_CHROMA_STEPS, quality))
    chroma = F.interpolate(chroma, scale_factor=2, mode="bilinear", align_corners=False)
    back = mix_channels(torch.cat([luma, chroma], dim=1), torch.linalg.inv(_TO_YCC)[None])
    return (back[..., :height, :width] / 255).clamp(0, 1)


def _quantised(planes: Tensor, steps: Tensor) -> Tensor:
    """Each 8x8 block's cosine transform rounded to whole steps, `(N, 8, 8)`."""
    num, channels, height, width = planes.shape
    cosines, steps = beside(_COSINES, planes), beside(steps[:, None, None, None], planes)
    blocks = planes.reshape(num, channels, height // 8, 8, width // 8, 8).transpose(3, 4)
    rounded = (cosines @ blocks @ cosines.mT / steps).round() * steps
    return (cosines.mT @ rounded @ cosines).transpose(3, 4).reshape(planes.shape)


def _steps(table: str, quality: Tensor) -> Tensor:
    """`(N, 8, 8)` quantisation steps at these qualities (libjpeg's scale)."""
    base = torch.tensor([int(step) for step in table.split()], dtype=torch.float64).view(1, 8, 8)
    quality = quality.clamp(1, 100).view(-1, 1, 1)
    percent = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality)
    return ((base * percent + 50) / 100).floor().clamp(1, 255)
