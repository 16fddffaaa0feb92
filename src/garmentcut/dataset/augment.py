"""Augments batches of photos and alphas for the training loop; draws the page that shows a recipe's augmentations."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the name everyone knows it by
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from garmentcut.dataset import frame_augment as frame
from garmentcut.dataset import garment_augment as garment
from garmentcut.dataset.samples import Sample
from garmentcut.recipe import AugmentConfig, Strength

_MOVING = ("shift", "zoom", "aspect", "rotation", "perspective", "flip", "flip_front_right", "paste")
_CELL_WIDTH = 240
_MIXED_ROWS = 3
_LABEL_PX, _GAP_PX = 22, 4
_PAPER, _INK = 255, (30, 30, 30)
_OUTLINE = (255, 0, 255)  # stands out on light and dark, and cloth hardly ever has this colour
_IN_PIXELS = frozenset({"noise", "blur", "jpeg"})  # too fine for a thumbnail: shown at full size


def augment(
    photos: Tensor,
    alphas: Tensor,
    *,
    views: Sequence[str],
    config: AugmentConfig,
    key: tuple[int, ...],
    moves: bool = True,
    strongest: bool = False,
) -> tuple[Tensor, Tensor]:
    """Augment each sample separately, on its device: first the garment, then the frame, then the effects of a camera.

    A sample that nothing happens to stays bit-equal. The inputs are not modified. Except for noise, which is drawn on
    the device, results are the same on all devices, up to rounding.

    Photos are `(N, 3, H, W)` and alphas `(N, 1, H, W)`, float32 in [0, 1], and so are the results; `views` decide how
    often each photo is mirrored. `key` seeds all random numbers; its last number is that of the first sample, and
    counts up for the others. Without `moves`, only colours change, because windows were already moved when they were
    cut out; a fourth channel of the photos, the map, is then kept. `strongest` draws the largest strengths, for a page
    of examples. Raises ValueError for other shapes or dtypes.
    """
    num, channels, height, width = photos.shape if photos.ndim == 4 else (0, 0, 0, 0)
    if channels not in ((3,) if moves else (3, 4)) or alphas.shape != (num, 1, height, width) or len(views) != num:
        shapes = f"{tuple(photos.shape)}, {tuple(alphas.shape)} and {len(views)} views"
        raise ValueError(f"photos (N, 3, H, W), alphas (N, 1, H, W) and N views are needed, not {shapes}")
    if photos.dtype != torch.float32 or alphas.dtype != torch.float32:
        raise ValueError(f"photos and alphas must be float32 in [0, 1], not {photos.dtype} and {alphas.dtype}")
    still = dict.fromkeys(() if moves else _MOVING, Strength(0.0, 0.0))
    config, maps, photos = replace(config, **still), photos[:, 3:], photos[:, :3]

    def varied(row: int) -> tuple[Tensor, Tensor]:
        draws = frame.SampleDraws(config, (*key[:-1], key[-1] + row), strongest)
        photo, alpha, view = garment.paste_garment(photos, alphas, views, row, draws)
        photo = garment.recolor_garment(photo, alpha, draws)
        photo = garment.pattern_garment(photo, alpha, draws)
        photo = garment.panel_garment(photo, alpha, draws)
        photo = garment.vary_background(photo, alpha, draws)
        photo, alpha = frame.bend(photo, alpha, frame.draw_homography(draws, view, (height, width)))
        for change in (frame.vary_light, frame.vary_color, frame.blur_photo, frame.add_noise, frame.compress_jpeg):
            photo = change(photo, draws)
        return photo, alpha

    # A mixed-precision step around this call must not round colours and coordinates to bfloat16.
    with torch.no_grad(), torch.autocast(photos.device.type, enabled=False):
        changed, targets = zip(*map(varied, range(num)), strict=True)
        return torch.cat([torch.cat(changed), maps], dim=1), torch.cat(targets)


def augmentation_page(samples: Sequence[Sample], config: AugmentConfig, seed: int = 0) -> NDArray[np.uint8]:
    """Draw rows of example photos: unchanged, with each augmentation that is on, and with all of them.

    Each sample is a column; all must have one size, and with a single one nothing can be pasted. Each augmentation is
    shown at its full amount, with random signs and kinds; noise, blur and JPEG at full size, at the garment's upper
    edge. A thin line marks the edge of the alpha, to show whether photo and target still coincide. Returns `(H, W, 3)`
    uint8 sRGB.
    """
    photos = torch.stack([sample.photo for sample in samples]).float() / 255
    alphas = torch.stack([sample.alpha for sample in samples]).float() / 255
    views = [sample.view for sample in samples]
    rows = [_row("as they are", photos, alphas)]
    for name, strength in vars(config).items():
        if strength.p == 0:
            continue
        alone = replace(AugmentConfig(), **{name: Strength(1.0, strength.amount)})
        pair = augment(photos, alphas, views=views, config=alone, key=(seed, 0), strongest=True)
        label = f"{name}: {strength.p:.3g} of the photos, amount {strength.amount:g}"
        rows.append(_row(label, *pair, close=name in _IN_PIXELS))
    for number in range(_MIXED_ROWS if len(rows) > 1 else 0):
        rows.append(_row("all together", *augment(photos, alphas, views=views, config=config, key=(seed, number, 0))))
    return np.concatenate(rows)


def _row(label: str, photos: Tensor, alphas: Tensor, *, close: bool = False) -> NDArray[np.uint8]:
    height, width = photos.shape[2:]
    cell_hw = max(1, round(height * _CELL_WIDTH / width)), _CELL_WIDTH
    cells = []
    for both in torch.cat([photos, alphas], dim=1)[:, None]:
        shown = _close_up(both, cell_hw) if close else both
        shown = F.interpolate(shown, size=cell_hw, mode="bilinear", antialias=True, align_corners=False)
        mask = shown[:, 3:] >= 0.5
        pixels = (shown[0, :3] * 255).round().to(torch.uint8).permute(1, 2, 0).numpy().copy()
        pixels[(frame.dilate(mask, 1).bool() & ~mask)[0, 0].numpy()] = _OUTLINE
        cells.append(np.pad(pixels, ((_LABEL_PX, 0), (0, _GAP_PX), (0, 0)), constant_values=_PAPER))
    image = Image.fromarray(np.concatenate(cells, axis=1))
    ImageDraw.Draw(image).text((_GAP_PX, _GAP_PX), label, _INK, ImageFont.load_default(_LABEL_PX - 2 * _GAP_PX))
    return np.asarray(image)


def _close_up(both: Tensor, cell_hw: tuple[int, int]) -> Tensor:
    """A crop of the size of a cell, at full size, around the middle of the garment's upper edge."""
    height, width = both.shape[2:]
    size = [min(cell, whole) for cell, whole in zip(cell_hw, (height, width), strict=True)]
    inside = (both[0, 3] >= 0.5).nonzero()
    middle = inside[len(inside) // 50] if len(inside) else torch.tensor([height // 2, width // 2])
    top, left = (
        min(max(int(place) - part // 2, 0), whole - part)
        for place, part, whole in zip(middle, size, (height, width), strict=True)
    )
    return both[..., top : top + size[0], left : left + size[1]]
