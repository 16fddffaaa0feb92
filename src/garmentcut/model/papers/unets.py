"""U-Nets: an encoder, and a decoder that joins its maps of each scale; by their names in a recipe.

* `simple`, the proposal's first: deliberately small, the baseline for everything else;
* `unet`: the Carvana challenge's (Heng CherKeng's, as ported by petrosgk);
* `unet_paper`: the first U-Net, convolutions unpadded (Ronneberger 2015, arXiv 1505.04597);
* `ternausnet`: on VGG from ImageNet (Iglovikov & Shvets 2018, arXiv 1801.05746);
* `linknet34`: ResNet-34, a slim decoder with added skips (Chaurasia 2017, arXiv 1707.03718);
* `tiramisu`, One Hundred Layers: of dense blocks (Jegou 2016, arXiv 1611.09326).
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional

from garmentcut.errors import ModelError
from garmentcut.model.layers import Block, PhotoNetwork, check_option, conv_norm_relu
from garmentcut.model.papers.backbone import (
    WIDTHS,
    PretrainedNetwork,
    Weights,
    convolutions,
    he_normal,
    load_vgg,
    load_weights,
    vgg_blocks,
)


class Simple(PhotoNetwork):
    """One convolution at each scale on the way down, two on the way up, with skips; no ImageNet weights.

    A pixel of the result depends only on the photo within 19 pixels around it, so it knows cloth, not garments.
    69,985 parameters with the default channels.

    Args:
        channels: at full, half, quarter size and so on; at least two scales.
    """

    def __init__(self, channels: Sequence[int] = (16, 32, 64)) -> None:
        super().__init__(mean=(0.5,) * 3, std=(0.5,) * 3)
        if len(channels) < 2 or min(channels) < 1:
            raise ModelError(f"channels: at least two numbers above 0, not {list(channels)}")
        self.multiple_of = 2 ** (len(channels) - 1)
        self.down = nn.ModuleList(conv_norm_relu(*pair) for pair in zip((3, *channels), channels, strict=False))
        scales = list(zip(channels[:0:-1], channels[-2::-1], strict=True))
        self.up = nn.ModuleList(Block(deep, skip, skip) for deep, skip in scales)
        self.pool = nn.MaxPool2d(2)
        self.head = nn.Conv2d(channels[0], 1, 1)

    def logits(self, x: Tensor) -> Tensor:
        """Logits `(N, 1, H, W)` of normalised photos `(N, 3, H, W)`."""
        skips: list[Tensor] = []
        for layer in self.down:
            skips.append(layer(self.pool(skips[-1]) if skips else x))  # (N, 16, H, W), (N, 32, H/2, W/2) ...
        deep = skips.pop()
        for block in self.up:
            deep = block(deep, skips.pop())
        return self.head(deep)  # type: ignore[no-any-return]


_CENTRE = 1024
_CARVANA_WIDTHS = {
    128: (64, 128, 256, 512),
    256: (32, 64, 128, 256, 512),
    512: (16, 32, 64, 128, 256, 512),
    1024: (8, 16, 32, 64, 128, 256, 512),
}


class UNet(PhotoNetwork):
    """Two 3x3 convolutions per scale and a max-pool on the way down; nearest x2, join and three on the way up.

    Each convolution has a bias, batch norm and ReLU. Every size has 8x8 positions of 1024 channels at its centre for
    squares of that size; other sides work if they are multiples of 2 to the power of its scales. 34.5 to 34.6 million
    parameters each.

    Args:
        size: side of the squares it was designed for: 128, 256, 512 or 1024; larger ones have more scales, and fewer
            channels at full size.
    """

    def __init__(self, size: Literal[128, 256, 512, 1024] = 256) -> None:
        if size not in _CARVANA_WIDTHS:
            raise ModelError(f"size: one of {', '.join(map(str, _CARVANA_WIDTHS))}, not {size!r}")
        super().__init__(mean=(0.5,) * 3, std=(0.5,) * 3)
        widths = _CARVANA_WIDTHS[size]
        self.multiple_of = 2 ** len(widths)
        self.down = nn.ModuleList(convolutions((*pair, pair[1]), norm=True) for pair in pairwise((3, *widths)))
        self.centre = convolutions((widths[-1], _CENTRE, _CENTRE), norm=True)
        scales = pairwise((_CENTRE, *widths[::-1]))
        self.up = nn.ModuleList(convolutions((deep + skip, skip, skip, skip), norm=True) for deep, skip in scales)
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
        return self.head(x)  # type: ignore[no-any-return]


_PAPER_WIDTHS = (64, 128, 256, 512, 1024)
_BORDER = 94  # 16 k + 2 * 94 pixels of input give 16 k + 4 pixels of logits


class UnetPaper(PhotoNetwork):
    """U-Net (Ronneberger, Fischer & Brox 2015, arXiv 1505.04597).

    `down`: five pairs of unpadded 3x3 convolutions with ReLUs, 64 to 1024 wide, 2x2 max-pools between; dropout 0.5 (the
    paper names no rate; its Caffe default) after the last two. `up`: 2x2 up-convolution to half the width, joined with
    the middle of the encoder's map of that scale, two more convolutions. `score`: 1x1. No batch norm. He init.

    572x572 pixels of input give 388x388 of output. As in the paper's overlap-tile strategy the missing border is
    mirrored: the photo is padded by 94 pixels of its reflection, and the logits lose two pixels on each side. Sides are
    multiples of 16 and at least 96, because a photo must be larger than its mirrored border.

    Args:
        in_channels: 3 here, 1 as published.
        num_classes: channels of the logits; 2 as published.
    """

    multiple_of = 16
    min_side = 96

    def __init__(self, *, in_channels: int = 3, num_classes: int = 1) -> None:
        super().__init__()
        widths = (in_channels, *_PAPER_WIDTHS)
        self.down = nn.ModuleList(convolutions((*pair, pair[1]), padding=0) for pair in pairwise(widths))
        self.pool, self.dropout = nn.MaxPool2d(2), nn.Dropout()
        back = _PAPER_WIDTHS[-2::-1]
        self.grow = nn.ModuleList(nn.ConvTranspose2d(2 * width, width, 2, 2) for width in back)
        self.up = nn.ModuleList(convolutions((2 * width, width, width), padding=0) for width in back)
        self.score = nn.Conv2d(64, num_classes, 1)
        he_normal(self)

    def logits(self, x: Tensor) -> Tensor:
        """Logits (N, classes, H, W) of normalised photos (N, 3, H, W)."""
        return self.valid_logits(functional.pad(x, (_BORDER,) * 4, mode="reflect"))[:, :, 2:-2, 2:-2]

    def valid_logits(self, x: Tensor) -> Tensor:
        """The paper's net itself: sides of 16 k + 188 pixels, of which the output has 184 fewer."""
        skips = []
        for number, block in enumerate(self.down):
            x = block(self.pool(x) if number else x)
            skips.append(self.dropout(x) if number > 2 else x)
        x = skips.pop()
        for grow, block in zip(self.grow, self.up, strict=True):
            x = grow(x)
            x = block(torch.cat([_middle(skips.pop(), x.shape[2:]), x], dim=1))
        return self.score(x)  # type: ignore[no-any-return]


