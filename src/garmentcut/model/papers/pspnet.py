"""A recipe's network `pspnet`: a dilated ResNet with averages over 1 to 36 fields (Zhao 2016, 1612.01105)."""

from typing import Any, Literal

import timm
import torch
from torch import Tensor, nn

from garmentcut.model.layers import PhotoNetwork, check_option, conv_norm_relu
from garmentcut.model.papers.backbone import Weights, enlarge, extend, load_weights, timm_weights

Depth = Literal[50, 101]

_BINS = (1, 2, 3, 6)


class PyramidPooling(nn.Module):
    """Averages of 1x1, 2x2, 3x3 and 6x6 fields, narrowed by 1x1 convolutions, enlarged and joined with the features.

    (N, C, H, W) to (N, 2 C, H, W).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.levels = nn.ModuleList(nn.Sequential(*conv_norm_relu(channels, channels // 4, 1)) for _ in _BINS)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        levels = [enlarge(level(adaptive_average(x, bins)), x) for level, bins in zip(self.levels, _BINS, strict=True)]
        return torch.cat([x, *levels], dim=1)


class PspNet(PhotoNetwork):
    """Pyramid Scene Parsing Network (Zhao, Shi, Qi, Wang & Jia 2016, arXiv 1612.01105).

    `encoder`: ResNet with three 3x3 convolutions as stem, its third stage dilated by 2 and its fourth by 4, all
    convolutions of these: strides 4, 8, 8, 8. `pyramid`: context at four scales. `head`: 3x3 to 512 with batch norm and
    ReLU, dropout 0.1, 1x1 to the classes; enlarged bilinearly.

    The published net takes sides of 8 k + 1. Here the photo gets one more row and column, its last ones again, and the
    enlarged logits lose them: sides are multiples of 8. A training step needs two photos, since the batch norm of the
    coarsest level sees a single value of each.

    Args:
        depth: ResNet's, 50 or 101.
        auxiliary: Add the published auxiliary head on the third stage; see `logits_and_auxiliary`. Off by default: a
            head that no loss reaches is only weight, and a forward pass has one result.
        num_classes: Channels of the logits.
    """

    multiple_of = 8
    min_training_photos = 2

    def __init__(self, depth: Depth = 50, *, auxiliary: bool = False, num_classes: int = 1) -> None:
        super().__init__()
        check_option("depth", depth, (50, 101))
        self.depth, self.encoder = depth, _dilated_resnet(depth)
        self.pyramid = PyramidPooling(2048)
        self.head = _head(4096, 512, num_classes)
        self.auxiliary = _head(1024, 256, num_classes) if auxiliary else None

    def logits(self, x: Tensor) -> Tensor:
        """Logits (N, classes, H, W) of normalised photos (N, 3, H, W)."""
        _, deep, padded = self._features(x)
        return enlarge(self.head(self.pyramid(deep)), padded)[:, :, :-1, :-1]

    def logits_and_auxiliary(self, photos: Tensor) -> tuple[Tensor, Tensor]:
        """Logits as `forward`, and those of the auxiliary head, whose loss the paper adds with a weight of 0.4.

        Raises:
            ValueError: built without `auxiliary`, or as `forward`.
        """
        if self.auxiliary is None:
            raise ValueError("this PSPNet was built without its auxiliary head; build it with auxiliary=True")
        middle, deep, padded = self._features(self.normalize(photos))
        both = (self.head(self.pyramid(deep)), self.auxiliary(middle))
        logits, auxiliary = (enlarge(scores, padded)[:, :, :-1, :-1].float() for scores in both)
        return logits, auxiliary

    def load_encoder(self, weights: Weights | None = None) -> str:
        """Take over a ResNet with this stem, trained on ImageNet.

        torchvision has none, timm has (`resnet50s.gluon_in1k`, `resnet101s.gluon_in1k`); the keys are torchvision's but
        for the stem, `conv1.0.weight` and so on.

        Args:
            weights: In timm's keys; None fetches them from its hub.

        Returns:
            What was loaded.

        Raises:
            ValueError: they are not those of a ResNet of this depth with this stem.
            OSError: the hub cannot be reached.
        """
        weights = timm_weights(f"resnet{self.depth}s.gluon_in1k") if weights is None else weights
        load_weights(self.encoder, weights, of=f"timm's resnet{self.depth}s")
        return f"ResNet-{self.depth} with a stem of three convolutions"

    def _features(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Third and fourth stage, and the padded photo."""
        padded, encoder = extend(x), self.encoder
        x = encoder.maxpool(encoder.act1(encoder.bn1(encoder.conv1(padded))))
        middle = encoder.layer3(encoder.layer2(encoder.layer1(x)))
        return middle, encoder.layer4(middle), padded


def build(depth: Depth = 50, auxiliary: bool = False) -> PspNet:
    """PSPNet on ResNet-50 or -101 for one class."""
    return PspNet(depth, auxiliary=auxiliary)


def adaptive_average(x: Tensor, bins: int) -> Tensor:
    """Averages of `bins` by `bins` fields, which may overlap by a pixel; equals `nn.AdaptiveAvgPool2d(bins)`.

    As a product of matrices it exports for photos of any size, which adaptive pooling does not.
    """
    rows, columns = (_field_weights(x.shape[axis], bins, x) for axis in (2, 3))
    return rows @ x @ columns.T


def _field_weights(size: int, bins: int, like: Tensor) -> Tensor:
    """(bins, size): row i is 1 / length from floor(i size / bins) to before ceil((i + 1) size / bins), else 0."""
    number, place = torch.arange(bins, device=like.device)[:, None], torch.arange(size, device=like.device)
    inside = (place >= number * size // bins) & (place < ((number + 1) * size + bins - 1) // bins)
    weights = inside.to(like.dtype)
    return weights / weights.sum(dim=1, keepdim=True)


def _dilated_resnet(depth: int) -> Any:
    encoder: Any = timm.create_model(f"resnet{depth}s", num_classes=0)
    for stage, dilation in ((encoder.layer3, 2), (encoder.layer4, 4)):
        for block in stage:
            block.conv2.stride, block.conv2.dilation, block.conv2.padding = (1, 1), (dilation,) * 2, (dilation,) * 2
        stage[0].downsample[0].stride = (1, 1)
    return encoder


def _head(channels: int, width: int, num_classes: int) -> nn.Sequential:
    return nn.Sequential(*conv_norm_relu(channels, width, 3), nn.Dropout2d(0.1), nn.Conv2d(width, num_classes, 1))
