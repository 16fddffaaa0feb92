"""Building blocks of networks: `PhotoNetwork`, which checks and normalises its input; encoders from timm; decoders."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import timm
import torch
from timm.layers.conv2d_same import Conv2dSame
from timm.models import adapt_input_conv
from torch import Tensor, nn
from torch.nn import functional

from garmentcut.errors import ModelError
from garmentcut.model.checkpoint import Mismatch
from garmentcut.model.networks import nearest

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class PhotoNetwork(nn.Module):
    """Maps photos to logits of the same size; a subclass implements `logits`.

    Args:
        mean: subtracted from each channel of the photo, which is in [0, 1]; ImageNet's by default.
        std: by which the channels are then divided.
    """

    in_channels: int = 3  # Of a photo: 3, or more if maps come with it
    multiple_of: int = 1  # Both sides of a photo must be a multiple of this
    min_side: int = 1  # Both sides must be at least this, in pixels
    min_training_photos: int = 1  # Photos a training step needs: 2 if a batch norm sees one value per photo
    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float] = IMAGENET_MEAN, std: Sequence[float] = IMAGENET_STD) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1), persistent=False)

    def forward(self, photos: Tensor) -> Tensor:
        """Float32 logits (N, 1, H, W) of sRGB photos (N, in_channels, H, W) in [0, 1], float32 or as autocast has them.

        Raises:
            ValueError: the photos have another dtype or shape, or sides that the network cannot take.
        """
        return self.logits(self.normalize(photos)).float()

    def normalize(self, photos: Tensor) -> Tensor:
        """Check photos as `forward`, then scale them to the range in which the network is trained."""
        self.check(photos)
        return (photos - self.mean) / self.std

    def check(self, photos: Tensor) -> None:
        """Refuse photos that the network would misread; raises as `forward`."""
        if torch.compiler.is_exporting():
            return  # sizes are symbolic then, and `if` would fix them
        shape, multiple = tuple(photos.shape), self.multiple_of
        if photos.ndim != 4 or shape[1] != self.in_channels:
            raise ValueError(f"expected photos of shape (N, {self.in_channels}, H, W), not {shape}")
        if not photos.is_floating_point():
            dtype = str(photos.dtype).removeprefix("torch.")
            raise ValueError(f"expected float32 in [0, 1], not {dtype}; divide by 255")
        num, _, height, width = shape
        if 0 in shape or height % multiple or width % multiple:
            raise ValueError(f"expected sides that are multiples of {multiple}, not {height}x{width}; pad them")
        if min(height, width) < self.min_side:
            raise ValueError(f"expected sides of at least {self.min_side} pixels, not {height}x{width}")
        if self.training and num < self.min_training_photos:
            raise ValueError(f"expected at least {self.min_training_photos} photos a training step, not {num}")

    def logits(self, x: Tensor) -> Tensor:
        """Logits (N, 1, H, W) of normalised photos (N, in_channels, H, W)."""
        raise NotImplementedError


def check_option(name: str, value: object, known: Sequence[object]) -> None:
    """Raise ValueError if the value of a network's option is not one of `known`."""
    if value not in known:
        raise ValueError(f"{name} is {' or '.join(map(repr, known))}, not {value!r}")


class Decoder(nn.Module):
    """Blocks that each double the resolution and join the features at that scale.

    Args:
        channels: channels of the coarsest features, then of each block's output.
        joined: channels of what each block joins.
        light: use `LightBlock` instead of `Block`.
    """

    def __init__(self, channels: Sequence[int], joined: Sequence[int], *, light: bool) -> None:
        super().__init__()
        kind = LightBlock if light else Block
        widths = zip(channels[:-1], joined, channels[1:], strict=True)
        self.blocks = nn.ModuleList(kind(deep, skip, out) for deep, skip, out in widths)

    def forward(self, deep: Tensor, skips: Sequence[Tensor]) -> Tensor:
        """Coarsest features `(N, C, H, W)` and skips, coarse to fine -> the finest features, `(N, C', H', W')`."""
        for block, skip in zip(self.blocks, skips, strict=True):
            deep = block(deep, skip)
        return deep