def _middle(x: Tensor, size: torch.Size) -> Tensor:
    top, left = (x.shape[2] - size[0]) // 2, (x.shape[3] - size[1]) // 2
    return x[:, :, top : top + size[0], left : left + size[1]]


Upsampling = Literal["deconv", "bilinear"]

# Width between the two layers of each decoder block, and after them, coarse to fine: the centre, then dec5 to dec2.
_DECODERS = {
    11: ((512, 256), (512, 256), (512, 128), (256, 64), (128, 32)),
    16: ((512, 256), (512, 256), (512, 256), (256, 64), (128, 32)),
}


class TernausNet(PretrainedNetwork):
    """TernausNet-11 and -16 (Iglovikov & Shvets 2018, arXiv 1801.05746), the first part of Carvana's winners.

    `blocks`: VGG's convolutions without batch norm, 2x2 max-pools between: strides 1 to 16, and one more pool.
    `decoder`: five blocks, each a 3x3 convolution and an enlargement to twice the size, ReLU after both, joined with
    the encoder's map of that scale. `last`: 3x3 to 32 with ReLU. `score`: 1x1 to the classes.

    Enlargement: 11 has a 3x3 transposed convolution; 16 a 4x4 one (`deconv`) or, before the block's two convolutions,
    bilinear (`bilinear`). The encoder has He's initialisation, the rest torch's default, as published.
    Sides are multiples of 32.

    Args:
        depth: VGG's, 11 or 16.
        upsampling: `deconv`, or for 16 also `bilinear`.
    """

    multiple_of = 32

    def __init__(self, depth: Literal[11, 16] = 16, upsampling: Upsampling = "deconv", *, num_classes: int = 1) -> None:
        super().__init__()
        check_option("depth", depth, (11, 16))
        check_option("upsampling", upsampling, ("deconv",) if depth == 11 else ("deconv", "bilinear"))
        self.depth, self.source = depth, f"VGG{depth}_Weights.IMAGENET1K_V1"
        self.blocks, self.pool = vgg_blocks(depth), nn.MaxPool2d(2)
        self.decoder, channels = nn.ModuleList(), 0
        for skip, (middle, out) in zip((512, *reversed(WIDTHS[1:])), _DECODERS[depth], strict=True):
            self.decoder.append(_ternaus_block(skip + channels, middle, out, f"{upsampling}{depth}"))
            channels = out
        self.last = convolutions((WIDTHS[0] + channels, 32))
        self.score = nn.Conv2d(32, num_classes, 1)

    def logits(self, x: Tensor) -> Tensor:
        """Logits (N, classes, H, W) of normalised photos (N, 3, H, W)."""
        skips = []
        for block in self.blocks:
            skips.append(block(x))
            x = self.pool(skips[-1])
        for block in self.decoder:
            x = torch.cat([block(x), skips.pop()], dim=1)
        return self.score(self.last(x))  # type: ignore[no-any-return]

    def take_weights(self, weights: Weights) -> str:
        """Load torchvision's VGG of this depth."""
        load_vgg(self.blocks, weights, of=f"VGG-{self.depth}")
        return f"VGG-{self.depth}'s {sum(map(len, self.blocks)) // 2} convolutions"  # type: ignore[arg-type]


