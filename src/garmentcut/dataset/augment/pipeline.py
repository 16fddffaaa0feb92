"""The one call that augments a batch: what happens to the garment, then to the frame, then in the camera."""

from collections.abc import Sequence

import torch
from torch import Tensor

from garmentcut.dataset.augment.camera import add_noise, blur_photos, vary_light
from garmentcut.dataset.augment.color import vary_color
from garmentcut.dataset.augment.draws import Draws
from garmentcut.dataset.augment.garment import pattern_garment, recolor_garment
from garmentcut.dataset.augment.geometry import bend, draw_warps
from garmentcut.dataset.augment.jpeg import compress_jpeg
from garmentcut.dataset.augment.surroundings import paste_garments, vary_background
from garmentcut.recipe import AugmentConfig


def augment(
    photos: Tensor,
    alphas: Tensor,
    *,
    views: Sequence[str],
    config: AugmentConfig,
    generator: torch.Generator,
    hard: bool = False,
    strongest: bool = False,
) -> tuple[Tensor, Tensor]:
    """Vary every sample its own way, on the device it is on.

    All that is random is drawn on the CPU from `generator`, so that the same generator gives the same pictures on every
    device, to rounding. A sample that nothing happens to comes out bit-equal; the inputs are not changed.

    Args:
        photos: `(N, 3, H, W)` float32 in [0, 1].
        alphas: `(N, 1, H, W)` float32 in [0, 1].
        views: of the photos; it decides which flip counts.
        config: what happens, how often and how strongly.
        generator: on the CPU; see `garmentcut.dataset.seeds.step_generator`.
        hard: the targets are hard masks: make them hard again, at 0.5, after they were moved.
        strongest: all strengths at their largest, for a page of examples.

    Returns:
        Photos and alphas like the inputs.

    Raises:
        ValueError: inputs of other shapes or dtypes.
    """
    _check(photos, alphas, views)
    draws = Draws(generator, len(photos), strongest)
    # A mixed-precision step around this call must not round colours and places to bfloat16.
    with torch.no_grad(), torch.autocast(photos.device.type, enabled=False):
        photos, alphas, views = paste_garments(photos, alphas, views, draws, config.paste)
        photos = recolor_garment(photos, alphas, draws, config.recolor)
        photos = pattern_garment(photos, alphas, draws, config.pattern)
        photos = vary_background(photos, alphas, draws, config.background)
        warps = draw_warps(draws, config, views, (photos.shape[2], photos.shape[3]))
        photos, alphas = bend(photos, alphas, warps)
        photos = vary_light(photos, draws, config.light)
        photos = vary_color(photos, draws, config)
        photos = blur_photos(photos, draws, config.blur)
        photos = add_noise(photos, draws, config.noise)
        photos = compress_jpeg(photos, draws, config.jpeg)
        return photos, (alphas >= 0.5).to(alphas) if hard else alphas


def _check(photos: Tensor, alphas: Tensor, views: Sequence[str]) -> None:
    num, channels, height, width = photos.shape if photos.ndim == 4 else (0, 0, 0, 0)
    if channels != 3 or alphas.shape != (num, 1, height, width) or len(views) != num:
        shapes = f"{tuple(photos.shape)}, {tuple(alphas.shape)} and {len(views)} views"
        raise ValueError(f"photos (N, 3, H, W), alphas (N, 1, H, W) and N views are needed, not {shapes}")
    if photos.dtype != torch.float32 or alphas.dtype != torch.float32:
        raise ValueError(f"photos and alphas must be float32 in [0, 1], not {photos.dtype} and {alphas.dtype}")
