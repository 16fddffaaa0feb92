"""What the papers' networks share: VGG's convolutions, weights from ImageNet, maps on a grid of pixels.

VGG is Simonyan & Zisserman 2014, arXiv 1409.1556, without its pools and its classifier.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import timm
import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import get_weight

from garmentcut.model.checkpoint import Mismatch
from garmentcut.model.layers import PhotoNetwork

Weights = Mapping[str, Tensor]
WIDTHS = (64, 128, 256, 512, 512)
_CONVOLUTIONS = {11: (1, 1, 2, 2, 2), 16: (2, 2, 3, 3, 3)}


class PretrainedNetwork(PhotoNetwork):
    """A network whose encoder can start from ImageNet's weights; a subclass implements `take_weights`.

    `num_classes`, which each of the papers' networks takes, is the number of channels of its logits.
    """

    source: str
    """Name of these weights in torchvision or timm: `VGG16_Weights.IMAGENET1K_V1`, `resnet50s.gluon_in1k`."""

    def load_encoder(self, weights: Weights | None = None) -> str:
        """Load an encoder trained on ImageNet; returns what was loaded.

        `weights` have the keys of its source, torchvision or timm; None fetches them from that hub.

        Raises:
            ValueError: they are not those of this encoder.
            OSError: the hub cannot be reached.
        """
        return self.take_weights(hub_weights(self.source) if weights is None else weights)

    def take_weights(self, weights: Weights) -> str:
        """Copy weights into the encoder; returns what was loaded; raises as `load_encoder`."""
        raise NotImplementedError


def hub_weights(name: str) -> Weights:
    """Weights by their name in torchvision or timm, with the classifier's; fetched from the hub once, then cached."""
    if "_Weights." in name:
        weights: Weights = get_weight(name).get_state_dict(progress=False, check_hash=True)
        return weights
    return timm.create_model(name, pretrained=True).state_dict()


def load_weights(module: nn.Module, weights: Weights, *, of: str, names: Mapping[str, str] | None = None) -> None:
    """Copy weights into a module: all that it has, or none if one of them does not fit.

    Weights that the module lacks, such as a classifier, are ignored. `names` maps the module's keys to those in
    `weights`, the same by default; `of` is the architecture, for the error.

    Raises:
        ValueError: a tensor is missing or has another shape.
    """
    theirs = {key: names[key] if names else key for key in module.state_dict()}
    own = {theirs[key]: tensor for key, tensor in module.state_dict().items()}
    given = {key: weights[key] for key in own if key in weights}
    if mismatch := Mismatch.between(own, given):
        raise ValueError(f"these are not the weights of {of}: {mismatch}")
    module.load_state_dict({key: given[name] for key, name in theirs.items() if name in given}, strict=False)


def vgg_blocks(
    depth: int, *, batch_norm: bool = False, first_padding: int = 1, last_dilation: int = 1
) -> nn.ModuleList:
    """Five blocks of 3x3 convolutions and ReLUs, 64 to 512 wide, He-initialised; no pools.

    `depth`: 11 or 16, as in the network's name in the paper; `batch_norm`: add one between each convolution and its
    ReLU; `first_padding`: zeros around the photo; `last_dilation`: dilation of the last block's kernels.
    """
    blocks = nn.ModuleList()
    for channels, width, count in zip((3, *WIDTHS), WIDTHS, _CONVOLUTIONS[depth], strict=False):
        dilation = last_dilation if len(blocks) == 4 else 1
        blocks.append(convolutions((channels, *[width] * count), padding=dilation, dilation=dilation, norm=batch_norm))
    blocks[0][0].padding = (first_padding, first_padding)  # type: ignore[index]  # a sequence
    he_normal(blocks)
    return blocks


