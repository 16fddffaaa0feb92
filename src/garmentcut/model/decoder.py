"""The decoder of cutnet: back up to half the photo's size, joining what the encoder saw on its way down."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional


class Decoder(nn.Module):
    """Blocks that each double the resolution and join the features found there.

    Args:
        channels: of the coarsest features, then of each block's result.
        joined: channels of what each block joins.
        light: blocks of `LightBlock` rather than `Block`.
    """

    def __init__(self, channels: Sequence[int], joined: Sequence[int], *, light: bool) -> None:
        super().__init__()
        kind = LightBlock if light else Block
        widths = zip(channels[:-1], joined, channels[1:], strict=True)
        self.blocks = nn.ModuleList(kind(deep, skip, out) for deep, skip, out in widths)

    def forward(self, deep: Tensor, skips: Sequence[Tensor]) -> Tensor:
        """Coarsest features `(N, C, H, W)` and what to join, coarse to fine -> the finest, `(N, C', H', W')`."""
        for block, skip in zip(self.blocks, skips, strict=True):
            deep = block(deep, skip)
        return deep


class Block(nn.Module):
    """Bilinear x2, join, two 3x3 convolutions."""

    def __init__(self, deep: int, skip: int, out: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(conv_norm_relu(deep + skip, out), conv_norm_relu(out, out))

    def forward(self, deep: Tensor, skip: Tensor) -> Tensor:
        """`(N, deep, H, W)`, `(N, skip, 2 H, 2 W)` -> `(N, out, 2 H, 2 W)`."""
        joined: Tensor = self.layers(torch.cat([double(deep), skip], dim=1))
        return joined


class LightBlock(nn.Module):
    """The same from depthwise-separable convolutions (Howard 2017, arXiv 1704.04861), narrowed before it is enlarged.

    A 1x1 convolution and a bilinear enlargement change places without changing the result, and before it there are
    four times fewer pixels to narrow.
    """

    def __init__(self, deep: int, skip: int, out: int) -> None:
        super().__init__()
        self.narrow = nn.Conv2d(deep, out, 1, bias=False)
        self.layers = nn.Sequential(conv_norm_relu(out + skip, out, 1), _separable(out), _separable(out))

    def forward(self, deep: Tensor, skip: Tensor) -> Tensor:
        """`(N, deep, H, W)`, `(N, skip, 2 H, 2 W)` -> `(N, out, 2 H, 2 W)`."""
        joined: Tensor = self.layers(torch.cat([double(self.narrow(deep)), skip], dim=1))
        return joined


def double(x: Tensor) -> Tensor:
    """`(N, C, H, W)` -> `(N, C, 2 H, 2 W)`, bilinear."""
    return functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


def conv_norm_relu(channels: int, out: int, kernel: int = 3) -> nn.Sequential:
    """Convolution, batch norm, ReLU; keeps H and W."""
    convolution = nn.Conv2d(channels, out, kernel, padding=kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(out), nn.ReLU(inplace=True))


def _separable(channels: int) -> nn.Sequential:
    each = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
    return nn.Sequential(each, nn.BatchNorm2d(channels), *conv_norm_relu(channels, channels, 1))
