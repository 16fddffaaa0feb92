"""A recipe's network `segnet`: a mirrored VGG-16 that unpools values to where they came from (1511.00561)."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from garmentcut.model.layers import PhotoNetwork
from garmentcut.model.papers.backbone import Weights, conv_relu, he_normal, load_vgg, vgg_blocks, vgg_weights

# Widths into, within and out of each block of the decoder, coarse to fine.
_DECODER = ((512, 512, 512, 512), (512, 512, 512, 256), (256, 256, 256, 128), (128, 128, 64), (64, 64))

TIE, WIN = 0.02, 0.1
"""For `pool`, pixels that differ by less than `TIE` are equal, and one that is larger by `WIN` has clearly won; values
behind a batch norm and a ReLU are around 1."""


class SegNet(PhotoNetwork):
    """SegNet (Badrinarayanan, Kendall & Cipolla 2015, arXiv 1511.00561).

    `blocks`: VGG-16's 13 convolutions, each with batch norm and ReLU, 2x2 max-pools between: strides 2 to 32.
    `decoder`: the mirror image; each block first takes its input to twice the size, every value to the pixel that won
    in the encoder's pool and zeros elsewhere, then convolves. `score`: 3x3 to the classes.

    Initialised after He, as published. Sides are multiples of 32. In the paper the larger of two pixels wins, however
    little larger it is. On a plain background that is up to rounding, each runtime has its own, and alphas differ. Here
    the first of two pixels that are all but equal wins; see `pool`.

    Args:
        num_classes: Channels of the logits; 11 as published.
    """

    multiple_of = 32

    def __init__(self, *, num_classes: int = 1) -> None:
        super().__init__()
        self.blocks = vgg_blocks(16, batch_norm=True)
        self.decoder = nn.ModuleList(
            nn.Sequential(*(layer for pair in pairwise(widths) for layer in conv_relu(*pair, batch_norm=True)))
            for widths in _DECODER
        )
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

    def load_encoder(self, weights: Weights | None = None) -> str:
        """Take over VGG-16 with batch norms, trained on ImageNet.

        Args:
            weights: In torchvision's keys for `vgg16_bn`; None fetches them from its hub.

        Returns:
            What was loaded.

        Raises:
            ValueError: they are not those of VGG-16 with batch norms.
            OSError: the hub cannot be reached.
        """
        weights = vgg_weights(16, batch_norm=True) if weights is None else weights
        load_vgg(self.blocks, weights, of="VGG-16 with batch norms")
        return "VGG-16's 13 convolutions and their batch norms"


def build() -> SegNet:
    """SegNet for one class."""
    return SegNet()


def pool(x: Tensor) -> tuple[Tensor, Tensor]:
    """2x2 max-pool that remembers where; `nn.MaxPool2d(2, return_indices=True)` with shares in place of indices.

    The first in reading order wins, as in torch, until a later one is larger by `TIE`; from there to `WIN` its share
    grows from 0 to 1. So a rounding moves a share by little, and that of equal pixels not at all. No gradient flows
    through the shares, as none flows through indices.

    Args:
        x: (N, C, H, W), even sides.

    Returns:
        The largest of each 2x2 pixels, (N, C, H / 2, W / 2), and the share of each of them in reading order,
        (N, C, 4, H / 2, W / 2), in [0, 1], 1 together.
    """
    first, *later = torch.unflatten(functional.pixel_unshuffle(x.detach(), 2), 1, (-1, 4)).unbind(dim=2)
    largest, shares = first, [torch.ones_like(first)]
    for value in later:
        won = ((value - largest - TIE) / (WIN - TIE)).clamp(0, 1)
        shares = [*(share * (1 - won) for share in shares), won]
        largest = torch.maximum(largest, value)
    return functional.max_pool2d(x, 2), torch.stack(shares, dim=2)


def unpool(x: Tensor, shares: Tensor) -> Tensor:
    """Each value of (N, C, H, W) to its place in its 2x2 pixels of (N, C, 2 H, 2 W), zeros elsewhere."""
    return functional.pixel_shuffle((x.unsqueeze(2) * shares).flatten(1, 2), 2)
