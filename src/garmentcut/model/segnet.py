"""SegNet: a mirrored VGG-16 whose decoder puts values back where the encoder's pools found them (1511.00561)."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from garmentcut.model.imagenet import Weights
from garmentcut.model.layers import conv_relu, he_normal
from garmentcut.model.photo_network import PhotoNetwork
from garmentcut.model.vgg import load_vgg, vgg_blocks, vgg_weights

# Widths into, within and out of each block of the decoder, coarse to fine.
_DECODER = ((512, 512, 512, 512), (512, 512, 512, 256), (256, 256, 256, 128), (128, 128, 64), (64, 64))


class SegNet(PhotoNetwork):
    """SegNet (Badrinarayanan, Kendall & Cipolla 2015, arXiv 1511.00561).

    `blocks`: VGG-16's 13 convolutions, each with batch norm and ReLU, 2x2 max-pools between: strides 2 to 32.
    `decoder`: the mirror image; each block first takes its input to twice the size, every value to the pixel that won
    in the encoder's pool and zeros elsewhere, then convolves. `score`: 3x3 to the classes.

    Initialised after He, as published. Sides are multiples of 32. Which of two equal pixels wins is up to rounding, and
    on a plain background many are: OpenVINO's and torch's alphas of a studio photo differed by more than 0.001 in 0.1 %
    of the pixels, by 0.02 at most.

    Args:
        num_classes: Channels of the logits; 11 as published.
    """

    multiple_of = 32
    is_continuous = False

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
        places = []
        for block in self.blocks:
            x, place = pool(block(x))
            places.append(place)
        for block, place in zip(self.decoder, reversed(places), strict=True):
            x = block(unpool(x, place))
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
    """2x2 max-pool that remembers where; equals `nn.MaxPool2d(2, return_indices=True)` but for the indices' form.

    ONNX knows no unpooling, hence this form, which only shuffles and compares.

    Args:
        x: (N, C, H, W), even sides.

    Returns:
        The largest of each 2x2 pixels, (N, C, H / 2, W / 2), and its place among them, bool (N, C, 4, H / 2, W / 2):
        true at the first of the largest, in reading order.
    """
    four = torch.unflatten(functional.pixel_unshuffle(x, 2), 1, (-1, 4))
    values, winner = four.max(dim=2, keepdim=True)
    return values.squeeze(2), winner == torch.arange(4, device=x.device).view(1, 1, 4, 1, 1)


def unpool(x: Tensor, place: Tensor) -> Tensor:
    """Each value of (N, C, H, W) to its place in its 2x2 pixels of (N, C, 2 H, 2 W), zeros elsewhere."""
    return functional.pixel_shuffle((x.unsqueeze(2) * place).flatten(1, 2), 2)
