"""A recipe's network `unet_paper`: the first U-Net, convolutions unpadded (Ronneberger 2015, arXiv 1505.04597)."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from garmentcut.model.layers import PhotoNetwork
from garmentcut.model.papers.backbone import he_normal

_WIDTHS = (64, 128, 256, 512, 1024)
_BORDER = 94  # 16 k + 2 * 94 pixels in leave 16 k + 4 pixels of logits


class UnetPaper(PhotoNetwork):
    """U-Net (Ronneberger, Fischer & Brox 2015, arXiv 1505.04597).

    `down`: five pairs of unpadded 3x3 convolutions with ReLUs, 64 to 1024 wide, 2x2 max-pools between; dropout 0.5 (the
    paper names no rate; its Caffe default) after the last two. `up`: 2x2 up-convolution to half the width, joined with
    the middle of the encoder's map of that scale, two more convolutions. `score`: 1x1. No batch norm. After He.

    572x572 pixels in leave 388x388 out. As in the paper's overlap-tile strategy the missing border is mirrored: the
    photo is laid in 94 pixels of its own reflection, and the logits lose two pixels on each side. Sides are multiples
    of 16 and at least 96, for a photo must be larger than its mirrored border.

    Args:
        in_channels: 3 here, 1 as published.
        num_classes: Channels of the logits; 2 as published.
    """

    multiple_of = 16
    min_side = 96

    def __init__(self, *, in_channels: int = 3, num_classes: int = 1) -> None:
        super().__init__()
        widths = (in_channels, *_WIDTHS)
        self.down = nn.ModuleList(_pair(*pair) for pair in pairwise(widths))
        self.pool, self.dropout = nn.MaxPool2d(2), nn.Dropout()
        self.grow = nn.ModuleList(nn.ConvTranspose2d(2 * width, width, 2, 2) for width in _WIDTHS[-2::-1])
        self.up = nn.ModuleList(_pair(2 * width, width) for width in _WIDTHS[-2::-1])
        self.score = nn.Conv2d(64, num_classes, 1)
        he_normal(self)

    def logits(self, x: Tensor) -> Tensor:
        """Logits (N, classes, H, W) of normalised photos (N, 3, H, W)."""
        x = self.valid_logits(functional.pad(x, (_BORDER,) * 4, mode="reflect"))
        return x[:, :, 2:-2, 2:-2]

    def valid_logits(self, x: Tensor) -> Tensor:
        """The paper's net itself: sides of 16 k + 188 pixels in, 184 fewer out."""
        skips = []
        for number, block in enumerate(self.down):
            x = block(self.pool(x) if number else x)
            skips.append(self.dropout(x) if number > 2 else x)
        x = skips.pop()
        for grow, block in zip(self.grow, self.up, strict=True):
            x = grow(x)
            x = block(torch.cat([_middle(skips.pop(), x.shape[2:]), x], dim=1))
        return self.score(x)  # type: ignore[no-any-return]


def build() -> UnetPaper:
    """The paper's U-Net from RGB to one class."""
    return UnetPaper()


def _pair(channels: int, width: int) -> nn.Sequential:
    first, second = nn.Conv2d(channels, width, 3), nn.Conv2d(width, width, 3)
    return nn.Sequential(first, nn.ReLU(inplace=True), second, nn.ReLU(inplace=True))


def _middle(x: Tensor, size: torch.Size) -> Tensor:
    top, left = (x.shape[2] - size[0]) // 2, (x.shape[3] - size[1]) // 2
    return x[:, :, top : top + size[0], left : left + size[1]]
