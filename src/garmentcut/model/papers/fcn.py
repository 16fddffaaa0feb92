"""A recipe's network `fcn`: VGG-16 made convolutional, scores enlarged bilinearly (Shelhamer 2016, 1605.06211)."""

from typing import Literal

import torch
from torch import Tensor, nn

from garmentcut.model.layers import PhotoNetwork, check_option
from garmentcut.model.papers.backbone import Weights, dense_layers, load_dense, load_vgg, vgg_blocks, vgg_weights

Variant = Literal["32s", "16s", "8s"]

# Strides of the enlargements, coarse to fine, and where in the last the photo begins.
_ENLARGEMENTS = {"32s": ((32,), 19), "16s": ((2, 16), 27), "8s": ((2, 2, 8), 31)}
# Width of the pool that joins after each enlargement by 2, and where in it the coarser scores begin.
_SKIPS = ((512, 5), (256, 9))


class Fcn(PhotoNetwork):
    """Fully convolutional network for semantic segmentation (Shelhamer, Long & Darrell 2016, arXiv 1605.06211).

    `blocks`: VGG-16's convolutions; the first pads the photo by 100 zeros all round, so that the dense layers fit on
    photos of any size. A 2x2 max-pool, the last row and column included, follows each: strides 2 to 32.
    `dense`: VGG's dense layers as convolutions 7x7 without padding and 1x1, 4096 wide, dropout 0.5.
    `score`: 1x1 to the classes. `skips`: the same from pool4 (16s, 8s) and pool3 (8s), added after each enlargement.
    `enlargements`: transposed convolutions with a bilinear kernel that is not trained.

    Sides may be any. All scores start at 0, as published. The published solver doubles the rate of biases and has
    momentum 0.99 and an unnormalised loss; a recipe may choose, the network does not.

    Args:
        variant: Stride of the finest scores: `32s`, `16s` (pool4 added) or `8s` (pool4 and pool3 added).
        num_classes: Channels of the logits; 21 as published.
    """

    def __init__(self, variant: Variant = "8s", *, num_classes: int = 1) -> None:
        super().__init__()
        check_option("variant", variant, tuple(_ENLARGEMENTS))
        strides, self.offset = _ENLARGEMENTS[variant]
        self.blocks = vgg_blocks(16, first_padding=100)
        self.pool = nn.MaxPool2d(2, ceil_mode=True)
        self.dense = dense_layers(4096, 7)
        self.score = _score(4096, num_classes)
        self.skips = nn.ModuleList(_score(width, num_classes) for width, _ in _SKIPS[: len(strides) - 1])
        self.enlargements = nn.ModuleList(_bilinear(num_classes, stride) for stride in strides)

    def logits(self, x: Tensor) -> Tensor:
        """Logits (N, classes, H, W) of normalised photos (N, 3, H, W)."""
        size, pools = x.shape[2:], []
        for block in self.blocks:
            x = self.pool(block(x))
            pools.append(x)
        x = self.score(self.dense(x))
        for number, skip in enumerate(self.skips):
            x = self.enlargements[number](x)
            x = x + _cut(skip(pools[3 - number]), _SKIPS[number][1], x.shape[2:])
        return _cut(self.enlargements[-1](x), self.offset, size)

    def load_encoder(self, weights: Weights | None = None) -> str:
        """Take over VGG-16 trained on ImageNet, its dense layers included where the weights have them.

        Args:
            weights: In torchvision's keys; None fetches them from its hub.

        Returns:
            What was loaded.

        Raises:
            ValueError: they are not VGG-16's.
            OSError: the hub cannot be reached.
        """
        weights = vgg_weights(16) if weights is None else weights
        load_vgg(self.blocks, weights, of="VGG-16")
        return f"VGG-16's 13 convolutions; {load_dense(self.dense, weights)}"


def build(variant: Variant = "8s") -> Fcn:
    """FCN-8s, FCN-16s or FCN-32s for one class."""
    return Fcn(variant)


def bilinear_kernel(stride: int) -> Tensor:
    """The (2 stride, 2 stride) kernel with which a transposed convolution of that stride enlarges bilinearly."""
    distance = (torch.arange(2 * stride) - (stride - 0.5)).abs() / stride
    return torch.outer(1 - distance, 1 - distance)


def _score(width: int, num_classes: int) -> nn.Conv2d:
    layer = nn.Conv2d(width, num_classes, 1)
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


def _bilinear(channels: int, stride: int) -> nn.ConvTranspose2d:
    """A full transposed convolution, diagonal in the channels, as published: its zeros are counted there too."""
    layer = nn.ConvTranspose2d(channels, channels, 2 * stride, stride, bias=False).requires_grad_(False)
    kernel = bilinear_kernel(stride) * torch.eye(channels)[..., None, None]
    layer.load_state_dict({"weight": kernel})
    return layer


def _cut(x: Tensor, offset: int, size: torch.Size) -> Tensor:
    return x[:, :, offset : offset + size[0], offset : offset + size[1]]
