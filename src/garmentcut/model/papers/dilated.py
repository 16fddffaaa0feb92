"""Networks with a dilated encoder, by their names in a recipe.

* `pspnet`: a dilated ResNet with averages over 1 to 36 fields (Zhao 2016, arXiv 1612.01105);
* `deeplab_plus`, DeepLabv3+: dilated encoder and pyramid, decoder at stride 4 (Chen 2018, arXiv 1802.02611).
"""

from typing import Any, Literal

import timm
import torch
import torchvision
from torch import Tensor, nn
from torchvision.models.segmentation.deeplabv3 import ASPP

from garmentcut.model.layers import IMAGENET_MEAN, IMAGENET_STD, check_option, conv_norm_relu
from garmentcut.model.papers.backbone import PretrainedNetwork, Weights, enlarge, extend, load_weights

_BINS = (1, 2, 3, 6)


class PyramidPooling(nn.Module):
    """Averages over 1x1, 2x2, 3x3 and 6x6 fields, narrowed by 1x1 convolutions, enlarged, and joined with the features.

    Maps (N, C, H, W) to (N, 2 C, H, W).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.levels = nn.ModuleList(nn.Sequential(*conv_norm_relu(channels, channels // 4, 1)) for _ in _BINS)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        levels = [enlarge(level(adaptive_average(x, bins)), x) for level, bins in zip(self.levels, _BINS, strict=True)]
        return torch.cat([x, *levels], dim=1)


class PspNet(PretrainedNetwork):
    """Pyramid Scene Parsing Network (Zhao, Shi, Qi, Wang & Jia 2016, arXiv 1612.01105).

    `encoder`: ResNet with three 3x3 convolutions as stem, all convolutions of its third stage dilated by 2 and of its
    fourth by 4: strides 4, 8, 8, 8. `pyramid`: context at four scales. `head`: 3x3 to 512 with batch norm and
    ReLU, dropout 0.1, 1x1 to the classes; enlarged bilinearly. Without the auxiliary head, which only helps training.

    The published net takes sides of 8 k + 1. Here the photo's last row and column are repeated, and the enlarged logits
    lose them again, so sides are multiples of 8. A training step needs two photos, because the batch norm of the
    coarsest level sees a single value of each.

    Args:
        depth: ResNet's, 50 or 101.
    """

    multiple_of = 8
    min_training_photos = 2

    def __init__(self, depth: Literal[50, 101] = 50, *, num_classes: int = 1) -> None:
        super().__init__()
        check_option("depth", depth, (50, 101))
        self.depth, self.source = depth, f"resnet{depth}s.gluon_in1k"
        self.encoder = _dilated_resnet(depth)
        self.pyramid = PyramidPooling(2048)
        self.head = nn.Sequential(*conv_norm_relu(4096, 512, 3), nn.Dropout2d(0.1), nn.Conv2d(512, num_classes, 1))

    def logits(self, x: Tensor) -> Tensor:
        """Logits (N, classes, H, W) of normalised photos (N, 3, H, W)."""
        padded = extend(x)
        scores = self.head(self.pyramid(self.encoder.forward_features(padded)))
        return enlarge(scores, padded)[:, :, :-1, :-1]

    def take_weights(self, weights: Weights) -> str:
        """Load timm's ResNet with this stem, which torchvision does not have.

        The keys are torchvision's, except for the stem's, `conv1.0.weight` and so on.
        """
        load_weights(self.encoder, weights, of=f"timm's resnet{self.depth}s")
        return f"ResNet-{self.depth} with a stem of three convolutions"


def adaptive_average(x: Tensor, bins: int) -> Tensor:
    """Averages over `bins` by `bins` fields, which may overlap by a pixel; equals `nn.AdaptiveAvgPool2d(bins)`.

    As a matrix product it can be exported for photos of any size, which adaptive pooling cannot.
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


EncoderName = Literal["resnet50", "resnet101", "xception65"]
OutputStride = Literal[8, 16]