class Block(nn.Module):
    """Bilinear x2, join, two 3x3 convolutions."""

    def __init__(self, deep: int, skip: int, out: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(conv_norm_relu(deep + skip, out), conv_norm_relu(out, out))

    def forward(self, deep: Tensor, skip: Tensor) -> Tensor:
        """`(N, deep, H, W)`, `(N, skip, 2 H, 2 W)` -> `(N, out, 2 H, 2 W)`."""
        joined: Tensor = self.layers(torch.cat([double(deep), skip], dim=1))
        return joined


class LightBlock(nn.Module):
    """A block of depthwise-separable convolutions (Howard 2017, arXiv 1704.04861), narrowed before it is enlarged.

    A 1x1 convolution and a bilinear enlargement can be swapped without changing the result, and before the enlargement
    there are only a quarter of the pixels to narrow.
    """

    def __init__(self, deep: int, skip: int, out: int) -> None:
        super().__init__()
        self.narrow = nn.Conv2d(deep, out, 1, bias=False)
        self.layers = nn.Sequential(conv_norm_relu(out + skip, out, 1), _separable(out), _separable(out))

    def forward(self, deep: Tensor, skip: Tensor) -> Tensor:
        """`(N, deep, H, W)`, `(N, skip, 2 H, 2 W)` -> `(N, out, 2 H, 2 W)`."""
        joined: Tensor = self.layers(torch.cat([double(self.narrow(deep)), skip], dim=1))
        return joined


def double(x: Tensor) -> Tensor:
    """`(N, C, H, W)` -> `(N, C, 2 H, 2 W)`, bilinear."""
    return functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


def conv_norm_relu(channels: int, out: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution, batch norm, ReLU; keeps H and W at stride 1."""
    convolution = nn.Conv2d(channels, out, kernel, stride, padding=kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(out), nn.ReLU(inplace=True))


def neutral(convolution: nn.Conv2d) -> nn.Conv2d:
    """Set a convolution to zero, so that what it is added to stays unchanged until it is trained (arXiv 2003.04887)."""
    for parameter in convolution.parameters():
        nn.init.zeros_(parameter)
    return convolution


def _separable(channels: int) -> nn.Sequential:
    each = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
    return nn.Sequential(each, nn.BatchNorm2d(channels), *conv_norm_relu(channels, channels, 1))


class Encoder(nn.Module):
    """Features of a photo at decreasing resolution.

    Attributes:
        strides: of the features, each twice the previous one: 2, 4, 8, 16, 32 for most.
        channels: of the features.
        mean, std: for `PhotoNetwork`, by timm.

    Args:
        name: any of `timm.list_models()` whose features halve at every step.
        in_channels: 3 for photos; timm adapts the first convolution to another number.

    Raises:
        ModelError: timm has no such network, or its features do not halve at every step.
    """

    def __init__(self, name: str, in_channels: int = 3) -> None:
        super().__init__()
        self.name, self.in_channels = name, in_channels
        self.trunk = _trunk(name, in_channels, pretrained=False)
        strides: list[int] = self.trunk.feature_info.reduction()
        self._first = sum(stride < 2 for stride in strides)  # VGG's features at full size, no better than the photo
        self.strides = strides[self._first :]
        self.channels: list[int] = self.trunk.feature_info.channels()[self._first :]
        _check_pyramid(name, self.strides, getattr(self.trunk, "output_fmt", None))
        for module in self.trunk.modules():
            if type(module) is Conv2dSame:  # the same convolution and weights, but padded differently
                module.__class__ = EvenConv2d  # type: ignore[assignment]
        self._frozen: list[nn.Module] = []
        self.mean, self.std = (_spread(self.trunk.pretrained_cfg[key], in_channels) for key in ("mean", "std"))

    def forward(self, x: Tensor) -> list[Tensor]:
        """One `(N, channels[i], H / strides[i], W / strides[i])` for each stride, fine to coarse.

        `x`: normalised photos, `(N, in_channels, H, W)`, H and W multiples of `strides[-1]`.
        """
        return cast(list[Tensor], self.trunk(x)[self._first :])

    def freeze(self, num_stages: int) -> None:
        """Freeze the first, finest stages and what comes before them: weights and the statistics of batch norms.

        Raises:
            ModelError: there are fewer, or timm does not say where they end.
        """
        ends: list[str] = self.trunk.feature_info.module_name()[self._first :]
        if not 0 <= num_stages <= len(ends):
            raise ModelError(f"network.frozen_stages: {self.name} has {len(ends)} that can be frozen")
        self._frozen = self._up_to(ends[num_stages - 1]) if num_stages else []
        for module in self._frozen:
            module.requires_grad_(requires_grad=False).eval()

    def _up_to(self, path: str) -> list[nn.Module]:
        """The modules that a photo passes up to `path`, whose dots timm may have written as underscores."""
        modules = dict(self.trunk.named_modules())
        path = path if path in modules else path.replace(".", "_")
        if path not in modules:
            raise ModelError(f"network.frozen_stages: {self.name} does not say where its stages end; set it to 0")
        names = list(modules)
        end = max(place for place, name in enumerate(names) if f"{name}.".startswith(f"{path}."))
        return [modules[name] for name in names[1 : end + 1] if not path.startswith(f"{name}.")]

    def train(self, mode: bool = True) -> "Encoder":
        """Like any module's, except that frozen stages stay in evaluation mode."""
        super().train(mode)
        for module in self._frozen:
            module.eval()
        return self

    def load(self, weights: Mapping[str, Tensor] | None = None) -> str:
        """Load weights with timm's keys; None fetches timm's ImageNet weights from the hub.

        Returns:
            What was loaded, and what else the file holds (such as a classifier).

        Raises:
            ValueError: they are not this network's; the message names the keys.
            OSError: the hub cannot be reached.
        """
        if weights is None:
            hub = _trunk(self.name, self.in_channels, pretrained=True)
            self.trunk.load_state_dict(hub.state_dict())
            return f"{self.name} with the hub's weights"
        own = self.trunk.state_dict()
        # timm names a stage `stages.0` in a whole network, but `stages_0` if only features are requested.
        names = {key.replace("_", "."): key for key in own}
        given = {names.get(key.replace("_", "."), key): tensor for key, tensor in weights.items()}
        given = {key: self._adapted(tensor, own.get(key)) for key, tensor in given.items()}
        mismatch = Mismatch.between(own, given)
        if mismatch.missing or mismatch.misshapen:
            raise ValueError(f"not the weights of {self.name}: {mismatch}")
        self.trunk.load_state_dict({key: given[key] for key in own if key in given}, strict=False)
        left = f"; left out: {', '.join(mismatch.unexpected)}" if mismatch.unexpected else ""
        return f"{self.name} with the file's weights{left}"

    def _adapted(self, weight: Tensor, own: Tensor | None) -> Tensor:
        """Adapt the weights of a first convolution for 3 channels to `in_channels`."""
        if own is None or own.ndim != 4 or own.shape[1] != self.in_channels or weight.shape[1:2] != (3,):
            return weight
        return adapt_input_conv(self.in_channels, weight)


class EvenConv2d(nn.Conv2d):
    """Convolution with TensorFlow's "same" padding for sides that are multiples of its stride.

    timm's `Conv2dSame` computes the padding from each input's size. Here it is constant, which an exporter understands
    and `torch.compile` need not guard.
    """

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        totals = [
            max(dilation * (kernel - 1) + 1 - stride, 0)
            for kernel, stride, dilation in zip(self.kernel_size, self.stride, self.dilation, strict=True)
        ]
        (top, bottom), (left, right) = ((total // 2, total - total // 2) for total in totals)
        return super().forward(functional.pad(x, (left, right, top, bottom)))


def _trunk(name: str, in_channels: int, *, pretrained: bool) -> Any:
    known = timm.list_models()
    if name.partition(".")[0] not in known:
        raise ModelError(f"encoder: timm has no network {name!r}{nearest(name, known)}")
    try:
        return timm.create_model(name, features_only=True, pretrained=pretrained, in_chans=in_channels)
    except (RuntimeError, AssertionError, AttributeError) as error:
        if pretrained:
            raise OSError(f"{name}: {error}") from error
        raise ModelError(f"encoder: timm's {name} has no features at several strides: {error}") from error


def _check_pyramid(name: str, strides: list[int], layout: object) -> None:
    if strides != [strides[0] * 2**step for step in range(len(strides))] or strides[0] not in (2, 4):
        raise ModelError(f"encoder: {name} has features at strides {strides}; 2 or 4 and then doubling is needed")
    if layout is not None and str(layout).rpartition(".")[2] != "NCHW":
        raise ModelError(f"encoder: {name} is a transformer for photos of one size; take a convolutional network")


def _spread(three: tuple[float, ...], channels: int) -> tuple[float, ...]:
    """Values of the photo's three channels; further channels, or all if there are fewer, get their mean."""
    mean = sum(three) / len(three)
    return (*three, *[mean] * (channels - len(three))) if channels >= len(three) else (mean,) * channels