def load_vgg(blocks: nn.ModuleList, weights: Weights, *, of: str) -> None:
    """Copy weights with torchvision's keys, `features.0.weight` and so on, into `vgg_blocks`.

    Raises:
        ValueError: they are another network's, or torchvision's `IMAGENET1K_FEATURES`, which need other colours.
    """
    names, position = {}, 0
    for number, block in enumerate(blocks):
        for key in block.state_dict():
            layer, name = key.split(".")
            names[f"{number}.{key}"] = f"features.{position + int(layer)}.{name}"
        position += len(block) + 1  # type: ignore[arg-type]  # torchvision's pool follows
    if not all(torch.isfinite(tensor).all() for tensor in weights.values()):
        raise ValueError(f"these weights of {of} are not all finite (IMAGENET1K_FEATURES?); take IMAGENET1K_V1")
    load_weights(blocks, weights, of=of, names=names)


def dense_layers(width: int, kernel: int, *, padding: int = 0, dilation: int = 1) -> nn.Sequential:
    """VGG's dense layers fc6 and fc7 as convolutions, `kernel` and 1 wide, each with ReLU and dropout 0.5."""
    convolutions = nn.Conv2d(512, width, kernel, padding=padding, dilation=dilation), nn.Conv2d(width, width, 1)
    layers = nn.Sequential(*(layer for one in convolutions for layer in (one, nn.ReLU(inplace=True), nn.Dropout())))
    he_normal(layers)
    return layers


def load_dense(layers: nn.Sequential, weights: Weights) -> str:
    """Copy VGG-16's dense layers into `dense_layers`, subsampled evenly to their width and kernel.

    Returns what was loaded; if the weights have no classifier, nothing was.
    """
    keys = [f"classifier.{number}.{name}" for number in (0, 3) for name in ("weight", "bias")]
    if not all(key in weights for key in keys):
        return "its dense layers are not among the weights and start from scratch"
    fc6, bias6, fc7, bias7 = (weights[key] for key in keys)
    width, _, kernel, _ = layers[0].weight.shape  # type: ignore[misc]  # a convolution
    units, places = 4096 // width, 6 // (kernel - 1)
    fc6 = fc6.view(4096, 512, 7, 7)[::units, :, ::places, ::places]
    fc7 = fc7.view(4096, 4096, 1, 1)[::units, ::units]
    layers[0].load_state_dict({"weight": fc6, "bias": bias6[::units]})
    layers[3].load_state_dict({"weight": fc7, "bias": bias7[::units]})
    return f"its dense layers fc6 and fc7{', thinned' if units > 1 else ''}"


def convolutions(widths: Sequence[int], *, padding: int = 1, dilation: int = 1, norm: bool = False) -> nn.Sequential:
    """3x3 convolutions from each width to the next, each with a ReLU, and before it a batch norm if `norm`."""
    layers: list[nn.Module] = []
    for channels, width in pairwise(widths):
        layers.append(nn.Conv2d(channels, width, 3, padding=padding, dilation=dilation))
        layers += [nn.BatchNorm2d(width)] if norm else []
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


def he_normal(module: nn.Module, *, uniform: bool = False) -> None:
    """Initialise convolutions for ReLUs: N(0, 2 / fan in), biases 0 (He 2015, arXiv 1502.01852, "MSRA" in Caffe).

    With `uniform`, the weights have a uniform distribution of the same variance.
    """
    draw = nn.init.kaiming_uniform_ if uniform else nn.init.kaiming_normal_
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            draw(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def extend(photos: Tensor) -> Tensor:
    """Repeat the last row and the last column: (N, C, H, W) to (N, C, H + 1, W + 1).

    On sides of s k + 1 pixels, the k + 1 values of a map at stride s lie on pixels 0, s, ... s k, so the first and the
    last are on the photo's corners. Bilinear enlargement with aligned corners is then exact.
    """
    return functional.pad(photos, (0, 1, 0, 1), mode="replicate")


def enlarge(x: Tensor, like: Tensor) -> Tensor:
    """Enlarge bilinearly to the height and width of `like`, with aligned corners; see `extend`."""
    return functional.interpolate(x, like.shape[2:], mode="bilinear", align_corners=True)
