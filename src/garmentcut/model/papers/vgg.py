"""Networks that are a VGG-16 made convolutional, by their names in a recipe.

* `fcn`: scores enlarged bilinearly (Shelhamer 2016, arXiv 1605.06211);
* `segnet`: a mirrored VGG-16 that unpools values to their original pixels (Badrinarayanan 2015, arXiv 1511.00561);
* `deeplab_largefov`: the last layers dilated for a wide field of view (Chen 2014, arXiv 1412.7062).
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from garmentcut.model.layers import check_option, neutral
from garmentcut.model.papers.backbone import (
    PretrainedNetwork,
    Weights,
    convolutions,
    dense_layers,
    enlarge,
    extend,
    he_normal,
    load_dense,
    load_vgg,
    vgg_blocks,
)

Variant = Literal["32s", "16s", "8s"]

# Strides of the enlargements, coarse to fine, and the offset of the photo in the last one.
_ENLARGEMENTS = {"32s": ((32,), 19), "16s": ((2, 16), 27), "8s": ((2, 2, 8), 31)}
# Width of the pool that joins after each enlargement by 2, and the offset of the coarser scores in it.
_SKIPS = ((512, 5), (256, 9))


class _OnVgg16(PretrainedNetwork):
    """A network of VGG-16's convolutions, `blocks`, and its dense layers as convolutions, `dense`."""

    source = "VGG16_Weights.IMAGENET1K_V1"
    blocks: nn.ModuleList
    dense: nn.Sequential

    def take_weights(self, weights: Weights) -> str:
        """Load torchvision's VGG-16, with its dense layers if the weights have them.

        For DeepLab, whose dense layers are smaller than VGG's, only every third of fc6's 7x7 positions and every fourth
        of both layers' 4096 units are kept ("simple decimation").
        """
        load_vgg(self.blocks, weights, of="VGG-16")
        return f"VGG-16's 13 convolutions; {load_dense(self.dense, weights)}"


class Fcn(_OnVgg16):
    """Fully convolutional network for semantic segmentation (Shelhamer, Long & Darrell 2016, arXiv 1605.06211).

    `blocks`: VGG-16's convolutions; the first pads the photo by 100 zeros all round, so that the dense layers fit on
    photos of any size. A 2x2 max-pool, the last row and column included, follows each: strides 2 to 32.
    `dense`: VGG's dense layers as convolutions 7x7 without padding and 1x1, 4096 wide, dropout 0.5.
    `score`: 1x1 to the classes. `skips`: the same from pool4 (16s, 8s) and pool3 (8s), added after each enlargement.
    `enlargements`: transposed convolutions with a bilinear kernel that is not trained.

    Sides may have any length. All scores start at 0, as published. The published solver doubles the learning rate of
    biases and has momentum 0.99 and an unnormalised loss; that is for a recipe to choose, not for the network.

    Args:
        variant: stride of the finest scores: `32s`, `16s` (pool4 added) or `8s` (pool4 and pool3 added).
        num_classes: channels of the logits; 21 as published.
    """

    def __init__(self, variant: Variant = "8s", *, num_classes: int = 1) -> None:
        super().__init__()
        check_option("variant", variant, tuple(_ENLARGEMENTS))
        strides, self.offset = _ENLARGEMENTS[variant]
        self.blocks = vgg_blocks(16, first_padding=100)
        self.pool = nn.MaxPool2d(2, ceil_mode=True)
        self.dense = dense_layers(4096, 7)
        widths = [4096, *(width for width, _ in _SKIPS[: len(strides) - 1])]
        self.score, *skips = (neutral(nn.Conv2d(width, num_classes, 1)) for width in widths)
        self.skips = nn.ModuleList(skips)
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


def bilinear_kernel(stride: int) -> Tensor:
    """The (2 stride, 2 stride) kernel with which a transposed convolution of that stride enlarges bilinearly."""
    distance = (torch.arange(2 * stride) - (stride - 0.5)).abs() / stride
    return torch.outer(1 - distance, 1 - distance)


def _bilinear(channels: int, stride: int) -> nn.ConvTranspose2d:
    """A full transposed convolution, diagonal in the channels, as published, where its zeros are counted too."""
    layer = nn.ConvTranspose2d(channels, channels, 2 * stride, stride, bias=False).requires_grad_(False)
    kernel = bilinear_kernel(stride) * torch.eye(channels)[..., None, None]
    layer.load_state_dict({"weight": kernel})
    return layer


def _cut(x: Tensor, offset: int, size: torch.Size) -> Tensor:
    return x[:, :, offset : offset + size[0], offset : offset + size[1]]


# Input, inner and output widths of each block of the decoder, coarse to fine.
_DECODER = ((512, 512, 512, 512), (512, 512, 512, 256), (256, 256, 256, 128), (128, 128, 64), (64, 64))

TIE, WIN = 0.02, 0.1
"""In `pool`, pixels that differ by less than `TIE` are equal, and one that is larger by `WIN` has clearly won; values
after a batch norm and a ReLU are around 1."""


