"""A recipe's network `tiramisu`, One Hundred Layers: a U-Net of dense blocks (Jegou 2016, arXiv 1611.09326)."""

from typing import Literal

import torch
from torch import Tensor, nn

from garmentcut.model.layers import PhotoNetwork, check_option

Depth = Literal[56, 67, 103]

_FIRST = 48
# New maps a layer; layers in the five blocks down, whose mirror is the way up; layers at the bottom.
_SHAPES = {
    56: (12, (4, 4, 4, 4, 4), 4),
    67: (16, (5, 5, 5, 5, 5), 5),
    103: (16, (4, 5, 7, 10, 12), 15),
}


class DenseBlock(nn.Module):
    """Layers that each see the maps of all before them.

    (N, C, H, W) to the layers' new maps alone, (N, growth * count, H, W).
    """

    def __init__(self, channels: int, growth: int, count: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(*_layer(channels + number * growth, growth, 3)) for number in range(count)
        )

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        maps = [x]
        for layer in self.layers:
            maps.append(layer(torch.cat(maps, dim=1)))
        return torch.cat(maps[1:], dim=1)


class Tiramisu(PhotoNetwork):
    """FC-DenseNet (Jegou, Drozdzal, Vazquez, Romero & Bengio 2016, arXiv 1611.09326).

    `first`: 3x3 to 48 maps. `down`: five dense blocks, each joined with its input; a skip leaves, then `shrink`: batch
    norm, ReLU, 1x1 of the same width, dropout, 2x2 max-pool. `bottom`: a dense block. `up`: `grow`, a 3x3 transposed
    convolution of the last block's new maps alone to twice the size, joined with the skip, and a dense block; the last
    one is joined with its input. `score`: 1x1 to the classes.

    A layer is batch norm, ReLU, 3x3 convolution to 12 or 16 maps, dropout 0.2. He's uniform initialisation.
    Any sides of at least 32.

    Args:
        depth: 56 (12 maps a layer), 67 or 103 (16 maps).
        num_classes: Channels of the logits; 11 as published.
    """

    min_side = 32

    def __init__(self, depth: Depth = 103, *, num_classes: int = 1) -> None:
        super().__init__()
        check_option("depth", depth, tuple(_SHAPES))
        growth, counts, bottom = _SHAPES[depth]
        self.first = nn.Conv2d(3, _FIRST, 3, padding=1)
        self.down, self.shrink, widths = nn.ModuleList(), nn.ModuleList(), [_FIRST]
        for count in counts:
            self.down.append(DenseBlock(widths[-1], growth, count))
            widths.append(widths[-1] + growth * count)
            self.shrink.append(nn.Sequential(*_layer(widths[-1], widths[-1], 1), nn.MaxPool2d(2)))
        self.bottom = DenseBlock(widths[-1], growth, bottom)
        self.grow, self.up, new = nn.ModuleList(), nn.ModuleList(), growth * bottom
        for count in reversed(counts):
            self.grow.append(nn.ConvTranspose2d(new, new, 3, 2))
            channels, new = new + widths.pop(), growth * count
            self.up.append(DenseBlock(channels, growth, count))
        self.score = nn.Conv2d(channels + new, num_classes, 1)
        _he_uniform(self)

    def logits(self, x: Tensor) -> Tensor:
        """Logits (N, classes, H, W) of normalised photos (N, 3, H, W)."""
        x, skips = self.first(x), []
        for block, shrink in zip(self.down, self.shrink, strict=True):
            skips.append(torch.cat([x, block(x)], dim=1))
            x = shrink(skips[-1])
        new = self.bottom(x)
        for grow, block in zip(self.grow, self.up, strict=True):
            skip = skips.pop()
            # The paper cuts the middle out of one pixel too many: that is the first 2 n of 2 n + 1.
            x = torch.cat([skip, grow(new)[:, :, : skip.shape[2], : skip.shape[3]]], dim=1)
            new = block(x)
        return self.score(torch.cat([x, new], dim=1))  # type: ignore[no-any-return]


def build(depth: Depth = 103) -> Tiramisu:
    """FC-DenseNet-56, -67 or -103 for one class."""
    return Tiramisu(depth)


def _layer(channels: int, width: int, kernel: int) -> list[nn.Module]:
    convolution = nn.Conv2d(channels, width, kernel, padding=kernel // 2)
    return [nn.BatchNorm2d(channels), nn.ReLU(inplace=True), convolution, nn.Dropout(0.2)]


def _he_uniform(module: nn.Module) -> None:
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]  # all of them have one