def _ternaus_block(channels: int, middle: int, out: int, kind: str) -> nn.Sequential:
    if kind == "bilinear16":
        enlarge = nn.Upsample(scale_factor=2, mode="bilinear")
        return nn.Sequential(enlarge, *convolutions((channels, middle, out)))
    kernel, extra = {"deconv11": (3, 1), "deconv16": (4, 0)}[kind]
    grow = nn.ConvTranspose2d(middle, out, kernel, 2, padding=1, output_padding=extra)
    return nn.Sequential(*convolutions((channels, middle)), grow, nn.ReLU(inplace=True))


_LINKNET_WIDTHS = (512, 256, 128, 64, 64)


class LinkNet34(PretrainedNetwork):
    """LinkNet (Chaurasia & Culurciello 2017, arXiv 1707.03718) on ResNet-34, as in the first place of Carvana 2017.

    `encoder`: torchvision's ResNet-34; its stem and four stages give strides 4, 4, 8, 16, 32.
    `decoder`: four blocks, coarse to fine: 1x1 to a quarter of the width, 3x3 transposed convolution to twice the size,
    1x1 to the next stage's width, each with batch norm and ReLU; then the encoder's map of that scale is added.
    `head`: 3x3 transposed convolution to stride 1 and one more pixel, 3x3 without padding, 2x2 to the classes with one
    pixel of padding, which gives the photo's size.

    Sides are multiples of 32.
    """

    source = "ResNet34_Weights.IMAGENET1K_V1"
    multiple_of = 32

    def __init__(self, *, num_classes: int = 1) -> None:
        super().__init__()
        self.encoder = torchvision.models.resnet34()
        self.encoder.fc = nn.Identity()
        self.decoder = nn.ModuleList(_linknet_block(*pair) for pair in pairwise(_LINKNET_WIDTHS))
        self.head = nn.Sequential(
            nn.ConvTranspose2d(64, 32, 3, 2),
            nn.ReLU(inplace=True),
            nn.Conv2d(32, 32, 3),
            nn.ReLU(inplace=True),
            nn.Conv2d(32, num_classes, 2, padding=1),
        )

    def logits(self, x: Tensor) -> Tensor:
        """Logits (N, classes, H, W) of normalised photos (N, 3, H, W)."""
        encoder, skips = self.encoder, []
        x = encoder.maxpool(encoder.relu(encoder.bn1(encoder.conv1(x))))
        for stage in (encoder.layer1, encoder.layer2, encoder.layer3, encoder.layer4):
            x = stage(x)
            skips.append(x)
        skips.pop()
        for block in self.decoder:
            x = block(x)
            if skips:
                x = x + skips.pop()
        return self.head(x)  # type: ignore[no-any-return]

    def take_weights(self, weights: Weights) -> str:
        """Load torchvision's ResNet-34."""
        load_weights(self.encoder, weights, of="ResNet-34")
        return "ResNet-34"