class SegNet(PretrainedNetwork):
    """SegNet (Badrinarayanan, Kendall & Cipolla 2015, arXiv 1511.00561).

    `blocks`: VGG-16's 13 convolutions, each with batch norm and ReLU, 2x2 max-pools between: strides 2 to 32.
    `decoder`: the mirror image; each block first doubles the size, with every value at the pixel that won in the
    encoder's pool and zeros elsewhere, then convolves. `score`: 3x3 to the classes.

    He's initialisation, as published. Sides are multiples of 32. In the paper the larger of two pixels wins, by however
    little. On a plain background rounding decides that, which differs between runtimes, and so alphas would differ.
    Here the first of two nearly equal pixels wins; see `pool`.

    Args:
        num_classes: channels of the logits; 11 as published.
    """

    source = "VGG16_BN_Weights.IMAGENET1K_V1"
    multiple_of = 32

    def __init__(self, *, num_classes: int = 1) -> None:
        super().__init__()
        self.blocks = vgg_blocks(16, batch_norm=True)
        self.decoder = nn.ModuleList(convolutions(widths, norm=True) for widths in _DECODER)
        self.score = nn.Conv2d(64, num_classes, 3, padding=1)
        he_normal(self.decoder)
        he_normal(self.score)

    def logits(self, x: Tensor) -> Tensor:
        """Logits (N, classes, H, W) of normalised photos (N, 3, H, W)."""
        all_shares = []
        for block in self.blocks:
            x, shares = pool(block(x))
            all_shares.append(shares)
        for block, shares in zip(self.decoder, reversed(all_shares), strict=True):
            x = block(unpool(x, shares))
        return self.score(x)  # type: ignore[no-any-return]

    def take_weights(self, weights: Weights) -> str:
        """Load torchvision's VGG-16 with batch norms."""
        load_vgg(self.blocks, weights, of="VGG-16 with batch norms")
        return "VGG-16's 13 convolutions and their batch norms"


def pool(x: Tensor) -> tuple[Tensor, Tensor]:
    """2x2 max-pool that also returns where: `nn.MaxPool2d(2, return_indices=True)` with shares instead of indices.

    The first in reading order wins, as in torch, unless a later one is larger by more than `TIE`; from there to `WIN`
    its share grows from 0 to 1. So rounding changes a share only a little, and that of equal pixels not at all. No
    gradient flows through the shares, just as none flows through indices.

    Args:
        x: (N, C, H, W), even sides.

    Returns:
        The maximum of each 2x2 pixels, (N, C, H / 2, W / 2), and their shares in reading order, (N, C, 4, H / 2, W /
        2), in [0, 1], with a sum of 1.
    """
    first, *later = torch.unflatten(functional.pixel_unshuffle(x.detach(), 2), 1, (-1, 4)).unbind(dim=2)
    largest, shares = first, [torch.ones_like(first)]
    for value in later:
        won = ((value - largest - TIE) / (WIN - TIE)).clamp(0, 1)
        shares = [*(share * (1 - won) for share in shares), won]
        largest = torch.maximum(largest, value)
    return functional.max_pool2d(x, 2), torch.stack(shares, dim=2)


def unpool(x: Tensor, shares: Tensor) -> Tensor:
    """Put each value of (N, C, H, W) at its place in 2x2 pixels of (N, C, 2 H, 2 W), with zeros elsewhere."""
    return functional.pixel_shuffle((x.unsqueeze(2) * shares).flatten(1, 2), 2)


class DeepLabLargeFov(_OnVgg16):
    """DeepLab-LargeFOV (Chen, Papandreou, Kokkinos, Murphy & Yuille 2014, arXiv 1412.7062), without its CRF.

    `blocks`: VGG-16's convolutions, the last block dilated by 2. 3x3 max-pools follow: strides 2, 4, 8, 8, 8; after the
    fifth a 3x3 average. `dense`: fc6, 3x3 dilated by 12, and fc7, 1x1, both 1024 wide with dropout 0.5.
    `score`: fc8, 1x1, N(0, 0.01); its published learning rate is ten times the others', which a recipe cannot set.

    The published net takes sides of 8 k + 1 (321 gives 41x41 scores, each in the middle of its pixels). Here the
    photo's last row and column are repeated, and the enlarged scores lose them again, so sides are multiples of 8.

    Args:
        head: what the loss sees in training. `upsample`: scores enlarged bilinearly. `plain`: each score stands for the
            8x8 pixels around it, instead of reduced labels. Outside training, both are enlarged bilinearly.
        num_classes: channels of the logits; 21 as published.
    """

    multiple_of = 8

    def __init__(self, head: Literal["upsample", "plain"] = "upsample", *, num_classes: int = 1) -> None:
        super().__init__()
        check_option("head", head, ("upsample", "plain"))
        self.head = head
        self.blocks = vgg_blocks(16, last_dilation=2)
        self.pools = nn.ModuleList(
            nn.MaxPool2d(3, stride, padding=1, ceil_mode=True) for stride in (2, 2, 2, 1, 1)
        ).append(nn.AvgPool2d(3, 1, padding=1))
        self.dense = dense_layers(1024, 3, padding=12, dilation=12)
        self.score = nn.Conv2d(1024, num_classes, 1)
        nn.init.normal_(self.score.weight, std=0.01)
        nn.init.zeros_(self.score.bias)  # type: ignore[arg-type]  # it has one

    def logits(self, x: Tensor) -> Tensor:
        """Logits (N, classes, H, W) of normalised photos (N, 3, H, W)."""
        height, width = x.shape[2:]
        x = extend(x)
        scores = self.scores(x)
        if self.training and self.head == "plain":
            # Score i lies on pixel 8 i, so its cell begins four pixels earlier.
            return functional.interpolate(scores, scale_factor=8.0)[:, :, 4 : 4 + height, 4 : 4 + width]
        return enlarge(scores, x)[:, :, :-1, :-1]

    def scores(self, x: Tensor) -> Tensor:
        """Scores (N, classes, k + 1, l + 1) of (N, 3, 8 k + 1, 8 l + 1): one on each eighth pixel, corners included."""
        for block, pool in zip(self.blocks, self.pools[:5], strict=True):
            x = pool(block(x))
        return self.score(self.dense(self.pools[5](x)))  # type: ignore[no-any-return]
