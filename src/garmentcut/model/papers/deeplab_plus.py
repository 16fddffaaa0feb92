"""A recipe's network `deeplab_plus`, DeepLabv3+: dilated encoder and pyramid, decoder at stride 4 (Chen 2018)."""

from typing import Any, Literal

import timm
import torch
import torchvision
from torch import Tensor, nn
from torchvision.models.segmentation.deeplabv3 import ASPP

from garmentcut.model.layers import IMAGENET_MEAN, IMAGENET_STD, PhotoNetwork, check_option, conv_norm_relu
from garmentcut.model.papers.backbone import Weights, enlarge, extend, load_weights, timm_weights, torchvision_weights

EncoderName = Literal["resnet50", "resnet101", "xception65"]
OutputStride = Literal[8, 16]

_HALF = (0.5, 0.5, 0.5)  # what Xception was trained with


class DeepLabPlus(PhotoNetwork):
    """DeepLabv3+ (Chen, Zhu, Papandreou, Schroff & Adam 2018, arXiv 1802.02611).

    `encoder`: torchvision's ResNet or timm's modified aligned Xception, dilated to end at stride 16 or 8.
    `pyramid`: torchvision's ASPP: 1x1, 3x3 dilated by 6, 12 and 18 (twice that at stride 8) and the photo's average,
    256 wide each, joined and narrowed to 256 with dropout. `narrow`: the encoder's map at stride 4, 1x1 to 48.
    `decoder`: both joined at stride 4, two 3x3 convolutions, 256 wide, batch norm and ReLU after each; 1x1 to the
    classes, enlarged bilinearly. Convolutions are plain, not separable.

    As the paper's crops of 513 show, it takes sides of 16 k + 1. Here the photo gets one more row and column, its last
    ones again, and the logits lose them: sides are multiples of the output stride. A training step needs two photos,
    since the batch norm of the photo's average sees a single value of each.

    Args:
        encoder: `resnet50`, `resnet101` or `xception65`.
        output_stride: 16, as the paper trains, or 8, finer, with 2.6 times the arithmetic.
        num_classes: Channels of the logits.
    """

    min_training_photos = 2

    def __init__(
        self, encoder: EncoderName = "resnet50", output_stride: OutputStride = 16, *, num_classes: int = 1
    ) -> None:
        check_option("encoder", encoder, ("resnet50", "resnet101", "xception65"))
        check_option("output_stride", output_stride, (8, 16))
        colours = (_HALF, _HALF) if encoder == "xception65" else (IMAGENET_MEAN, IMAGENET_STD)
        super().__init__(*colours)
        self.multiple_of = output_stride
        self.encoder_name = encoder
        self.encoder = _xception(output_stride) if encoder == "xception65" else _resnet(encoder, output_stride)
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

    def load_encoder(self, weights: Weights | None = None) -> str:
        """Take over an encoder trained on ImageNet.

        Args:
            weights: In torchvision's keys, Xception's in timm's; None fetches them from that hub.

        Returns:
            What was loaded.

        Raises:
            ValueError: they are not those of this encoder.
            OSError: the hub cannot be reached.
        """
        name, number = self.encoder_name, self.encoder_name.removeprefix("resnet")
        if weights is None and name == "xception65":
            weights = timm_weights("xception65.tf_in1k")
        elif weights is None:
            weights = torchvision_weights(f"ResNet{number}_Weights.IMAGENET1K_V1")
        load_weights(self.encoder, weights, of=name)
        return "Xception-65" if name == "xception65" else f"ResNet-{number}"

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


def build(encoder: EncoderName = "resnet50", output_stride: OutputStride = 16) -> DeepLabPlus:
    """DeepLabv3+ for one class."""
    return DeepLabPlus(encoder, output_stride)


def _resnet(name: str, output_stride: int) -> Any:
    dilated = [False, output_stride == 8, True]
    encoder: Any = torchvision.models.get_model(name, weights=None, replace_stride_with_dilation=dilated)
    encoder.fc = nn.Identity()
    return encoder


def _xception(output_stride: int) -> Any:
    return timm.create_model("xception65", num_classes=0, output_stride=output_stride)
