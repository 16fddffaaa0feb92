"""A recipe's network `linknet34`: ResNet-34, a slim decoder with added skips (Chaurasia 2017, arXiv 1707.03718)."""

from itertools import pairwise

import torchvision
from torch import Tensor, nn

from garmentcut.model.layers import PhotoNetwork
from garmentcut.model.papers.backbone import Weights, load_weights, torchvision_weights

_WIDTHS = (512, 256, 128, 64, 64)


class LinkNet34(PhotoNetwork):
    """LinkNet (Chaurasia & Culurciello 2017, arXiv 1707.03718) on ResNet-34, as in the first place of Carvana 2017.

    `encoder`: torchvision's ResNet-34; its stem and four stages give strides 4, 4, 8, 16, 32.
    `decoder`: four blocks, coarse to fine: 1x1 to a quarter of the width, 3x3 transposed convolution to twice the size,
    1x1 to the next stage's width, each with batch norm and ReLU; then the encoder's map of that scale is added.
    `head`: 3x3 transposed convolution to stride 1 and one pixel more, 3x3 without padding, 2x2 to the classes with one
    pixel of padding, which ends at the photo's size.

    Sides are multiples of 32.

    Args:
        num_classes: Channels of the logits.
    """

    multiple_of = 32

    def __init__(self, *, num_classes: int = 1) -> None:
        super().__init__()
        self.encoder = torchvision.models.resnet34()
        self.encoder.fc = nn.Identity()
        self.decoder = nn.ModuleList(_decoder_block(*pair) for pair in pairwise(_WIDTHS))
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

    def load_encoder(self, weights: Weights | None = None) -> str:
        """Take over ResNet-34 trained on ImageNet.

        Args:
            weights: In torchvision's keys; None fetches them from its hub.

        Returns:
            What was loaded.

        Raises:
            ValueError: they are not ResNet-34's.
            OSError: the hub cannot be reached.
        """
        weights = torchvision_weights("ResNet34_Weights.IMAGENET1K_V1") if weights is None else weights
        load_weights(self.encoder, weights, of="ResNet-34")
        return "ResNet-34"


def build() -> LinkNet34:
    """LinkNet-34 for one class."""
    return LinkNet34()


def _decoder_block(channels: int, width: int) -> nn.Sequential:
    quarter = channels // 4
    grow = nn.ConvTranspose2d(quarter, quarter, 3, 2, padding=1, output_padding=1)
    layers: list[nn.Module] = []
    for layer, out in (
        (nn.Conv2d(channels, quarter, 1), quarter),
        (grow, quarter),
        (nn.Conv2d(quarter, width, 1), width),
    ):
        layers += [layer, nn.BatchNorm2d(out), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)
