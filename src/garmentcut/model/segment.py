"""A recipe's network `segment`, for the locate and segment stages: pretrained encoder, light decoder; no exact edge."""

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional

from garmentcut.errors import ModelError
from garmentcut.model.encoder import Encoder
from garmentcut.model.layers import PhotoNetwork, conv_norm_relu, double

_CONTEXT_CHANNELS = 128
_NORM_MOMENTUM = 0.03  # batches of 8 windows are noisy


class SegmentNet(PhotoNetwork):
    """Encoder, top-down decoder (Lin 2017, arXiv 1612.03144) to half of its input's size, bilinear from there.

    Features are added, not joined, and each addition is followed by one 3x3 convolution. No pixel shuffle: four
    independent filters print a grid on sheer cloth.

    Args:
        encoder: its features halve at every step from stride 2 on.
        width: channels of the decoder; half of it at stride 2.
    """

    def __init__(self, encoder: Encoder, width: int) -> None:
        super().__init__(encoder.mean, encoder.std)
        if encoder.strides[0] != 2:
            raise ModelError(f"encoder: {encoder.name} has no features at half the size; take another")
        self.multiple_of = encoder.strides[-1]
        self.encoder = encoder
        fine, *coarse = encoder.channels
        self.lateral = nn.ModuleList(_projected(channels, width) for channels in coarse)
        self.context = _Context(coarse[-1], width)
        self.smooth = nn.ModuleList(conv_norm_relu(width, width) for _ in coarse)
        self.narrow = nn.Conv2d(width, width // 2, 1, bias=False)
        self.detail = _projected(fine, width // 2)
        self.head = nn.Sequential(conv_norm_relu(width // 2, width // 2), nn.Conv2d(width // 2, 1, 3, padding=1))
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = _NORM_MOMENTUM

    def logits(self, x: Tensor) -> Tensor:
        """Logits `(N, 1, H, W)` of normalised photos `(N, 3, H, W)`."""
        fine, *features = self.encoder(x)  # (N, 16, H/2, W/2), (N, 24, H/4, W/4) ... (N, 320, H/32, W/32)
        added = [project(feature) for project, feature in zip(self.lateral, features, strict=True)]
        deep = functional.relu(added[-1] + self.context(features[-1]))
        deep = self.smooth[-1](deep)
        for smooth, lateral in zip(list(self.smooth)[-2::-1], added[-2::-1], strict=True):
            deep = smooth(functional.relu(double(deep) + lateral))  # ... (N, width, H/4, W/4)
        half = functional.relu(double(self.narrow(deep)) + self.detail(fine))  # (N, width/2, H/2, W/2)
        logits: Tensor = double(self.head(half))
        return logits

    def load_encoder(self, weights: Mapping[str, Tensor] | None = None) -> str:
        """Let the encoder start from trained weights; see `Encoder.load`."""
        return self.encoder.load(weights)


class _Context(nn.Module):
    """What the coarsest features lack: positions further away, and the mean of the whole window."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        width = _CONTEXT_CHANNELS
        self.narrow = nn.Conv2d(channels, width, 1)
        self.around = nn.Conv2d(width, width, 3, padding=6, dilation=6, groups=width)
        self.widen = nn.Conv2d(width, out, 1)

    def forward(self, x: Tensor) -> Tensor:
        """`(N, channels, H, W)` -> `(N, out, H, W)`."""
        seen = self.widen(functional.relu(self.around(functional.relu(self.narrow(x)))))
        return seen + seen.mean(dim=(2, 3), keepdim=True)  # type: ignore[no-any-return]


def build(encoder: str = "tf_efficientnet_lite0", width: int = 64) -> SegmentNet:
    """Build the network of a locate or segment stage, its decoder's weights drawn at random.

    Args:
        encoder: timm's name.
        width: channels of the decoder.

    Raises:
        ModelError: an option that does not fit.
    """
    if width < 2 or width % 2:
        raise ModelError(f"width: an even number above 0, not {width}")
    return SegmentNet(Encoder(encoder), width)


def _projected(channels: int, out: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, out, 1, bias=False), nn.BatchNorm2d(out))
