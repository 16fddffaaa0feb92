"""Building blocks of all networks: `PhotoNetwork`, which checks and normalises its input, and U-shaped decoders."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def check_input(x: Tensor, multiple_of: int, channels: int = 3) -> None:
    """Refuse input that a network would misread; call it first in `forward`.

    Args:
        x: should be float32 (or what autocast makes of it) `(N, channels, H, W)`, sRGB in [0, 1].
        multiple_of: what H and W must be multiples of.
        channels: how many the network was built for.

    Raises:
        ValueError: another shape or dtype; says which, and what is wanted.
    """
    if torch.compiler.is_exporting():
        return  # sizes are unknowns then, and `if` would freeze them
    shape = tuple(x.shape)
    if x.ndim != 4 or shape[1] != channels:
        raise ValueError(f"expected photos of shape (N, {channels}, H, W), not {shape}")
    if not x.is_floating_point():
        raise ValueError(f"expected float32 in [0, 1], not {str(x.dtype).removeprefix('torch.')}; divide by 255")
    if 0 in shape or shape[2] % multiple_of or shape[3] % multiple_of:
        raise ValueError(f"expected sides that are multiples of {multiple_of}, not {shape[2]}x{shape[3]}; pad them")


class PhotoNetwork(nn.Module):
    """Photos in, logits of the same size out; a subclass writes `logits`.

    Args:
        mean: Subtracted from each channel of the photo, which is in [0, 1]; ImageNet's by default.
        std: What the channels are then divided by.
    """

    in_channels: int = 3  # Of a photo: 3, or more where maps travel with it
    multiple_of: int = 1  # Both sides of a photo must be a multiple of this
    min_side: int = 1  # Both sides must be at least this, in pixels
    min_training_photos: int = 1  # Photos a training step needs: 2 where a batch norm sees but one value of each photo
    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float] = IMAGENET_MEAN, std: Sequence[float] = IMAGENET_STD) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1), persistent=False)

    def forward(self, photos: Tensor) -> Tensor:
        """Logits of photos.

        Args:
            photos: float32 (N, in_channels, H, W), sRGB in [0, 1].

        Returns:
            float32 (N, 1, H, W).

        Raises:
            ValueError: the photos are of another type or shape, or have sides that the network cannot take.
        """
        return self.logits(self.normalize(photos)).float()

    def normalize(self, photos: Tensor) -> Tensor:
        """Check photos, then bring them to the range that the network is trained in.

        Raises:
            ValueError: as `forward`.
        """
        check_input(photos, self.multiple_of, self.in_channels)
        if not torch.compiler.is_exporting():  # an exporter would freeze these sides
            num, (height, width) = len(photos), photos.shape[2:]
            if min(height, width) < self.min_side:
                raise ValueError(f"expected sides of at least {self.min_side} pixels, not {height}x{width}")
            if self.training and num < self.min_training_photos:
                raise ValueError(f"expected at least {self.min_training_photos} photos a training step, not {num}")
        return (photos - self.mean) / self.std

    def logits(self, x: Tensor) -> Tensor:
        """Logits (N, 1, H, W) of normalised photos (N, in_channels, H, W)."""
        raise NotImplementedError


def check_option(name: str, value: object, known: Sequence[object]) -> None:
    """Refuse what a builder does not know.

    Raises:
        ValueError: `value` is not one of `known`.
    """
    if value not in known:
        raise ValueError(f"{name} is {' or '.join(map(repr, known))}, not {value!r}")


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


def conv_norm_relu(channels: int, out: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution, batch norm, ReLU; keeps H and W at stride 1."""
    convolution = nn.Conv2d(channels, out, kernel, stride, padding=kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(out), nn.ReLU(inplace=True))


def _separable(channels: int) -> nn.Sequential:
    each = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
    return nn.Sequential(each, nn.BatchNorm2d(channels), *conv_norm_relu(channels, channels, 1))