def _linknet_block(channels: int, width: int) -> nn.Sequential:
    quarter = channels // 4
    grow = nn.ConvTranspose2d(quarter, quarter, 3, 2, padding=1, output_padding=1)
    layers: list[nn.Module] = []
    for layer in (nn.Conv2d(channels, quarter, 1), grow, nn.Conv2d(quarter, width, 1)):
        layers += [layer, nn.BatchNorm2d(layer.out_channels), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


_DENSE_FIRST = 48
# New maps per layer; layers in the five blocks down, mirrored on the way up; layers at the bottom.
_DENSE_SHAPES = {56: (12, (4, 4, 4, 4, 4), 4), 67: (16, (5, 5, 5, 5, 5), 5), 103: (16, (4, 5, 7, 10, 12), 15)}


class DenseBlock(nn.Module):
    """Layers that each see the maps of all previous ones.

    Maps (N, C, H, W) to the layers' new maps only, (N, growth * count, H, W).
    """

    def __init__(self, channels: int, growth: int, count: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(*_dense_layer(channels + number * growth, growth, 3)) for number in range(count)
        )

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        maps = [x]
        for layer in self.layers:
            maps.append(layer(torch.cat(maps, dim=1)))
        return torch.cat(maps[1:], dim=1)


class Tiramisu(PhotoNetwork):
    """FC-DenseNet (Jegou, Drozdzal, Vazquez, Romero & Bengio 2016, arXiv 1611.09326).

    `first`: 3x3 to 48 maps. `down`: five dense blocks, each joined with its input (a skip); then `shrink`: batch norm,
    ReLU, 1x1 of the same width, dropout, 2x2 max-pool. `bottom`: a dense block. `up`: `grow`, a 3x3 transposed
    convolution of only the last block's new maps to twice the size, joined with the skip, and a dense block; the last
    one is joined with its input. `score`: 1x1 to the classes.

    A layer is batch norm, ReLU, 3x3 convolution to 12 or 16 maps, dropout 0.2. He's uniform initialisation.
    Any sides of at least 32.

    Args:
        depth: 56 (12 maps per layer), 67 or 103 (16 maps).
        num_classes: channels of the logits; 11 as published.
    """

    min_side = 32

    def __init__(self, depth: Literal[56, 67, 103] = 103, *, num_classes: int = 1) -> None:
        super().__init__()
        check_option("depth", depth, tuple(_DENSE_SHAPES))
        growth, counts, bottom = _DENSE_SHAPES[depth]
        self.first = nn.Conv2d(3, _DENSE_FIRST, 3, padding=1)
        self.down, self.shrink, widths = nn.ModuleList(), nn.ModuleList(), [_DENSE_FIRST]
        for count in counts:
            self.down.append(DenseBlock(widths[-1], growth, count))
            widths.append(widths[-1] + growth * count)
            self.shrink.append(nn.Sequential(*_dense_layer(widths[-1], widths[-1], 1), nn.MaxPool2d(2)))
        self.bottom = DenseBlock(widths[-1], growth, bottom)
        self.grow, self.up, new = nn.ModuleList(), nn.ModuleList(), growth * bottom
        for count in reversed(counts):
            self.grow.append(nn.ConvTranspose2d(new, new, 3, 2))
            channels, new = new + widths.pop(), growth * count
            self.up.append(DenseBlock(channels, growth, count))
        self.score = nn.Conv2d(channels + new, num_classes, 1)
        he_normal(self, uniform=True)

    def logits(self, x: Tensor) -> Tensor:
        """Logits (N, classes, H, W) of normalised photos (N, 3, H, W)."""
        x, skips = self.first(x), []
        for block, shrink in zip(self.down, self.shrink, strict=True):
            skips.append(torch.cat([x, block(x)], dim=1))
            x = shrink(skips[-1])
        new = self.bottom(x)
        for grow, block in zip(self.grow, self.up, strict=True):
            skip = skips.pop()
            # The paper crops the middle where there is one pixel too many, which is the first 2 n of 2 n + 1.
            x = torch.cat([skip, grow(new)[:, :, : skip.shape[2], : skip.shape[3]]], dim=1)
            new = block(x)
        return self.score(torch.cat([x, new], dim=1))  # type: ignore[no-any-return]


def _dense_layer(channels: int, width: int, kernel: int) -> list[nn.Module]:
    convolution = nn.Conv2d(channels, width, kernel, padding=kernel // 2)
    return [nn.BatchNorm2d(channels), nn.ReLU(inplace=True), convolution, nn.Dropout(0.2)]
