"""A page that shows what a recipe's augmentation does: each knob alone at its strongest, then the whole mix."""

from collections.abc import Sequence
from dataclasses import fields, replace

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the name everyone knows it by
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from garmentcut.dataset.augment.filters import dilate
from garmentcut.dataset.augment.pipeline import augment
from garmentcut.dataset.samples import Sample
from garmentcut.dataset.seeds import seeded_generator
from garmentcut.recipe import AugmentConfig, Strength

_CELL_WIDTH = 240
_MIXED_ROWS = 3
_LABEL_PX, _GAP_PX = 22, 4
_PAPER, _INK = 255, (30, 30, 30)
_RIM = (255, 0, 255)  # no cloth has it, and it stands out on light and dark
_IN_PIXELS = frozenset({"noise", "blur", "jpeg"})  # too fine to be seen in a small picture: shown at full size


def augmentation_page(samples: Sequence[Sample], config: AugmentConfig, seed: int = 0) -> NDArray[np.uint8]:
    """Draw a row of the photos as they are, one for every knob that is on, and some of all together.

    The alpha's edge is drawn as a thin line: were photo and target to part, it would show. Noise, blur and JPEG are
    shown at full size, on the garment's upper edge.

    Args:
        samples: some photos of one size, each a column; with one alone nothing can be pasted.
        config: the knobs; each is shown at its full amount, signs and kinds drawn at random.
        seed: another one draws other examples.

    Returns:
        `(H, W, 3)` uint8 sRGB.
    """
    photos = torch.stack([sample.photo for sample in samples]).float() / 255
    alphas = torch.stack([sample.alpha for sample in samples]).float() / 255
    views = [sample.view for sample in samples]
    rows = [_row("as they are", photos, alphas)]
    for name, strength in _switched_on(config):
        alone = replace(AugmentConfig(), **{name: Strength(1.0, strength.amount)})
        generator = seeded_generator("page", seed, name)
        pair = augment(photos, alphas, views=views, config=alone, generator=generator, strongest=True)
        label = f"{name}: {strength.p:.3g} of the photos, amount {strength.amount:g}"
        rows.append(_row(label, *pair, close=name in _IN_PIXELS))
    for number in range(_MIXED_ROWS if len(rows) > 1 else 0):
        generator = seeded_generator("page", seed, number)
        rows.append(_row("all together", *augment(photos, alphas, views=views, config=config, generator=generator)))
    return np.concatenate(rows)


def _switched_on(config: AugmentConfig) -> list[tuple[str, Strength]]:
    knobs = [(field.name, getattr(config, field.name)) for field in fields(config)]
    return [(name, strength) for name, strength in knobs if strength.p > 0]


def _row(label: str, photos: Tensor, alphas: Tensor, *, close: bool = False) -> NDArray[np.uint8]:
    height, width = photos.shape[2:]
    cell_hw = max(1, round(height * _CELL_WIDTH / width)), _CELL_WIDTH
    cells = [_cell(photo, alpha, cell_hw, close=close) for photo, alpha in zip(photos, alphas, strict=True)]
    row = np.full((cell_hw[0] + _LABEL_PX, len(cells) * (_CELL_WIDTH + _GAP_PX), 3), _PAPER, np.uint8)
    for column, cell in enumerate(cells):
        row[_LABEL_PX:, column * (_CELL_WIDTH + _GAP_PX) :][: cell_hw[0], :_CELL_WIDTH] = cell
    image = Image.fromarray(row)
    ImageDraw.Draw(image).text((_GAP_PX, _GAP_PX), label, _INK, ImageFont.load_default(_LABEL_PX - 2 * _GAP_PX))
    return np.asarray(image)


def _cell(photo: Tensor, alpha: Tensor, cell_hw: tuple[int, int], *, close: bool) -> NDArray[np.uint8]:
    both = torch.cat([photo, alpha])[None]
    if close:
        both = _close_up(both, cell_hw)
    both = F.interpolate(both, size=cell_hw, mode="bilinear", antialias=True, align_corners=False)
    mask = both[:, 3:] >= 0.5
    rim = (dilate(mask, 1).bool() & ~mask)[0, 0].numpy()
    pixels = (both[0, :3] * 255).round().to(torch.uint8).permute(1, 2, 0).numpy().copy()
    pixels[rim] = _RIM
    return pixels


def _close_up(both: Tensor, cell_hw: tuple[int, int]) -> Tensor:
    """As much as a cell holds at full size, about the middle of the garment's upper edge."""
    height, width = both.shape[2:]
    size = [min(cell, whole) for cell, whole in zip(cell_hw, (height, width), strict=True)]
    inside = (both[0, 3] >= 0.5).nonzero()
    middle = inside[len(inside) // 50] if len(inside) else torch.tensor([height // 2, width // 2])
    top, left = (
        min(max(int(place) - part // 2, 0), whole - part)
        for place, part, whole in zip(middle, size, (height, width), strict=True)
    )
    return both[..., top : top + size[0], left : left + size[1]]
