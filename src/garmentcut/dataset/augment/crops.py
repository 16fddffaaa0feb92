"""Augment crops of a second look: photo, target and first look's map move together; then the map is damaged."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812 - the name everyone knows it by
from torch import Tensor

from garmentcut.dataset.augment.camera import add_noise, blur_photos, vary_light
from garmentcut.dataset.augment.color import vary_color
from garmentcut.dataset.augment.draws import Draws
from garmentcut.dataset.augment.garment import pattern_garment, recolor_garment
from garmentcut.dataset.augment.geometry import bend, draw_warps
from garmentcut.dataset.augment.jpeg import compress_jpeg
from garmentcut.dataset.augment.surroundings import vary_background
from garmentcut.recipe import AugmentConfig, CropsConfig, Strength

_CELL_PX = 4  # maps are four times as coarse as the photo: so may their damage be
_LARGEST_PIECE = 0.3  # of the window's sides: radii of what is lost or invented
_SHARE_LOST = 0.5


def augment_crops(
    photos: Tensor,
    alphas: Tensor,
    *,
    views: Sequence[str],
    config: AugmentConfig,
    crops: CropsConfig,
    generator: torch.Generator,
    hard: bool = False,
) -> tuple[Tensor, Tensor]:
    """As `augment`, for photos with a map; no garment is pasted, for the map would not know of it.

    Args:
        photos: `(N, 4, H, W)` float32 in [0, 1], the fourth channel being the first look's alpha.
        alphas: `(N, 1, H, W)` float32 in [0, 1].
        views: of the photos.
        config: what happens to photo and target.
        crops: what happens to the map.
        generator: on the CPU.
        hard: the targets are hard masks.

    Returns:
        Photos and alphas like the inputs.
    """
    draws = Draws(generator, len(photos))
    with torch.no_grad(), torch.autocast(photos.device.type, enabled=False):
        rgb, maps = photos[:, :3], photos[:, 3:]
        rgb = recolor_garment(rgb, alphas, draws, config.recolor)
        rgb = pattern_garment(rgb, alphas, draws, config.pattern)
        rgb = vary_background(rgb, alphas, draws, config.background)
        warps = draw_warps(draws, config, views, (rgb.shape[2], rgb.shape[3]))
        rgb, both = bend(rgb, torch.cat([alphas, maps], dim=1), warps)
        alphas, maps = both[:, :1], both[:, 1:]
        rgb = vary_light(rgb, draws, config.light)
        rgb = vary_color(rgb, draws, config)
        rgb = blur_photos(rgb, draws, config.blur)
        rgb = add_noise(rgb, draws, config.noise)
        rgb = compress_jpeg(rgb, draws, config.jpeg)
        maps = damage_maps(maps, draws, crops.damage)
        return torch.cat([rgb, maps], dim=1), (alphas >= 0.5).to(alphas) if hard else alphas


def damage_maps(maps: Tensor, draws: Draws, damage: Strength) -> Tensor:
    """Make first looks' maps worse, as first looks are worse on photos of another studio.

    Each sample that it happens to is grown or shrunk by up to `amount` pixels; half of them lose an ellipse of it or
    gain one that is not there.

    Args:
        maps: `(N, 1, H, W)` float32 in [0, 1].
        draws: as many as there are samples.
        damage: how often, and by how many pixels.
    """
    grown_px = draws.signed(damage.p) * damage.amount
    has_piece, is_lost = draws.chosen(damage.p * 0.5), draws.chosen(_SHARE_LOST)
    pieces = torch.cat([draws.uniform(2), 0.05 + draws.uniform(2) * (_LARGEST_PIECE - 0.05)], dim=1)
    made = []
    for index, one in enumerate(maps):
        changed = _grown(one[None], float(grown_px[index]))
        if has_piece[index]:
            inside = _ellipse(pieces[index], one)
            changed = torch.where(inside, 0.0 if is_lost[index] else 1.0, changed)
        made.append(changed)
    return torch.cat(made) if made else maps


def _grown(maps: Tensor, by_px: float) -> Tensor:
    """Dilated, or eroded below zero, in cells; `(1, 1, H, W)`."""
    cells = round(abs(by_px) / _CELL_PX)
    if not cells:
        return maps
    small = F.avg_pool2d(maps, _CELL_PX, ceil_mode=True)
    signed = small if by_px > 0 else -small
    signed = F.max_pool2d(signed, 2 * cells + 1, stride=1, padding=cells)
    small = signed if by_px > 0 else -signed
    large: Tensor = F.interpolate(small, size=maps.shape[2:], mode="bilinear", align_corners=False)
    return large


def _ellipse(piece: Tensor, like: Tensor) -> Tensor:
    """Where it is, `(1, 1, H, W)` bool; middle and radii are shares of the sides, x before y."""
    height, width = like.shape[-2:]
    across, down, radius_x, radius_y = piece.tolist()
    x = (torch.arange(width, device=like.device) / width - across) / radius_x
    y = (torch.arange(height, device=like.device) / height - down) / radius_y
    inside: Tensor = (x[None] ** 2 + y[:, None] ** 2 <= 1)[None, None]
    return inside
