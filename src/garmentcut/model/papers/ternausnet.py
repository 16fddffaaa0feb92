"""A recipe's network `ternausnet`: a U-Net on VGG from ImageNet (Iglovikov & Shvets 2018, arXiv 1801.05746)."""

from typing import Literal

import torch
from torch import Tensor, nn

from garmentcut.model.layers import PhotoNetwork, check_option
from garmentcut.model.papers.backbone import WIDTHS, Weights, conv_relu, load_vgg, vgg_blocks, vgg_weights

Depth = Literal[11, 16]
Upsampling = Literal["deconv", "bilinear"]

# Width between and out of the two layers of each decoder block, coarse to fine: the centre, then dec5 to dec2.
_DECODERS = {
    11: ((512, 256), (512, 256), (512, 128), (256, 64), (128, 32)),
    16: ((512, 256), (512, 256), (512, 256), (256, 64), (128, 32)),
}


class TernausNet(PhotoNetwork):
    """TernausNet-11 and -16 (Iglovikov & Shvets 2018, arXiv 1801.05746), the first part of Carvana's winners.

    `blocks`: VGG's convolutions without batch norm, 2x2 max-pools between: strides 1 to 16, and one more pool.
    `decoder`: five blocks, each a 3x3 convolution and an enlargement to twice the size, ReLU after both, joined with
    the encoder's map of that scale. `last`: 3x3 to 32 with ReLU. `score`: 1x1 to the classes.

    Enlargement: 11 has a 3x3 transposed convolution; 16 a 4x4 one (`deconv`) or, before the block's two convolutions,
    bilinear (`bilinear`). The encoder starts after He, the rest as torch draws it, as published.
    Sides are multiples of 32.

    Args:
        depth: VGG's, 11 or 16.
        upsampling: `deconv`, or for 16 also `bilinear`.
        num_classes: Channels of the logits.
    """

    multiple_of = 32

    def __init__(self, depth: Depth = 16, upsampling: Upsampling = "deconv", *, num_classes: int = 1) -> None:
        super().__init__()
        check_option("depth", depth, (11, 16))
        check_option("upsampling", upsampling, ("deconv",) if depth == 11 else ("deconv", "bilinear"))
        self.depth = depth
        self.blocks, self.pool = vgg_blocks(depth), nn.MaxPool2d(2)
        self.decoder, channels = nn.ModuleList(), 0
        for skip, (middle, out) in zip((512, *reversed(WIDTHS[1:])), _DECODERS[depth], strict=True):
            self.decoder.append(nn.Sequential(*_decoder_block(skip + channels, middle, out, f"{upsampling}{depth}")))
            channels = out
        self.last = nn.Sequential(*conv_relu(WIDTHS[0] + channels, 32))
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

    def load_encoder(self, weights: Weights | None = None) -> str:
        """Take over VGG trained on ImageNet.

        Args:
            weights: In torchvision's keys; None fetches them from its hub.

        Returns:
            What was loaded.

        Raises:
            ValueError: they are not those of VGG of this depth.
            OSError: the hub cannot be reached.
        """
        load_vgg(self.blocks, vgg_weights(self.depth) if weights is None else weights, of=f"VGG-{self.depth}")
        return f"VGG-{self.depth}'s {sum(map(len, self.blocks)) // 2} convolutions"  # type: ignore[arg-type]


def build(depth: Depth = 16, upsampling: Upsampling = "deconv") -> TernausNet:
    """TernausNet-11 or -16 for one class."""
    return TernausNet(depth, upsampling)


def _decoder_block(channels: int, middle: int, out: int, kind: str) -> list[nn.Module]:
    if kind == "bilinear16":
        enlarge = nn.Upsample(scale_factor=2, mode="bilinear")
        return [enlarge, *conv_relu(channels, middle), *conv_relu(middle, out)]
    sizes = {"deconv11": (3, 1), "deconv16": (4, 0)}
    kernel, extra = sizes[kind]
    grow = nn.ConvTranspose2d(middle, out, kernel, 2, padding=1, output_padding=extra)
    return [*conv_relu(channels, middle), grow, nn.ReLU(inplace=True)]
