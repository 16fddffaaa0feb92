"""Our own networks, each a recipe's network by its name.

* `cutnet`, for whole photos: pretrained encoder, U-shaped decoder, raw pixels at the edge;
* `segment`, for the locate and segment stages: pretrained encoder, light decoder; no exact edge;
* `refine`, for the refine stage: the soft edge, from native pixels and segment's alpha.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from garmentcut.errors import ModelError
from garmentcut.model.layers import Decoder, Encoder, PhotoNetwork, conv_norm_relu, double, neutral


class CutNet(PhotoNetwork):
    """Where the garment is comes from far away, where its edge runs from the pixels at hand.

    `encoder`: features at strides 2 to 32. `context`: the coarsest of them learn what stands elsewhere in the frame.
    `decoder`: back to stride 2, joining the encoder's features and, last, the photo itself, unshuffled so that all its
    pixels are there. `head`: four logits a position, shuffled to one a pixel. `detail`: these corrected at full size.

    `context` and `detail` add to what they are given, and start at adding nothing: a network trained without them
    becomes one with them, and gives the same logits until it learns better (`neutral_parts`).

    At 1152x1728, on OpenVINO, in seconds of processor time (all threads together, Zen 3), the encoder's included:

    | options | GFLOP | parameters | seconds |
    | --- | --- | --- | --- |
    | `context = false, detail = false` | 116 | 3.98 M | 1.12 |
    | default | 118 | 4.08 M | 1.14 |
    | `light = true` | 44 | 3.25 M | 0.73 |

    Args:
        encoder: timm's name; its features must halve at every step.
        channels: of the decoder's blocks, coarse to fine; as many as the encoder halves, but once.
        context: let the coarsest features see the whole frame; see `Context`.
        detail: correct the logits at full size; see `Detail`.
        light: a decoder of depthwise-separable convolutions: two thirds of the time; its accuracy is not measured yet.
        in_channels: of the input; 3 for photos.

    Raises:
        ModelError: an option that does not fit.
    """

    neutral_parts = ("context.", "detail.")

    def __init__(
        self,
        encoder: str = "tf_efficientnet_lite0",
        channels: Sequence[int] = (128, 96, 64, 32),
        context: bool = True,
        detail: bool = True,
        light: bool = False,
        in_channels: int = 3,
    ) -> None:
        trunk = Encoder(encoder, in_channels)
        super().__init__(trunk.mean, trunk.std)
        self.in_channels, self.multiple_of = in_channels, trunk.strides[-1]
        deep, skips = trunk.channels[-1], trunk.channels[-2::-1]
        if trunk.strides[0] == 4:
            skips = [*skips, 0]  # nothing but the photo at stride 2
        skips[-1] += 4 * in_channels
        if len(channels) != len(skips) or min(channels) < 1:
            wanted = f"{len(skips)} numbers above 0, one for each halving of {encoder} but the first"
            raise ModelError(f"channels: {wanted}, not {list(channels)}")
        self.encoder = trunk
        self.context = Context(deep) if context else nn.Identity()
        self.decoder = Decoder([deep, *channels], skips, light=light)
        self.head = nn.Conv2d(channels[-1], 4, 3, padding=1)
        self.detail = Detail(in_channels) if detail else None

    def logits(self, x: Tensor) -> Tensor:
        """Logits `(N, 1, H, W)` of normalised photos `(N, in_channels, H, W)`."""
        *features, deep = self.encoder(x)  # (N, 16, H/2, W/2) ... (N, 320, H/32, W/32), say
        deep = self.context(deep)  # (N, 320, H/32, W/32)
        half: Tensor = self.decoder(deep, _joined(features, x, len(self.decoder.blocks)))  # (N, 32, H/2, W/2)
        logits: Tensor = functional.pixel_shuffle(self.head(half), 2)  # (N, 1, H, W)
        return self.detail(logits, x) if self.detail else logits

    def load_encoder(self, weights: Mapping[str, Tensor] | None = None) -> str:
        """Let the encoder start from trained weights; see `Encoder.load`."""
        return self.encoder.load(weights)


class Context(nn.Module):
    """Adds to each position what stands 6 and 12 positions away, and the mean of the whole frame.

    What EfficientNet-Lite0 says of a position depends on at most 425 pixels to each side, and a studio photo is 1728
    high: shoulder and hem never meet there. Twelve positions at stride 32 are 384 pixels more. Depthwise, on 128
    channels: 0.3 GFLOP. (The idea is that of atrous spatial pyramid pooling, Chen 2017, arXiv 1706.05587.)
    """

    def __init__(self, channels: int, width: int = 128) -> None:
        super().__init__()
        self.narrow = conv_norm_relu(channels, width, 1)
        self.near = nn.Conv2d(width, width, 3, padding=6, dilation=6, groups=width)
        self.far = nn.Conv2d(width, width, 3, padding=12, dilation=12, groups=width)
        self.whole = nn.Conv2d(width, width, 1)
        self.widen = neutral(nn.Conv2d(width, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """`(N, channels, H, W)` -> the same."""
        narrow = self.narrow(x)
        seen = self.near(narrow) + self.far(narrow) + self.whole(narrow.mean(dim=(2, 3), keepdim=True))
        return x + self.widen(functional.relu(seen))  # type: ignore[no-any-return]


class Detail(nn.Module):
    """Corrects logits at full size from a 5x5 neighbourhood of logits and pixels.

    A pixel shuffle's four logits of a 2x2 square come from four filters that do not know of each other, and the photo
    has been through two convolutions at half size; here every pixel is treated alike. 1.5 GFLOP at 1152x1728.
    """

    def __init__(self, in_channels: int = 3, width: int = 8) -> None:
        super().__init__()
        self.look = nn.Conv2d(1 + in_channels, width, 3, padding=1)
        self.correct = neutral(nn.Conv2d(width, 1, 3, padding=1))

    def forward(self, logits: Tensor, x: Tensor) -> Tensor:
        """`(N, 1, H, W)` and the normalised photo `(N, in_channels, H, W)` -> `(N, 1, H, W)`."""
        return logits + self.correct(functional.relu(self.look(torch.cat([logits, x], dim=1))))  # type: ignore[no-any-return]


def _joined(features: Sequence[Tensor], x: Tensor, num_blocks: int) -> list[Tensor]:
    """What the decoder joins, coarse to fine; at stride 2 all the photo's pixels, `(N, 4 in_channels, H/2, W/2)`."""
    pixels = functional.pixel_unshuffle(x, 2)
    skips = list(features[::-1])
    finest = [torch.cat([skips.pop(), pixels], dim=1)] if len(skips) == num_blocks else [pixels]
    return skips + finest