_SOURCES: dict[str, str] = {
    "resnet50": "ResNet50_Weights.IMAGENET1K_V1",
    "resnet101": "ResNet101_Weights.IMAGENET1K_V1",
    "xception65": "xception65.tf_in1k",
}
_HALF = (0.5, 0.5, 0.5)  # what Xception was trained with


class DeepLabPlus(PretrainedNetwork):
    """DeepLabv3+ (Chen, Zhu, Papandreou, Schroff & Adam 2018, arXiv 1802.02611).

    `encoder`: torchvision's ResNet or timm's modified aligned Xception, dilated to end at stride 16 or 8.
    `pyramid`: torchvision's ASPP: 1x1, 3x3 dilated by 6, 12 and 18 (twice that at stride 8) and the photo's average,
    256 wide each, joined and narrowed to 256 with dropout. `narrow`: the encoder's map at stride 4, 1x1 to 48.
    `decoder`: both joined at stride 4, two 3x3 convolutions, 256 wide, batch norm and ReLU after each; 1x1 to the
    classes, enlarged bilinearly. Convolutions are plain, not separable.

    As the paper's crops of 513 show, it takes sides of 16 k + 1. Here the photo's last row and column are repeated, and
    the logits lose them again, so sides are multiples of the output stride. A training step needs two photos, because
    the batch norm of the photo's average sees a single value of each.

    Args:
        encoder: `resnet50`, `resnet101` or `xception65`.
        output_stride: 16, as the paper trains it, or 8, finer, with 2.6 times the operations.
    """

    min_training_photos = 2

    def __init__(
        self, encoder: EncoderName = "resnet50", output_stride: OutputStride = 16, *, num_classes: int = 1
    ) -> None:
        check_option("encoder", encoder, tuple(_SOURCES))
        check_option("output_stride", output_stride, (8, 16))
        colours = (_HALF, _HALF) if encoder == "xception65" else (IMAGENET_MEAN, IMAGENET_STD)
        super().__init__(*colours)
        self.multiple_of = output_stride
        self.encoder_name, self.source = encoder, _SOURCES[encoder]
        self.encoder = _encoder(encoder, output_stride)
        self.pyramid = ASPP(2048, [rate * 16 // output_stride for rate in (6, 12, 18)])
        self.narrow = nn.Sequential(*conv_norm_relu(256, 48, 1))
        self.decoder = nn.Sequential(
            *conv_norm_relu(304, 256, 3), *conv_norm_relu(256, 256, 3), nn.Conv2d(256, num_classes, 1)
        )

    def logits(self, x: Tensor) -> Tensor:
        """Logits (N, classes, H, W) of normalised photos (N, 3, H, W)."""
        x = extend(x)
        fine, deep = self._features(x)
        joined = torch.cat([enlarge(self.pyramid(deep), fine), self.narrow(fine)], dim=1)
        return enlarge(self.decoder(joined), x)[:, :, :-1, :-1]

    def take_weights(self, weights: Weights) -> str:
        """Load torchvision's ResNet, or timm's Xception."""
        load_weights(self.encoder, weights, of=self.encoder_name)
        return self.encoder_name.replace("resnet", "ResNet-").replace("xception", "Xception-")

    def _features(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The encoder's maps at stride 4 (256 wide) and at its end (2048 wide)."""
        encoder = self.encoder
        if self.encoder_name != "xception65":
            fine = encoder.layer1(encoder.maxpool(encoder.relu(encoder.bn1(encoder.conv1(x)))))
            return fine, encoder.layer4(encoder.layer3(encoder.layer2(fine)))
        x = encoder.blocks[0](encoder.stem(x))
        # Stride 4 ends inside the second block, before its strided last convolution.
        fine = encoder.blocks[1].stack[:-1](x)
        x = encoder.blocks[1].stack[-1](fine) + encoder.blocks[1].shortcut(x)
        return fine, encoder.blocks[2:](x)


def _encoder(name: str, output_stride: int) -> Any:
    if name == "xception65":
        return timm.create_model(name, num_classes=0, output_stride=output_stride)
    dilated = [False, output_stride == 8, True]
    encoder: Any = torchvision.models.get_model(name, weights=None, replace_stride_with_dilation=dilated)
    encoder.fc = nn.Identity()
    return encoder
