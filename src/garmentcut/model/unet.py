"""A recipe's network `unet`: the Carvana challenge's U-Nets (Heng CherKeng's, as ported by petrosgk)."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from garmentcut.errors import ModelError
from garmentcut.model.layers import PhotoNetwork

_CENTRE = 1024
_WIDTHS = {
    128: (64, 128, 256, 512),
    256: (32, 64, 128, 256, 512),
    512: (16, 32, 64, 128, 256, 512),
    1024: (8, 16, 32, 64, 128, 256, 512),
}


class UNet(PhotoNetwork):
    """Two 3x3 convolutions a scale and a max-pool on the way down, nearest x2, join and three on the way up.

    Each convolution has a bias, batch norm and ReLU. Every size of it ends at 8x8 positions of 1024 channels when it is
    fed squares of that size; other sides work, as multiples of 2 to the power of its scales.

    Args: as `build`.
    """

    def __init__(self, size: int) -> None:
        super().__init__(mean=(0.5,) * 3, std=(0.5,) * 3)
        widths = _WIDTHS[size]
        self.multiple_of = 2 ** len(widths)
        self.down = nn.ModuleList(_convolutions(2, *pair) for pair in zip((3, *widths), widths, strict=False))
        self.centre = _convolutions(2, widths[-1], _CENTRE)
        outer = (_CENTRE, *widths[::-1])
        self.up = nn.ModuleList(
            _convolutions(3, deep + skip, skip) for deep, skip in zip(outer, widths[::-1], strict=False)
        )
        self.pool = nn.MaxPool2d(2)
        self.head = nn.Conv2d(widths[0], 1, 1)

    def logits(self, x: Tensor) -> Tensor:
        """Logits `(N, 1, H, W)` of normalised photos `(N, 3, H, W)`."""
        skips: list[Tensor] = []
        for block in self.down:
            skips.append(block(x))  # (N, 64, H, W), (N, 128, H/2, W/2) ... for size 128
            x = self.pool(skips[-1])
        x = self.centre(x)  # (N, 1024, H/16, W/16)
        for block in self.up:
            x = block(torch.cat([skips.pop(), functional.interpolate(x, scale_factor=2.0, mode="nearest")], dim=1))
        logits: Tensor = self.head(x)
        return logits


def build(size: Literal[128, 256, 512, 1024] = 256) -> UNet:
    """Build one of the four; 34.5 to 34.6 million parameters each.

    Args:
        size: side of the squares it was designed for; the larger, the more scales, and the fewer channels at full size.

    Raises:
        ModelError: another size.
    """
    if size not in _WIDTHS:
        raise ModelError(f"size: one of {', '.join(map(str, _WIDTHS))}, not {size!r}")
    return UNet(size)


def _convolutions(count: int, channels: int, width: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for index in range(count):
        convolution = nn.Conv2d(width if index else channels, width, 3, padding=1)
        layers += [convolution, nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)