_CONTEXT_CHANNELS = 128
_NORM_MOMENTUM = 0.03  # batches of 8 windows are noisy


class SegmentNet(PhotoNetwork):
    """Encoder, top-down decoder (Lin 2017, arXiv 1612.03144) to half of its input's size, bilinear from there.

    Features are added, not joined, and each addition is followed by one 3x3 convolution. No pixel shuffle: four
    independent filters print a grid on sheer cloth.

    Args:
        encoder: its features halve at every step from stride 2 on.
        width: channels of the decoder, an even number; half of it at stride 2.

    Raises:
        ModelError: an option that does not fit.
    """

    def __init__(self, encoder: str = "tf_efficientnet_lite0", width: int = 64) -> None:
        if width < 2 or width % 2:
            raise ModelError(f"width: an even number above 0, not {width}")
        trunk = Encoder(encoder)
        super().__init__(trunk.mean, trunk.std)
        if trunk.strides[0] != 2:
            raise ModelError(f"encoder: {encoder} has no features at half the size; take another")
        self.multiple_of = trunk.strides[-1]
        self.encoder = trunk
        fine, *coarse = trunk.channels
        self.lateral = nn.ModuleList(conv_norm_relu(channels, width, 1)[:2] for channels in coarse)
        self.context = _Context(coarse[-1], width)
        self.smooth = nn.ModuleList(conv_norm_relu(width, width) for _ in coarse)
        self.narrow = nn.Conv2d(width, width // 2, 1, bias=False)
        self.detail = conv_norm_relu(fine, width // 2, 1)[:2]
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


_LEAST_ALPHA = 0.01  # of the map, whose logit the answer starts from


class RefineNet(PhotoNetwork):
    """A small U-net (Ronneberger 2015) whose features are added, which corrects the logit of the map it is given.

    Its last convolution starts at zero, so before it has learned anything it answers with its map. 10,100 multiply-adds
    a pixel with the default widths.

    Args:
        widths: channels at full, half, quarter and eighth size.
    """

    in_channels = 4
    multiple_of = 8

    def __init__(self, widths: tuple[int, int, int, int] = (12, 24, 48, 64)) -> None:
        super().__init__((0.5,) * 4, (0.5,) * 4)
        full, half, quarter, eighth = widths
        self.stem = conv_norm_relu(4, full)
        self.down = nn.ModuleList(
            (
                nn.Sequential(conv_norm_relu(full, half, stride=2), conv_norm_relu(half, half)),
                nn.Sequential(conv_norm_relu(half, quarter, stride=2), conv_norm_relu(quarter, quarter)),
                nn.Sequential(
                    conv_norm_relu(quarter, eighth, stride=2),
                    conv_norm_relu(eighth, eighth),
                    conv_norm_relu(eighth, eighth),
                ),
            )
        )
        pairs = ((eighth, quarter), (quarter, half), (half, full))
        self.narrow = nn.ModuleList(nn.Conv2d(deep, out, 1) for deep, out in pairs)
        self.up = nn.ModuleList(conv_norm_relu(out, out) for _, out in pairs)
        self.correct = neutral(nn.Conv2d(full, 1, 3, padding=1))

    def logits(self, x: Tensor) -> Tensor:
        """Logits `(N, 1, H, W)` of normalised tiles `(N, 4, H, W)`: red, green, blue, and the map."""
        features = [self.stem(x)]
        for down in self.down:
            features.append(down(features[-1]))
        deep = features.pop()
        for narrow, up in zip(self.narrow, self.up, strict=True):
            deep = up(double(narrow(deep)) + features.pop())
        alpha = ((x[:, 3:] + 1) / 2).clamp(_LEAST_ALPHA, 1 - _LEAST_ALPHA)
        return self.correct(deep) + torch.log(alpha / (1 - alpha))  # type: ignore[no-any-return]
